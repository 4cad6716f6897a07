/**
 * Everything the demo runs, on the loopback and for this run only: two providers that can be slowed
 * and killed, the MCP servers, Postern in front of them, the old way, and Ada signed in to both.
 *
 * State lives in a temporary folder; `close` ends what was started and removes it.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPostern } from '../src/app.ts'
import type { PosternConfig } from '../src/config.ts'
import { node } from '../src/node/index.ts'
import { type RunningServer, serve } from '../src/node/server.ts'
import { github, oidc } from '../src/providers/index.ts'
import { type Lane, providerExchanges, type Server } from './comparison.ts'
import { type GitHubDouble, startGitHubDouble } from './doubles/github.ts'
import { OPENID_PATHS, type OpenIdDouble, startOpenIdDouble } from './doubles/openid.ts'
import { callPython, createLanes, startOldWays, tokenFor } from './lanes.ts'
import type { CallResult, McpCaller, ToolCall } from './mcp-caller.ts'
import { type PythonServer, startPythonServer } from './python-server.ts'
import {
  GITHUB_APP,
  GITHUB_OLD_WAY,
  OPENID_CLIENT,
  OPENID_OLD_WAY,
  type ProviderName,
  REDIRECT_URI,
  TITLES,
} from './registrations.ts'
import { createRemoteStory, REMOTE_CONNECTOR, type RemoteStory, startRemote } from './remote.ts'
import { type NotesServer, startNotesServer } from './servers/notes.ts'
import { type Sockets, watchSockets } from './sockets.ts'

export const DEFAULT_PORT = 8414
/** Where a program proves a sign-in, or makes one. */
const PROOF_PATHS: readonly string[] = [
  OPENID_PATHS.userinfo,
  OPENID_PATHS.token,
  '/user',
  '/login/oauth/access_token',
]
export interface Stage {
  readonly issuer: string
  /** Set when the wanted port was taken. */
  readonly portNote?: string
  readonly tool: ToolCall
  readonly sockets: Sockets<Server>
  readonly python: PythonServer
  /** The bound that is really configured. */
  readonly revocationBoundSeconds: number
  lanes(provider: ProviderName): Readonly<Record<Lane, McpCaller>>
  /** Ada, at this provider, through Postern and the old way. */
  signIn(provider: ProviderName): Promise<void>
  /** A call to the Python server through Postern, with a sign-in of its own. */
  callPython(): Promise<CallResult>
  /** Connecting a remote server. */
  readonly remote: RemoteStory
  /** Age of the last answer that Postern's proof of Ada's sign-in rests on. */
  proofAgeSeconds(provider: ProviderName): number | undefined
  delayMs(): number
  /** Each answer of both providers to a program. Pages for people stay as fast as they are. */
  slow(delayMs: number): void
  kill(): Promise<void>
  revive(): Promise<void>
  revoke(provider: ProviderName): void
  metricsText(): Promise<string>
  close(): Promise<void>
}

export interface StageOptions {
  /** Absent: 8414, or any free one when that is taken. */
  readonly port?: number
  readonly limits?: PosternConfig['limits']
  /** Sees every request to Postern's port first. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
  /** May fetch FastMCP when Python is there and FastMCP is not. */
  readonly installsPython: 'before' | 'behind' | 'never'
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    return await build(options, closers, close)
  } catch (error) {
    await close()
    throw error
  }
}

type Closers = (() => Promise<unknown>)[]

async function build(
  options: StageOptions,
  closers: Closers,
  close: () => Promise<void>,
): Promise<Stage> {
  const sockets = watchSockets<Server>()
  closers.push(async () => sockets.close())
  const { port, note: portNote } = await choosePort(options.port)
  const issuer = `http://127.0.0.1:${port}`
  const servers = await startServers(issuer, options, closers)
  const { openid, gitHub, notes, python, remote } = servers
  const postern = await startPostern({ ...servers, options, issuer, port }, closers)
  sockets.watch('openid', openid.port)
  sockets.watch('github', gitHub.port)
  sockets.watch('notes', Number(new URL(notes.url).port))
  sockets.watch('postern', port)
  sockets.watch('remote', remote.server.port)
  const oldWays = await startOldWays(new URL(notes.url), openid, gitHub)
  closers.push(...Object.values(oldWays).map((oldWay) => () => oldWay.close()))
  const lanes = createLanes({ issuer, notesUrl: notes.url, oldWays })
  closers.push(async () => lanes.close())
  return {
    issuer,
    ...(portNote === undefined ? {} : { portNote }),
    tool: { name: 'list_notes', arguments: {} },
    sockets,
    python,
    revocationBoundSeconds: postern.config.limits.upstreamProofStaleSeconds,
    lanes: lanes.of,
    signIn: lanes.signIn,
    callPython: () => callPython(issuer),
    remote: createRemoteStory(remote, {
      issuer,
      accessToken: () => tokenFor(issuer, REMOTE_CONNECTOR),
      exchanges: () => sockets.exchanges(),
    }),
    proofAgeSeconds: (name) => proofAgeSeconds(sockets, name),
    ...providerSwitches(openid, gitHub),
    metricsText: () => postern.metricsText(),
    close,
  }
}

interface Servers {
  readonly openid: OpenIdDouble
  readonly gitHub: GitHubDouble
  readonly notes: NotesServer
  readonly python: PythonServer
  readonly remote: Awaited<ReturnType<typeof startRemote>>
}

/** Everything around Postern. Each that has started is closed, whatever happens to the next. */
async function startServers(
  issuer: string,
  options: StageOptions,
  closers: Closers,
): Promise<Servers> {
  const openid = await startOpenIdDouble({
    clients: [
      { ...OPENID_CLIENT, redirectUris: [`${issuer}/callback/openid`], name: 'Postern' },
      { ...OPENID_OLD_WAY, redirectUris: [REDIRECT_URI], name: 'Old way' },
    ],
  })
  closers.push(() => openid.close())
  const gitHub = await startGitHubDouble({ apps: [GITHUB_APP, GITHUB_OLD_WAY] })
  closers.push(() => gitHub.close())
  const identity = { jwksUrl: `${issuer}/.well-known/jwks.json`, issuer }
  const notes = await startNotesServer({ identity })
  closers.push(() => notes.close())
  const remote = await startRemote()
  closers.push(
    () => remote.old.close(),
    () => remote.server.close(),
  )
  const python = await startPythonServer({ issuer, install: options.installsPython })
  closers.push(() => python.close())
  return { openid, gitHub, notes, python, remote }
}

/** Both providers share a fate, so that a switch means the same for whichever is shown. */
function providerSwitches(
  openid: OpenIdDouble,
  gitHub: GitHubDouble,
): Pick<Stage, 'delayMs' | 'slow' | 'kill' | 'revive' | 'revoke'> {
  const doubles: Readonly<Record<ProviderName, OpenIdDouble | GitHubDouble>> = {
    openid,
    github: gitHub,
  }
  return {
    delayMs: () => openid.delayMs(),
    slow(delayMs) {
      for (const double of Object.values(doubles)) double.slow(delayMs, 'back-channel')
    },
    async kill() {
      for (const double of Object.values(doubles)) await double.kill()
    },
    async revive() {
      for (const double of Object.values(doubles)) await double.revive()
    },
    revoke: (name) => void doubles[name].revoke('ada'),
  }
}

/** The port asked for, or 8414, or a free one with a note. */
async function choosePort(wanted: number | undefined): Promise<{ port: number; note?: string }> {
  if (wanted !== undefined && wanted !== 0) {
    if ((await listenOnce(wanted)) !== undefined) return { port: wanted }
    throw new Error(
      `port ${wanted} is taken by another program. Leave --port out to take a free one.`,
    )
  }
  const free = wanted === undefined ? await listenOnce(DEFAULT_PORT) : undefined
  if (free !== undefined) return { port: free }
  const port = await listenOnce(0)
  if (port === undefined) throw new Error('no port is free on 127.0.0.1')
  const note = `port ${DEFAULT_PORT} is taken by another program; this demo is on ${port}`
  return wanted === undefined ? { port, note } : { port }
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const { port: given } = server.address() as AddressInfo
      server.close(() => resolve(given))
    })
  })
}

async function startPostern(
  parts: Servers & {
    readonly options: StageOptions
    readonly issuer: string
    readonly port: number
  },
  closers: Closers,
): Promise<RunningServer> {
  const { options, issuer, port, openid, gitHub, notes, python, remote } = parts
  const folder = await mkdtemp(join(tmpdir(), 'postern-demo-'))
  closers.push(() => rm(folder, { recursive: true, force: true }))
  const config: PosternConfig = {
    issuer,
    listen: { port, metricsPort: 0 },
    databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
    providers: [
      oidc({ id: 'openid', title: TITLES.openid, issuer: openid.issuer, ...OPENID_CLIENT }),
      github({
        title: TITLES.github,
        url: gitHub.url,
        apiUrl: gitHub.apiUrl,
        clientId: GITHUB_APP.clientId,
        clientSecret: GITHUB_APP.clientSecret,
      }),
    ],
    connectors: {
      notes: { url: notes.url, title: 'Notes (TypeScript)' },
      [REMOTE_CONNECTOR]: { url: remote.server.url, auth: 'oauth', title: 'Remote notes' },
      ...(python.url === undefined
        ? {}
        : {
            python: {
              url: python.url,
              title: 'Python (FastMCP)',
              claims: ['name', 'email', 'login'],
            },
          }),
    },
    log: { level: 'error' },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  }
  // The visitor's own POSTERN_* settings are for their own house, not for this one.
  const postern = createPostern(config, node({ environment: {} }))
  const server = await serve(postern, {
    signals: false,
    ...(options.intercept === undefined ? {} : { intercept: options.intercept }),
  })
  closers.push(() => server.close())
  return server
}

function proofAgeSeconds(sockets: Sockets<Server>, provider: ProviderName): number | undefined {
  const last = providerExchanges(sockets, provider, 'postern').findLast(
    ({ path, status }) => PROOF_PATHS.includes(path) && (status === 200 || status === 304),
  )
  return last?.endedMs === undefined ? undefined : (performance.now() - last.endedMs) / 1_000
}
