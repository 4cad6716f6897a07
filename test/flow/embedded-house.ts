/**
 * Nodes of a house that embeds Connect in two products, on one SQLite file and one fake clock, with a
 * real remote server behind real sockets; and browsers that keep cookies and follow nothing by
 * themselves. A product's page is played by calls with its session and its `Origin`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import {
  type RemoteServer,
  type RemoteServerOptions,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import type { AppInput } from '../../src/config.ts'
import { createWatchedPlatform, type WatchedPlatform } from '../kit/platform.ts'
import { createTestRuntime, type TestRuntime } from '../kit/runtime.ts'
import { ticketOf } from './sign-in-house.ts'

export const ISSUER = 'https://auth.example'
export const SHOP = 'https://shop.example'
export const SHOP_RETURN = 'https://shop.example/settings'
export const DESK = 'https://desk.example'
export const NONCE = 'nonce-of-the-element-0123456789'
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

export interface EmbeddedNode {
  readonly postern: Postern
  readonly platform: WatchedPlatform
  writes(): number
}

export interface EmbeddedHouse {
  /** Of the database. */
  readonly folder: string
  readonly runtime: TestRuntime
  readonly remote: RemoteServer
  /** The first one. */
  readonly node: EmbeddedNode
  /** One more on the same store; its connectors are found. */
  addNode(apps?: EmbeddedOptions['apps']): Promise<EmbeddedNode>
  settle(): Promise<void>
  elapse(ms: number): Promise<void>
}

export interface EmbeddedOptions {
  readonly remote?: RemoteServerOptions
  readonly apps?: Readonly<Record<string, AppInput>>
  /** Fields of the connector `notes`. */
  readonly notes?: object
}

export const APPS: Readonly<Record<string, AppInput>> = {
  shop: { origins: [SHOP, 'http://localhost:5173'], returnUrls: [SHOP_RETURN] },
  desk: { origins: [DESK], returnUrls: [`${DESK}/done`], confirm: 'backend' },
}

export async function openEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedHouse> {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const remote = await startRemoteServer({ nowMs: () => runtime.nowMs(), ...options.remote })
  const folder = await mkdtemp(join(tmpdir(), 'postern-embedded-'))
  const nodes: EmbeddedNode[] = []
  onTestFinished(async () => {
    for (const { postern } of nodes) await postern.close()
    await remote.close()
    await rm(folder, { recursive: true, force: true })
  })
  const addNode = async (apps = options.apps ?? APPS): Promise<EmbeddedNode> => {
    const platform = createWatchedPlatform(runtime)
    const postern = createPostern(
      {
        issuer: ISSUER,
        databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
        sealingKey: SEALING_KEY,
        connectors: {
          notes: { url: remote.url, auth: 'oauth', ...options.notes },
          finance: {
            url: `${remote.origin}/finance`,
            auth: 'oauth',
            allow: { emails: ['cfo@corp.example'] },
          },
          off: { url: `${remote.origin}/off`, auth: 'oauth', enabled: false },
          plain: { url: `${remote.origin}/plain` },
        },
        apps,
      },
      platform,
    )
    const node: EmbeddedNode = {
      postern,
      platform,
      writes: () => Object.values(platform.writes).reduce((sum, count) => sum + count, 0),
    }
    nodes.push(node)
    await postern.ready()
    await postern.connectors.discover('notes')
    await platform.settle(() => false)
    return node
  }
  const settle = async (): Promise<void> => {
    for (const { platform } of nodes) await platform.settle(() => remote.state() === 'hang')
  }
  return {
    folder,
    runtime,
    remote,
    node: await addNode(),
    addNode,
    settle,
    async elapse(ms) {
      await settle()
      runtime.advanceMs(ms)
      await settle()
    },
  }
}

/** One browser, that may ask any node. */
export class Browser {
  readonly cookies = new Map<string, string>()
  readonly #extra: Readonly<Record<string, string>>

  constructor(headers: Readonly<Record<string, string>> = {}) {
    this.#extra = headers
  }

  get({ postern }: EmbeddedNode, url: string | URL, headers = {}): Promise<Response> {
    const navigation = {
      accept: 'text/html',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      'sec-fetch-site': 'cross-site',
    }
    return this.#send(postern, new URL(url, ISSUER), {
      headers: { ...navigation, ...this.#extra, ...headers },
    })
  }

  post(
    { postern }: EmbeddedNode,
    url: string,
    form: Record<string, string>,
    headers = {},
  ): Promise<Response> {
    const own = { 'sec-fetch-site': 'same-origin', origin: ISSUER, ...this.#extra }
    return this.#send(postern, new URL(url, ISSUER), {
      method: 'POST',
      body: new URLSearchParams(form),
      headers: { ...own, ...headers },
    })
  }

  async #send(postern: Postern, url: URL, init: RequestInit): Promise<Response> {
    const request = new Request(url, init)
    const own = [...this.cookies].map((pair) => pair.join('=')).join('; ')
    const given = request.headers.get('cookie')
    if (own !== '' || given !== null)
      request.headers.set('cookie', [given, own].filter((part) => part).join('; '))
    const response = await postern.fetch(request)
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split('; ')
      const [name = '', value = ''] = pair.split('=')
      if (attributes.includes('Max-Age=0')) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return response
  }
}

export interface WidgetReply {
  readonly status: number
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
}

/** A call of the element. */
export async function call(
  { postern }: EmbeddedNode,
  method: 'GET' | 'POST' | 'OPTIONS',
  name: string,
  {
    token,
    origin = SHOP,
    body,
  }: { readonly token?: string; readonly origin?: string | null; readonly body?: unknown } = {},
): Promise<WidgetReply> {
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(origin === null ? {} : { origin }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  }
  const request = new Request(`${ISSUER}/widget/${name}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const response = await postern.fetch(request)
  const text = await response.text()
  const parsed = text === '' ? {} : (JSON.parse(text) as WidgetReply['body'])
  return { status: response.status, headers: response.headers, body: parsed }
}

export async function session(
  { postern }: EmbeddedNode,
  user = 'ada',
  rest: object = {},
): Promise<string> {
  const input = { app: 'shop', user, origin: SHOP, ...rest }
  return (await postern.createConnectSession(input)).token
}

export interface Started {
  readonly url: string
  readonly attempt: string
}

export async function start(node: EmbeddedNode, token: string, nonce = NONCE): Promise<Started> {
  const { status, body } = await call(node, 'POST', 'attempts', {
    token,
    body: { connector: 'notes', nonce },
  })
  if (status !== 201) throw new Error(`attempt: ${status} ${JSON.stringify(body)}`)
  return { url: String(body['url']), attempt: String(body['attempt']) }
}

/** Reads the popup's page and presses a button; `location` of the answer. */
export async function press(
  node: EmbeddedNode,
  browser: Browser,
  url: string,
  decision = 'connect',
): Promise<Response> {
  const page = await browser.get(node, url)
  const text = await page.text()
  if (page.status !== 200) throw new Error(`popup: ${page.status} ${text}`)
  return browser.post(node, '/widget/popup', { ticket: ticketOf(text), decision })
}

/** The person signs in at the remote server; where it sends the browser back to. */
export function allow(away: Response | string): Promise<URL> {
  const location = typeof away === 'string' ? away : (away.headers.get('location') ?? '')
  return createVisitor({ press: [/^sign in/i, /^allow/i] }).visit(
    new URL(location),
    `${ISSUER}/connect/notes/callback`,
  )
}

export interface Ended {
  readonly page: Response
  /** What the end page's script reads. */
  readonly said: Readonly<Record<string, string>>
}

/** Comes back, follows to the end page. */
export async function comeBack(
  node: EmbeddedNode,
  browser: Browser,
  callback: URL,
): Promise<Ended> {
  const answer = await browser.get(node, callback)
  const location = answer.headers.get('location')
  if (location === null) throw new Error(`callback: ${answer.status} ${await answer.text()}`)
  return readEnd(await browser.get(node, location))
}

export async function readEnd(page: Response): Promise<Ended> {
  const html = await page.clone().text()
  const script = /<script ([^>]*)>/.exec(html)?.[1] ?? ''
  const said = Object.fromEntries(
    [...script.matchAll(/data-([a-z-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [
      name,
      value.replaceAll('&amp;', '&'),
    ]),
  )
  return { page, said }
}

/** The whole way to a confirmation, in one browser. */
export async function toConfirmation(
  node: EmbeddedNode,
  token: string,
  browser = new Browser(),
): Promise<{ readonly confirmation: string; readonly attempt: string }> {
  const { url, attempt } = await start(node, token)
  const { said } = await comeBack(node, browser, await allow(await press(node, browser, url)))
  const confirmation = said['confirmation']
  if (confirmation === undefined) throw new Error(`no confirmation: ${JSON.stringify(said)}`)
  return { confirmation, attempt }
}

export function confirm(
  node: EmbeddedNode,
  token: string,
  confirmation: string,
  origin = SHOP,
): Promise<WidgetReply> {
  return call(node, 'POST', 'confirm', { token, origin, body: { confirmation } })
}
