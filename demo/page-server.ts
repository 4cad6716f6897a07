/**
 * The page and its data on Postern's own port, below `/demo`. Only this page may press the switches:
 * a POST needs the right `Host` and our own `Origin`.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Live } from './live.ts'
import { PROVIDERS } from './registrations.ts'
import type { Stage } from './stage.ts'

const BODY_MAX_BYTES = 1_024
const DELAY_MAX_MS = 5_000
const LISTENERS_MAX = 16
const STATE_EVERY_MS = 500

const FILES: Readonly<Record<string, { readonly type: string; readonly file: string }>> = {
  '/demo': { type: 'text/html; charset=utf-8', file: 'index.html' },
  '/demo/page.css': { type: 'text/css; charset=utf-8', file: 'page.css' },
  '/demo/page.js': { type: 'text/javascript; charset=utf-8', file: 'page.js' },
}
const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

export interface PageServer {
  /** True when the request was for the page. */
  intercept(request: IncomingMessage, response: ServerResponse): boolean
  /** From here on there is something to show. */
  open(stage: Stage, live: Live): void
  /** Ends the event streams. */
  close(): void
}

interface Opened {
  readonly stage: Stage
  readonly live: Live
}

export function createPageServer(): PageServer {
  let opened: Opened | undefined
  const streams = new Set<ServerResponse>()
  const answer = async (
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): Promise<void> => {
    if (opened === undefined) return send(response, 503, 'The demo is still starting.')
    const { stage } = opened
    const home = new URL(stage.issuer)
    if (request.headers.host !== home.host) {
      // The page under another name of this machine has other cookies and another origin.
      response.writeHead(302, { location: `${stage.issuer}/demo` }).end()
      return
    }
    if (request.method === 'POST') return await press(request, response, path, opened)
    if (request.method !== 'GET') return send(response, 405, 'GET or POST')
    const file = FILES[path]
    if (file !== undefined) {
      const text = readFileSync(new URL(`page/${file.file}`, import.meta.url), 'utf8')
      return send(response, 200, text, file.type)
    }
    if (path === '/demo/events') return stream(response, opened, streams)
    if (path === '/demo/compare.json') {
      return send(response, 200, JSON.stringify(stateOf(opened), null, 2), 'application/json')
    }
    if (path === '/demo/metrics') {
      return send(response, 200, await stage.metricsText(), 'text/plain; version=0.0.4')
    }
    return send(response, 404, `There is no ${path}; the page is /demo.`)
  }
  return {
    intercept(request, response) {
      const path = (request.url ?? '/').replace(/\?.*$/s, '')
      if (path !== '/demo' && !path.startsWith('/demo/')) return false
      answer(request, response, path).catch(() => {
        if (response.headersSent) response.destroy()
        else send(response, 500, 'The demo made a mistake.')
      })
      return true
    },
    open(stage, live) {
      opened = { stage, live }
    },
    close() {
      for (const response of streams) response.end()
    },
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    ...SECURITY_HEADERS,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** What the page shows beyond the calls. */
function stateOf({ stage, live }: Opened) {
  const servers = [`${stage.issuer}/mcp/notes`]
  const python = stage.python.state()
  if (python.state === 'ready') servers.push(`${stage.issuer}/mcp/python`)
  return {
    ...live.state(),
    command: `claude mcp add --transport http demo ${stage.issuer}/mcp/notes`,
    servers,
    python,
  }
}

function stream(response: ServerResponse, opened: Opened, streams: Set<ServerResponse>): void {
  if (streams.size >= LISTENERS_MAX) {
    send(response, 503, 'Too many open pages.')
    return
  }
  const { live } = opened
  response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': 'text/event-stream' })
  const write = (event: string, data: unknown): void => {
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }
  const writeState = (): void => write('state', stateOf(opened))
  for (const call of live.calls()) write('call', call)
  writeState()
  const stop = live.listen({ onCall: (call) => write('call', call), onState: writeState })
  const timer = setInterval(writeState, STATE_EVERY_MS)
  timer.unref()
  streams.add(response)
  response.on('close', () => {
    clearInterval(timer)
    streams.delete(response)
    stop()
  })
}

async function press(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  { stage, live }: Opened,
): Promise<void> {
  if (request.headers.origin !== stage.issuer) return send(response, 403, 'Only the page may.')
  const body = await readJson(request)
  const switches: Readonly<Record<string, () => Promise<void> | void>> = {
    '/demo/delay': () => {
      const { delayMs } = body
      const isDelay = Number.isInteger(delayMs) && Number(delayMs) >= 0
      if (isDelay) live.setDelay(Math.min(Number(delayMs), DELAY_MAX_MS))
    },
    '/demo/provider': () => {
      const provider = PROVIDERS.find((name) => name === body.provider)
      if (provider !== undefined) live.use(provider)
    },
    '/demo/kill': () => live.kill(),
    '/demo/revive': () => live.revive(),
    '/demo/revoke': () => live.revoke(),
    '/demo/sign-in': () => live.signIn(),
    '/demo/remote/connect': () => live.remote.connect(),
    '/demo/remote/disconnect': () => live.remote.disconnect(),
    '/demo/remote/kill': () => live.remote.kill(),
    '/demo/remote/revive': () => live.remote.revive(),
  }
  const run = switches[path]
  if (run === undefined) return send(response, 404, `There is no ${path}.`)
  await run()
  response.writeHead(204, SECURITY_HEADERS).end()
}

/** An empty object for everything that is not a small JSON object. */
async function readJson(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > BODY_MAX_BYTES) return {}
  }
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
