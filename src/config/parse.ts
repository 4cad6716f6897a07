/**
 * Turns what a user wrote, plus the environment, into the frozen `Config`. Every refusal is a
 * `ConfigError` of two lines: what is wrong, what to do (api.md section 6).
 */
import type { Config, ResourceConfig, StaticClient } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { readAllow } from './allow.ts'
import { readConnectors } from './connectors.ts'
import { environmentValues, refuseUnknownEnvironment } from './environment.ts'
import { FIELDS, type Field, LIMIT_FIELDS, LIMITS, type Limits } from './fields.ts'
import { readProviders } from './providers.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const TOP_LEVEL = [
  '$schema',
  'issuer',
  'listen',
  'prefix',
  'databaseUrl',
  'sealingKey',
  'providers',
  'allow',
  'connectors',
  'resources',
  'defaultResource',
  'scopeAliases',
  'clients',
  'registration',
  'egress',
  'brand',
  'log',
  'onEvent',
  'limits',
]
const SEALING_KEY_BYTES = 32

/**
 * @param input What the file exports, or `{}`.
 * @param overrides Flags of the command line, by field path: they win over everything.
 * @throws {ConfigError} `ERR_CONFIG_*`, naming the field and the fix.
 */
export function parseConfig(
  input: unknown,
  sources: Sources,
  overrides: Readonly<Record<string, string>> = {},
): Config {
  const raw = read.record('', input)
  read.refuseUnknown('', raw, TOP_LEVEL)
  const environment = environmentValues(sources)
  const fields = new Map<string, unknown>()
  for (const entry of [...FIELDS, ...LIMIT_FIELDS]) {
    const given = overrides[entry.path] ?? environment.get(entry.path) ?? member(raw, entry.path)
    const value = given === undefined ? entry.default : read.readField(entry, given, sources)
    if (value !== undefined) fields.set(entry.path, value)
  }
  refuseUnknownGroups(raw)
  const port = fields.get('listen.port') as number
  const issuer = readIssuer(
    (fields.get('issuer') as string | undefined) ?? `http://127.0.0.1:${port}`,
  )
  const development = issuer.startsWith('http:')
  const prefix = readPrefix(fields.get('prefix') as string)
  const connectors = readConnectors(raw.connectors ?? {}, { issuer, prefix }, sources)
  const providers = readProviders(raw.providers ?? [], { issuer }, sources)
  const allowGiven = environment.get('allow') ?? raw.allow
  const allow = allowGiven === undefined ? undefined : readAllow('allow', allowGiven, sources)
  refuseUnknownEnvironment(sources.environment, { providers, connectors })
  if (allow === undefined && providers.length > 0 && !development)
    throw nobodyAllowed(providers[0]?.title ?? '')
  const text = (path: string) => fields.get(path) as string | undefined
  return Object.freeze({
    issuer,
    development,
    listen: {
      host: text('listen.host') ?? '127.0.0.1',
      port,
      metricsPort: fields.get('listen.metricsPort') as number,
      trustedProxies: fields.get('listen.trustedProxies') as readonly string[],
    },
    prefix,
    databaseUrl: readDatabaseUrl(text('databaseUrl') ?? ''),
    sealingKeys: readSealingKeys(
      fields.get('sealingKey') as Secret | undefined,
      issuer,
      development,
    ),
    providers,
    ...(allow === undefined ? {} : { allow }),
    connectors,
    resources: readResources(raw.resources ?? [], sources),
    ...(text('defaultResource') === undefined ? {} : { defaultResource: text('defaultResource') }),
    scopeAliases: readAliases(raw.scopeAliases ?? {}, sources),
    clients: readClients(raw.clients ?? {}, sources),
    registration: {
      dynamic: fields.get('registration.dynamic') as boolean,
      redirectHosts: fields.get('registration.redirectHosts') as readonly string[],
    },
    egress: {
      allowHosts: fields.get('egress.allowHosts') as readonly string[],
      denyHosts: fields.get('egress.denyHosts') as readonly string[],
      ...(text('egress.proxyUrl') === undefined ? {} : { proxyUrl: text('egress.proxyUrl') }),
      ...(text('egress.extraCaFile') === undefined
        ? {}
        : { extraCaFile: text('egress.extraCaFile') }),
    },
    brand: readBrand(text),
    log: {
      level: fields.get('log.level') as Config['log']['level'],
      format: fields.get('log.format') as Config['log']['format'],
    },
    ...(typeof raw.onEvent === 'function'
      ? { onEvent: raw.onEvent as NonNullable<Config['onEvent']> }
      : {}),
    limits: readLimits(fields),
  })
}

function member(raw: Readonly<Record<string, unknown>>, path: string): unknown {
  const [group, name] = path.split('.')
  if (group === undefined) return undefined
  if (name === undefined) return raw[group]
  const inner = raw[group]
  return inner === undefined ? undefined : read.record(group, inner)[name]
}

function refuseUnknownGroups(raw: Readonly<Record<string, unknown>>): void {
  const groups = new Map<string, string[]>()
  for (const entry of [...FIELDS, ...LIMIT_FIELDS] as readonly Field[]) {
    const [group, name] = entry.path.split('.')
    if (group !== undefined && name !== undefined)
      groups.set(group, [...(groups.get(group) ?? []), name])
  }
  for (const [group, names] of groups) {
    if (raw[group] !== undefined) read.refuseUnknown(group, read.record(group, raw[group]), names)
  }
}

const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]']

function readIssuer(value: string): string {
  const url = new URL(value)
  if (url.protocol === 'http:' && !LOOPBACK_HOSTS.includes(url.hostname)) {
    throw new ConfigError(
      'ERR_CONFIG_ISSUER',
      `issuer must be https unless its host is localhost, 127.0.0.1 or [::1]; got ${value}`,
      'Behind a TLS proxy set issuer to the public https URL; Postern itself may listen on http.',
    )
  }
  if (url.pathname !== '/' || url.search !== '' || value.endsWith('/') || value !== url.origin) {
    throw read.invalid(
      'issuer',
      `an origin in lower case without a path or trailing slash, like ${url.origin}`,
    )
  }
  return value
}

function readPrefix(value: string): string {
  if (value !== '' && !/^(\/[a-z0-9][a-z0-9-]*)+$/.test(value)) {
    throw read.invalid('prefix', 'empty, or a path like /postern')
  }
  return value
}

function readDatabaseUrl(value: string): string {
  if (value === 'memory:' || /^sqlite:.+/.test(value)) return value
  throw read.invalid('databaseUrl', 'sqlite:<file> or memory:')
}

function readSealingKeys(
  given: Secret | undefined,
  issuer: string,
  development: boolean,
): readonly Uint8Array[] {
  if (given === undefined) {
    if (development) return []
    throw new ConfigError(
      'ERR_CONFIG_SEALING_KEY',
      `no sealing key, and ${issuer} is not a loopback issuer.`,
      'Run `npx postern keys new` and set POSTERN_SEALING_KEY (or POSTERN_SEALING_KEY_FILE).',
    )
  }
  return given
    .reveal()
    .split(',')
    .map((part, index) => readSealingKey(part.trim(), index))
}

function readSealingKey(encoded: string, index: number): Uint8Array {
  const bytes = /^[A-Za-z0-9_-]{43}$/.test(encoded)
    ? Uint8Array.from(atob(encoded.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
        char.charCodeAt(0),
      )
    : new Uint8Array()
  // A random key has about 30 distinct bytes of 32; samples and repeated text have few (J9).
  if (bytes.length !== SEALING_KEY_BYTES || new Set(bytes).size < 16) {
    throw new ConfigError(
      'ERR_CONFIG_SEALING_KEY',
      `sealing key ${index + 1} is not 32 random bytes in base64url.`,
      'Run `npx postern keys new` and set POSTERN_SEALING_KEY (or POSTERN_SEALING_KEY_FILE).',
    )
  }
  return bytes
}

function readResources(value: unknown, sources: Sources): readonly ResourceConfig[] {
  if (!Array.isArray(value)) throw read.invalid('resources', 'a list of URLs')
  return value.map((entry: unknown, index) => {
    const at = `resources[${index}]`
    if (typeof entry === 'string') return { url: readResourceUrl(at, entry, sources) }
    const input = read.record(at, entry)
    read.refuseUnknown(at, input, ['url', 'credential'])
    const url = readResourceUrl(`${at}.url`, input.url, sources)
    if (input.credential === undefined) return { url }
    const credential = read.secret(`${at}.credential`, input.credential, sources)
    if (credential.reveal().length < 32)
      throw read.invalid(`${at}.credential`, 'at least 32 characters')
    return { url, credential }
  })
}

function readResourceUrl(at: string, value: unknown, sources: Sources): string {
  const url = read.url(at, value, sources)
  return `${url.origin}${url.pathname === '/' ? '' : url.pathname.replace(/\/$/, '')}${url.search}`
}

function readAliases(value: unknown, sources: Sources): Readonly<Record<string, string>> {
  const aliases: Record<string, string> = {}
  for (const [name, target] of Object.entries(read.record('scopeAliases', value))) {
    aliases[name] = read.text(`scopeAliases.${name}`, target, sources)
  }
  return aliases
}

function readClients(value: unknown, sources: Sources): readonly StaticClient[] {
  return Object.entries(read.record('clients', value)).map(([clientId, entry]) => {
    const at = `clients.${clientId}`
    const input = read.record(at, entry)
    read.refuseUnknown(at, input, ['name', 'redirectUris', 'secret'])
    const redirectUris = read.list(`${at}.redirectUris`, input.redirectUris, sources)
    if (redirectUris.length === 0)
      throw read.invalid(`${at}.redirectUris`, 'a list with at least one URI')
    return {
      clientId,
      redirectUris,
      ...(input.name === undefined ? {} : { name: read.text(`${at}.name`, input.name, sources) }),
      ...(input.secret === undefined
        ? {}
        : { secret: read.secret(`${at}.secret`, input.secret, sources) }),
    }
  })
}

function readBrand(text: (path: string) => string | undefined): Config['brand'] {
  const accentColor = text('brand.accentColor')
  if (accentColor !== undefined && !/^#[0-9a-fA-F]{6}$/.test(accentColor)) {
    throw read.invalid('brand.accentColor', 'a colour like #3355ff')
  }
  const supportUrl = text('brand.supportUrl')
  return {
    name: text('brand.name') ?? 'Postern',
    ...(accentColor === undefined ? {} : { accentColor }),
    ...(supportUrl === undefined ? {} : { supportUrl }),
  }
}

function readLimits(fields: ReadonlyMap<string, unknown>): Limits {
  const limits: Record<string, number> = {}
  for (const name of Object.keys(LIMITS)) limits[name] = fields.get(`limits.${name}`) as number
  const parsed = limits as unknown as Limits
  if (
    parsed.upstreamProofTtlSeconds > 0 &&
    parsed.upstreamProofStaleSeconds < parsed.upstreamProofTtlSeconds
  ) {
    throw read.invalid(
      'limits.upstreamProofStaleSeconds',
      'at least limits.upstreamProofTtlSeconds',
    )
  }
  return Object.freeze(parsed)
}

function nobodyAllowed(provider: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_ALLOW',
    'nobody is named in `allow`, so nobody could sign in.',
    `Set allow: { emailDomains: ['corp.example'] }, or allow: 'anyone' if you mean everyone with a ${provider} account.`,
  )
}
