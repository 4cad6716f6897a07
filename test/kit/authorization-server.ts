/**
 * The authorization server of one connector as a function behind the real egress: what it was sent,
 * and what it answers; one that registers everybody among them. For tests of ourselves as its client.
 */
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { ConnectorInput } from '../../src/config.ts'
import type { OurClient, Registrations } from '../../src/connectors/client/registration.ts'
import type { Binding } from '../../src/connectors/lifecycle/binding.ts'
import { createEgress } from '../../src/net/egress.ts'
import type { FetchRequest, FetchResponse, Lock, Store } from '../../src/ports.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createRecordingEmit } from './emit.ts'
import { createTestRuntime } from './runtime.ts'

export const POSTERN = 'https://postern.example'
export const AS = 'https://as.example'
export const RESOURCE = 'https://notes.example/mcp'
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

export interface Sent {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  /** Of a form body. */
  readonly form: URLSearchParams
}
export type Reply = FetchResponse | Error
export type Server = (sent: Sent) => Reply | Promise<Reply>

export function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): FetchResponse {
  return reply(status, JSON.stringify(body), { 'content-type': 'application/json', ...headers })
}

export function reply(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): FetchResponse {
  return { status, headers: new Headers(headers), body: new Response(text).body }
}

/** A house of one connector, `notes`, and its server. */
export function createClientWorld(
  options: {
    readonly connector?: Partial<ConnectorInput>
    readonly issuer?: string
    readonly store?: Store
    readonly lock?: Lock
  } = {},
) {
  const runtime = createTestRuntime()
  const emit = createRecordingEmit()
  const { connector = {}, issuer = POSTERN } = options
  const place = connector.preset === undefined ? { url: RESOURCE } : {}
  const config = parseConfig(
    {
      issuer,
      sealingKey: SEALING_KEY,
      connectors: { notes: { ...place, auth: 'oauth', ...connector } },
    },
    { environment: {} },
  )
  const sent: Sent[] = []
  const state: { answer: Server } = { answer: () => json(404, {}) }
  const egress = createEgress({
    async fetch(request: FetchRequest) {
      const text = request.body ?? ''
      const { method, url, headers } = request
      const seen = { method, url: url.href, headers, text, form: new URLSearchParams(text) }
      sent.push(seen)
      const answer = await state.answer(seen)
      if (answer instanceof Error) throw answer
      return answer
    },
    runtime,
    emit,
    approvedOrigins: new Set(),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
  })
  const [own] = config.connectors
  if (own === undefined) throw new Error('no connector')
  return {
    config,
    runtime,
    emit,
    egress,
    sent,
    store: options.store ?? createMemoryStore(),
    lock: options.lock ?? createMemoryLock(runtime),
    sealing: createSealing(config.sealingKeys, runtime),
    answers(answer: Server): void {
      state.answer = answer
    },
    /** @param server Over the members of its metadata. */
    binding(server: Partial<Binding['server']> = {}, over: Partial<Binding> = {}): Binding {
      return {
        connector: own,
        issuer: AS,
        resource: own.oauth?.omitResource === true ? undefined : RESOURCE,
        server: {
          issuer: AS,
          authorization_endpoint: `${AS}/authorize`,
          token_endpoint: `${AS}/token`,
          ...server,
        },
        ...over,
      }
    },
  }
}

export type ClientWorld = ReturnType<typeof createClientWorld>

export const SECRET = 'registered-secret-canary'
export const MANAGEMENT = 'management-token-canary'

/** Its metadata as the connector of this world knows it. */
export function registering(
  world: ClientWorld,
  server: Partial<Binding['server']> = {},
  over: Partial<Binding> = {},
): Binding {
  return world.binding({ registration_endpoint: `${AS}/register`, ...server }, over)
}

/** Registrations that were asked for, in order. */
export function registered(world: ClientWorld): readonly Sent[] {
  return world.sent.filter(({ method, url }) => method === 'POST' && url.endsWith('/register'))
}

/**
 * Registers everybody: `client-1`, `client-2`, ... with a secret where one was asked for.
 *
 * @param lifeSeconds Of the secrets; 0: they never end.
 * @param over Over the members of each answer.
 */
export function registersAll(
  world: ClientWorld,
  lifeSeconds = 0,
  over: object = {},
): (sent: Sent) => FetchResponse {
  const answers = (sent: Sent): FetchResponse => {
    const asked = JSON.parse(sent.text)
    const count = registered(world).length
    const hasSecret = String(asked.token_endpoint_auth_method).startsWith('client_secret')
    const expires = lifeSeconds === 0 ? 0 : Math.floor(world.runtime.nowMs() / 1000) + lifeSeconds
    return json(201, {
      ...asked,
      client_id: `client-${count}`,
      ...(hasSecret
        ? { client_secret: `${SECRET}-${count}`, client_secret_expires_at: expires }
        : {}),
      ...over,
    })
  }
  world.answers(answers)
  return answers
}

export async function made(registrations: Registrations, binding: Binding): Promise<OurClient> {
  const result = await registrations.ensure(binding)
  if (!result.ok) throw new Error(result.problem.text)
  return result.client
}
