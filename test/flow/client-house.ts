/**
 * The authorization server of `sign-in-house.ts` with the world in which clients publish: hosts that
 * are plain functions behind the real egress and the real loading cache, on the test clock.
 */
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import { createMemoryLock } from '../../src/adapters/memory-lock.ts'
import { openClientDocuments } from '../../src/issuer/client-documents.ts'
import { createEgress } from '../../src/net/egress.ts'
import type { FetchRequest, Store } from '../../src/ports.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../kit/runtime.ts'
import { createTestIssuer, type HouseOptions, type TestHouse } from './sign-in-house.ts'

export const APP = 'https://app.example/oauth/client.json'

export interface Answer {
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** What answers at each URL, and what was asked. */
export interface Web {
  readonly pages: Map<string, Answer | 'hangs' | 'down'>
  readonly asked: FetchRequest[]
}

export interface ClientHouse {
  readonly house: TestHouse
  readonly web: Web
  readonly runtime: TestRuntime
  readonly store: Store
  readonly registration: HouseOptions['config']
  /** The same store and web in a new process. */
  again(options?: HouseOptions): Promise<ClientHouse>
  close(): Promise<void>
}

export function documentOf(clientId: string, rest: Record<string, unknown> = {}): Answer {
  return {
    body: {
      client_id: clientId,
      client_name: 'App',
      redirect_uris: ['https://client.example/cb'],
      token_endpoint_auth_method: 'none',
      ...rest,
    },
  }
}

export async function openClientHouse(
  options: HouseOptions = {},
  world: { runtime?: TestRuntime; store?: Store; web?: Web } = {},
): Promise<ClientHouse> {
  const runtime = world.runtime ?? createTestRuntime()
  const store = world.store ?? createMemoryStore()
  const web: Web = world.web ?? { pages: new Map([[APP, documentOf(APP)]]), asked: [] }
  const emit = createRecordingEmit()
  const egress = createEgress({
    fetch: (request) => ask(web, request),
    runtime,
    emit,
    approvedOrigins: new Set(),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
  })
  const registration = {
    dynamic: true,
    metadataDocuments: true,
    redirectHosts: [],
    ...options.config?.registration,
  }
  const lock = createMemoryLock(runtime)
  const documents = await openClientDocuments({
    config: { registration },
    egress,
    runtime,
    emit,
    store,
    lock,
  })
  const house = createTestIssuer({
    ...options,
    config: { ...options.config, registration },
    runtime,
    store,
    deps: { documents },
  })
  return {
    house,
    web,
    runtime,
    store,
    registration: { registration },
    again: (rest = options) => openClientHouse(rest, { runtime, store, web }),
    close: () => documents.close(),
  }
}

async function ask(web: Web, request: FetchRequest) {
  web.asked.push(request)
  const page = web.pages.get(request.url.href) ?? { status: 404 }
  if (page === 'hangs') return new Promise<never>(() => undefined)
  if (page === 'down') throw new Error('connection refused')
  const { status = 200, body = {}, headers = {} } = page
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return {
    status,
    headers: new Headers({ 'content-type': 'application/json', ...headers }),
    body: status === 204 ? null : new Response(text).body,
  }
}

/** A client's key pair, its published set and its assertions. */
export async function createClientKey(kid = 'k1', alg = 'ES256') {
  const pair = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(pair.publicKey)), kid, use: 'sig' }
  return {
    jwk,
    jwks: { keys: [jwk] },
    assert(house: TestHouse, clientId: string, rest: JWTPayload = {}): Promise<string> {
      const seconds = Math.floor(house.runtime.nowMs() / 1000)
      const jti = house.runtime.sha256(house.runtime.randomBytes(16))
      const claims = { iss: clientId, sub: clientId, aud: house.issuer, jti, iat: seconds }
      return new SignJWT({ ...claims, exp: seconds + 60, ...rest })
        .setProtectedHeader({ alg, kid })
        .sign(pair.privateKey)
    },
  }
}

export function asserted(assertion: string): Record<string, string> {
  return {
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  }
}
