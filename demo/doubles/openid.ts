/**
 * A real OpenID provider (`oidc-provider`, in process) with people, refresh tokens, userinfo,
 * introspection and revocation, behind a server that can be slowed, killed and counted.
 *
 * Everything it remembers lives in one map, so that a person's tokens can be ended from outside and
 * new signing keys can be put in while it runs.
 */
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { JWK } from 'jose'
import { interactionPolicy, Provider } from 'oidc-provider'
import { type Faults, startFaults } from './faults.ts'
import { addIdentityAssertions, TOKEN_EXCHANGE } from './openid-assertions.ts'
import { createMemory, type Memory } from './openid-memory.ts'
import { showInteraction, submitInteraction } from './openid-pages.ts'
import { PEOPLE, type Person } from './people.ts'
import { playBrowser } from './sign-in.ts'

export interface OpenIdClient {
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUris: readonly string[]
  readonly name?: string
  /** Default `client_secret_basic`. */
  readonly authMethod?: 'client_secret_basic' | 'client_secret_post'
  /** Its `client_id` at another authorization server, for which it may ask assertions of identity. */
  readonly assertsAs?: string
}

export interface OpenIdDoubleOptions {
  readonly people?: readonly Person[]
  readonly clients?: readonly OpenIdClient[]
  readonly port?: number
  /** Default 3 600. */
  readonly accessTokenTtlSeconds?: number
  /** Each refresh gives a new refresh token and ends the old one. Default true. */
  readonly rotateRefreshTokens?: boolean
  /** Default `ES256`. */
  readonly signingAlgorithm?: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'
  /** Optional parts. Default all on. */
  readonly without?: readonly ('userinfo' | 'introspection' | 'revocation')[]
}

export interface OpenIdDouble extends Faults {
  readonly issuer: string
  /** Registers a client, or changes the one of this id. */
  addClient(client: OpenIdClient): void
  /** The provider forgets a client: its credentials are refused from now on. */
  removeClient(clientId: string): void
  /** Ends sessions, grants and tokens of a person: userinfo answers 401 `invalid_token`. Returns how many. */
  revoke(login: string): number
  revokeEverybody(): number
  /** Ends access tokens only, as their time would: refresh tokens stay. */
  expireAccessTokens(): number
  /** New signing keys; the old ones leave the key set. */
  rotateKeys(): void
  /** Plays the browser of `login` and returns the callback address. `nobody` cancels. */
  playSignIn(authorizationUrl: string | URL, login: string): Promise<URL>
}

/** Paths as `oidc-provider` has them by default. */
export const OPENID_PATHS = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/jwks',
  authorization: '/auth',
  token: '/token',
  userinfo: '/me',
  introspection: '/token/introspection',
  revocation: '/token/revocation',
} as const

export async function startOpenIdDouble(options: OpenIdDoubleOptions = {}): Promise<OpenIdDouble> {
  const people = options.people ?? PEOPLE
  const memory = createMemory()
  const cookieKeys = [randomBytes(24).toString('base64url')]
  let provider: Provider | undefined
  let callback: ReturnType<Provider['callback']> | undefined
  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (provider === undefined || callback === undefined) throw new Error('not started')
    if (/^\/interaction\/[\w-]+$/.test(request.url ?? '')) {
      if (request.method === 'POST') await submitInteraction(provider, people, request, response)
      else await showInteraction(provider, people, request, response)
      return
    }
    await callback(request, response)
  }
  const faults = await startFaults({
    handler,
    isFrontChannel: (path) =>
      path.startsWith('/auth') || path.startsWith('/interaction/') || path.startsWith('/session/'),
    port: options.port,
  })
  const assertsAs = new Map<string, string>()
  const make = (): void => {
    const jwk = privateJwk(options.signingAlgorithm ?? 'ES256')
    const made = new Provider(
      faults.origin,
      configuration(options, people, memory, cookieKeys, jwk),
    )
    addIdentityAssertions(made, {
      issuer: faults.origin,
      jwk,
      clientIdElsewhere: (clientId) => assertsAs.get(clientId),
    })
    provider = made
    callback = made.callback()
  }
  const addClient = (client: OpenIdClient): void => {
    memory.set('Client', client.clientId, clientMetadata(client))
    if (client.assertsAs !== undefined) assertsAs.set(client.clientId, client.assertsAs)
  }
  for (const client of options.clients ?? []) addClient(client)
  make()
  return {
    ...faults,
    issuer: faults.origin,
    addClient,
    removeClient: (clientId) =>
      memory.remove((entry) => entry.model === 'Client' && entry.id === clientId),
    revoke: (login) =>
      memory.remove((entry) => entry.model !== 'Client' && entry.payload['accountId'] === login),
    revokeEverybody: () => memory.remove((entry) => entry.model !== 'Client'),
    expireAccessTokens: () => memory.remove((entry) => entry.model === 'AccessToken'),
    rotateKeys: make,
    playSignIn: (authorizationUrl, login) =>
      playBrowser(authorizationUrl, { origin: faults.origin, choose: { person: login } }),
  }
}

function configuration(
  options: OpenIdDoubleOptions,
  people: readonly Person[],
  memory: Memory,
  cookieKeys: readonly string[],
  jwk: JWK,
): Readonly<Record<string, unknown>> {
  const without = new Set(options.without ?? [])
  const policy = interactionPolicy.base()
  policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0)
  const algorithm = options.signingAlgorithm ?? 'ES256'
  return {
    adapter: memory.adapter,
    jwks: { keys: [jwk] },
    cookies: { keys: cookieKeys },
    clientDefaults: { id_token_signed_response_alg: algorithm },
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    findAccount: (_context: unknown, login: string) => account(people, login),
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'picture', 'groups'],
      email: ['email', 'email_verified'],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: !without.has('userinfo') },
      introspection: { enabled: !without.has('introspection'), allowedPolicy: async () => true },
      revocation: { enabled: !without.has('revocation'), allowedPolicy: async () => true },
      rpInitiatedLogout: { enabled: false },
    },
    interactions: {
      url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}`,
      policy,
    },
    rotateRefreshToken: options.rotateRefreshTokens ?? true,
    ttl: {
      AccessToken: options.accessTokenTtlSeconds ?? 3_600,
      AuthorizationCode: 60,
      IdToken: 3_600,
      Interaction: 600,
      Grant: 14 * 86_400,
      RefreshToken: 14 * 86_400,
      Session: 14 * 86_400,
    },
    renderError: (
      context: { type: string; body: string },
      out: Readonly<Record<string, string>>,
    ) => {
      context.type = 'html'
      context.body = `<!doctype html><html lang="en"><title>Refused</title><h1>${out['error'] ?? 'error'}</h1></html>`
    },
  }
}

function account(people: readonly Person[], login: string) {
  const person = people.find((entry) => entry.login === login)
  if (person === undefined) return undefined
  return {
    accountId: login,
    claims: () => ({
      sub: login,
      name: person.name,
      preferred_username: person.login,
      picture: `https://people.example/${person.id}.png`,
      groups: person.groups,
      email: person.email,
      email_verified: true,
    }),
  }
}

function privateJwk(algorithm: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'): JWK {
  const { privateKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : algorithm === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return {
    ...(privateKey.export({ format: 'jwk' }) as JWK),
    kid: randomUUID(),
    use: 'sig',
    alg: algorithm,
  }
}

function clientMetadata(client: OpenIdClient): Record<string, unknown> {
  return {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    client_name: client.name ?? client.clientId,
    redirect_uris: client.redirectUris,
    token_endpoint_auth_method: client.authMethod ?? 'client_secret_basic',
    grant_types: [
      'authorization_code',
      'refresh_token',
      ...(client.assertsAs === undefined ? [] : [TOKEN_EXCHANGE]),
    ],
    response_types: ['code'],
  }
}
