/**
 * What a connector is bound to: one issuer, one token origin, one resource. Pure: documents,
 * configuration and the accepted row in, a binding or the reason against it out.
 *
 * All endpoints stand on the issuer's own origin or on one that was approved by name (O3). Once
 * accepted, another issuer or another token origin quarantines: what was accepted stays, nothing is
 * sent to the new one until an administrator approves it (O4, DSC-20).
 * @see RFC 9728 section 7.6, RFC 9700 section 4.4
 */
import type { ConnectorConfig } from '../../config.ts'
import type { AuthorizationServerMetadata } from '../../oauth/server-metadata.ts'
import type { ConnectorProblem, Values } from '../../records.ts'
import type { Discovered } from '../discovery/discovery.ts'

export interface Binding {
  readonly connector: ConnectorConfig
  readonly issuer: string
  /** Value of `resource` (RFC 8707); undefined: omitted. */
  readonly resource: string | undefined
  readonly server: AuthorizationServerMetadata
  readonly scopesSupported?: readonly string[]
  readonly challengeScopes?: readonly string[]
}

export type Bound =
  | { readonly ok: true; readonly binding: Binding }
  | {
      readonly ok: false
      readonly state: 'quarantined' | 'refused'
      readonly problems: readonly ConnectorProblem[]
      /** What an approval has to name; and the issuer, when that is what changed. */
      readonly refusedOrigin?: string
      readonly refusedIssuer?: string
    }

/** The part of the row that a binding is held to. */
export type Accepted = Pick<
  Values['connector'],
  'url' | 'issuer' | 'tokenOrigin' | 'approvedOrigins'
>

/** Endpoints that get a code, a secret, a token or a person; with their names for people. */
const ENDPOINTS = {
  token_endpoint: 'token endpoint',
  registration_endpoint: 'registration endpoint',
  revocation_endpoint: 'revocation endpoint',
  pushed_authorization_request_endpoint: 'pushed request endpoint',
  authorization_endpoint: 'authorization endpoint',
} as const

/**
 * Which authorization server of a resource's list: the pinned one, else the one that was accepted
 * before, else the first (DSC-05). A pin that is not listed is compared with the document instead.
 */
export function chooseIssuer(
  listed: readonly string[],
  known: { readonly pinned?: string | undefined; readonly accepted?: string | undefined },
): string | undefined {
  const wanted = [known.pinned, known.accepted].find(
    (issuer) => issuer !== undefined && listed.includes(issuer),
  )
  return wanted ?? listed[0]
}

/** @param row Absent, or made for another URL: whatever is found is accepted, on its own origin. */
export function bind(
  connector: ConnectorConfig,
  discovered: Discovered,
  row: Accepted | undefined,
): Bound {
  const accepted = row?.url === connector.url.href ? row : undefined
  const { authorizationServer: server, resource } = discovered
  const pinned = connector.oauth?.pinnedIssuer
  if (pinned !== undefined && server.issuer !== pinned) return refusePin(pinned, server.issuer)
  const foreign = foreignEndpoints(connector, server, accepted)
  if (accepted?.issuer !== undefined && accepted.issuer !== server.issuer)
    return refuseIssuer(connector, accepted.issuer, server.issuer, foreign)
  const drift = tokenDrift(server, accepted)
  const split = drift === undefined ? foreign : [drift, ...foreign.filter(isNotToken)]
  const [first] = split
  if (first !== undefined) {
    return {
      ok: false,
      state: 'quarantined',
      problems: split.map(({ problem }) => problem),
      refusedOrigin: first.origin,
    }
  }
  const { scopes_supported: scopesSupported } = resource
  const { challengeScopes } = discovered
  return {
    ok: true,
    binding: {
      connector,
      issuer: server.issuer,
      resource: connector.oauth?.omitResource === true ? undefined : resource.resource,
      server,
      ...(scopesSupported === undefined ? {} : { scopesSupported }),
      ...(challengeScopes === undefined ? {} : { challengeScopes }),
    },
  }
}

/** What is accepted by a binding. An approval stays as long as an endpoint stands on its origin. */
export function acceptedBy(
  binding: Pick<Binding, 'issuer' | 'server'>,
  approvedOrigins: readonly string[],
): Pick<Accepted, 'issuer' | 'tokenOrigin' | 'approvedOrigins'> {
  const used = new Set(endpointOrigins(binding.server).map(({ origin }) => origin))
  return {
    issuer: binding.issuer,
    tokenOrigin: originOf(binding.server.token_endpoint) ?? '',
    approvedOrigins: approvedOrigins.filter((origin) => used.has(origin)),
  }
}

interface Foreign {
  readonly origin: string
  readonly title: string
  readonly problem: ConnectorProblem
}

/** Endpoints on an origin that is neither the issuer's nor approved (O3). */
export function foreignEndpoints(
  { name, oauth }: Pick<ConnectorConfig, 'name' | 'oauth'>,
  server: AuthorizationServerMetadata,
  accepted: Pick<Accepted, 'approvedOrigins'> | undefined,
): readonly Foreign[] {
  const approved = new Set([
    originOf(server.issuer),
    ...(accepted?.approvedOrigins ?? []),
    // Written by hand in the configuration: approved by standing there.
    ...Object.values(oauth?.endpoints ?? {}).map(originOf),
  ])
  return endpointOrigins(server)
    .filter(({ origin }) => !approved.has(origin))
    .map(({ origin, title }) => ({
      origin,
      title,
      problem: {
        party: 'authorization-server',
        code: 'ERR_CONNECTOR_ORIGIN',
        text: `its ${title} is at ${origin}, not at ${originOf(server.issuer) ?? server.issuer}: nothing is sent there. If it belongs to the same operator: postern connectors approve ${name} ${origin}`,
        requirement: 'O3, RFC 8414 section 6.2',
      },
    }))
}

function isNotToken({ title }: Foreign): boolean {
  return title !== ENDPOINTS.token_endpoint
}

function tokenDrift(
  server: AuthorizationServerMetadata,
  accepted: Accepted | undefined,
): Foreign | undefined {
  const before = accepted?.tokenOrigin
  const origin = originOf(server.token_endpoint) ?? ''
  if (before === undefined || origin === before || accepted?.approvedOrigins.includes(origin))
    return undefined
  return {
    origin,
    title: ENDPOINTS.token_endpoint,
    problem: {
      party: 'authorization-server',
      code: 'ERR_CONNECTOR_ORIGIN',
      text: `its token endpoint moved from ${before} to ${origin}: no secret is sent there until this is approved`,
      requirement: 'O4, DSC-20',
    },
  }
}

function refuseIssuer(
  connector: ConnectorConfig,
  before: string,
  now: string,
  foreign: readonly Foreign[],
): Bound {
  const origin = originOf(now) ?? now
  const client = connector.oauth?.client
  const what = `its authorization server changed from ${before} to ${now}: what was stored for the old one is kept and not used`
  const fix =
    client === undefined
      ? `If this was meant: postern connectors approve ${connector.name} ${origin}`
      : `The client ${client.clientId} belongs to ${before}: set connectors.${connector.name}.client for ${now}`
  return {
    ok: false,
    state: 'quarantined',
    problems: [
      {
        party: 'server',
        code: 'ERR_CONNECTOR_ISSUER',
        text: `${what}. ${fix}`,
        requirement: 'DSC-20, RFC 9728 section 7.6',
      },
      ...foreign.map(({ problem }) => problem),
    ],
    refusedOrigin: origin,
    refusedIssuer: now,
  }
}

/**
 * What a row becomes when an administrator approves `origin`; `undefined` when that is not what was
 * refused, or when a client that was registered by hand belongs to the old issuer (CLI-04).
 */
export function approved(
  row: Values['connector'],
  origin: string,
  hasOwnClient: boolean,
): Values['connector'] | undefined {
  if (row.refusedOrigin === undefined || originOf(origin) !== row.refusedOrigin) return undefined
  const { refusedOrigin, refusedIssuer, ...rest } = row
  if (refusedIssuer === undefined)
    return { ...rest, approvedOrigins: [...new Set([...row.approvedOrigins, refusedOrigin])] }
  if (hasOwnClient) return undefined
  const { tokenOrigin: _, ...without } = rest
  return { ...without, issuer: refusedIssuer }
}

function refusePin(pinned: string, found: string): Bound {
  return {
    ok: false,
    state: 'refused',
    problems: [
      {
        party: 'authorization-server',
        code: 'ERR_CONNECTOR_ISSUER',
        text: `it says issuer "${found}", and "${pinned}" is pinned here`,
        requirement: 'DSC-08, RFC 8414 section 3.3',
      },
    ],
  }
}

function endpointOrigins(
  server: AuthorizationServerMetadata,
): readonly { readonly title: string; readonly origin: string }[] {
  return Object.entries(ENDPOINTS).flatMap(([member, title]) => {
    const url = server[member]
    if (url === undefined) return []
    return [{ title, origin: (typeof url === 'string' ? originOf(url) : undefined) ?? String(url) }]
  })
}

/** `undefined` for what is no http URL: an opaque origin is nobody's. */
export function originOf(url: string): string | undefined {
  const origin = URL.parse(url)?.origin
  return origin === 'null' ? undefined : origin
}
