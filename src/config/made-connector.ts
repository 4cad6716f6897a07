/**
 * Reads one connector that the API makes, by the rules of the file and by those that only it has: no
 * reference to our environment or files, public servers only (or an exact origin of
 * `egress.allowHosts`), nothing that reaches into another connector's paths or ours (I6, S10).
 */
import type { Config, ConnectorConfig } from '../config.ts'
import { literalAddress } from '../net/address.ts'
import { judgeUrl } from '../net/policy.ts'
import { canonicalResource, isLoopbackHost } from '../oauth/urls.ts'
import { refuseUnansweredKinds } from './allow.ts'
import { allowedOrigins, isOrigin } from './approved-origins.ts'
import { overlap, readConnector, refuseOverlaps } from './connectors.ts'
import { refuseUnknownProviders } from './scopes.ts'
import { overlapsPath, pathBelow } from './tenants.ts'
import * as read from './values.ts'

type House = Pick<Config, 'issuer' | 'neighbours' | 'prefix' | 'providers' | 'egress' | 'resources'>

const INPUT_MAX_CHARS = 65_536
const DEPTH_MAX = 8
/** The file may say more: what a server is trusted with beyond what every other one gets. */
const FILE_ONLY = ['providerTokenHeader'] as const

/**
 * @param others Every connector but this one, made ones included.
 * @throws {ConfigError} with the `field`.
 */
export function readMadeConnector(
  name: string,
  input: unknown,
  house: House,
  others: readonly ConnectorConfig[],
): ConnectorConfig {
  const at = `connectors.${name}`
  const given = read.record(at, input)
  refuseReferences(at, given, 0)
  if (JSON.stringify(given).length > INPUT_MAX_CHARS)
    throw read.invalid(at, `at most ${INPUT_MAX_CHARS} characters of JSON`)
  const fileOnly = FILE_ONLY.find((field) => given[field] !== undefined)
  if (fileOnly !== undefined) throw onlyByFile(`${at}.${fileOnly}`)
  const connector = readConnector(name, given, house, { environment: {} })
  if (connector.subject === 'provider') throw onlyByFile(`${at}.subject`)
  refusePlaces(at, connector, given, house)
  refuseTaken(at, connector, house, others)
  refuseUnknownProviders([connector], house.providers)
  refuseUnansweredKinds(undefined, [connector], [...house.providers])
  return { ...connector, made: true }
}

function onlyByFile(path: string) {
  return read.invalid(path, 'left out: only the configuration file may say it')
}

/** What they point at is the operator's, not the caller's. */
function refuseReferences(path: string, value: unknown, depth: number): void {
  if (typeof value === 'string' && /^\s*(?:env|file):/.test(value))
    throw read.invalid(path, 'the value itself: only the configuration file may use env: and file:')
  if (typeof value !== 'object' || value === null) return
  if (depth >= DEPTH_MAX) throw read.invalid(path, `nested at most ${DEPTH_MAX} levels deep`)
  for (const [name, member] of Object.entries(value))
    refuseReferences(
      Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`,
      member,
      depth + 1,
    )
}

/** Literals are refused here; what names resolve to, at each connect. */
function refusePlaces(
  at: string,
  { url, oauth }: ConnectorConfig,
  given: Readonly<Record<string, unknown>>,
  house: House,
): void {
  const { egress, issuer, neighbours = [] } = house
  const houses = new Set([issuer, ...neighbours].map((one) => originOf(new URL(one))))
  const { pinnedIssuer, endpoints } = oauth ?? {}
  const policy = {
    approvedOrigins: allowedOrigins(house),
    allowHosts: egress.allowHosts.filter((entry) => !isOrigin(entry)),
    denyHosts: egress.denyHosts,
  }
  const named: readonly (readonly [string, string | URL | undefined])[] = [
    ['url', url],
    // What a preset brings along is ours; what is given in its place is not.
    ...(given['pinnedIssuer'] === undefined ? [] : ([['pinnedIssuer', pinnedIssuer]] as const)),
    ...(given['endpoints'] === undefined
      ? []
      : Object.entries<string | undefined>({ ...endpoints }).map(
          ([name, value]) => [`endpoints.${name}`, value] as const,
        )),
  ]
  for (const [field, value] of named) {
    if (value === undefined) continue
    const path = `${at}.${field}`
    const place = new URL(value)
    const { origin, hostname } = place
    // Another house of this process, or of the same host, is ours, too.
    if (houses.has(originOf(place)))
      throw read.invalid(path, 'on another host than this house itself')
    const verdict = judgeUrl(value, policy)
    if (verdict.allowed && verdict.addresses === 'approved') continue
    if (!verdict.allowed || literalAddress(hostname) !== undefined || isLocal(hostname)) {
      const fix = `Use a public https URL; or let the operator add ${origin} to egress.allowHosts.`
      throw read.invalid(path, 'a public https URL with a host name and no port', fix)
    }
  }
}

/** `auth.example.` is the host `auth.example`. */
function originOf({ protocol, hostname, port }: URL): string {
  return `${protocol}//${hostname.replace(/\.$/, '')}:${port}`
}

/** Names that no public DNS answers. */
function isLocal(hostname: string): boolean {
  const host = hostname.replace(/\.$/, '')
  return isLoopbackHost(host) || !host.includes('.') || /\.(?:localhost|local|internal)$/.test(host)
}

function refuseTaken(
  at: string,
  connector: ConnectorConfig,
  { prefix, resources, issuer, neighbours = [] }: House,
  others: readonly ConnectorConfig[],
): void {
  refuseOverlaps([connector], prefix)
  const own = patternsOf(connector)
  for (const neighbour of neighbours) {
    const place = pathBelow(neighbour, issuer)
    const found = place && own.find(({ pattern }) => overlapsPath(pattern, place))
    if (found) throw overlap(found.pattern, at, `the house at ${neighbour}`, found.field)
  }
  // Every other path is ours, somebody else's, or nobody's yet.
  const wide = own.find(({ pattern }) => /^\/[^/]*\*$/.test(pattern))
  if (wide !== undefined)
    throw read.invalid(wide.field, 'a path of at least one whole segment before *')
  for (const other of others) {
    for (const { pattern } of patternsOf(other)) {
      const found = own.find((mine) => reaches(mine.pattern, pattern))
      if (found !== undefined) throw overlap(pattern, at, `connectors.${other.name}`, found.field)
    }
  }
  const resource = canonicalResource(connector.resource)
  if (resources.some(({ url }) => canonicalResource(url) === resource))
    throw read.invalid(`${at}.path`, 'another one than of `resources`')
}

function patternsOf({ name, path, routes }: ConnectorConfig) {
  const at = `connectors.${name}`
  const ofKind = (kind: 'protected' | 'public') =>
    routes[kind].map((pattern, index) => ({ pattern, field: `${at}.routes.${kind}[${index}]` }))
  return [{ pattern: path, field: `${at}.path` }, ...ofKind('protected'), ...ofKind('public')]
}

/** Some path matches both; the file's own catch-all is there to be taken from. */
function reaches(mine: string, theirs: string): boolean {
  if (mine === theirs) return true
  const prefix = (pattern: string): string | undefined =>
    pattern.endsWith('*') ? pattern.slice(0, -1) : undefined
  const wide = prefix(mine)
  const taken = prefix(theirs)
  if (wide !== undefined && theirs.startsWith(wide)) return true
  return taken !== undefined && taken !== '/' && mine.startsWith(taken)
}
