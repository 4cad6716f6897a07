/**
 * One discovery chain, in the order of the standards: challenge, path-inserted, root, legacy; then the
 * authorization server's metadata. Values in, documents or a `Refusal` out; no memory of its own.
 *
 * A definite "not there" leads to the next location, never to a guess about what was refused. What was
 * once found by RFC 9728 is never replaced by legacy rules (DSC-10).
 * @see requirements DSC-01 to DSC-12, RFC 9728 section 5, MCP 2025-03-26 authorization
 */

import { maxAgeSeconds } from '../../net/cache-control.ts'
import type { EgressResponse } from '../../net/egress.ts'
import { parseJson } from '../../net/json.ts'
import { isObject } from '../../oauth/claims.ts'
import { isWord } from '../../oauth/published.ts'
import {
  judgeResourceMetadata,
  type ProtectedResourceMetadata,
  resourceIdentifier,
  resourceMetadataUrls,
} from '../../oauth/resource-metadata.ts'
import {
  type AuthorizationServerMetadata,
  assumedServerMetadata,
  judgeServerMetadata,
  serverMetadataUrls,
} from '../../oauth/server-metadata.ts'
import { parseUrl } from '../../oauth/urls.ts'
import { parseChallenges } from '../../oauth/www-authenticate.ts'
import { chooseIssuer } from '../lifecycle/binding.ts'
import type { DiscoverySource } from './discovery.ts'
import { type Answer, type Asker, type Validators, validatorsOf } from './discovery-exchange.ts'
import { place, refusal, resourceRefusal, serverRefusal } from './discovery-problems.ts'

/** Bounds of what a server says with `Cache-Control` (DSC-14). */
const FRESH_MIN_SECONDS = 300
const FRESH_MAX_SECONDS = 86_400
const SCOPES_MAX = 256
/** Errors by which a modern server corrects a modern request (GW-10). */
const MODERN_ERRORS: ReadonlySet<unknown> = new Set([-32020, -32021, -32022])

/** What one chain found. Kept in memory, in the store and in caches: public documents only. */
export interface Chain {
  readonly resource: ProtectedResourceMetadata
  readonly server: AuthorizationServerMetadata
  readonly source: DiscoverySource
  /** What the document's `issuer` had to be. */
  readonly issuers: readonly string[]
  readonly challengeScopes?: readonly string[]
  readonly era?: 'modern' | 'legacy'
  readonly resourceFrom?: Validators
  readonly serverFrom?: Validators
}

/** Everything that decides which documents are found: the key of the cache, no more and no less. */
export interface ChainRules {
  readonly url: URL
  readonly approvedOrigins: ReadonlySet<string>
  readonly strictResource: boolean
  readonly legacyDiscovery: boolean
  readonly pinnedIssuer?: string
  /** When a server says nothing. */
  readonly freshSeconds: number
}

export interface Found {
  readonly chain: Chain
  readonly freshSeconds: number
}

/** @throws {Refusal} what was said is not used. @throws {UpstreamError} nobody said anything. */
export async function discoverChain(
  rules: ChainRules,
  ask: Asker,
  previous: Chain | undefined,
): Promise<Found> {
  const answer = await ask.probe(rules.url)
  const challenge = readChallenge(answer, rules)
  const facts = {
    ...(challenge.scopes === undefined ? {} : { challengeScopes: challenge.scopes }),
    ...eraOf(answer),
  }
  const resource = await findResource(rules, ask, challenge.url, previous)
  if (resource === undefined) {
    const { chain, freshSeconds } = await findLegacy(rules, ask, answer?.status, previous)
    return { chain: { ...chain, ...facts }, freshSeconds }
  }
  const server = await findServer(rules, ask, resource.document, previous)
  return {
    chain: {
      resource: resource.document,
      server: server.document,
      source: resource.source,
      issuers: server.issuers,
      resourceFrom: resource.from,
      serverFrom: server.from,
      ...facts,
    },
    freshSeconds: Math.min(resource.freshSeconds, server.freshSeconds),
  }
}

/** The Bearer challenge's own words. A field that breaks the grammar says nothing. */
export function readChallenge(
  answer: Pick<EgressResponse, 'status' | 'headers'> | undefined,
  rules: Pick<ChainRules, 'url' | 'approvedOrigins'>,
): { readonly url?: URL; readonly scopes?: readonly string[] } {
  const field = answer?.status === 401 ? answer.headers.get('www-authenticate') : null
  const challenges = field === null ? [] : (parseChallenges([field]) ?? [])
  const ours = challenges.filter(({ scheme }) => scheme === 'bearer' || scheme === 'dpop')
  const told = ours.find(({ parameters }) => parameters.has('resource_metadata')) ?? ours[0]
  const scopes = told?.parameters
    .get('scope')
    ?.split(' ')
    .filter((scope) => isWord(scope))
    .slice(0, SCOPES_MAX)
  const named = told?.parameters.get('resource_metadata')
  return {
    ...(scopes === undefined || scopes.length === 0 ? {} : { scopes }),
    ...(named === undefined ? {} : { url: judgeChallengeUrl(named, rules) }),
  }
}

/** O9: of the server's own origin, or of one that the configuration file names. */
function judgeChallengeUrl(
  text: string,
  { url, approvedOrigins }: Pick<ChainRules, 'url' | 'approvedOrigins'>,
): URL {
  const named = parseUrl(text)
  const isUsable = named !== undefined && named.username === '' && named.password === ''
  if (isUsable && named.hash === '') {
    if (named.origin === url.origin || approvedOrigins.has(named.origin)) return named
  }
  const where = isUsable ? `metadata at ${named.origin}` : 'no usable metadata URL'
  const text401 = `the 401 of ${place(url)} names ${where}; only its own origin is asked`
  throw refusal('server', 'ERR_DISCOVERY_CHALLENGE', text401, 'DSC-01, RFC 9728 section 5.1')
}

/** DSC-21: only a server that answers without a token shows how it speaks. */
function eraOf(answer: EgressResponse | undefined): { readonly era?: 'modern' | 'legacy' } {
  if (answer === undefined || answer.status === 401 || answer.status === 403) return {}
  if (answer.status >= 500 || answer.status === 429) return {}
  const message = jsonOf(answer.text)
  if (isObject(message) && isObject(message['result'])) return { era: 'modern' }
  const error = isObject(message) && isObject(message['error']) ? message['error'] : {}
  return { era: MODERN_ERRORS.has(error['code']) ? 'modern' : 'legacy' }
}

/** JSON as it is, or in the first event of a stream. */
function jsonOf(text: string): unknown {
  const data = /^data: ?(.+)$/m.exec(text)?.[1] ?? text
  try {
    return parseJson(data)
  } catch {
    return undefined
  }
}

interface FoundResource {
  readonly document: ProtectedResourceMetadata
  readonly source: 'challenge' | 'path' | 'root'
  readonly from: Validators
  readonly freshSeconds: number
}

/** DSC-01. `undefined`: it is at none of the locations. */
async function findResource(
  rules: ChainRules,
  ask: Asker,
  challenged: URL | undefined,
  previous: Chain | undefined,
): Promise<FoundResource | undefined> {
  const { url } = rules
  const wellKnown = resourceMetadataUrls(url)
  const root = wellKnown.at(-1)?.href
  const locations = [...(challenged === undefined ? [] : [challenged]), ...wellKnown].filter(
    ({ href }, index, all) => all.findIndex((other) => other.href === href) === index,
  )
  for (const at of locations) {
    const answer = await ask.document(at, 'server', previous?.resourceFrom)
    if (answer.kind === 'absent') continue
    const body = bodyOf(answer, previous?.resource)
    const atRoot = at.href === root && at !== challenged
    const judged = judgeResourceMetadata(body, url, { strict: rules.strictResource, atRoot })
    if (!judged.ok) throw resourceRefusal(judged, at, url)
    return {
      document: judged.document,
      source: at === challenged ? 'challenge' : at.href === root ? 'root' : 'path',
      from: renewed(at, answer, previous?.resourceFrom),
      freshSeconds: freshOf(answer, rules),
    }
  }
  if (challenged === undefined) return undefined
  const text = `the 401 of ${place(url)} names ${place(challenged)}, and nothing is there`
  throw refusal('server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-01, RFC 9728 section 3')
}

interface FoundServer {
  readonly document: AuthorizationServerMetadata
  readonly issuers: readonly string[]
  readonly from: Validators
  readonly freshSeconds: number
}

/** DSC-05 to DSC-09. */
async function findServer(
  rules: ChainRules,
  ask: Asker,
  resource: ProtectedResourceMetadata,
  previous: Chain | undefined,
): Promise<FoundServer> {
  const { pinnedIssuer } = rules
  const issuer = chooseIssuer(resource.authorization_servers ?? [], {
    pinned: pinnedIssuer,
    accepted: previous?.server.issuer,
  })
  if (issuer === undefined)
    throw resourceRefusal({ ok: false, reason: 'no_server' }, rules.url, rules.url)
  const issuers = [pinnedIssuer ?? issuer]
  for (const at of serverMetadataUrls(issuer)) {
    const found = await askServer(rules, ask, at, issuers, previous)
    if (found !== undefined) return found
  }
  const text = `${issuer} publishes no authorization server metadata`
  throw refusal('authorization-server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-06, RFC 8414 section 3')
}

async function askServer(
  rules: ChainRules,
  ask: Asker,
  at: URL,
  issuers: readonly string[],
  previous: Chain | undefined,
): Promise<FoundServer | undefined> {
  const answer = await ask.document(at, 'authorization-server', previous?.serverFrom)
  if (answer.kind === 'absent') return undefined
  const { approvedOrigins } = rules
  const judged = judgeServerMetadata(bodyOf(answer, previous?.server), { issuers, approvedOrigins })
  if (!judged.ok) throw serverRefusal(judged, at, issuers[0] ?? '')
  return {
    document: judged.document,
    issuers,
    from: renewed(at, answer, previous?.serverFrom),
    freshSeconds: freshOf(answer, rules),
  }
}

/** DSC-11: the rules of 2025-03-26, for a server that publishes nothing of its own. */
async function findLegacy(
  rules: ChainRules,
  ask: Asker,
  status: number | undefined,
  previous: Chain | undefined,
): Promise<Found> {
  const { url, pinnedIssuer } = rules
  if (!rules.legacyDiscovery) {
    const text = `${place(url)} publishes no protected resource metadata`
    throw refusal('server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-01, RFC 9728 section 3')
  }
  if (previous !== undefined && !previous.source.startsWith('legacy')) throw legacyRefusal(url)
  const { origin } = url
  // Nobody wrote this issuer down: both forms of an origin are it.
  const issuers = pinnedIssuer === undefined ? [origin, `${origin}/`] : [pinnedIssuer]
  const resourceOf = (issuer: string): ProtectedResourceMetadata => ({
    resource: resourceIdentifier(url),
    authorization_servers: [issuer],
  })
  const at = new URL('/.well-known/oauth-authorization-server', origin)
  const server = await askServer(rules, ask, at, issuers, previous)
  if (server !== undefined) {
    const { document, from, freshSeconds } = server
    const resource = resourceOf(document.issuer)
    return {
      chain: { resource, server: document, source: 'legacy-metadata', issuers, serverFrom: from },
      freshSeconds,
    }
  }
  if (status !== 401 || pinnedIssuer !== undefined) {
    const text = `${place(url)} publishes no metadata and asks for no authorization`
    throw refusal('server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-11, RFC 9728 section 3')
  }
  const document = assumedServerMetadata(origin, {
    authorization: `${origin}/authorize`,
    token: `${origin}/token`,
    registration: `${origin}/register`,
  })
  const chain = {
    resource: resourceOf(origin),
    server: document,
    source: 'legacy-endpoints',
    issuers,
  } as const
  return { chain, freshSeconds: FRESH_MIN_SECONDS }
}

/** DSC-10: what legacy rules name may be anybody's; nothing that is stored goes there. */
export function legacyRefusal(url: URL): ReturnType<typeof refusal> {
  const text = `${place(url)} published metadata before and does not now; what is stored is not taken elsewhere`
  return refusal('server', 'ERR_DISCOVERY_LEGACY', text, 'DSC-10')
}

/** A copy out of a cache that others can write: judged as if it had just come (S8). */
export function isStillRight(chain: Chain, rules: ChainRules): boolean {
  const { resource, server, source, issuers } = chain
  const { approvedOrigins, pinnedIssuer, url } = rules
  const isResource =
    source.startsWith('legacy') ||
    judgeResourceMetadata(resource, url, {
      strict: rules.strictResource,
      atRoot: source === 'root',
    }).ok
  const own = source.startsWith('legacy') ? [url.origin, `${url.origin}/`] : undefined
  const expected =
    pinnedIssuer === undefined ? (own ?? resource.authorization_servers ?? []) : [pinnedIssuer]
  const isKnown = issuers.every((issuer) => expected.includes(issuer))
  return isResource && isKnown && judgeServerMetadata(server, { issuers, approvedOrigins }).ok
}

function bodyOf(answer: Exclude<Answer, { kind: 'absent' }>, known: unknown): unknown {
  return answer.kind === 'document' ? answer.body : known
}

/** A 304 may bring newer validators; what it leaves out stays (RFC 9111 section 3.2). */
function renewed(
  at: URL,
  answer: Exclude<Answer, { kind: 'absent' }>,
  known?: Validators,
): Validators {
  const told = validatorsOf(at, answer.headers)
  return answer.kind === 'unchanged' ? { ...known, ...told } : told
}

function freshOf({ headers }: Exclude<Answer, { kind: 'absent' }>, rules: ChainRules): number {
  const bounds = { min: FRESH_MIN_SECONDS, max: FRESH_MAX_SECONDS, otherwise: rules.freshSeconds }
  return maxAgeSeconds(headers, bounds)
}
