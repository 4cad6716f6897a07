/**
 * The widget's HTTP in one small listener, for what the element does when its server is slow, refuses
 * or is gone: real sockets, CORS for one origin, sessions that end, attempts with a window of its own.
 * What the house itself does is tested with the house (test/browser/widget.test.ts).
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { widgetScript } from '../../src/connectors/embedded/widget-script.ts'

type State = 'none' | 'active' | 'reconnect' | 'unavailable'

interface Row {
  readonly connector: string
  readonly title: string
  readonly description?: string
  readonly host: string
  state: State
  accountLabel?: string
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly retryAfterSeconds?: number
}

export interface WidgetServer {
  readonly origin: string
  readonly rows: Row[]
  /** Calls of the element, `METHOD path`, newest last. */
  readonly calls: string[]
  /** Nonce and attempt of the newest window. */
  readonly last: { nonce: string; attempt: string }
  /** Answers the next calls of this path so. */
  readonly refusals: Map<string, Refusal>
  confirm: 'widget' | 'backend'
  /** What the window does by itself. Default `done`. */
  window: 'done' | 'refused' | 'silent'
  /** No answer leaves until the promise is done. */
  hold: Promise<void> | undefined
  /** A session that the element gets from its page. */
  newSession(): string
  endSessions(): void
  close(): Promise<void>
}

/** @param hostOrigin Of the page with the element: the only one that may call. */
export async function startWidgetServer(hostOrigin: string): Promise<WidgetServer> {
  const sessions = new Set<string>()
  const confirmations = new Map<string, string>()
  const attempts = new Map<string, { connector: string; nonce: string }>()
  let count = 0
  const listener = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`
  const server: WidgetServer = {
    origin,
    rows: [
      { connector: 'notes', title: 'Notes', host: 'notes.example', state: 'none' },
      {
        connector: 'tasks',
        title: 'Tasks',
        description: 'Tickets and boards of your team',
        host: 'tasks.example',
        state: 'active',
        accountLabel: 'ada@tasks.example',
      },
      { connector: 'files', title: 'Files', host: 'files.example', state: 'reconnect' },
      { connector: 'mail', title: 'Mail', host: 'mail.example', state: 'unavailable' },
    ],
    calls: [],
    last: { nonce: '', attempt: '' },
    refusals: new Map(),
    confirm: 'widget',
    window: 'done',
    hold: undefined,
    newSession() {
      count += 1
      sessions.add(`session-${count}`)
      return `session-${count}`
    },
    endSessions: () => sessions.clear(),
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve())
        listener.closeAllConnections()
      }),
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', origin)
    if (url.pathname === '/widget.js') {
      const script = await widgetScript(new Request(url))
      response.writeHead(script.status, Object.fromEntries(script.headers))
      response.end(await script.text())
      return
    }
    if (url.pathname === '/widget/popup') return popup(url, response)
    if (url.pathname === '/widget/end.js') return endScript(url, response)
    if (!url.pathname.startsWith('/widget/')) {
      response.writeHead(404).end()
      return
    }
    if (request.headers.origin !== hostOrigin) {
      response.writeHead(403).end()
      return
    }
    response.setHeader('access-control-allow-origin', hostOrigin)
    response.setHeader('access-control-expose-headers', 'Retry-After')
    if (request.method === 'OPTIONS') {
      response.setHeader('access-control-allow-headers', 'Authorization, Content-Type')
      response.setHeader('access-control-allow-methods', 'GET, POST')
      response.writeHead(204).end()
      return
    }
    server.calls.push(`${request.method} ${url.pathname}`)
    await server.hold
    const session = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const refusal = sessions.has(session)
      ? server.refusals.get(url.pathname)
      : { status: 401, code: 'ERR_CONNECT_SESSION' }
    if (refusal !== undefined) return refuse(response, refusal)
    const body = request.method === 'POST' ? await readBody(request) : {}
    send(response, 200, act(url.pathname, body) ?? { status: 409, code: 'ERR_CONFIRMATION' })
  }

  function act(path: string, body: Readonly<Record<string, string>>): object | undefined {
    if (path === '/widget/connections')
      return { app: 'shop', confirm: server.confirm, expiresAt: '', data: server.rows }
    if (path === '/widget/attempts') {
      count += 1
      const attempt = `attempt-${count}`
      const nonce = body.nonce ?? ''
      attempts.set(attempt, { connector: body.connector ?? '', nonce })
      Object.assign(server.last, { nonce, attempt })
      return { url: `${origin}/widget/popup?handle=${attempt}`, attempt, expiresAt: '' }
    }
    const connector =
      path === '/widget/confirm' ? confirmations.get(body.confirmation ?? '') : body.connector
    const row = server.rows.find((one) => one.connector === connector)
    if (row === undefined) return undefined
    row.state = path === '/widget/confirm' ? 'active' : 'none'
    if (row.state === 'active') row.accountLabel = 'ada@notes.example'
    return { connector, state: row.state, connectionId: 'con_1' }
  }

  function popup(url: URL, response: ServerResponse): void {
    const attempt = url.searchParams.get('handle') ?? ''
    response.setHeader('content-type', 'text/html')
    response.end(
      `<!doctype html><title>Sign in</title><h1>Sign in</h1>${server.window === 'silent' ? '' : `<script src="/widget/end.js?attempt=${attempt}"></script>`}`,
    )
  }

  function endScript(url: URL, response: ServerResponse): void {
    const attempt = url.searchParams.get('attempt') ?? ''
    const { connector, nonce } = attempts.get(attempt) ?? { connector: '', nonce: '' }
    const confirmation = `confirmation-${attempt}`
    confirmations.set(confirmation, connector)
    const message =
      server.window === 'done'
        ? { type: 'postern:done', attempt, nonce, confirmation }
        : { type: 'postern:failed', attempt, nonce, code: 'access_denied' }
    response.setHeader('content-type', 'text/javascript')
    response.end(
      `opener.postMessage(${JSON.stringify(message)}, ${JSON.stringify(hostOrigin)}); close()`,
    )
  }

  return server
}

function refuse(response: ServerResponse, { status, code, retryAfterSeconds }: Refusal): void {
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds)
  send(response, status, { status, code, title: 'Refused', detail: 'It was refused.' })
}

function send(response: ServerResponse, status: number, body: object): void {
  const refused = 'status' in body && typeof body.status === 'number' ? body.status : status
  response.writeHead(refused, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

async function readBody(request: IncomingMessage): Promise<Readonly<Record<string, string>>> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString()) as Readonly<Record<string, string>>
}
