/**
 * Turns what a user wrote, plus the environment, into the frozen `Config`. Every refusal is a
 * `ConfigError` of two lines: what is wrong, what to do (api.md section 6).
 */
import type { Config, ResourceConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { canonicalResource, isLoopbackHost } from '../oauth/urls.ts'
import { createDevelopmentProvider } from '../providers/development.ts'
import type { Provider } from '../providers/provider.ts'
import type { Secret } from '../secret.ts'
import { readAllow, refuseUnansweredKinds } from './allow.ts'
import { readApps } from './apps.ts'
import { readClients } from './clients.ts'
import { readConnectors } from './connectors.ts'
import { environmentValues, refuseUnknownEnvironment } from './environment.ts'
import { FieldValues } from './field-values.ts'
import { CAPABILITIES, type Capability, type Limits, LOG_FORMATS, LOG_LEVELS } from './fields.ts'
import { readProviders } from './providers.ts'
import { refuseUnknownProviders } from './scopes.ts'
import { readSignals } from './signals.ts'
import { neighboursOf, readTenants } from './tenants.ts'
import { readAssertionIssuers } from './token-policies.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'
import { readWebhooks } from './webhooks.ts'

/** Every field of a configuration; each has a row in `docs/configuration.md`. */
export const TOP_LEVEL: readonly string[] = [
  '$schema',
  'issuer',
  'listen',
  'prefix',
  'databaseUrl',
  'sealingKey',
  'adminApiKey',
  'providers',
  'allow',
  'connectors',
  'resources',
  'defaultResource',
  'scopeAliases',
  'clients',
  'apps',
  'registration',
  'enable',
  'signals',
  'insecureDevelopmentSignIn',
  'assertionIssuers',
  'egress',
  'webhooks',
  'brand',
  'log',
  'onEvent',
  'limits',
  'tenants',
]
const SEALING_KEY_BYTES = 32
/** A random key has about 30 distinct bytes of 32; samples and repeated text have few (J9). */
const SEALING_KEY_DISTINCT_BYTES_MIN = 16
const SEALING_KEY_DISTINCT_STEPS_MIN = 8
/** Below an origin. Dot segments are gone after parsing, so a value with one is not equal to it. */
const ISSUER_PATH = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/
const CREDENTIAL_CHARS_MIN = 32
/** What an `Authorization` header can carry as it is. */
const ADMIN_API_KEY = /^[\x21-\x7e]{32,512}$/

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
  const fields = FieldValues.read(raw, { overrides, environment }, sources)
  const issuer = readIssuer(
    fields.findText('issuer') ?? `http://127.0.0.1:${fields.integer('listen.port')}`,
  )
  const development = issuer.startsWith('http:')
  const prefix = readPrefix(fields.text('prefix'))
  const connectors = readConnectors(raw.connectors ?? {}, { issuer, prefix }, sources)
  const providers = [...readProviders(raw.providers ?? [], { issuer }, sources)]
  refuseUnknownProviders(connectors, providers)
  const allowGiven = environment.get('allow') ?? raw.allow
  const allow = allowGiven === undefined ? undefined : readAllow('allow', allowGiven, sources)
  refuseUnknownEnvironment(sources.environment, { providers, connectors })
  if (fields.boolean('insecureDevelopmentSignIn'))
    providers.push(developmentProvider(issuer, fields.text('listen.host'), providers))
  refuseUnansweredKinds(allow, connectors, providers)
  const [first] = providers
  if (allow === undefined && first !== undefined && !development) throw nobodyAllowed(first.title)
  const resources = readResources(raw.resources ?? [], sources)
  const scalars = readScalars(fields)
  refuseUnknownDefault(scalars.defaultResource, connectors, resources)
  const adminApiKey = readAdminApiKey(fields.findSecret('adminApiKey'))
  const config: Config = {
    issuer,
    development,
    prefix,
    ...scalars,
    ...(adminApiKey === undefined ? {} : { adminApiKey }),
    sealingKeys: readSealingKeys(fields.findSecret('sealingKey'), issuer, development),
    providers,
    ...(allow === undefined ? {} : { allow }),
    connectors,
    resources,
    scopeAliases: readAliases(raw.scopeAliases ?? {}, sources),
    clients: readClients(raw.clients ?? {}, sources),
    apps: readApps(raw.apps ?? {}, sources),
    assertionIssuers: readAssertionIssuers(raw.assertionIssuers ?? [], sources),
    signals: readSignals(raw.signals ?? {}, { providers }, sources),
    webhooks: readWebhooks(raw.webhooks ?? [], sources),
    ...(isListener(raw.onEvent) ? { onEvent: raw.onEvent } : {}),
    limits: readLimits(fields),
  }
  const tenants = readTenants(raw.tenants ?? {}, config, sources, parseConfig)
  if (tenants.length === 0) return Object.freeze(config)
  return Object.freeze({ ...config, tenants, ...neighboursOf(config, config, tenants) })
}

type Scalars =
  | 'listen'
  | 'databaseUrl'
  | 'defaultResource'
  | 'registration'
  | 'enable'
  | 'egress'
  | 'brand'
  | 'log'

/** What the table of fields says by itself. */
function readScalars(fields: FieldValues): Pick<Config, Scalars> {
  const defaultResource = fields.findText('defaultResource')
  const proxyUrl = fields.findText('egress.proxyUrl')
  const extraCaFile = fields.findText('egress.extraCaFile')
  return {
    listen: {
      host: fields.text('listen.host'),
      port: fields.integer('listen.port'),
      metricsPort: fields.integer('listen.metricsPort'),
      trustedProxies: fields.list('listen.trustedProxies'),
    },
    databaseUrl: readDatabaseUrl(fields.text('databaseUrl')),
    ...(defaultResource === undefined ? {} : { defaultResource }),
    registration: {
      dynamic: fields.boolean('registration.dynamic'),
      metadataDocuments: fields.boolean('registration.metadataDocuments'),
      redirectHosts: fields.list('registration.redirectHosts'),
      documentHosts: fields.list('registration.documentHosts'),
    },
    enable: readEnable(fields.list('enable')),
    egress: {
      allowHosts: fields.list('egress.allowHosts'),
      denyHosts: fields.list('egress.denyHosts'),
      ...(proxyUrl === undefined ? {} : { proxyUrl }),
      ...(extraCaFile === undefined ? {} : { extraCaFile }),
    },
    brand: readBrand(fields),
    log: {
      level: fields.choice('log.level', LOG_LEVELS),
      format: fields.choice('log.format', LOG_FORMATS),
    },
  }
}

function isListener(value: unknown): value is NonNullable<Config['onEvent']> {
  return typeof value === 'function'
}

function readIssuer(value: string): string {
  const url = new URL(value)
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    throw new ConfigError(
      'ERR_CONFIG_ISSUER',
      `issuer must be https unless its host is localhost, 127.0.0.1 or [::1]; got ${value}`,
      'Behind a TLS proxy set issuer to the public https URL; Postern itself may listen on http.',
    )
  }
  const path = url.pathname.replace(/\/+$/, '')
  // Compared byte for byte by every client (AS-03): one spelling only, and none that a proxy rewrites.
  if (value !== url.origin + path || !ISSUER_PATH.test(path)) {
    throw read.invalid(
      'issuer',
      `an origin in lower case, and perhaps a path, without query or trailing slash, like ${url.origin}${ISSUER_PATH.test(path) ? path : ''}`,
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
  if (bytes.length !== SEALING_KEY_BYTES || !looksRandom(bytes)) {
    throw new ConfigError(
      'ERR_CONFIG_SEALING_KEY',
      `sealing key ${index + 1} is not 32 random bytes in base64url.`,
      'Run `npx postern keys new` and set POSTERN_SEALING_KEY (or POSTERN_SEALING_KEY_FILE).',
    )
  }
  return bytes
}

function readAdminApiKey(given: Secret | undefined): Secret | undefined {
  if (given === undefined || ADMIN_API_KEY.test(given.reveal())) return given
  throw read.invalid('adminApiKey', '32 to 512 visible ASCII characters')
}

/**
 * What random bytes are not: few different values, readable text (a pass phrase in base64url), a
 * pattern that repeats, or a count up or down. 32 random bytes fail here once in 10^13 keys.
 */
function looksRandom(bytes: Uint8Array): boolean {
  const steps = new Set(bytes.slice(1).map((byte, index) => byte - (bytes[index] ?? 0)))
  const half = bytes.length / 2
  return (
    new Set(bytes).size >= SEALING_KEY_DISTINCT_BYTES_MIN &&
    steps.size >= SEALING_KEY_DISTINCT_STEPS_MIN &&
    !bytes.every((byte) => byte >= 0x20 && byte < 0x7f) &&
    !bytes.every((byte, index) => index < half || byte === bytes[index - half])
  )
}

/** Else whoever names no resource is refused at every sign-in. */
function refuseUnknownDefault(
  named: string | undefined,
  connectors: readonly { readonly resource: string }[],
  resources: readonly ResourceConfig[],
): void {
  if (named === undefined) return
  const known = [...connectors.map(({ resource }) => resource), ...resources.map(({ url }) => url)]
  const isKnown = known.some((url) => canonicalResource(url) === canonicalResource(named))
  if (!isKnown) throw read.invalid('defaultResource', 'one of the resources of this house')
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
    if (credential.reveal().length < CREDENTIAL_CHARS_MIN)
      throw read.invalid(`${at}.credential`, `at least ${CREDENTIAL_CHARS_MIN} characters`)
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

function readEnable(names: readonly string[]): readonly Capability[] {
  return names.map((name, index) => {
    const known = CAPABILITIES.find((capability) => capability === name)
    if (known !== undefined) return known
    throw read.invalid(`enable[${index}]`, `one of ${CAPABILITIES.join(', ')}`)
  })
}

function readBrand(fields: FieldValues): Config['brand'] {
  const accentColor = fields.findText('brand.accentColor')
  if (accentColor !== undefined && !/^#[0-9a-fA-F]{6}$/.test(accentColor)) {
    throw read.invalid('brand.accentColor', 'a colour like #3355ff')
  }
  const supportUrl = fields.findText('brand.supportUrl')
  return {
    name: fields.text('brand.name'),
    ...(accentColor === undefined ? {} : { accentColor }),
    ...(supportUrl === undefined ? {} : { supportUrl }),
  }
}

function readLimits(fields: FieldValues): Limits {
  const limits = fields.limits()
  const { upstreamProofTtlSeconds, upstreamProofStaleSeconds } = limits
  if (upstreamProofTtlSeconds > 0 && upstreamProofStaleSeconds < upstreamProofTtlSeconds) {
    throw read.invalid(
      'limits.upstreamProofStaleSeconds',
      'at least limits.upstreamProofTtlSeconds',
    )
  }
  return limits
}

/** Only where nobody else can get: a forged `Host` would reach a loopback issuer that listens widely. */
function developmentProvider(issuer: string, host: string, others: readonly Provider[]): Provider {
  const at = 'insecureDevelopmentSignIn'
  if (!isLoopbackHost(new URL(issuer).hostname))
    throw read.invalid(at, `false, because ${issuer} is not a loopback issuer`, `Remove ${at}.`)
  if (!isLoopbackHost(host)) {
    const fix = `Remove ${at}, or set listen.host to 127.0.0.1.`
    throw read.invalid(at, `false, because listen.host ${host} is not a loopback address`, fix)
  }
  const provider = createDevelopmentProvider()
  if (others.some(({ id }) => id === provider.id))
    throw read.invalid(at, `the only provider with the id ${provider.id}`)
  return provider
}

function nobodyAllowed(provider: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_ALLOW',
    'nobody is named in `allow`, so nobody could sign in.',
    `Set allow: { emailDomains: ['corp.example'] }, or allow: 'anyone' if you mean everyone with a ${provider} account.`,
  )
}
