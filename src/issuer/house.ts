/**
 * What the authorization server is made of: the ports and rooms it is given, and the facts derived
 * once from the configuration (paths, resources, who may come in). No globals, no clock of its own.
 */

import type { JSONWebKeySet } from 'jose'
import type { EndpointSegment } from '../config/paths.ts'
import type { AssertionIssuer } from '../config/token-policies.ts'
import type { Config, ConnectorConfig } from '../config.ts'
import type { ConnectRooms } from '../connectors/connect/connect-rooms.ts'
import type { ConnectorDirectory } from '../connectors/directory.ts'
import type { AccessTokenClaims } from '../oauth/access-token.ts'
import type { Verdict } from '../oauth/allow.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Bus, Emit, PosternEvent, Runtime, SigningKey, Store, VerifyKey } from '../ports.ts'
import type { Provider, ProviderContext } from '../providers/provider.ts'
import { type Mark, TENANT } from '../records.ts'
import type { PageHouse } from '../ui/layout.ts'
import { styleSheet } from '../ui/style.ts'
import type { HandedOut } from '../vault/hand-out.ts'
import { type AdmissionRules, type FreshFacts, judgePerson, type Person } from './admission.ts'
import type { ClientDocuments } from './client-documents.ts'
import { type Clients, createClients } from './clients.ts'
import type { Memberships } from './memberships.ts'
import type { Markable } from './revocation.ts'
import type { Signals } from './signals.ts'

/** The minimum for basic use of every resource; a connector may define more (flows.md section 3). */
export const RESOURCE_SCOPES: readonly string[] = ['mcp']

export interface IssuerKeys {
  current(): { readonly kid: string; readonly key: SigningKey }
  verifyKeys(): ReadonlyMap<string, VerifyKey>
  jwks(): { readonly keys: readonly object[] }
  tagKey(): Uint8Array
  refreshTagKey(): Uint8Array
  ticketKey(): Uint8Array
}

/** Memory of which sign-ins are still good at their provider; answers at once, renews behind. */
export interface IssuerProofs {
  state(vaultId: string): 'fresh' | 'stale' | 'cold' | 'suspect' | 'dead'
  renew(vaultId: string): void
  /** A sign-in just proved this record, so the first call does not wait. */
  proved(
    vaultId: string,
    fact: {
      readonly provider?: string
      readonly scopes?: readonly string[]
      readonly etag?: string
    },
  ): void
  /** Nothing depends on this record any more: not kept warm, not remembered. */
  forget?(vaultId: string): void
}

export interface IssuerRevocation {
  markLocal(mark: Mark): void
  /** Is anything of this token marked (issuer/revocation.ts)? */
  marked(token: Markable): boolean | 'view-too-old'
}

/** Key sets of issuers whose assertions are believed: from memory, warmed ahead. */
export interface AssertionKeys {
  keys(trusted: AssertionIssuer): Promise<JSONWebKeySet>
  /** After an unknown key id: asks again, at most once per cool-down (VAL-14). */
  askAgain(trusted: AssertionIssuer): Promise<JSONWebKeySet>
}

/** Seals upstream tokens to their owner. */
export interface IssuerVault {
  sealTokens(vaultId: string, tokens: TokenSet): { readonly sealed: string; readonly keyId: string }
  /** What is kept; absent: a sign-in keeps nothing of the one before it. */
  find?(
    vaultId: string,
  ): Promise<{ readonly version: number; readonly tokens: TokenSet } | undefined>
}

export interface IssuerProvider {
  readonly provider: Provider
  readonly context: ProviderContext
}

export interface IssuerDeps {
  readonly config: Config
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly bus: Bus
  readonly keys: IssuerKeys
  readonly vault: IssuerVault
  readonly proofs: IssuerProofs
  readonly revocation: IssuerRevocation
  readonly providers: readonly IssuerProvider[]
  /** Told that something is to be done at a provider (issuer/duties.ts). */
  readonly duties?: { poke(): void }
  /** Needed by what other servers tell us: logout tokens, webhooks, shared signals. */
  readonly signals?: Signals
  /** Absent: rules that need a provider's word on groups or memberships admit nobody. */
  readonly memberships?: Memberships
  /** Needed by `enable: ['token-exchange']` where a policy names providers. */
  readonly handOut?: (vaultId: string, provider: string) => Promise<HandedOut>
  /** Needed by `enable: ['id-jag']`. */
  readonly assertionKeys?: AssertionKeys
  /** What clients publish on their own hosts; absent: clients named by a URL are unknown here. */
  readonly documents?: ClientDocuments
  /** Accounts at connectors; `undefined`: no connector needs one now. */
  readonly linking?: () => ConnectRooms | undefined
  /** Absent: only the connectors of the configuration, which do not change. */
  readonly directory?: Pick<ConnectorDirectory, 'onChange'>
  /** Told of each access token of an active grant, before it is sent (issuer/authenticate.ts). */
  readonly adopt?: (token: string, claims: AccessTokenClaims, keyId: string) => void
  /** Address of the peer, behind trusted proxies the client's; `undefined`: limits per address are off. */
  readonly clientAddress?: (request: Request) => string | undefined
  /** The REST API; absent: there is none. */
  readonly api?: (request: Request) => Promise<Response>
  /** Where the OAuth endpoints live below the issuer, when an application mounts them. Default ''. */
  readonly endpointPrefix?: string
}

export interface Resource {
  readonly resource: string
  readonly scopes: readonly string[]
  readonly title?: string
  readonly connector?: ConnectorConfig
}

export interface Paths {
  readonly authorize: string
  readonly consent: string
  readonly token: string
  readonly register: string
  readonly revoke: string
  readonly introspect: string
  /** Of these three the name of a provider or receiver follows. */
  readonly backchannelLogout: string
  readonly events: string
  readonly webhooks: string
  readonly par: string
  readonly logout: string
  readonly home: string
  readonly account: string
  /** Below it the name of a connector. */
  readonly connect: string
  /** Below it the calls and popups of embedded Connect. */
  readonly widget: string
  readonly widgetScript: string
  /** With a trailing slash: a code follows. */
  readonly errors: string
  readonly mcpJson: string
  /** Without a trailing slash. */
  readonly api: string
  readonly style: string
  readonly mark: string
}

/** The dependencies plus what follows from them. */
export interface IssuerHouse extends IssuerDeps {
  readonly issuerUrl: URL
  /** False only for the loopback http issuer: cookies lose `__Host-` and `Secure`. */
  readonly secure: boolean
  readonly paths: Paths
  /** One array for the life of the house: its content follows the connectors. */
  readonly resources: readonly Resource[]
  readonly pages: PageHouse
  readonly style: string
  readonly clients: Clients
}

export function createIssuerHouse(deps: IssuerDeps): IssuerHouse {
  const { config, runtime } = deps
  const issuerUrl = new URL(config.issuer)
  const base = issuerUrl.pathname.replace(/\/$/, '')
  const endpoint = (name: EndpointSegment) => `${base}${deps.endpointPrefix ?? ''}/${name}`
  const people = `${base}${config.prefix}`
  const style = styleSheet(config.brand.accentColor)
  const assets = endpoint('assets')
  const paths: Paths = {
    authorize: endpoint('authorize'),
    consent: endpoint('consent'),
    token: endpoint('token'),
    register: endpoint('register'),
    revoke: endpoint('revoke'),
    introspect: endpoint('introspect'),
    backchannelLogout: endpoint('backchannel-logout'),
    events: endpoint('events'),
    webhooks: endpoint('webhooks'),
    par: endpoint('par'),
    logout: endpoint('logout'),
    home: `${people}/`,
    account: `${people}/account`,
    connect: `${people}/connect`,
    widget: `${people}/widget`,
    widgetScript: `${people}/widget.js`,
    errors: `${people}/errors/`,
    mcpJson: `${people}/mcp.json`,
    api: `${people}/api/v1`,
    style: `${assets}/style-${runtime.sha256(style).slice(0, 12)}.css`,
    mark: `${assets}/mark.svg`,
  }
  return {
    ...deps,
    issuerUrl,
    secure: issuerUrl.protocol === 'https:',
    paths,
    style,
    clients: createClients(deps),
    resources: followedResources(deps),
    pages: {
      brandName: config.brand.name,
      homePath: paths.home,
      stylePath: paths.style,
      markPath: paths.mark,
      ...(config.brand.supportUrl === undefined ? {} : { supportUrl: config.brand.supportUrl }),
    },
  }
}

function followedResources({ config, directory }: IssuerDeps): readonly Resource[] {
  const resources = [...listResources(config)]
  directory?.onChange(() => resources.splice(0, resources.length, ...listResources(config)))
  return resources
}

function listResources(config: Config): readonly Resource[] {
  const connectors = config.connectors
    .filter((connector) => connector.enabled)
    .map((connector) => ({
      resource: canonicalResource(connector.resource) ?? connector.resource,
      scopes: connector.scopes?.names ?? RESOURCE_SCOPES,
      title: connector.title ?? connector.name,
      connector,
    }))
  const servers = config.resources.map((entry) => ({
    resource: canonicalResource(entry.url) ?? entry.url,
    scopes: RESOURCE_SCOPES,
  }))
  return [...connectors, ...servers]
}

export function findResource(house: IssuerHouse, resource: string): Resource | undefined {
  return house.resources.find((entry) => entry.resource === resource)
}

export function findProvider(house: IssuerHouse, id: string): IssuerProvider | undefined {
  return house.providers.find((entry) => entry.provider.id === id)
}

/** May this person sign in here at all. For pages: facts of the last hour count, renewed behind. */
export function mayEnter(house: IssuerHouse, person: Person): boolean {
  return mayUse(house, person, undefined)
}

/** May this person use this resource: the house's rule, and the connector's own where it has one. */
export function mayUse(
  house: IssuerHouse,
  person: Person,
  resource: Resource | undefined,
): boolean {
  return judgePerson(rulesOf(house), person, resource?.connector?.allow, 'remembered') === 'in'
}

/** As `mayUse`, for what is handed out: facts of the last 300 s (PRV-22), else *unknown*. */
export function judgeUse(
  house: IssuerHouse,
  person: Person,
  resource: Resource | undefined,
  facts: FreshFacts | 'current' = 'current',
): Verdict {
  return judgePerson(rulesOf(house), person, resource?.connector?.allow, facts)
}

function rulesOf({ config, runtime, memberships }: IssuerHouse): AdmissionRules {
  return { config, runtime, ...(memberships === undefined ? {} : { known: memberships }) }
}

export function report(house: Pick<IssuerHouse, 'emit'>, event: PosternEvent): void {
  house.emit.event({ tenant: TENANT, ...event })
}
