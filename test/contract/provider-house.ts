/**
 * One provider, its double and everything between them for real: egress, sockets, pages. Clocks are
 * fake, so deadlines end when the test says so.
 */
import type { Faults } from '../../demo/doubles/faults.ts'
import {
  type GitHubDouble,
  type GitHubDoubleOptions,
  startGitHubDouble,
} from '../../demo/doubles/github.ts'
import {
  type OpenIdDouble,
  type OpenIdDoubleOptions,
  startOpenIdDouble,
} from '../../demo/doubles/openid.ts'
import { createEgress } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import { createVerifier, s256 } from '../../src/oauth/pkce.ts'
import type { Fetch, Runtime } from '../../src/ports.ts'
import { createGitHub } from '../../src/providers/github.ts'
import { createGitHubApp } from '../../src/providers/github-app.ts'
import { createOidc } from '../../src/providers/oidc.ts'
import {
  type JsonWebKeySet,
  loadJwks,
  loadOpenIdMetadata,
  type OpenIdMetadata,
} from '../../src/providers/openid-metadata.ts'
import type {
  Provider,
  ProviderContext,
  ProviderSettings,
  SignIn,
} from '../../src/providers/provider.ts'
import { Secret } from '../../src/secret.ts'
import { createRecordingEmit, type RecordingEmit } from '../kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../kit/runtime.ts'

export const TIMEOUT_MS = 2_000
export const REDIRECT_URI = 'http://127.0.0.1:8414/callback/it'
export const CLIENT = {
  clientId: 'postern',
  clientSecret: 'double-secret',
  redirectUris: [REDIRECT_URI],
}
const SETTLE_ROUNDS_MAX = 500

export interface House<Double extends Faults = Faults> {
  readonly double: Double & {
    playSignIn(url: URL, login: string): Promise<URL>
    revoke(login: string): number
  }
  readonly provider: Provider
  readonly context: ProviderContext
  readonly runtime: TestRuntime
  readonly emit: RecordingEmit
  /** Endpoint that one proof asks, as the double counts it. */
  readonly checkEndpoint: string
  readonly tokenEndpoint: string
  /** A whole sign-in, pages included. */
  signIn(login?: string): Promise<SignIn>
  /** From the authorization URL to the callback parameters, without the exchange. */
  visit(
    login?: string,
  ): Promise<{ code: string; verifier: string; iss?: string; nonce: string; authorizationUrl: URL }>
  /** Lets the fake clock pass the deadline once the double has been reached. */
  pastDeadline<T>(work: Promise<T>): Promise<T>
  close(): Promise<void>
}

export async function gitHubHouse(
  options: GitHubDoubleOptions & Partial<ProviderSettings> = {},
): Promise<House<GitHubDouble>> {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const double = await startGitHubDouble({
    nowMs: runtime.nowMs,
    apps: [{ ...CLIENT, name: 'Postern' }],
    ...options,
  })
  const provider = createGitHub({
    ...settings('github', options),
    options: { url: double.url, apiUrl: double.apiUrl },
  })
  return createHouse(double, provider, runtime, {
    checkEndpoint: 'GET /user',
    tokenEndpoint: 'POST /login/oauth/access_token',
  })
}

/** A GitHub App that may see e-mail addresses and memberships, unless the options say otherwise. */
export async function gitHubAppHouse(
  options: GitHubDoubleOptions & Partial<ProviderSettings> = {},
): Promise<House<GitHubDouble>> {
  const permissions = options.scopes ?? ['email_addresses:read', 'members:read']
  const runtime = createTestRuntime({ startMs: Date.now() })
  const double = await startGitHubDouble({
    nowMs: runtime.nowMs,
    apps: [{ ...CLIENT, name: 'Postern', permissions }],
    ...options,
  })
  const provider = createGitHubApp({
    ...settings('github-app', options),
    scopes: permissions,
    options: { url: double.url, apiUrl: double.apiUrl },
  })
  return createHouse(double, provider, runtime, {
    checkEndpoint: 'GET /user',
    tokenEndpoint: 'POST /login/oauth/access_token',
  })
}

export async function openIdHouse(
  options: OpenIdDoubleOptions & Partial<ProviderSettings> = {},
): Promise<House<OpenIdDouble>> {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const double = await startOpenIdDouble({ clients: [CLIENT], ...options })
  const provider = createOidc({
    ...settings('oidc', options),
    options: { issuer: double.issuer, ...options.options },
  })
  return createHouse(double, provider, runtime, {
    checkEndpoint:
      options.options?.['check'] === 'introspection' ? 'POST /token/introspection' : 'GET /me',
    tokenEndpoint: 'POST /token',
  })
}

export function settings(
  id: string,
  given: Partial<ProviderSettings>,
): Omit<ProviderSettings, 'options'> {
  return {
    id,
    clientId: given.clientId ?? CLIENT.clientId,
    clientSecret: given.clientSecret ?? new Secret(CLIENT.clientSecret),
    callbackPath: '/callback/it',
    ...(given.scopes === undefined ? {} : { scopes: given.scopes }),
    ...(given.title === undefined ? {} : { title: given.title }),
  }
}

/** @param endpoints `leadTo`: port of a double that plays every public host, with the host in its paths. */
export function createHouse<Double extends Faults>(
  double: House<Double>['double'],
  provider: Provider,
  runtime: TestRuntime,
  { leadTo, ...endpoints }: { checkEndpoint: string; tokenEndpoint: string; leadTo?: number },
): House<Double> {
  const emit = createRecordingEmit()
  const node = createNodeFetch()
  const egress = createEgress({
    fetch: leadTo === undefined ? node.fetch : leadHosts(node.fetch, leadTo),
    runtime,
    emit,
    approvedOrigins: new Set(provider.approvedOrigins),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: TIMEOUT_MS,
  })
  const context = createContext(egress, runtime)
  const visit: House['visit'] = async (login = 'ada') => {
    const verifier = createVerifier(runtime)
    const nonce = createVerifier(runtime)
    const authorizationUrl = await provider.authorize(context, {
      state: 'the-state',
      verifierChallenge: s256(verifier, runtime),
      nonce,
    })
    const callback = await double.playSignIn(authorizationUrl, login)
    const iss = callback.searchParams.get('iss') ?? undefined
    const code = callback.searchParams.get('code') ?? ''
    return { code, verifier, nonce, authorizationUrl, ...(iss === undefined ? {} : { iss }) }
  }
  return {
    double,
    provider,
    context,
    runtime,
    emit,
    ...endpoints,
    visit,
    signIn: async (login) => provider.exchange(context, await visit(login)),
    async pastDeadline(work) {
      // It may reject while nobody awaits it yet.
      work.catch(() => undefined)
      const before = double.total()
      for (let round = 0; round < SETTLE_ROUNDS_MAX && double.total() === before; round++)
        await runtime.settle()
      await runtime.settle()
      await runtime.elapseMs(TIMEOUT_MS + 1)
      return await work
    },
    async close() {
      await node.close()
      await double.close()
    },
  }
}

/** The egress judges the public address; only then does the way lead to the double. */
function leadHosts(fetch: Fetch, port: number): Fetch {
  return (request) => {
    const { host, pathname, search } = request.url
    const url = new URL(`http://127.0.0.1:${port}/${host}${pathname}${search}`)
    return fetch({ ...request, url, addresses: 'approved' })
  }
}

/** Remembers documents for ever: what the loading caches do is tested with them. */
export function createContext(
  egress: ProviderContext['egress'],
  runtime: Runtime,
  timeoutMs: number = TIMEOUT_MS,
): ProviderContext {
  const asked = { egress, timeoutMs }
  const documents = new Map<string, OpenIdMetadata>()
  const keySets = new Map<string, JsonWebKeySet>()
  const refreshJwks = async (uri: string) => {
    const { value } = await loadJwks(uri, asked)
    keySets.set(uri, value)
    return value
  }
  return {
    egress,
    runtime,
    redirectUri: REDIRECT_URI,
    timeoutMs,
    discovery: async (issuer, documentIssuer) => {
      const known =
        documents.get(issuer) ?? (await loadOpenIdMetadata(issuer, asked, documentIssuer)).value
      documents.set(issuer, known)
      return known
    },
    jwks: async (uri) => keySets.get(uri) ?? (await refreshJwks(uri)),
    refreshJwks,
  }
}
