/**
 * A product that embeds Connect, over plain HTTP, wherever the house runs: its backend with API keys, its
 * page with a connect session, and a browser that goes to the server and back. The server behind asks
 * nobody, so a trip is a few requests.
 */

/** As `fetch`, of a whole URL of the house. */
export type Send = (url: string, init?: RequestInit) => Promise<Response>
export type Json = Readonly<Record<string, unknown>>

export interface ProductPlace {
  readonly issuer: string
  readonly send: Send
  /** Of the role `manage`. */
  readonly adminKey: string
  readonly app: string
  readonly origin: string
  readonly returnUrl: string
}

export interface Reply {
  readonly status: number
  readonly body: Json
}

export interface Product {
  /** A call of `/api/v1`; `key`: default the administrator's. */
  api(method: string, path: string, body?: Json, key?: string): Promise<Reply>
  /** A call of the element in the product's page. */
  widget(method: 'GET' | 'POST', path: string, session: string, body?: Json): Promise<Reply>
  /** Up to the confirmation: by the element's popup, or by the backend's link. */
  popup(session: string, connector: string): Promise<Trip>
  start(user: string, connector: string): Promise<Trip>
  session(user: string): Promise<string>
  /** A key that takes tokens out. */
  tokensKey(): Promise<string>
  /** All of it by the backend: an account linked for good. */
  connect(user: string, connector: string): Promise<{ readonly id: string }>
}

export interface Trip {
  /** `con_...`: of the connection to come. */
  readonly attempt: string
  readonly confirmation: string
}

const NONCE = 'nonce-of-the-element-0123456789'

export function createProduct(place: ProductPlace): Product {
  const { issuer, send, adminKey, app, origin, returnUrl } = place
  const call = async (path: string, init: RequestInit): Promise<Reply> => {
    const answer = await send(issuer + path, init)
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Json) }
  }
  const json = (method: string, headers: Record<string, string>, body?: Json): RequestInit => ({
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const product: Product = {
    api: (method, path, body, key = adminKey) =>
      call(`/api/v1${path}`, json(method, { authorization: `Bearer ${key}` }, body)),
    widget: (method, path, session, body) =>
      call(`/widget/${path}`, json(method, { authorization: `Bearer ${session}`, origin }, body)),
    async popup(session, connector) {
      const begun = await product.widget('POST', 'attempts', session, { connector, nonce: NONCE })
      if (begun.status !== 201) throw new Error(`attempts: ${JSON.stringify(begun)}`)
      const page = await travel(String(begun.body['url']))
      const html = await page.text()
      const said = Object.fromEntries(
        [...html.matchAll(/data-([a-z-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
      )
      if (said['nonce'] !== NONCE || said['confirmation'] === undefined)
        throw new Error(`the end page: ${page.status} ${html}`)
      return { attempt: said['attempt'] ?? '', confirmation: said['confirmation'] }
    },
    async start(user, connector) {
      const begun = await product.api('POST', '/connections/start', {
        ...{ app, user, connector, returnUrl },
      })
      if (begun.status !== 201) throw new Error(`start: ${JSON.stringify(begun)}`)
      const away = (await travel(String(begun.body['url']))).headers.get('location') ?? ''
      const told = new URLSearchParams(new URL(away).hash.slice(1))
      return {
        attempt: told.get('attempt') ?? '',
        confirmation: told.get('postern-confirmation') ?? '',
      }
    },
    async session(user) {
      const made = await product.api('POST', '/connect-sessions', { app, user, origin, returnUrl })
      if (made.status !== 201) throw new Error(`session: ${JSON.stringify(made)}`)
      return String(made.body['token'])
    },
    async tokensKey() {
      const made = await product.api('POST', '/api-keys', { role: 'tokens', app })
      if (made.status !== 201) throw new Error(`key: ${JSON.stringify(made)}`)
      return String(made.body['key'])
    },
    async connect(user, connector) {
      const { attempt, confirmation } = await product.start(user, connector)
      const done = await product.api('POST', `/connections/${attempt}/confirm`, {
        ...{ app, user, confirmation },
      })
      if (done.status !== 200) throw new Error(`confirm: ${JSON.stringify(done)}`)
      return { id: attempt }
    },
  }

  /** A browser of its own: our page, its button, the server, back, and where that leads. */
  async function travel(url: string): Promise<Response> {
    const cookies = new Map<string, string>()
    const visit = async (at: string, init: RequestInit = {}): Promise<Response> => {
      const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
      const headers = { accept: 'text/html', ...(init.headers as object), cookie }
      const answer = await send(new URL(at, issuer).href, { ...init, headers, redirect: 'manual' })
      for (const line of answer.headers.getSetCookie()) {
        const [name = '', ...value] = (line.split(';')[0] ?? '').split('=')
        cookies.set(name, value.join('='))
      }
      return answer
    }
    const html = await (await visit(url)).text()
    const ticket = /name="ticket" value="([^"]+)"/.exec(html)?.[1]
    if (ticket === undefined) throw new Error(`no form in this page:\n${html.slice(0, 500)}`)
    const away = await visit(`${issuer}/widget/popup`, {
      method: 'POST',
      headers: { origin: new URL(issuer).origin, 'sec-fetch-site': 'same-origin' },
      body: new URLSearchParams({ ticket, decision: 'connect' }),
    })
    const server = away.headers.get('location') ?? ''
    const back = await fetch(server, { redirect: 'manual' })
    let answer = await visit(back.headers.get('location') ?? '')
    const { origin: here } = new URL(issuer)
    const own = (location: string): boolean => new URL(location, issuer).origin === here
    const next = answer.headers.get('location')
    if (next !== null && own(next)) answer = await visit(next)
    return answer
  }
  return product
}
