/**
 * The second story of the demo: a remote MCP server with an authorization server of its own, and Ada who
 * connects it. Each click goes through Postern's real pages; its time is what Postern's own socket saw,
 * and the remote server's socket counts who was asked meanwhile.
 */
import { type RemoteServer, startRemoteServer } from './doubles/remote-server.ts'
import { createMcpCaller } from './mcp-caller.ts'
import { OLD_CONNECT_USER_AGENT, type OldConnect, startOldConnect } from './old-connect.ts'
import type { Exchange } from './sockets.ts'
import { createVisitor, type ReadingVisitor } from './visitor.ts'

/** The connector's name, and where its pages are. */
export const REMOTE_CONNECTOR = 'remote'
const PAGE = `/connect/${REMOTE_CONNECTOR}`
const DELAY_MS = 500
/** How long somebody would look at a page that does nothing. */
export const PATIENCE_MS = 3_000
const WARM_PATIENCE_MS = 20_000
const WARM_PAUSE_MS = 100
const PRESS = [/^continue as ada/i, /openid$/i, /^allow/i, /^(re)?connect/i, /^continue/i]

export interface Click {
  readonly ms: number
  /** Exchanges at the remote server while Postern answered. */
  readonly remoteCalls: number
}

export interface RemoteStory {
  readonly server: RemoteServer
  /** Ada opens the page and presses the button, up to the redirect to the remote server. */
  click(): Promise<Click>
  /** The same click the old way; `undefined`: no answer within `PATIENCE_MS`. */
  plainClick(): Promise<number | undefined>
  /** The whole trip, then one call of a tool with Ada's own token there. Its status. */
  connect(): Promise<number>
  disconnect(): Promise<void>
  isConnected(): boolean
  kill(): void
  revive(): Promise<void>
  isKilled(): boolean
}

interface Seen {
  readonly issuer: string
  /** Ada's token for the connector's endpoint. */
  readonly accessToken: () => Promise<string>
  exchanges(): readonly Exchange[]
}

/** The server alone: its URL belongs in Postern's configuration. */
export async function startRemote(): Promise<{ server: RemoteServer; old: OldConnect }> {
  const server = await startRemoteServer()
  const old = await startOldConnect(server.origin)
  return { server, old }
}

export function createRemoteStory(
  { server, old }: Awaited<ReturnType<typeof startRemote>>,
  seen: Seen,
): RemoteStory {
  const { issuer } = seen
  const visitor = createVisitor({ press: PRESS })
  let connected = false
  let killed = false
  let signedIn: Promise<void> | undefined
  const at = (path: string): URL => new URL(path, issuer)
  const walk = (): Promise<URL> => visitor.visit(at(PAGE), `${server.issuer}/authorize`)
  const begin = (): Promise<void> => {
    signedIn ??= signIn(visitor, at('/connect'), walk).then(() =>
      server.slow(DELAY_MS, 'back-channel'),
    )
    return signedIn
  }
  const click = async (): Promise<Click> => {
    await begin()
    const fromMs = performance.now()
    await walk()
    const pages = seen
      .exchanges()
      .filter((each) => each.at === 'postern' && each.path === PAGE && each.startedMs >= fromMs)
    const ms = pages.reduce(
      (sum, { startedMs, endedMs = startedMs }) => sum + endedMs - startedMs,
      0,
    )
    const asked = seen
      .exchanges()
      .filter(
        (each) =>
          each.at === 'remote' &&
          each.userAgent !== OLD_CONNECT_USER_AGENT &&
          pages.some(
            ({ startedMs, endedMs = startedMs }) =>
              each.startedMs >= startedMs && each.startedMs <= endedMs,
          ),
      )
    return { ms, remoteCalls: asked.length }
  }
  return {
    server,
    click,
    plainClick: () => old.click(PATIENCE_MS),
    async connect() {
      await begin()
      const page = await visitor.read(at(PAGE), {
        isEnd: ({ pathname }) => pathname === '/connect',
      })
      connected = page.url.searchParams.get('done') === 'connected'
      if (!connected) throw new Error(`not connected: ${page.text}`)
      const token = await seen.accessToken()
      const caller = createMcpCaller(`${issuer}/mcp/${REMOTE_CONNECTOR}`, () => token)
      const { status } = await caller.call({ name: 'list_notes', arguments: {} })
      caller.close()
      return status
    },
    async disconnect() {
      await visitor.read(at('/connect'), {
        press: [/^disconnect$/i],
        isEnd: (url) => url.searchParams.has('done'),
      })
      connected = false
    },
    isConnected: () => connected,
    kill() {
      killed = true
      server.hang('accept')
    },
    async revive() {
      killed = false
      await server.revive()
    },
    isKilled: () => killed,
  }
}

/** Ada's session at Postern, and what Postern learns by itself: discovered and registered before a click. */
async function signIn(visitor: ReadingVisitor, list: URL, walk: () => Promise<URL>): Promise<void> {
  await visitor.read(list, { isEnd: ({ pathname }) => pathname === list.pathname })
  const endMs = performance.now() + WARM_PATIENCE_MS
  for (;;) {
    try {
      await walk()
      return
    } catch (error) {
      if (performance.now() > endMs) throw error
      await new Promise((resolve) => setTimeout(resolve, WARM_PAUSE_MS))
    }
  }
}
