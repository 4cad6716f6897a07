/**
 * Real chromium for tests, through playwright-core, and the part a person plays in a sign-in:
 * reads an authorization URL, allows, signs in at the provider, arrives at the client's callback.
 *
 * Every control is found the way a person finds it (role and name). No waits but on navigations.
 */
import { existsSync } from 'node:fs'
import {
  type Browser,
  type BrowserContext,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core'

const STEPS_MAX = 12
const STEP_DEADLINE_MS = 20_000
const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-quic',
]

/** What the person types where they are asked, and which button they prefer. */
export interface Person {
  /** Login name at the provider. Default `ada`. */
  readonly login?: string
  readonly password?: string
  /** Button that allows; the default covers Postern, oidc-provider and FastMCP's page. */
  readonly allow?: RegExp
}

export interface PlayedSignIn {
  /** The URL the client was called back with. */
  readonly callbackUrl: URL
  /** Title or first heading of each page that was shown, in order. */
  readonly pages: readonly string[]
}

export interface BrowserOptions {
  /** Host name -> port on 127.0.0.1; chromium resolves these names there (`--host-resolver-rules`). */
  readonly hosts?: Readonly<Record<string, number>>
  /** Base64 SHA-256 digests of public keys whose certificates are accepted (test CA). */
  readonly trustedKeys?: readonly string[]
}

/** For `need()`: where chromium is, or why there is none. `CHROMIUM` names another executable. */
export function findChromium(): { value: string } | { missing: string } {
  const named = process.env.CHROMIUM
  const found = (named === undefined ? CANDIDATES : [named]).find((path) => existsSync(path))
  return found === undefined
    ? { missing: `no ${named ?? CANDIDATES.join(', ')}; install chromium or set CHROMIUM` }
    : { value: found }
}

export function openBrowser(
  executablePath: string,
  options: BrowserOptions = {},
): Promise<Browser> {
  const rules = Object.entries(options.hosts ?? {}).map(
    ([host, port]) => `MAP ${host} 127.0.0.1:${port}`,
  )
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      ...ARGUMENTS,
      ...(rules.length === 0 ? [] : [`--host-resolver-rules=${rules.join(',')}`]),
      ...(options.trustedKeys === undefined
        ? []
        : [`--ignore-certificate-errors-spki-list=${options.trustedKeys.join(',')}`]),
    ],
  })
}

/**
 * Follows an authorization URL as a person would, in a fresh profile, to the client's callback.
 *
 * @throws When a page offers nothing to do, with its address and text.
 */
export async function playBrowser(
  browser: Browser,
  authorizationUrl: string | URL,
  person: Person = {},
): Promise<PlayedSignIn> {
  const context = await browser.newContext()
  try {
    return await playIn(context, authorizationUrl, person)
  } finally {
    await context.close()
  }
}

/** The same in an existing profile: its cookies, so a returning person. */
export async function playIn(
  context: BrowserContext,
  authorizationUrl: string | URL,
  person: Person = {},
): Promise<PlayedSignIn> {
  const redirectUri = new URL(authorizationUrl).searchParams.get('redirect_uri') ?? ''
  const page = await context.newPage()
  page.setDefaultTimeout(STEP_DEADLINE_MS)
  const arrival = watchArrival(page, redirectUri)
  const pages: string[] = []
  await settle(page.goto(String(authorizationUrl)), arrival.promise)
  for (let step = 0; step < STEPS_MAX && arrival.url() === undefined; step++) {
    pages.push(await heading(page))
    const control = await nextControl(page, person)
    if (arrival.url() !== undefined) break
    if (control === undefined) throw new Error(await stuck(page, pages))
    const moved = page.waitForEvent('framenavigated', (frame) => frame === page.mainFrame())
    await control.click({ noWaitAfter: true })
    await settle(
      moved.then(() => page.waitForLoadState('domcontentloaded')),
      arrival.promise,
    )
  }
  const callbackUrl = arrival.url()
  if (callbackUrl === undefined) throw new Error(await stuck(page, pages))
  // Let the client's own callback listener answer before the profile goes away.
  await page.waitForLoadState('domcontentloaded').catch(() => undefined)
  return { callbackUrl, pages }
}

interface Arrival {
  readonly promise: Promise<URL>
  url(): URL | undefined
}

/** A navigation to the redirect URI counts as arrival, whether anybody listens there or not. */
function watchArrival(page: Page, redirectUri: string): Arrival {
  const expected = new URL(redirectUri)
  let arrived: URL | undefined
  const promise = new Promise<URL>((resolve) => {
    page.on('request', (request) => {
      if (!request.isNavigationRequest() || request.frame() !== page.mainFrame()) return
      const url = new URL(request.url())
      if (url.origin !== expected.origin || url.pathname !== expected.pathname) return
      arrived = url
      resolve(url)
    })
  })
  return { promise, url: () => arrived }
}

/** Waits for a move or for the arrival; a refused connection at the callback is an arrival too. */
async function settle(move: Promise<unknown>, arrival: Promise<URL>): Promise<void> {
  const moved = move.catch((error: unknown) => ({ error }))
  const first = await Promise.race([moved, arrival])
  if (first instanceof URL) {
    await moved
    return
  }
  if (typeof first === 'object' && first !== null && 'error' in first) throw first.error
}

/** Fills what is asked, and returns what to press next. */
async function nextControl(page: Page, person: Person): Promise<Locator | undefined> {
  const login = page.locator('input[name=login]:visible, input[name=username]:visible').first()
  if ((await login.count()) > 0) await login.fill(person.login ?? 'ada')
  const password = page.locator('input[type=password]:visible').first()
  if ((await password.count()) > 0) await password.fill(person.password ?? 'any')
  const preferred = person.allow ?? /^(allow|approve|authorize|continue|sign.?in|log.?in)/i
  const named = page.getByRole('button', { name: preferred })
  if ((await named.count()) > 0) return named.first()
  const links = page.getByRole('link', { name: preferred })
  if ((await links.count()) > 0) return links.first()
  return undefined
}

async function heading(page: Page): Promise<string> {
  const first = page.getByRole('heading').first()
  const text = (await first.count()) > 0 ? await first.textContent() : await page.title()
  return `${new URL(page.url()).host}: ${text?.trim() ?? ''}`
}

async function stuck(page: Page, pages: readonly string[]): Promise<string> {
  const text = await page
    .locator('body')
    .textContent()
    .catch(() => '')
  const address = new URL(page.url())
  return `the person is stuck at ${address.origin}${address.pathname} after ${pages.join(' > ')}:\n${text?.trim().slice(0, 1_000) ?? ''}`
}
