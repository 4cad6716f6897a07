/**
 * Reads `connectors`: remote MCP servers, their public paths and routes. A path that overlaps one
 * of ours or another connector's is a start-up error, never a surprise at the first call.
 */
import type { ClaimName, ConnectorConfig } from '../config.ts'
import { findPreset, PRESETS, type Preset } from '../connectors/client/presets.ts'
import { ConfigError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { readAllow } from './allow.ts'
import { OAUTH_FIELDS, OAUTH_METHODS, readOAuth, refuseOAuthFields } from './connector-oauth.ts'
import { CLAIM_NAMES, connectorVariable } from './fields.ts'
import { OUR_SEGMENTS, PEOPLE_SEGMENTS } from './paths.ts'
import { readScopes } from './scopes.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const CONNECTOR_FIELDS = [
  'url',
  'preset',
  'auth',
  'header',
  'path',
  'routes',
  'allow',
  'subject',
  'claims',
  'scopes',
  'maxAuthAgeSeconds',
  'acrValues',
  'title',
  'description',
  'enabled',
  ...OAUTH_FIELDS,
]
/** What a call carries to the server. */
export const AUTH = ['none', 'identity', 'header', ...OAUTH_METHODS] as const

export function readConnectors(
  value: unknown,
  house: { issuer: string; prefix: string },
  sources: Sources,
): readonly ConnectorConfig[] {
  const connectors = Object.entries(read.record('connectors', value)).map(([name, entry]) =>
    readConnector(name, entry, house, sources),
  )
  refuseOverlaps(connectors, house.prefix)
  return connectors
}

/** One connector by itself; whether its paths are free is `refuseOverlaps`. */
export function readConnector(
  name: string,
  entry: unknown,
  house: { issuer: string; prefix: string },
  sources: Sources,
): ConnectorConfig {
  const at = `connectors.${name}`
  if (!/^[a-z0-9-]{1,40}$/.test(name)) {
    throw read.invalid(at, 'a name of 1 to 40 lower-case letters, digits and hyphens')
  }
  const input = read.record(at, entry)
  read.refuseUnknown(at, input, CONNECTOR_FIELDS)
  const { issuer } = house
  const preset = readPreset(at, input, sources)
  const url = preset === undefined ? readUrl(at, input.url, sources) : new URL(preset.url)
  if (isBelow(url, issuer)) {
    throw read.invalid(`${at}.url`, 'another server, not this house itself')
  }
  const path =
    input.path === undefined ? `/mcp/${name}` : readPath(`${at}.path`, input.path, sources)
  const auth = readAuth(at, input.auth, preset, sources)
  if (auth !== 'header' && input.header !== undefined)
    throw read.invalid(`${at}.header`, `left out: only auth: 'header' sends it`)
  const isOAuth = auth === 'oauth' || auth === 'client_credentials'
  if (!isOAuth) refuseOAuthFields(at, input)
  const title = input.title ?? preset?.title
  return {
    name,
    url,
    auth,
    path,
    resource: `${issuer}${path}`,
    routes: readRoutes(at, input.routes, sources),
    subject:
      input.subject === undefined
        ? 'postern'
        : read.choice(`${at}.subject`, input.subject, ['postern', 'provider'] as const, sources),
    claims: readClaims(at, input.claims, sources),
    enabled:
      input.enabled === undefined ? true : read.boolean(`${at}.enabled`, input.enabled, sources),
    ...(preset === undefined ? {} : { preset: preset.name }),
    ...(auth === 'header' ? { header: readHeader(name, at, input.header, sources) } : {}),
    ...(isOAuth
      ? { oauth: readOAuth({ name, at, url, auth, house, preset }, input, sources) }
      : {}),
    ...(input.allow === undefined ? {} : { allow: readAllow(`${at}.allow`, input.allow, sources) }),
    ...(input.scopes === undefined
      ? {}
      : { scopes: readScopes(`${at}.scopes`, input.scopes, sources) }),
    ...readStepUp(at, input, sources),
    ...(title === undefined ? {} : { title: read.text(`${at}.title`, title, sources) }),
    ...(input.description === undefined
      ? {}
      : { description: read.text(`${at}.description`, input.description, sources) }),
  }
}

/** Another program may live beside an issuer with a path, on the same host. */
function isBelow(url: URL, issuer: string): boolean {
  const { origin, pathname } = new URL(issuer)
  const base = pathname.replace(/\/$/, '')
  return url.origin === origin && `${url.pathname}/`.startsWith(`${base}/`)
}

function readPreset(
  at: string,
  input: Readonly<Record<string, unknown>>,
  sources: Sources,
): Preset | undefined {
  if (input.preset === undefined) return undefined
  if (input.url !== undefined)
    throw read.invalid(`${at}.url`, 'left out: the preset says it', `Keep url or preset of ${at}.`)
  const name = read.text(`${at}.preset`, input.preset, sources)
  const preset = findPreset(name)
  if (preset !== undefined) return preset
  const known = PRESETS.map((entry) => entry.name)
  const near = read.nearest(name, known)
  throw read.invalid(
    `${at}.preset`,
    `one of ${known.join(', ')}`,
    near === undefined ? `Set ${at}.url instead.` : `Did you mean ${near}?`,
  )
}

function readUrl(at: string, value: unknown, sources: Sources): URL {
  if (value === undefined)
    throw read.invalid(`${at}.url`, 'given', `Set ${at}.url to the MCP endpoint.`)
  return read.url(`${at}.url`, value, sources)
}

/** A server of somebody else knows nothing of our JWT: a preset is for people's own accounts. */
function readAuth(
  at: string,
  value: unknown,
  preset: Preset | undefined,
  sources: Sources,
): ConnectorConfig['auth'] {
  if (value === undefined) return preset === undefined ? 'identity' : 'oauth'
  return read.choice(`${at}.auth`, value, AUTH, sources)
}

function readClaims(at: string, value: unknown, sources: Sources): readonly ClaimName[] {
  if (value === undefined) return []
  return read
    .list(`${at}.claims`, value, sources)
    .map((claim, index) => read.choice(`${at}.claims[${index}]`, claim, CLAIM_NAMES, sources))
}

/** Ten years: longer than any session, so that a slip of the unit is caught. */
const AUTH_AGE_MAX_SECONDS = 315_360_000
const ACR_VALUES_MAX = 16
/** One value of `acr_values` (OpenID Connect Core section 3.1.2.1), as it can stand in a challenge. */
const ACR_VALUE = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/

function readStepUp(
  at: string,
  input: Readonly<Record<string, unknown>>,
  sources: Sources,
): Pick<ConnectorConfig, 'stepUp'> {
  const { maxAuthAgeSeconds, acrValues } = input
  if (maxAuthAgeSeconds === undefined && acrValues === undefined) return {}
  const accepted =
    acrValues === undefined ? undefined : read.list(`${at}.acrValues`, acrValues, sources)
  if (
    accepted !== undefined &&
    (accepted.length === 0 ||
      accepted.length > ACR_VALUES_MAX ||
      !accepted.every((value) => ACR_VALUE.test(value)))
  ) {
    throw read.invalid(`${at}.acrValues`, `a list of 1 to ${ACR_VALUES_MAX} values without spaces`)
  }
  const range = { min: 1, max: AUTH_AGE_MAX_SECONDS }
  return {
    stepUp: {
      ...(maxAuthAgeSeconds === undefined
        ? {}
        : {
            maxAuthAgeSeconds: read.integer(
              `${at}.maxAuthAgeSeconds`,
              maxAuthAgeSeconds,
              range,
              sources,
            ),
          }),
      ...(accepted === undefined ? {} : { acrValues: accepted }),
    },
  }
}

/** Headers that decide framing, routing or authentication here can never be a connector's secret. */
const REFUSED_HEADERS =
  /^(host|connection|content-length|content-type|transfer-encoding|upgrade|te|trailer|expect|cookie|accept|mcp-.*|proxy-.*|x-postern-.*)$/

function readHeader(
  name: string,
  at: string,
  value: unknown,
  sources: Sources,
): { name: string; value: Secret } {
  const input = value === undefined ? {} : read.record(`${at}.header`, value)
  read.refuseUnknown(`${at}.header`, input, ['name', 'value'])
  const header =
    input.name === undefined ? 'Authorization' : read.text(`${at}.header.name`, input.name, sources)
  if (
    !/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(header) ||
    REFUSED_HEADERS.test(header.toLowerCase())
  ) {
    throw read.invalid(`${at}.header.name`, 'a header name that a credential may have')
  }
  const variable = connectorVariable(name, 'HEADER_VALUE')
  const file = sources.environment[`${variable}_FILE`]
  const given =
    sources.environment[variable] ??
    (file === undefined ? input.value : read.readReference(`${variable}_FILE`, file, sources))
  if (given === undefined) {
    throw new ConfigError(
      'ERR_CONFIG_HEADER_VALUE',
      `connector ${name} has no header value.`,
      `Set ${variable}, or ${at}.header.value to "env:NAME".`,
      `${at}.header.value`,
    )
  }
  return { name: header.toLowerCase(), value: read.secret(`${at}.header.value`, given, sources) }
}

function readRoutes(at: string, value: unknown, sources: Sources): ConnectorConfig['routes'] {
  if (value === undefined) return { protected: [], public: [] }
  const input = read.record(`${at}.routes`, value)
  read.refuseUnknown(`${at}.routes`, input, ['protected', 'public'])
  const patterns = (kind: 'protected' | 'public') =>
    input[kind] === undefined
      ? []
      : read
          .list(`${at}.routes.${kind}`, input[kind], sources)
          .map((pattern, index) => readPattern(`${at}.routes.${kind}[${index}]`, pattern))
  return { protected: patterns('protected'), public: patterns('public') }
}

function readPattern(at: string, pattern: string): string {
  const body = pattern.endsWith('*') ? pattern.slice(0, -1) : pattern
  if (body !== '/' && !isPlainPath(body.replace(/(.)\/$/, '$1'))) {
    throw read.invalid(at, 'a path that starts with /, optionally ending in *')
  }
  return pattern
}

function readPath(at: string, value: unknown, sources: Sources): string {
  const path = read.text(at, value, sources)
  if (!isPlainPath(path))
    throw read.invalid(at, 'a path like /mcp, without a trailing slash, dots or escapes')
  return path
}

/** One spelling only: no dot segments, escapes, doubled slashes or trailing slash. */
function isPlainPath(path: string): boolean {
  return (
    /^(\/[A-Za-z0-9_~!$&'()+,=:@-][A-Za-z0-9._~!$&'()+,=:@-]*)+$/.test(path) &&
    !/\/\.{1,2}(\/|$)/.test(path)
  )
}

interface Claimed {
  readonly pattern: string
  readonly owner: string
}

/** @throws {ConfigError} `ERR_CONFIG_OVERLAP`. */
export function refuseOverlaps(connectors: readonly ConnectorConfig[], prefix: string): void {
  const claimed: Claimed[] = []
  for (const connector of connectors) {
    const owner = `connectors.${connector.name}`
    for (const pattern of [
      connector.path,
      ...connector.routes.protected,
      ...connector.routes.public,
    ]) {
      const twin = claimed.find((other) => other.pattern === pattern)
      if (twin !== undefined) throw overlap(pattern, owner, twin.owner)
      const ours = oursAt(pattern, prefix)
      if (ours !== undefined) throw overlap(pattern, owner, `our own ${ours}`)
      claimed.push({ pattern, owner })
    }
  }
}

/** Our path that `pattern` would take. A catch-all is not an overlap: ours are matched first. */
function oursAt(pattern: string, prefix: string): string | undefined {
  const first = pattern.split('/')[1] ?? ''
  if (OUR_SEGMENTS.includes(first)) return `/${first}`
  if (prefix === '' && PEOPLE_SEGMENTS.includes(first) && !first.endsWith('*')) return `/${first}`
  if (prefix === '' && pattern === '/') return '/ (set prefix to move our pages)'
  if (prefix !== '' && (pattern === prefix || pattern.startsWith(`${prefix}/`))) return prefix
  return undefined
}

export function overlap(
  pattern: string,
  owner: string,
  other: string,
  field = `${owner}.path`,
): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_OVERLAP',
    `${owner} and ${other} both want the path ${pattern}.`,
    'Give one of them another path, or set prefix to move the pages of this house.',
    field,
  )
}
