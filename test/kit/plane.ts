/**
 * The whole product in one process for flow tests: a real `serve()` on SQLite, one real provider
 * double, one real MCP server, everything over sockets.
 *
 * With the fake clock every age, deadline and timer of Postern is the test's; sockets stay real, so
 * `elapse` lets traffic settle between two steps. Counts are taken at the other side's socket.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type GitHubDouble, startGitHubDouble } from '../../demo/doubles/github.ts'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { PEOPLE, type Person } from '../../demo/doubles/people.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import type { ConnectorInput, PosternConfig } from '../../src/config.ts'
import { type RunningServer, serve } from '../../src/node/server.ts'
import { github, oidc } from '../../src/providers/index.ts'
import { createWatchedPlatform, type SeenEvent, type WatchedPlatform } from './platform.ts'
import { freePort } from './postern.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

/** Nobody listens there: the visitor stops before it. */
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const CLIENT = { clientId: 'postern', clientSecret: 'postern-client-secret' }
const STEP_MS = 1_000
const WAIT_STEP_MS = 100
/** Real time given to a call before the fake clock is moved under it. */
const REAL_PATIENCE_MS = 25
const FAKE_PATIENCE_MS = 120_000

export type ProviderKind = 'github' | 'openid'
type Double = GitHubDouble | OpenIdDouble

export interface PlaneOptions<K extends ProviderKind = ProviderKind> {
  readonly provider: K
  /** Default `fake`: starts at the real time, then stands still. */
  readonly clock?: 'fake' | 'real'
  readonly limits?: PosternConfig['limits']
  /** Further fields of the configuration. */
  readonly config?: Partial<PosternConfig>
  readonly people?: readonly Person[]
  /** In the place of the notes server. */
  readonly connectorUrl?: string
  /** Path of the issuer, e.g. `/t/acme`. Default none. */
  readonly path?: string
  /** Further fields of the connector. */
  readonly connector?: Partial<ConnectorInput>
  /** GitHub only: tokens of eight hours with refresh tokens. */
  readonly expiringTokens?: boolean
}

/** One client with one sign-in. */
export interface Caller extends SignedInClient {
  readonly login: string
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface Plane<K extends ProviderKind = ProviderKind> {
  readonly issuer: string
  readonly resource: string
  readonly folder: string
  readonly databasePath: string
  readonly provider: K extends 'github' ? GitHubDouble : OpenIdDouble
  readonly notes: NotesServer
  /** What a program of the operator has in its hands, since the last start. */
  readonly postern: Postern
  /** What the house emitted since its last start, with its own monotonic time. */
  readonly events: readonly SeenEvent[]
  /** Durable writes since the last start, by verb. */
  readonly writes: Readonly<Record<string, number>>
  signIn(login?: string, scope?: string): Promise<Caller>
  /** One `tools/call`; with the fake clock, time goes on while the house waits. */
  call(caller: Pick<Caller, 'accessToken'>, options?: CallOptions): Promise<Answer>
  refresh(caller: Caller): Promise<{ status: number; body: Readonly<Record<string, unknown>> }>
  /** Lets answers arrive while fake time goes on. */
  during<T>(work: Promise<T>): Promise<T>
  /** The fake clock goes on, second by second, with traffic between. */
  elapse(ms: number, stepMs?: number): Promise<void>
  /** Fake milliseconds since the start. */
  elapsedMs(): number
  /** Armed on the fake clock; 0 with the real one. */
  timers(): number
  /** Sum of a metric over all series that carry these labels. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** What a scrape gets. */
  metricsText(): Promise<string>
  /** The same folder and port, as after an ordinary stop. */
  restart(): Promise<void>
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export interface CallOptions {
  readonly id?: number | string
  readonly tool?: string
  readonly resource?: string
}

export async function startPlane<K extends ProviderKind>(
  options: PlaneOptions<K>,
): Promise<Plane<K>> {
  const runtime = options.clock === 'real' ? undefined : createTestRuntime({ startMs: Date.now() })
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}${options.path ?? ''}`
  const folder = await mkdtemp(join(tmpdir(), 'postern-plane-'))
  const double = await startDouble(options, issuer, runtime)
  const notes = await startNotesServer()
  const databasePath = join(folder, 'postern.db')
  const config: PosternConfig = {
    issuer,
    listen: { port, metricsPort: 0 },
    databaseUrl: `sqlite:${databasePath}`,
    providers: [providerInput(options.provider, double)],
    connectors: { notes: { url: options.connectorUrl ?? notes.url, ...options.connector } },
    limits: {
      registrationsPerMinuteMax: 1_000,
      refusalsPerSecondMax: 1_000_000,
      ...options.limits,
    },
    ...options.config,
  }
  const house = createHouse(config, runtime, double)
  const plane = { issuer, resource: `${issuer}/mcp/notes`, folder, databasePath, notes }
  try {
    await house.start()
  } catch (error) {
    await Promise.all([double.close(), notes.close(), rm(folder, { recursive: true })])
    throw error
  }
  const startedMs = runtime?.monotonicMs() ?? 0
  return {
    ...plane,
    // The kind decides which double was started.
    provider: double as Plane<K>['provider'],
    ...house.watching(),
    get postern() {
      return house.postern()
    },
    signIn: (login = 'ada', scope) => signIn(plane.resource, double, login, scope),
    call: (caller, asked = {}) =>
      house.during(callTool(asked.resource ?? plane.resource, caller.accessToken, asked)),
    refresh: (caller) => house.during(refresh(caller)),
    during: house.during,
    elapse: house.elapse,
    elapsedMs: () => (runtime?.monotonicMs() ?? 0) - startedMs,
    timers: () => runtime?.timers() ?? 0,
    metric: house.metric,
    metricsText: house.metricsText,
    restart: async () => {
      await house.stop()
      await house.start()
    },
    stop: house.stop,
    start: house.start,
    async close() {
      await house.stop()
      await Promise.all([double.close(), notes.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function startDouble(
  options: PlaneOptions,
  issuer: string,
  runtime: TestRuntime | undefined,
): Promise<Double> {
  const people = options.people ?? PEOPLE
  if (options.provider === 'github') {
    return startGitHubDouble({
      people,
      apps: [{ ...CLIENT, name: 'Postern' }],
      expiringTokens: options.expiringTokens ?? false,
      ...(runtime === undefined ? {} : { nowMs: () => runtime.nowMs() }),
    })
  }
  const redirectUris = [`${issuer}/callback/openid`]
  return startOpenIdDouble({ people, clients: [{ ...CLIENT, redirectUris }] })
}

function providerInput(kind: ProviderKind, double: Double) {
  return kind === 'github'
    ? github({ url: double.origin, apiUrl: double.origin, ...CLIENT })
    : oidc({ id: 'openid', title: 'OpenID', issuer: double.origin, ...CLIENT })
}

/** One Postern that can be stopped and started again on the same folder, port and clock. */
function createHouse(config: PosternConfig, runtime: TestRuntime | undefined, double: Double) {
  let platform: WatchedPlatform | undefined
  let server: RunningServer | undefined
  let postern: Postern | undefined
  const isHanging = (): boolean => double.state() === 'hang' || double.state() === 'slow'
  const settle = async (): Promise<void> => platform?.settle(isHanging)
  return {
    watching: () => ({
      get events() {
        return platform?.events ?? []
      },
      get writes() {
        return platform?.writes ?? {}
      },
    }),
    async start() {
      platform = createWatchedPlatform(runtime)
      postern = createPostern(config, platform)
      server = await serve(postern, { signals: false })
      await settle()
    },
    async stop() {
      await server?.close()
      server = undefined
    },
    async elapse(ms: number, stepMs = STEP_MS): Promise<void> {
      if (runtime === undefined) throw new TypeError('the clock of this plane is the real one')
      for (let left = ms; left > 0; left -= stepMs) {
        runtime.advanceMs(Math.min(left, stepMs))
        await settle()
      }
    },
    async during<T>(work: Promise<T>): Promise<T> {
      if (runtime === undefined) return await work
      let isDone = false
      const done = work.finally(() => {
        isDone = true
      })
      done.catch(() => undefined)
      for (let waitedMs = 0; waitedMs < FAKE_PATIENCE_MS; waitedMs += WAIT_STEP_MS) {
        await settle()
        await Promise.race([done.catch(() => undefined), pause(REAL_PATIENCE_MS)])
        if (isDone) return await done
        runtime.advanceMs(WAIT_STEP_MS)
      }
      throw new Error(`no answer within ${FAKE_PATIENCE_MS} ms of fake time`)
    },
    postern(): Postern {
      if (postern === undefined) throw new Error('the house has not been started')
      return postern
    },
    metricsText: async (): Promise<string> => (await server?.metricsText()) ?? '',
    async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
      const text = (await server?.metricsText()) ?? ''
      return sumOf(text, name, labels)
    },
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function sumOf(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (found?.[1] !== name) continue
    const carried = Object.entries(labels).every(([label, value]) =>
      (found[2] ?? '').includes(`${label}="${value}"`),
    )
    if (carried) sum += Number(found[3])
  }
  return sum
}

async function signIn(
  resource: string,
  double: Double,
  login: string,
  scope: string | undefined,
): Promise<Caller> {
  if ('signIn' in double) double.signIn(login)
  const press = [/^allow/i, new RegExp(`^continue as ${login}`, 'i')]
  const visitor = createVisitor({ press })
  const asked = scope === undefined ? {} : { scope }
  const client = await signInAsClient({
    resource,
    redirectUri: REDIRECT_URI,
    visitor,
    ...asked,
  })
  return { ...client, login }
}

/** MCP 2025-11-25 without a session, as the notes server takes it. */
export async function callTool(
  resource: string,
  accessToken: string,
  { id = 1, tool = 'list_notes' }: CallOptions = {},
): Promise<Answer> {
  const response = await fetch(resource, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${accessToken}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name: tool, arguments: {} },
    }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

async function refresh(
  caller: Caller,
): Promise<{ status: number; body: Readonly<Record<string, unknown>> }> {
  const response = await fetch(caller.tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: caller.refreshToken ?? '',
      client_id: caller.clientId,
    }),
  })
  return { status: response.status, body: { ...((await response.json()) as object) } }
}

/** As `startPlane`, closed when the running test ends. */
export async function openPlane<K extends ProviderKind>(
  options: PlaneOptions<K>,
): Promise<Plane<K>> {
  const plane = await startPlane(options)
  onTestFinished(() => plane.close())
  return plane
}
