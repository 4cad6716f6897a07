/**
 * A whole Postern in one process with a real GitHub double and a real MCP server, asked through `fetch`:
 * browser, token endpoint and calls of the same people, on a clock of the test's.
 */
import { onTestFinished } from 'vitest'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import type { Person } from '../../demo/doubles/people.ts'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { createMemoryBus, createMemoryStore } from '../../src/adapters/memory.ts'
import { createPostern } from '../../src/app.ts'
import type { Allow, PosternConfig } from '../../src/config.ts'
import type { Store } from '../../src/ports.ts'
import { github } from '../../src/providers/index.ts'
import { createWatchedPlatform } from '../kit/platform.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { locationOf, type TestHouse, type Tokens, VERIFIER, Visitor } from './sign-in-house.ts'

export const ISSUER = 'http://127.0.0.1:8414'
export const NOTES = `${ISSUER}/mcp/notes`
const REDIRECT = 'https://client.example/cb'
const CLIENT = { clientId: 'postern', clientSecret: 'postern-client-secret' }
const STEP_MS = 1_000
const WAIT_STEP_MS = 250
const WAITS_MAX = 200

/** Somebody whose organizations the test may change. */
export type Changing = Omit<Person, 'groups'> & { groups: string[] }

export function person(login: string, id: number, organizations: readonly string[]): Changing {
  return { login, id, name: login, email: `${login}@example.com`, groups: [...organizations] }
}

export interface SignedIn {
  readonly visitor: Visitor
  readonly tokens: Tokens
  readonly login: string
}

export type MembershipHouse = Awaited<ReturnType<typeof openMembershipHouse>>

export async function openMembershipHouse(options: {
  readonly people: readonly Changing[]
  readonly teams?: Record<string, string[]>
  readonly allow?: Allow
  readonly connectorAllow?: Allow
  readonly limits?: PosternConfig['limits']
  readonly expiringTokens?: boolean
}) {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const double = await startGitHubDouble({
    people: options.people,
    apps: [{ ...CLIENT, name: 'Postern' }],
    teams: options.teams ?? {},
    expiringTokens: options.expiringTokens ?? false,
    nowMs: () => runtime.nowMs(),
  })
  const notes = await startNotesServer()
  const store = createMemoryStore()
  const config: PosternConfig = {
    issuer: ISSUER,
    databaseUrl: 'memory:',
    sealingKey: runtime.sha256('membership house'),
    providers: [github({ url: double.origin, apiUrl: double.origin, ...CLIENT })],
    ...(options.allow === undefined ? {} : { allow: options.allow }),
    connectors: {
      notes: {
        url: notes.url,
        ...(options.connectorAllow === undefined ? {} : { allow: options.connectorAllow }),
      },
    },
    limits: { accessTokenTtlSeconds: 86_400, ...options.limits },
    log: { level: 'silent' },
  }
  let opened = open(config, runtime, store)
  onTestFinished(async () => {
    await opened.postern.close()
    await Promise.all([double.close(), notes.close()])
  })
  const settle = () => opened.platform.settle(() => double.state() === 'hang')
  /** Fake time goes on while something is being waited for. */
  const during = async <T>(work: Promise<T>): Promise<T> => {
    let isDone = false
    const done = work.finally(() => {
      isDone = true
    })
    done.catch(() => undefined)
    for (let waits = 0; waits < WAITS_MAX; waits++) {
      await settle()
      await Promise.race([
        done.catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, 20)),
      ])
      if (isDone) return await done
      runtime.advanceMs(WAIT_STEP_MS)
    }
    throw new Error('no answer')
  }
  const fetchOurs = (request: Request): Promise<Response> => during(opened.postern.fetch(request))
  const browser = (): Visitor =>
    new Visitor({ issuer: ISSUER, fetch: fetchOurs } as unknown as TestHouse)
  const post = (path: string, body: BodyInit, headers: Record<string, string> = {}) =>
    fetchOurs(new Request(`${ISSUER}${path}`, { method: 'POST', body, headers }))
  const clientId = await register(post)
  const authorizeUrl = (): URL => {
    const url = new URL(`${ISSUER}/authorize`)
    url.search = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: REDIRECT,
      code_challenge: runtime.sha256(VERIFIER),
      code_challenge_method: 'S256',
      resource: NOTES,
    }).toString()
    return url
  }
  const token = (form: Record<string, string>) =>
    post('/token', new URLSearchParams({ client_id: clientId, ...form }))
  /** Until the answer to the provider's redirect, whatever it is. */
  const arrive = async (login: string, visitor = browser()): Promise<Response> => {
    const page = await visitor.get(authorizeUrl())
    const toProvider = await visitor.press(page, 'allow:github')
    double.signIn(login)
    const callback = await double.playSignIn(locationOf(toProvider), login)
    return visitor.get(callback, { 'sec-fetch-site': 'cross-site' })
  }
  return {
    runtime,
    double,
    store,
    arrive,
    browser,
    /** Where the browser is sent to sign in. */
    async journey(): Promise<URL> {
      const visitor = browser()
      const page = await visitor.get(authorizeUrl())
      return new URL(locationOf(await visitor.press(page, 'allow:github')))
    },
    events: () => opened.platform.events,
    async signIn(login: string): Promise<SignedIn> {
      const visitor = browser()
      const code = new URL(locationOf(await arrive(login, visitor))).searchParams.get('code') ?? ''
      const answer = await token({
        grant_type: 'authorization_code',
        code,
        code_verifier: VERIFIER,
        redirect_uri: REDIRECT,
      })
      return { visitor, login, tokens: (await answer.json()) as Tokens }
    },
    /** Status of one `tools/call`. */
    async call({ tokens }: Pick<SignedIn, 'tokens'>): Promise<Response> {
      return post(
        '/mcp/notes',
        JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'list_notes', arguments: {} },
        }),
        {
          host: new URL(ISSUER).host,
          authorization: `Bearer ${tokens.access_token}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2025-11-25',
        },
      )
    },
    refresh: ({ tokens }: Pick<SignedIn, 'tokens'>) =>
      token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }),
    /** The names in `/mcp.json`; `undefined`: this browser has to sign in first. */
    async listed({ visitor }: Pick<SignedIn, 'visitor'>): Promise<readonly string[] | undefined> {
      const answer = await visitor.get('/mcp.json')
      if (answer.status !== 200) return undefined
      const body = (await answer.json()) as { mcpServers: Record<string, unknown> }
      return Object.keys(body.mcpServers)
    },
    /** Does the consent page offer to go on with this account, with no trip to the provider. */
    async offers({ visitor, login }: SignedIn): Promise<boolean> {
      const text = await (await visitor.get(authorizeUrl())).text()
      return text.includes(`${login}@example.com`) || /value="allow"/.test(text)
    },
    async elapse(ms: number, stepMs = STEP_MS): Promise<void> {
      for (let left = ms; left > 0; left -= stepMs) {
        runtime.advanceMs(Math.min(left, stepMs))
        await settle()
      }
    },
    async restart(): Promise<void> {
      await opened.postern.close()
      opened = open(config, runtime, store)
      await during(opened.postern.ready())
    },
  }
}

function open(config: PosternConfig, runtime: ReturnType<typeof createTestRuntime>, store: Store) {
  const watched = createWatchedPlatform(runtime)
  const platform = {
    ...watched,
    // Closing a house must not close the store that its successor opens.
    openStore: async () => ({ store: { ...store, close: async () => {} }, bus: createMemoryBus() }),
  }
  return { platform: watched, postern: createPostern(config, platform) }
}

async function register(
  post: (path: string, body: BodyInit, headers: Record<string, string>) => Promise<Response>,
): Promise<string> {
  const answer = await post(
    '/register',
    JSON.stringify({ redirect_uris: [REDIRECT], token_endpoint_auth_method: 'none' }),
    { 'content-type': 'application/json' },
  )
  return ((await answer.json()) as { client_id: string }).client_id
}
