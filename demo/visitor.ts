/**
 * A person with a browser, played over HTTP: follows redirects, keeps cookies, fills the forms it is
 * shown and presses the wanted button, until it would open the client's callback.
 *
 * Sign-ins of the demo go through real pages of real servers; nothing here knows a shortcut.
 */

const STEPS_MAX = 30
const PAGE_TIMEOUT_MS = 20_000

export interface Visitor {
  /** Opens `url` and plays on until a redirect leads to `redirectUri`; returns that URL unopened. */
  visit(url: URL, redirectUri: string): Promise<URL>
}

/** A visitor who also reads where it ends. */
export interface ReadingVisitor extends Visitor {
  /**
   * Opens `url` and plays on to a page that refuses (4xx, 5xx), that has nothing to press, or whose
   * address `isEnd` says is the last; returns that page.
   *
   * @param options.press In the place of the visitor's own buttons, on this walk.
   */
  read(
    url: URL,
    options?: { readonly isEnd?: (url: URL) => boolean; readonly press?: readonly RegExp[] },
  ): Promise<VisitedPage>
  /** The `Cookie` line of this browser's next request there. */
  cookiesFor(url: URL): string
}

/** Where a visit stopped. */
export interface VisitedPage {
  readonly url: URL
  readonly status: number
  readonly html: string
  /** What a person can read of it. */
  readonly text: string
}

export interface VisitorOptions {
  /** What is typed into fields of these names. Default none. */
  readonly fields?: Readonly<Record<string, string>>
  /** Labels of buttons to press, most wanted first. */
  readonly press: readonly RegExp[]
}

export function createVisitor(options: VisitorOptions): ReadingVisitor {
  const jar = new CookieJar()
  return {
    cookiesFor: (url) => jar.header(url),
    async visit(url, redirectUri) {
      let request: PageRequest = { method: 'GET', url }
      for (let step = 0; step < STEPS_MAX; step++) {
        const answer = await open(jar, request)
        if (answer.location !== undefined) {
          if (leadsTo(answer.location, redirectUri)) return answer.location
          request = { method: 'GET', url: answer.location }
          continue
        }
        request = answerPage(options, request.url, answer)
      }
      throw new Error(`no end after ${STEPS_MAX} pages, the last at ${place(request.url)}`)
    },
    async read(url, { isEnd = () => false, press = options.press } = {}) {
      let request: PageRequest = { method: 'GET', url }
      for (let step = 0; step < STEPS_MAX; step++) {
        const { status, location, text } = await open(jar, request)
        if (location !== undefined) {
          request = { method: 'GET', url: location }
          continue
        }
        const next =
          status >= 400 ? undefined : wantedForm({ ...options, press }, request.url, text)
        if (next === undefined || isEnd(request.url))
          return { url: request.url, status, html: text, text: readableText(text) }
        request = next
      }
      throw new Error(`no end after ${STEPS_MAX} pages, the last at ${place(request.url)}`)
    },
  }
}

interface PageRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly form?: URLSearchParams
}

interface PageAnswer {
  readonly status: number
  readonly location?: URL
  readonly text: string
}

async function open(jar: CookieJar, request: PageRequest): Promise<PageAnswer> {
  const response = await fetch(request.url, {
    method: request.method,
    redirect: 'manual',
    headers: {
      accept: 'text/html',
      cookie: jar.header(request.url),
      ...(request.form === undefined
        ? {}
        : { origin: request.url.origin, 'sec-fetch-site': 'same-origin' }),
    },
    ...(request.form === undefined ? {} : { body: request.form }),
    signal: AbortSignal.timeout(PAGE_TIMEOUT_MS),
  })
  jar.keep(request.url, response.headers.getSetCookie())
  const location = response.headers.get('location')
  const text = await response.text()
  const moved = response.status >= 300 && response.status < 400 && location !== null
  return {
    status: response.status,
    text,
    ...(moved ? { location: new URL(location, request.url) } : {}),
  }
}

function answerPage(options: VisitorOptions, url: URL, page: PageAnswer): PageRequest {
  const wanted = wantedForm(options, url, page.text)
  if (wanted !== undefined) return wanted
  throw new Error(`nothing to press at ${place(url)} (${page.status}): ${readableText(page.text)}`)
}

/** Fills the form whose button is wanted most; `undefined` when none is wanted. */
function wantedForm(options: VisitorOptions, url: URL, html: string): PageRequest | undefined {
  const forms = readForms(html)
  for (const wanted of options.press) {
    for (const form of forms) {
      const button = form.buttons.find(({ label }) => wanted.test(label))
      if (button === undefined) continue
      const values = new URLSearchParams(form.inputs.map(({ name, value }) => [name, value]))
      for (const { name } of form.inputs) {
        const typed = options.fields?.[name]
        if (typed !== undefined) values.set(name, typed)
      }
      if (button.name !== '') values.set(button.name, button.value)
      return submit(new URL(form.action, url), form.method, values)
    }
  }
  return undefined
}

function submit(action: URL, method: 'GET' | 'POST', values: URLSearchParams): PageRequest {
  if (method === 'POST') return { method, url: action, form: values }
  const url = new URL(action)
  url.search = values.toString()
  return { method, url }
}

function leadsTo(location: URL, redirectUri: string): boolean {
  const wanted = new URL(redirectUri)
  return location.origin === wanted.origin && location.pathname === wanted.pathname
}

/** Without the query: it may hold a code or a state. */
function place(url: URL): string {
  return `${url.origin}${url.pathname}`
}

interface Cookie {
  readonly name: string
  readonly value: string
  readonly host: string
  readonly path: string
}

/** As a browser does it on one machine: ports share cookies, paths and deletions count. */
class CookieJar {
  readonly #cookies = new Map<string, Cookie>()

  keep(url: URL, lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
      const equals = pair.indexOf('=')
      const name = pair.slice(0, equals)
      const read = (attribute: string): string | undefined =>
        attributes
          .find((text) => text.toLowerCase().startsWith(`${attribute}=`))
          ?.slice(attribute.length + 1)
      const cookie = {
        name,
        value: pair.slice(equals + 1),
        host: url.hostname,
        path: read('path') ?? '/',
      }
      const key = `${cookie.host} ${cookie.path} ${name}`
      const expires = read('expires')
      const ended =
        read('max-age') === '0' || (expires !== undefined && Date.parse(expires) < Date.now())
      if (ended) this.#cookies.delete(key)
      else this.#cookies.set(key, cookie)
    }
  }

  header(url: URL): string {
    return [...this.#cookies.values()]
      .filter(({ host, path }) => host === url.hostname && covers(path, url.pathname))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ')
  }
}

/** RFC 6265 section 5.1.4. */
function covers(cookiePath: string, path: string): boolean {
  if (path === cookiePath) return true
  return path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}

interface Form {
  readonly action: string
  readonly method: 'GET' | 'POST'
  readonly inputs: readonly { readonly name: string; readonly value: string }[]
  readonly buttons: readonly {
    readonly label: string
    readonly name: string
    readonly value: string
  }[]
}

function readForms(html: string): readonly Form[] {
  return [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gis)].map(([, head = '', body = '']) => {
    const inputs = [...body.matchAll(/<input\b([^>]*)>/gi)].map(([, attributes = '']) => ({
      type: attribute(attributes, 'type').toLowerCase(),
      name: attribute(attributes, 'name'),
      value: attribute(attributes, 'value'),
    }))
    const buttons = [...body.matchAll(/<button\b([^>]*)>(.*?)<\/button>/gis)].map(
      ([, attributes = '', label = '']) => ({
        label: readableText(label),
        name: attribute(attributes, 'name'),
        value: attribute(attributes, 'value'),
      }),
    )
    const submits = inputs
      .filter(({ type }) => type === 'submit')
      .map(({ name, value }) => ({ label: value, name, value }))
    return {
      action: attribute(head, 'action'),
      method: attribute(head, 'method').toUpperCase() === 'POST' ? 'POST' : 'GET',
      inputs: inputs.filter(({ type, name }) => name !== '' && type !== 'submit'),
      buttons: [...buttons, ...submits],
    }
  })
}

function attribute(text: string, name: string): string {
  const found = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i').exec(
    text,
  )
  return decodeEntities(found?.[1] ?? found?.[2] ?? found?.[3] ?? '')
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  quot: '"',
  apos: "'",
  lt: '<',
  gt: '>',
  nbsp: ' ',
}

function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-f]+|#\d+|[a-z]+);/gi, (whole, name: string) => {
    if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16))
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)))
    return ENTITIES[name.toLowerCase()] ?? whole
  })
}

function readableText(html: string): string {
  const words = html.replace(/<(style|script|title)\b.*?<\/\1>/gis, ' ').replace(/<[^>]*>/g, ' ')
  return decodeEntities(words).replace(/\s+/g, ' ').trim().slice(0, 300)
}
