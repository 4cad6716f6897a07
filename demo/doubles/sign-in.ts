/**
 * Plays a browser through the pages of a double: cookies, redirects, one form per page, and stops at
 * the first address that is not the double's own: the callback.
 */
const STEPS_MAX = 12

export interface BrowserStep {
  /** What is chosen on each page, as form fields: `{ person: 'ada' }`. */
  readonly choose: Readonly<Record<string, string>>
  /** The double's own origin; when its pages carry a public name, the origin of that name. */
  readonly origin: string
  /** Where the double really listens, when `origin` is only a name. Default `origin`. */
  readonly reachedAt?: string
}

/** @returns The callback address with `code` and `state`, or with `error`. Nothing is sent there. */
export async function playBrowser(authorizationUrl: string | URL, step: BrowserStep): Promise<URL> {
  const jar = new Map<string, string>()
  let url = new URL(authorizationUrl)
  let form: URLSearchParams | undefined
  for (let count = 0; count < STEPS_MAX; count++) {
    if (url.origin !== step.origin) return url
    const target = new URL(url.pathname + url.search, step.reachedAt ?? step.origin)
    const response = await fetch(target, {
      method: form === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: {
        cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
        accept: 'text/html',
      },
      ...(form === undefined ? {} : { body: form }),
    })
    keepCookies(jar, response)
    const location = response.headers.get('location')
    if (location !== null) {
      url = new URL(location, url)
      form = undefined
      await response.body?.cancel()
      continue
    }
    const page = readForm(await response.text())
    if (response.status !== 200 || page === undefined)
      throw new Error(`no form at ${url.pathname}: ${response.status}`)
    url = new URL(page.action, url)
    form = new URLSearchParams({ ...page.fields, ...step.choose })
  }
  throw new Error('the sign-in never came back')
}

function keepCookies(jar: Map<string, string>, response: Response): void {
  for (const cookie of response.headers.getSetCookie()) {
    const [pair = ''] = cookie.split(';')
    const cut = pair.indexOf('=')
    const value = pair.slice(cut + 1)
    if (value === '' || /expires=Thu, 01 Jan 1970/i.test(cookie)) jar.delete(pair.slice(0, cut))
    else jar.set(pair.slice(0, cut), value)
  }
}

function readForm(html: string): { action: string; fields: Record<string, string> } | undefined {
  const action = /<form[^>]*\saction="([^"]+)"/.exec(html)?.[1]
  if (action === undefined) return undefined
  const fields: Record<string, string> = {}
  for (const [input] of html.matchAll(/<input[^>]*>/g)) {
    const name = /\sname="([^"]*)"/.exec(input)?.[1]
    if (name !== undefined) fields[name] = unescapeHtml(/\svalue="([^"]*)"/.exec(input)?.[1] ?? '')
  }
  return { action: unescapeHtml(action), fields }
}

function unescapeHtml(text: string): string {
  return text
    .replace(/&#(\d+);/g, (_all, code) => String.fromCharCode(Number(code)))
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}
