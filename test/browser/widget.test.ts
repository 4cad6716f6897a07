/**
 * Connect embedded in a product, with everything real but the person: the house on `localhost`, the
 * product's page and the remote server on other origins, windows of chromium between them.
 */
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { startServer } from '../kit/http.ts'
import { need } from '../kit/needs.ts'
import { HAND_OVER } from './host-page.ts'
import { openWidgetHouse, type WidgetHouse } from './widget-house.ts'

/** What a browser on a busy machine may take. */
const PATIENCE = { timeout: 10_000 }

let world: WidgetHouse
let browser: Browser | undefined
/** What a policy of any page stopped, ours or the product's. */
const refusedByPolicy: string[] = []
beforeEach(async () => {
  refusedByPolicy.length = 0
  world = await openWidgetHouse()
})
afterEach(async () => {
  for (const context of browser?.contexts() ?? []) await context.close()
  await world.close()
})
afterAll(async () => {
  await browser?.close()
})

async function person(
  context: TestContext,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const path = need(context, 'chromium', findChromium())
  browser ??= await openBrowser(path)
  const own = await browser.newContext(options)
  own.setDefaultTimeout(10_000)
  own.on('console', (message) => {
    if (/Content.?Security.?Policy|TrustedHTML|TrustedScript/i.test(message.text()))
      refusedByPolicy.push(`${message.page()?.url()}: ${message.text()}`)
  })
  return own
}

async function settings(own: BrowserContext, path = '/settings'): Promise<Page> {
  const page = await own.newPage()
  await page.goto(`${world.host.origin}${path}`)
  await row(page).waitFor()
  return page
}

const row = (page: Page) => page.locator('li[data-connector=notes]')
const isConnected = (page: Page) =>
  row(page).locator('[part=state][data-state=active]:not([data-busy])').waitFor()
const shows = (page: Page, words: string) => row(page).getByText(words).waitFor()

async function openPopup(page: Page, verb = 'Connect'): Promise<Page> {
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: new RegExp(`^${verb}: `) }).click(),
  ])
  await popup.waitForURL(/\/widget\/popup/)
  return popup
}

const goOn = (popup: Page) => popup.getByRole('button', { name: /^Continue to/ }).click()

async function connect(page: Page, verb = 'Connect'): Promise<void> {
  const popup = await openPopup(page, verb)
  const closed = popup.waitForEvent('close')
  await goOn(popup)
  await closed
  await isConnected(page)
}

/** Every message that any page of this person hears, from now on. */
async function recordMessages(own: BrowserContext): Promise<void> {
  await own.addInitScript(() => {
    const kept: unknown[] = []
    Object.assign(window, { messages: kept })
    window.addEventListener('message', ({ origin, data }) => void kept.push([origin, data]))
  })
}

const messages = (page: Page) =>
  page.evaluate(
    () => (window as unknown as { messages: [string, Record<string, string>][] }).messages,
  )

const violations = (page: Page) => page.evaluate(() => window.violations)

describe('connecting from a product’s page', () => {
  it('CLI-24: connects, reconnects and disconnects through the window, under the strictest policy', async (context) => {
    const own = await person(context)
    await recordMessages(own)
    world.remote.settings.accessTokenSeconds = 2
    const page = await settings(own)
    await connect(page)
    const accessToken = await world.tokenOf('ada')
    expect(accessToken === undefined ? false : world.remote.isLive(accessToken)).toBe(true)
    const heard = await messages(page)
    expect(heard).toHaveLength(1)
    const [origin, data] = heard[0] ?? ['', {}]
    expect(origin).toBe(world.issuer)
    expect(Object.keys(data).sort()).toEqual(['attempt', 'confirmation', 'nonce', 'type'])
    // No token, no code: nothing of what was exchanged with the server is in the message.
    const code = world.remote.tokenCalls[0]?.[1].get('code') ?? 'none'
    for (const secret of [accessToken ?? 'none', code])
      expect(JSON.stringify(data)).not.toContain(secret)
    world.remote.revokeEverything()
    const asked = () => world.postern.getToken('ada', 'notes', { app: 'desk' })
    const refused = expect.objectContaining({ code: 'ERR_CONNECTION_RECONNECT' })
    await expect.poll(() => asked().catch((error: unknown) => error), PATIENCE).toEqual(refused)
    world.remote.settings.accessTokenSeconds = 3_600
    await page.reload()
    await shows(page, 'Needs to be connected again')
    await connect(page, 'Reconnect')
    await page.getByRole('button', { name: /^Disconnect: / }).click()
    await shows(page, 'Not connected')
    expect(await world.tokenOf('ada')).toBeUndefined()
    expect(await violations(page)).toEqual([])
    expect(refusedByPolicy).toEqual([])
  })

  it('says no at the page, and nothing is connected', async (context) => {
    const page = await settings(await person(context))
    const popup = await openPopup(page)
    await popup.getByRole('button', { name: 'Cancel' }).click()
    await shows(page, 'Not connected: it was not allowed')
    expect(await world.tokenOf('ada')).toBeUndefined()
  })

  it('a session that ended is renewed without a word', async (context) => {
    const first = await world.host.session()
    const fresh = world.host.session
    let count = 0
    world.host.session = async () => {
      count += 1
      return count === 1 ? first.replace(/.$/, (end) => (end === 'A' ? 'B' : 'A')) : await fresh()
    }
    const page = await settings(await person(context))
    expect(count).toBe(2)
    await connect(page)
  })

  it("confirm 'backend': only the product's backend makes it usable, for its own user", async (context) => {
    const own = await person(context)
    const page = await own.newPage()
    await page.goto(world.shop.origin)
    const popup = await openPopup(page)
    await goOn(popup)
    await shows(page, 'Finishing…')
    const told = (await page.evaluate(() => window.heard)).find(
      ([name]) => name === 'postern-confirm',
    )
    const confirmation = told?.[1]?.confirmation ?? ''
    const wrong = world.postern.connections.confirm({ app: 'shop', user: 'eve', confirmation })
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_CONFIRMATION' })
    await world.postern.connections.confirm({ app: 'shop', user: 'ada', confirmation })
    await isConnected(page)
    const kept = await world.postern.getToken('ada', 'notes', { app: 'shop' })
    expect(world.remote.isLive(kept.accessToken)).toBe(true)
  })
})

describe('a product with habits of its own', () => {
  it('its page is on the origin of the house: the calls carry no Origin, and are heard', async (context) => {
    const own = await person(context)
    const page = await own.newPage()
    const session = { app: 'own', user: 'ada', origin: world.issuer }
    const { token } = await world.postern.createConnectSession(session)
    await page.route(`${world.issuer}/settings`, (route) =>
      route.fulfill({
        contentType: 'text/html',
        body: `<!doctype html><title>own</title><script type="module" src="/widget.js"></script>
          <postern-connect></postern-connect>
          <script type="module">document.querySelector('postern-connect').fetchSession = async () => '${token}'</script>`,
      }),
    )
    await page.goto(`${world.issuer}/settings`)
    await row(page).waitFor()
    await connect(page)
  })

  it('its own opener policy cuts every window off: the answer comes by the return URL', async (context) => {
    world.host.headers = { 'cross-origin-opener-policy': 'same-origin' }
    world.remote.settings.signInPage = {}
    const own = await person(context)
    const page = await settings(own)
    const [popup] = await Promise.all([
      own.waitForEvent('page'),
      page.getByRole('button', { name: /^Connect: / }).click(),
    ])
    await goOn(popup)
    await popup.getByRole('button', { name: /^Sign in as/ }).click()
    await isConnected(page)
    expect(await violations(page)).toEqual([])
  })

  it('its browser opens no window at all: a link leads there, and the answer comes by the return URL', async (context) => {
    const own = await person(context)
    await own.addInitScript(() => {
      window.open = () => null
    })
    const page = await settings(own)
    await page.getByRole('button', { name: /^Connect: / }).click()
    const [tab] = await Promise.all([
      own.waitForEvent('page'),
      page.getByRole('link', { name: /^Open the window: / }).click(),
    ])
    await goOn(tab)
    await isConnected(page)
    expect(await world.tokenOf('ada')).toBeDefined()
  })
})

describe('when the other server cuts the window off', () => {
  beforeEach(() => {
    world.remote.settings.signInPage = { 'cross-origin-opener-policy': 'same-origin' }
  })

  it('CLI-24: the answer comes by the return URL to the tab that started, and leaves no trace there', async (context) => {
    const own = await person(context)
    const page = await settings(own)
    const popup = await openPopup(page)
    await goOn(popup)
    await shows(page, 'Nothing came back from the window')
    const cut = own.pages().find((other) => other !== page)
    await cut?.getByRole('button', { name: /^Sign in as/ }).click()
    await isConnected(page)
    expect(await world.tokenOf('ada')).toBeDefined()
    // The window closed itself, or says that it can be closed; its address says nothing any more.
    for (const other of own.pages().filter((each) => each !== page && !each.isClosed())) {
      expect(other.url()).toBe(`${world.host.origin}/settings`)
      await other.getByText('You can close this window').first().waitFor()
    }
    expect(await violations(page)).toEqual([])
  })

  it('confirms with its own session when the first tab is gone', async (context) => {
    const own = await person(context)
    const page = await settings(own)
    const popup = await openPopup(page)
    await goOn(popup)
    await shows(page, 'Nothing came back from the window')
    const cut = own.pages().find((other) => other !== page)
    if (cut === undefined) throw new Error('the window is gone')
    await page.close()
    await cut.getByRole('button', { name: /^Sign in as/ }).click()
    await cut.waitForURL(`${world.host.origin}/settings`)
    await isConnected(cut)
    expect(await world.tokenOf('ada')).toBeDefined()
  })

  it('another tab of the same product does not take what it did not start', async (context) => {
    const own = await person(context)
    const [page, bystander] = [await settings(own), await settings(own)]
    await bystander.evaluate(() => void window.heard.splice(0))
    await page.bringToFront()
    const popup = await openPopup(page)
    await goOn(popup)
    await shows(page, 'Nothing came back from the window')
    const cut = own.pages().find((other) => other !== page && other !== bystander)
    await cut?.getByRole('button', { name: /^Sign in as/ }).click()
    await isConnected(page)
    // It follows the list, but the change was the first tab's.
    await isConnected(bystander)
    expect(await bystander.evaluate(() => window.heard)).toEqual([])
  })
})

describe('others', () => {
  it('W4 CLI-24: a page that opens our window itself hears nothing, and nothing is connected', async (context) => {
    const own = await person(context)
    await recordMessages(own)
    const page = await settings(own)
    const hostile = await startServer((_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<!doctype html><title>hostile</title><h1>hostile</h1>')
    })
    try {
      const attacker = await own.newPage()
      await attacker.goto(hostile.origin)
      const url = await popupUrl(page)
      const [popup] = await Promise.all([
        attacker.waitForEvent('popup'),
        attacker.evaluate((target) => void window.open(target), url),
      ])
      const closed = popup.waitForEvent('close')
      await goOn(popup)
      await closed
      expect(world.remote.tokenCalls).toHaveLength(1)
      expect(await messages(attacker)).toEqual([])
      expect(await world.tokenOf('ada')).toBeUndefined()
    } finally {
      await hostile.close()
    }
  })

  it('O1: a victim who was sent an attacker’s window finishes nothing, and nothing is ever confirmed', async (context) => {
    // Eve starts at her own account of the product; Ada opens the address that Eve sent her.
    const { origin } = world.host
    const returnUrl = `${origin}/settings`
    const session = { app: 'desk', user: 'eve', origin, returnUrl }
    const { token } = await world.postern.createConnectSession(session)
    const url = await startAttempt(token)
    const victim = await person(context)
    const page = await victim.newPage()
    await page.goto(url)
    await goOn(page)
    await page.waitForURL(`${origin}/settings`)
    await page.getByText('This could not be finished').first().waitFor()
    expect(world.remote.tokenCalls.map(([grant]) => grant)).toEqual(['authorization_code'])
    expect(await world.tokenOf('eve')).toBeUndefined()
    expect(await world.tokenOf('ada')).toBeUndefined()
  })

  it('W1: our window in a frame shows nothing', async (context) => {
    const own = await person(context)
    const page = await settings(own)
    const url = await popupUrl(page)
    const other = await startServer((_, response) => {
      response.setHeader('content-type', 'text/html')
      response.end('<!doctype html><title>frame</title><h1>frame</h1>')
    })
    try {
      const attacker = await own.newPage()
      await attacker.goto(other.origin)
      await attacker.evaluate((source) => {
        const frame = document.createElement('iframe')
        frame.src = source
        document.body.append(frame)
      }, url)
      await expect.poll(() => attacker.frames().length, PATIENCE).toBe(2)
      const inner = attacker.frames()[1]
      await inner?.waitForLoadState().catch(() => undefined)
      expect(await inner?.locator('button').count()).toBe(0)
    } finally {
      await other.close()
    }
  })

  it('W8: the widget’s calls answer the session’s origin only, and the shop’s page is another', async (context) => {
    const own = await person(context)
    const page = await own.newPage()
    world.shop.session = world.host.session
    await page.goto(world.shop.origin)
    await page
      .getByText(/No answer|not allowed to show/)
      .first()
      .waitFor()
    expect(await row(page).count()).toBe(0)
  })
})

describe('for everybody', () => {
  it('axe finds no violation in our window, light and dark, wide and narrow', async (context) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await settings(await person(context, { colorScheme }))
      const popup = await openPopup(page)
      for (const [width, viewport] of Object.entries({
        wide: { width: 1280, height: 800 },
        narrow: { width: 360, height: 780 },
      })) {
        await popup.setViewportSize(viewport)
        const { violations: found } = await new AxeBuilder({ page: popup }).analyze()
        expect(found.map((one) => `${one.id}: ${one.nodes[0]?.html}`)).toEqual([])
        const folder = process.env.POSTERN_SCREENSHOTS
        if (folder !== undefined)
          await popup.screenshot({ path: `${folder}/widget-popup-${colorScheme}-${width}.png` })
      }
      await page.context().close()
    }
  })

  it('axe finds no violation where a window without an opener ends', async (context) => {
    const { origin } = world.host
    const { token } = await world.postern.createConnectSession({ app: 'desk', user: 'ada', origin })
    const page = await (await person(context)).newPage()
    await page.goto(await startAttempt(token))
    await goOn(page)
    const lost = page.getByRole('status').filter({ hasText: 'nothing was connected' })
    await lost.waitFor()
    expect(await page.getByRole('heading').allTextContents()).toEqual(['Not connected'])
    const { violations: found } = await new AxeBuilder({ page }).analyze()
    expect(found.map((one) => `${one.id}: ${one.nodes[0]?.html}`)).toEqual([])
    expect(refusedByPolicy).toEqual([])
    const folder = process.env.POSTERN_SCREENSHOTS
    if (folder !== undefined) await page.screenshot({ path: `${folder}/widget-end.png` })
  })

  it('two elements and two tabs follow each other', async (context) => {
    world.host.body =
      '<postern-connect></postern-connect><postern-connect layout="buttons"></postern-connect>'
    world.host.script = HAND_OVER
    const own = await person(context)
    const open = async () => {
      const page = await own.newPage()
      await page.goto(`${world.host.origin}/settings`)
      await expect.poll(() => page.locator('li[data-connector=notes]').count(), PATIENCE).toBe(2)
      return page
    }
    const [first, second] = [await open(), await open()]
    const button = first.getByRole('button', { name: /^Connect: / }).first()
    const [popup] = await Promise.all([first.waitForEvent('popup'), button.click()])
    await goOn(popup)
    for (const page of [first, second])
      await expect
        .poll(() => page.getByRole('button', { name: /^Disconnect: / }).count(), PATIENCE)
        .toBe(2)
    await second
      .getByRole('button', { name: /^Disconnect: / })
      .first()
      .click()
    for (const page of [first, second])
      await expect
        .poll(() => page.getByRole('button', { name: /^Connect: / }).count(), PATIENCE)
        .toBe(2)
  })
})

/** An address for a window of `ada`'s, as the element asks for it. */
async function popupUrl(page: Page): Promise<string> {
  const [request] = await Promise.all([
    page.waitForRequest(/\/widget\/attempts/),
    page.waitForEvent('popup').then((popup) => popup.close()),
    page.getByRole('button', { name: /^Connect: / }).click(),
  ])
  const token = (await request.headerValue('authorization'))?.replace('Bearer ', '') ?? ''
  return await startAttempt(token)
}

async function startAttempt(token: string): Promise<string> {
  const answer = await fetch(`${world.issuer}/widget/attempts`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      origin: world.host.origin,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ connector: 'notes', nonce: 'n'.repeat(43) }),
  })
  const { url } = (await answer.json()) as { url: string }
  return url
}
