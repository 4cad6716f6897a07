/**
 * Every scalar and list field of the configuration: type, default, range, environment name, one
 * sentence. The parser and `docs/configuration.md` read this table and nothing else.
 */

export interface Field {
  readonly path: string
  readonly type: 'string' | 'url' | 'integer' | 'boolean' | 'list' | 'secret' | 'choice'
  readonly default?: string | number | boolean | readonly string[]
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
  /** Absent where the environment may not set it. */
  readonly environment?: string
  readonly sentence: string
}

function field(
  path: string,
  type: Field['type'],
  sentence: string,
  rest: Partial<Field> = {},
): Field {
  return { path, type, sentence, environment: environmentName(path), ...rest }
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['auto', 'text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** What `enable` may name: served and advertised only then. */
export const CAPABILITIES = [
  'token-exchange',
  'client-credentials',
  'id-jag',
  'dpop',
  'pushed-requests',
  'shared-signals',
] as const
export type Capability = (typeof CAPABILITIES)[number]

/** What `clients.<id>.grants` may name; those beyond the first two are served only when enabled. */
export const GRANT_TYPES = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  'urn:ietf:params:oauth:grant-type:token-exchange',
  'urn:ietf:params:oauth:grant-type:jwt-bearer',
] as const
export type GrantType = (typeof GRANT_TYPES)[number]

/** What an identity JWT may tell a connector about a person. */
export const CLAIM_NAMES = [
  'name',
  'email',
  'email_verified',
  'login',
  'preferred_username',
  'picture',
  'avatar_url',
  'groups',
] as const
export type ClaimName = (typeof CLAIM_NAMES)[number]

/** `listen.port` -> `POSTERN_LISTEN_PORT`, `limits.` left out; an id `my-idp` -> `POSTERN_MY_IDP`. */
export function environmentName(path: string): string {
  const snake = path
    .replace(/^limits\./, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .replaceAll('-', '_')
  return `POSTERN_${snake.toUpperCase()}`
}

/** What the environment may say of a connector; a `_FILE` may stand behind each. */
export const CONNECTOR_CREDENTIALS = ['HEADER_VALUE', 'CLIENT_ID', 'CLIENT_SECRET'] as const

/** Where a credential of a connector is read from. */
export function connectorVariable(
  connector: string,
  credential: (typeof CONNECTOR_CREDENTIALS)[number],
): string {
  return `${environmentName(`connector-${connector}`)}_${credential}`
}

export const FIELDS: readonly Field[] = [
  field(
    'issuer',
    'url',
    'Public URL of this house, without a trailing slash; default `http://127.0.0.1:<port>`.',
  ),
  field(
    'listen.host',
    'string',
    'Address to listen on; a `localhost` issuer listens on 127.0.0.1 and ::1.',
    { default: '127.0.0.1' },
  ),
  field('listen.port', 'integer', 'Port to listen on; 0 takes a free one.', {
    default: 8414,
    min: 0,
    max: 65535,
  }),
  field('listen.metricsPort', 'integer', 'Port of the metrics listener; 0 = none.', {
    default: 9464,
    min: 0,
    max: 65535,
  }),
  field(
    'listen.trustedProxies',
    'list',
    'Addresses whose `Forwarded` or `X-Forwarded-For` counts.',
    { default: [] },
  ),
  field(
    'prefix',
    'string',
    'Moves pages for people and the API below this path, e.g. `/postern`.',
    { default: '' },
  ),
  field(
    'databaseUrl',
    'string',
    'Where state is kept: `sqlite:<file>` or `memory:` (tests; forgets everything).',
    { default: 'sqlite:.postern/postern.db' },
  ),
  field(
    'sealingKey',
    'secret',
    '32 bytes base64url; several with commas: the first seals, all open. Made by itself for a loopback issuer.',
  ),
  field(
    'adminApiKey',
    'secret',
    'A first API key with the role `manage`: 32 to 512 visible ASCII characters; absent = none.',
  ),
  field('defaultResource', 'url', 'Resource of a request that names none, when there are several.'),
  field('registration.dynamic', 'boolean', 'Dynamic client registration (RFC 7591).', {
    default: true,
  }),
  field(
    'registration.redirectHosts',
    'list',
    'Hosts and private-use schemes that redirect URIs may have; empty = all https, loopback and the known private-use ones.',
    { default: [] },
  ),
  field(
    'registration.metadataDocuments',
    'boolean',
    'Clients named by the URL of their metadata document (CIMD).',
    { default: true },
  ),
  field(
    'registration.documentHosts',
    'list',
    'Hosts that metadata documents may come from, `*.example.com` for all below; an origin approves itself, private or not. Empty = all public hosts.',
    { default: [] },
  ),
  {
    path: 'insecureDevelopmentSignIn',
    type: 'boolean',
    default: false,
    sentence:
      'People sign in by typing a name, without a password: whoever reaches the page is whoever they say. Loopback only; told at every start.',
  },
  field('enable', 'list', 'Optional grants and endpoints, off until named here.', { default: [] }),
  field(
    'egress.allowHosts',
    'list',
    'Hosts; if there are any, the only ones that outbound requests may go to. An origin such as `http://127.0.0.1:9000` binds no other and approves itself, private or not.',
    { default: [] },
  ),
  field('egress.denyHosts', 'list', 'Hosts that outbound requests never go to.', { default: [] }),
  field('egress.proxyUrl', 'url', 'HTTP proxy for outbound requests.'),
  field(
    'egress.extraCaFile',
    'string',
    "PEM file of certificate authorities trusted in addition to the system's.",
  ),
  field('brand.name', 'string', 'Name shown on every page.', { default: 'Postern' }),
  field('brand.accentColor', 'string', 'Accent colour of the pages, `#rrggbb`.'),
  field('brand.supportUrl', 'url', 'Link shown on error pages.'),
  field('log.level', 'choice', 'Least level that is written.', {
    default: 'info',
    choices: LOG_LEVELS,
  }),
  field('log.format', 'choice', '`auto`: text on a terminal, JSON otherwise.', {
    default: 'auto',
    choices: LOG_FORMATS,
  }),
]

interface LimitField {
  readonly default: number
  readonly min: number
  readonly max: number
  readonly sentence: string
}

const DAY_SECONDS = 86_400

/** Every number, with its unit in its name. */
export const LIMITS = {
  accessTokenTtlSeconds: {
    default: 3600,
    min: 60,
    max: DAY_SECONDS,
    sentence: 'Life of our access token.',
  },
  refreshTokenIdleSeconds: {
    default: 30 * DAY_SECONDS,
    min: 60,
    max: 400 * DAY_SECONDS,
    sentence: 'A grant not used this long ends.',
  },
  refreshTokenAbsoluteSeconds: {
    default: 180 * DAY_SECONDS,
    min: 60,
    max: 1000 * DAY_SECONDS,
    sentence: 'A grant ends at this age, used or not.',
  },
  sessionIdleSeconds: {
    default: 43_200,
    min: 60,
    max: 7 * DAY_SECONDS,
    sentence: 'A browser session not used this long ends.',
  },
  approvalTtlSeconds: {
    default: 30 * DAY_SECONDS,
    min: 0,
    max: 400 * DAY_SECONDS,
    sentence: 'A remembered consent is asked again after this; 0 = always ask.',
  },
  identityTokenTtlSeconds: {
    default: 300,
    min: 30,
    max: 3600,
    sentence: 'Life of the identity JWT sent to a connector.',
  },
  upstreamProofTtlSeconds: {
    default: 60,
    min: 0,
    max: 3600,
    sentence: 'A proof younger than this is fresh; 0 = ask the provider every time.',
  },
  upstreamProofStaleSeconds: {
    default: 300,
    min: 0,
    max: DAY_SECONDS,
    sentence:
      'A proof younger than this is served and renewed behind: the revocation bound at a provider that answers.',
  },
  upstreamProofStaleIfErrorSeconds: {
    default: 3600,
    min: 0,
    max: 7 * DAY_SECONDS,
    sentence: 'A proof younger than this is served while the provider is silent or throttles.',
  },
  upstreamProofDeadlineMs: {
    default: 2000,
    min: 100,
    max: 30_000,
    sentence: 'Longest wait of a call for a proof.',
  },
  discoveryTtlSeconds: {
    default: 3600,
    min: 300,
    max: DAY_SECONDS,
    sentence: 'A discovered document is fresh this long when its server says nothing.',
  },
  discoveryStaleSeconds: {
    default: DAY_SECONDS,
    min: 0,
    max: 30 * DAY_SECONDS,
    sentence: 'Then served while it is fetched again.',
  },
  discoveryStaleIfErrorSeconds: {
    default: 7 * DAY_SECONDS,
    min: 0,
    max: 90 * DAY_SECONDS,
    sentence: 'Served this long while its server is dead.',
  },
  discoveryTimeoutMs: { default: 5000, min: 100, max: 60_000, sentence: 'A whole discovery.' },
  metadataTimeoutMs: {
    default: 3000,
    min: 100,
    max: 60_000,
    sentence: 'One metadata or key set exchange.',
  },
  connectTimeoutMs: { default: 2000, min: 50, max: 60_000, sentence: 'Opening a connection.' },
  tokenCallTimeoutMs: {
    default: 10_000,
    min: 100,
    max: 60_000,
    sentence: 'A call to a token, userinfo or revocation endpoint.',
  },
  firstByteTimeoutMs: {
    default: 60_000,
    min: 100,
    max: 600_000,
    sentence: 'First byte of a proxied answer.',
  },
  requestBodyMaxBytes: {
    default: 4_194_304,
    min: 1024,
    max: 1_073_741_824,
    sentence: 'Largest proxied request body.',
  },
  registrationMax: {
    default: 100_000,
    min: 1,
    max: 10_000_000,
    sentence: 'Most registered clients.',
  },
  unusedRegistrationTtlSeconds: {
    default: DAY_SECONDS,
    min: 60,
    max: 90 * DAY_SECONDS,
    sentence: 'A client that never signed anybody in ends after this.',
  },
  registrationsPerMinuteMax: {
    default: 20,
    min: 1,
    max: 100_000,
    sentence: 'Registrations a minute from one network.',
  },
  refusalsPerSecondMax: {
    default: 200,
    min: 1,
    max: 1_000_000,
    sentence:
      'Refusals a second that one network gets; further ones wait up to two seconds (on Node).',
  },
  refreshesPerRunMax: {
    default: 20,
    min: 1,
    max: 60,
    sentence:
      'Upstream tokens that one `runDue()` refreshes ahead (on Workers), 13 statements each.',
  },
  tenantRequestsMax: {
    default: 1_000,
    min: 1,
    max: 20_000,
    sentence:
      'Requests of one tenant under way at once, open event streams aside; one more gets 503.',
  },
  streamsPerUserMax: {
    default: 64,
    min: 1,
    max: 100_000,
    sentence: 'Open event streams of one user.',
  },
  rememberedTokensMax: {
    default: 1_000_000,
    min: 100,
    max: 20_000_000,
    sentence: 'Verified tokens kept in memory.',
  },
  revocationViewMaxAgeSeconds: {
    default: 30,
    min: 5,
    max: 600,
    sentence: 'A node that cannot see revocations this long refuses with 503.',
  },
  drainTimeoutMs: {
    default: 25_000,
    min: 0,
    max: 600_000,
    sentence: 'Longest wait for running calls at shutdown.',
  },
  auditTtlDays: { default: 400, min: 1, max: 3660, sentence: 'Audit rows are kept this long.' },
} as const satisfies Readonly<Record<string, LimitField>>

export type Limits = { readonly [K in keyof typeof LIMITS]: number }

export const LIMIT_FIELDS: readonly Field[] = Object.entries(LIMITS).map(([name, limit]) =>
  field(`limits.${name}`, 'integer', limit.sentence, {
    default: limit.default,
    min: limit.min,
    max: limit.max,
  }),
)
