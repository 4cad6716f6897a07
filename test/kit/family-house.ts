/**
 * The whole house for the bad-input families (threats.md section 4): SQLite on disk, the log at debug,
 * every optional door open, a world of functions around it. It asks the four questions of a family:
 * `ask` the first and the third for each answer, `finish` the third and the fourth for the whole run.
 *
 * Whatever `fetch` hands out in honest traffic (cookies, codes, tokens, secrets) is a canary from then on.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { createPostern, openingOf } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import { oauth2, oidc } from '../../src/providers/index.ts'
import {
  answerOf,
  authorizeUrl,
  redeem,
  register,
  type TestHouse,
  type Tokens,
  Visitor,
} from '../flow/sign-in-house.ts'
import { createCanaries } from './canaries.ts'
import {
  createWorld,
  OPENID,
  PLAIN,
  UPSTREAM_CLIENT,
  UPSTREAM_SECRET,
  type World,
} from './family-world.ts'
import { createWatchedPlatform, type SeenEvent } from './platform.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const ISSUER = 'https://auth.example'
export const NOTES = `${ISSUER}/mcp/notes`
export const PROTECTED = 'https://server.example/mcp'
export const CREDENTIAL = 'credential-of-the-server-0123456789'
export const SIGNALS_AUDIENCE = `${ISSUER}/events/okta`
/** Client id and secret of a machine that may use every grant. */
export const MACHINE = { clientId: 'machine', secret: 'secret-of-the-machine-0123456789ab' }
/** Proves itself with assertions of the key of the world. */
export const KEYED = 'keyed'
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'
/** All of a family in one test, on a busy machine. */
vi.setConfig({ testTimeout: 300_000 })
const SECRET_MEMBERS = [
  'access_token',
  'refresh_token',
  'client_secret',
  'registration_access_token',
  'request_uri',
]
/** Public members of `Object.prototype` when no test has run. */
const PROTOTYPE = Object.getOwnPropertyNames(Object.prototype).toSorted().join()

export interface Seen {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The `error` of a JSON answer, or of the query of a redirect. */
  readonly error: string | undefined
  readonly location: string | undefined
  json(): Readonly<Record<string, unknown>>
}

export interface FamilyHouse {
  readonly world: World
  readonly runtime: TestRuntime
  /** For the functions of `sign-in-house.ts`. */
  readonly kit: TestHouse
  readonly events: readonly SeenEvent[]
  /** What was logged so far. */
  log(): string
  /** Honest traffic: what it is given becomes a canary. */
  fetch(request: Request): Promise<Response>
  /**
   * Hostile input: no 5xx, and nothing secret in the answer, at once.
   * @param isRemote The hostile side is a remote answer: then 502 and 503 may say so.
   */
  ask(request: Request, isRemote?: 'remote'): Promise<Seen>
  get(path: string, headers?: HeadersInit): Promise<Seen>
  post(path: string, body: BodyInit, headers?: HeadersInit): Promise<Seen>
  form(path: string, fields: Readonly<Record<string, string>>, headers?: HeadersInit): Promise<Seen>
  /** What `protect()` says of the value of an `Authorization` header. */
  protect(authorization: string): Promise<number>
  /** A sign-in at a provider up to the answer of our callback, which may be a refusal. */
  arrive(
    visitor: Visitor,
    clientId: string,
    provider?: 'openid' | 'plain',
    rest?: Record<string, string>,
  ): Promise<Response>
  /** A whole sign-in of a new browser. */
  tokens(resource?: string): Promise<Tokens & { clientId: string; visitor: Visitor }>
  plant(...secrets: readonly string[]): void
  elapse(ms: number, stepMs?: number): Promise<void>
  /** Questions three and four. Ends the house. */
  finish(): Promise<void>
  /** Ends the house without asking; so does the end of the test. */
  close(): Promise<void>
}

/** @param prepare The world before the house opens and asks it for documents. */
export async function openFamilyHouse(
  options: Partial<PosternConfig> = {},
  prepare: (world: World) => void = () => undefined,
): Promise<FamilyHouse> {
  const runtime = createTestRuntime()
  const world = await createWorld(() => runtime.nowMs())
  prepare(world)
  const folder = await mkdtemp(join(tmpdir(), 'postern-family-'))
  const lines: string[] = []
  const watched = createWatchedPlatform(runtime, { write: (line) => lines.push(line) })
  const platform = {
    ...watched,
    openFetch: () => ({ fetch: world.fetch, send: world.send, close: async () => undefined }),
  }
  const postern = createPostern({ ...configuration(folder, world), ...options }, platform)
  const house = await openingOf(postern)?.open()
  if (house === undefined) throw new Error('not a Postern')
  const settle = (): Promise<void> => watched.settle(() => false)
  await settle()
  const canaries = createCanaries()
  canaries.add(SEALING_KEY, UPSTREAM_SECRET, CREDENTIAL, MACHINE.secret)
  let known = 0
  const plantWorld = (): void => {
    canaries.add(...world.secrets.slice(known))
    known = world.secrets.length
  }
  const fetch = async (request: Request): Promise<Response> => {
    const response = await postern.fetch(request)
    plantWorld()
    await plantAnswer(canaries, response.clone())
    return response
  }
  const kit = { fetch, issuer: ISSUER, runtime } as unknown as TestHouse
  const ask: FamilyHouse['ask'] = async (request, isRemote) => {
    const seen = await seenOf(await postern.fetch(request))
    const isTheirs = isRemote === 'remote' && (seen.status === 502 || seen.status === 503)
    if (seen.status >= 500 && !isTheirs)
      throw new Error(`answer ${seen.status}: ${seen.text.slice(0, 300)}`)
    plantWorld()
    // A browser that brought a form cookie of ours is given it again.
    const headers = [...seen.headers].filter(([name]) => name !== 'set-cookie').join('\n')
    const found = canaries.find(Buffer.from(`${headers}\n${seen.text}`))
    if (found.length > 0) throw new Error(`the answer holds ${found.join(', ')}`)
    return seen
  }
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await postern.close()
    isOpen = false
  }
  onTestFinished(async () => {
    await close()
    await rm(folder, { recursive: true, force: true })
  })
  const url = (path: string): URL => new URL(path, ISSUER)
  const opened: FamilyHouse = {
    world,
    runtime,
    kit,
    events: watched.events,
    log: () => lines.join(''),
    fetch,
    ask,
    get: (path, headers = {}) => ask(new Request(url(path), { headers })),
    post: (path, body, headers = {}) =>
      ask(new Request(url(path), { method: 'POST', body, headers })),
    form: (path, fields, headers = {}) =>
      ask(new Request(url(path), { method: 'POST', body: new URLSearchParams(fields), headers })),
    async protect(authorization) {
      const request = new Request(PROTECTED, { headers: { authorization } })
      const answer = await postern.authenticate(request)
      return 'response' in answer ? answer.response.status : 200
    },
    async arrive(visitor, clientId, provider = 'openid', rest = {}) {
      const page = await visitor.get(authorizeUrl(kit, clientId, { scope: 'mcp', ...rest }))
      const toProvider = await visitor.press(page, `allow:${provider}`)
      const location = new URL(toProvider.headers.get('location') ?? 'about:blank')
      world.nonce = location.searchParams.get('nonce') ?? ''
      return visitor.comeBack(toProvider)
    },
    async tokens(resource = NOTES) {
      const { client_id: clientId } = await register(kit)
      const visitor = new Visitor(kit)
      const { code = '' } = answerOf(await opened.arrive(visitor, clientId, 'openid', { resource }))
      const answer = await redeem(kit, clientId, code)
      if (answer.status !== 200) throw new Error(`token: ${answer.status} ${await answer.text()}`)
      return { ...((await answer.json()) as Tokens), clientId, visitor }
    },
    plant: (...secrets) => canaries.add(...secrets),
    async elapse(ms, stepMs = 1_000) {
      for (let left = ms; left > 0; left -= stepMs) {
        runtime.advanceMs(Math.min(left, stepMs))
        await settle()
      }
    },
    close,
    async finish() {
      // Alive: a new person signs in as ever.
      world.answers.clear()
      Object.assign(world, { claims: {}, person: { name: 'Grace' }, subject: 'grace' })
      await opened.tokens()
      await close()
      const log = lines.join('')
      expectNone('the log', canaries.find(Buffer.from(log)))
      if (!log.includes('"level"')) throw new Error('nothing was logged, so nothing was searched')
      for (const name of await readdir(folder))
        expectNone(name, canaries.find(await readFile(join(folder, name))))
      const failed = watched.events.filter(({ type }) => type === 'server.failed')
      if (failed.length > 0) throw new Error(`failed: ${JSON.stringify(failed.slice(0, 3))}`)
      if (Object.getOwnPropertyNames(Object.prototype).toSorted().join() !== PROTOTYPE)
        throw new Error('Object.prototype has other members now')
    },
  }
  return opened
}

function expectNone(place: string, found: readonly string[]): void {
  if (found.length > 0) throw new Error(`${place} holds ${found.slice(0, 5).join(', ')}`)
}

async function seenOf(response: Response): Promise<Seen> {
  const text = await response.text()
  const location = response.headers.get('location') ?? undefined
  const json = (): Readonly<Record<string, unknown>> => JSON.parse(text) as Record<string, unknown>
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== ''
  const said = isJson
    ? json()['error']
    : location === undefined
      ? undefined
      : (URL.parse(location, ISSUER)?.searchParams.get('error') ?? undefined)
  const error = typeof said === 'string' ? said : undefined
  return { status: response.status, headers: response.headers, text, error, location, json }
}

async function plantAnswer(
  canaries: ReturnType<typeof createCanaries>,
  response: Response,
): Promise<void> {
  for (const line of response.headers.getSetCookie())
    canaries.plant('cookie', /^[^=]+=([^;]*)/.exec(line)?.[1])
  const location = URL.parse(response.headers.get('location') ?? '')
  for (const name of ['code', 'state', 'nonce']) {
    // Ours only: the `state` of a client is its own text.
    const isOurs = name === 'code' || (location?.origin ?? '') !== 'https://client.example'
    if (isOurs) canaries.plant(name, location?.searchParams.get(name))
  }
  const text = await response.text()
  canaries.plant('ticket', /name="ticket" value="([^"]+)"/.exec(text)?.[1])
  if (!text.startsWith('{')) return
  const body = JSON.parse(text) as Record<string, unknown>
  for (const name of SECRET_MEMBERS) {
    const value = body[name]
    if (typeof value === 'string') canaries.plant(name, value)
  }
}

/** Every optional door open. */
export function configuration(folder: string, world: World): PosternConfig {
  const grants = [
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
  ] as const
  const credentials = { clientId: UPSTREAM_CLIENT, clientSecret: UPSTREAM_SECRET }
  return {
    issuer: ISSUER,
    databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
    sealingKey: SEALING_KEY,
    allow: 'anyone',
    enable: [
      'token-exchange',
      'client-credentials',
      'id-jag',
      'dpop',
      'pushed-requests',
      'shared-signals',
    ],
    providers: [
      oidc({ id: 'openid', title: 'OpenID', issuer: OPENID, ...credentials }),
      oauth2({
        id: 'plain',
        title: 'Plain',
        issuer: PLAIN,
        authorizationUrl: `${PLAIN}/authorize`,
        tokenUrl: `${PLAIN}/token`,
        userinfoUrl: `${PLAIN}/userinfo`,
        introspectionUrl: `${PLAIN}/introspect`,
        ...credentials,
      }),
    ],
    connectors: {
      notes: { url: 'https://notes.example/mcp' },
      scoped: {
        url: 'https://scoped.example/mcp',
        scopes: { 'notes:write': { title: 'Write notes', tools: ['create_*'] } },
      },
    },
    resources: [{ url: PROTECTED, credential: CREDENTIAL }],
    clients: {
      portal: { redirectUris: ['https://client.example/cb'] },
      [KEYED]: { redirectUris: ['https://client.example/cb'], jwks: { keys: [world.jwk] }, grants },
      [MACHINE.clientId]: {
        secret: MACHINE.secret,
        redirectUris: ['https://client.example/cb'],
        grants,
        exchange: { resource: NOTES, resources: [PROTECTED] },
      },
    },
    signals: { okta: { issuer: OPENID, audience: SIGNALS_AUDIENCE } },
    assertionIssuers: [{ issuer: OPENID }],
    limits: { registrationsPerMinuteMax: 100_000, refusalsPerSecondMax: 1_000_000 },
    log: { level: 'debug', format: 'json' },
  }
}
