/**
 * The element in real chromium on a page of another origin under the strictest policy: what it shows,
 * says and does when things go well, badly, slowly or not at all. Its server is a small listener with
 * the same HTTP; the house itself is in `widget.test.ts`.
 */
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { startWidgetServer, type WidgetServer } from '../kit/widget-server.ts'
import { HAND_OVER, type HostPage, startHostPage } from './host-page.ts'

/** What a browser on a busy machine may take. */
const PATIENCE = { timeout: 10_000 }

declare global {
  interface Window {
    violations: string[]
    heard: [string, Readonly<Record<string, string>> | null][]
  }
}

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 360, height: 780 } }

let host: HostPage
let server: WidgetServer
let browser: Browser | undefined
beforeEach(async () => {
  host = await startHostPage()
  server = await startWidgetServer(host.origin)
  host.issuer = server.origin
  host.session = async () => server.newSession()
})
afterEach(async () => {
  for (const context of browser?.contexts() ?? []) await context.close()
  await Promise.all([host.close(), server.close()])
})
afterAll(async () => {
  await browser?.close()
})

async function open(context: TestContext, options: BrowserContextOptions = {}): Promise<Page> {
  const path = need(context, 'chromium', findChromium())
  browser ??= await openBrowser(path)
  const page = await (await browser.newContext(options)).newPage()
  page.setDefaultTimeout(10_000)
  return page
}

async function visit(context: TestContext, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await open(context, options)
  await page.goto(host.origin)
  await page.getByRole('listitem').first().waitFor()
  return page
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()
const row = (page: Page, name: string) => page.locator(`li[data-connector=${name}]`)
const said = (page: Page, words: string | RegExp) =>
  page.getByRole('status').getByText(words).waitFor({ state: 'attached' })
const heard = (page: Page) => page.evaluate(() => window.heard)
const violations = (page: Page) => page.evaluate(() => window.violations)

describe('the list', () => {
  it('shows every server with its state and the verb that fits, and breaks no policy', async (context) => {
    const page = await visit(context)
    expect(await row(page, 'notes').textContent()).toContain('Not connected')
    expect(await row(page, 'tasks').textContent()).toContain('Connected · ada@tasks.example')
    expect(await row(page, 'files').textContent()).toContain('Needs to be connected again')
    expect(await row(page, 'mail').textContent()).toContain('Cannot be connected right now')
    const names = await page
      .getByRole('button')
      .evaluateAll((all) => all.map((button) => button.getAttribute('aria-label')))
    expect(names).toEqual([
      'Connect: Notes',
      'Disconnect: Tasks',
      'Reconnect: Files',
      'Disconnect: Files',
      'Try again: Mail',
    ])
    expect(await heard(page)).toEqual([['postern-ready', null]])
    expect(await violations(page)).toEqual([])
    const own = await page.evaluate(() =>
      document.querySelector('postern-connect')?.connections.map(({ connector }) => connector),
    )
    expect(own).toEqual(['notes', 'tasks', 'files', 'mail'])
  })

  it('shows the servers that the page names, in its order', async (context) => {
    host.body = '<postern-connect connectors="tasks nothing notes"></postern-connect>'
    const page = await visit(context)
    const shown = () =>
      page.getByRole('listitem').evaluateAll((all) => all.map((item) => item.dataset.connector))
    expect(await shown()).toEqual(['tasks', 'notes'])
    await page.evaluate(() =>
      document.querySelector('postern-connect')?.setAttribute('connectors', 'mail'),
    )
    expect(await shown()).toEqual(['mail'])
  })

  it('W3 B14: names made of markup are text, and nothing of them runs', async (context) => {
    const hostile = '<img src=x onerror=alert(1)>"><svg/onload=alert(1)>'
    server.rows.splice(0, 4, {
      connector: 'notes',
      title: hostile,
      description: hostile,
      host: hostile,
      state: 'active',
      accountLabel: hostile,
    })
    const page = await open(context)
    const trouble: string[] = []
    page.on('dialog', (dialog) => void trouble.push(dialog.message()))
    await page.goto(host.origin)
    await row(page, 'notes').waitFor()
    expect(await row(page, 'notes').textContent()).toContain(hostile)
    expect(await page.locator('postern-connect img, postern-connect svg').count()).toBe(0)
    expect(await violations(page)).toEqual([])
    expect(trouble).toEqual([])
  })

  it('takes a fetchSession that was set before the script came', async (context) => {
    host.script = ''
    const page = await open(context)
    await page.addInitScript(() => {
      document.addEventListener('readystatechange', () => {
        const element = document.querySelector('postern-connect')
        if (
          element !== null &&
          !Object.hasOwn(element, 'fetchSession') &&
          customElements.get('postern-connect') === undefined
        )
          element.fetchSession = () =>
            fetch('/connect-session', { method: 'POST' }).then((answer) => answer.text())
      })
    })
    await page.goto(host.origin)
    await row(page, 'notes').waitFor()
  })

  it('keeps the session in memory only, and asks again once when it has ended', async (context) => {
    const page = await visit(context)
    expect(host.asked.count).toBe(1)
    server.endSessions()
    await press(page, 'Disconnect: Tasks')
    await row(page, 'tasks').getByText('Not connected').waitFor()
    expect(host.asked.count).toBe(2)
    const kept = await page.evaluate(() => [
      localStorage.length,
      sessionStorage.length,
      document.cookie,
      document.documentElement.outerHTML.includes('session-'),
    ])
    expect(kept).toEqual([0, 0, '', false])
    host.session = async () => 'never-good'
    server.endSessions()
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Sign in to this page again').waitFor()
    expect(host.asked.count).toBe(3)
    expect((await heard(page)).at(-1)).toEqual([
      'postern-error',
      { code: 'ERR_CONNECT_SESSION', message: 'It was refused.' },
    ])
  })

  it('leaves and comes back: no call, listener or session stays behind', async (context) => {
    const page = await visit(context)
    await page.evaluate(async () => {
      const element = document.querySelector('postern-connect')
      element?.remove()
      await new Promise((resolve) => setTimeout(resolve, 0))
      Object.assign(window, { kept: element })
    })
    const before = server.calls.length
    await page.evaluate(() => dispatchEvent(new Event('online')))
    await page.evaluate(() => (window as unknown as { kept: HTMLElement }).kept.click())
    expect(server.calls.length).toBe(before)
    await page.evaluate(() =>
      document.querySelector('main')?.append((window as unknown as { kept: HTMLElement }).kept),
    )
    await row(page, 'notes').waitFor()
    expect(host.asked.count).toBe(2)
  })
})

describe('connecting', () => {
  it('opens a window at once, takes its answer and confirms it', async (context) => {
    const page = await visit(context)
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Connected · ada@notes.example').waitFor()
    await said(page, 'Notes: Connected.')
    const confirmed = [
      'postern-change',
      { connector: 'notes', state: 'active', connectionId: 'con_1' },
    ]
    expect((await heard(page)).at(-1)).toEqual(confirmed)
    expect(server.calls.filter((call) => call.endsWith('/confirm'))).toHaveLength(1)
    expect(server.last.nonce).toMatch(/^[\w-]{43}$/)
    expect(await violations(page)).toEqual([])
    expect(page.context().pages()).toHaveLength(1)
  })

  it('W4 CLI-24: hears nobody but its own window, from the issuer, with its nonce and attempt', async (context) => {
    server.window = 'silent'
    const page = await visit(context)
    const [popup] = await Promise.all([page.waitForEvent('popup'), press(page, 'Connect: Notes')])
    await popup.waitForURL(/\/widget\/popup/)
    await row(page, 'notes').getByText('Continue in the other window').waitFor()
    const { nonce, attempt } = server.last
    const right = { type: 'postern:done', nonce, attempt, confirmation: 'confirmation-1' }
    // The page's own origin, as a hostile script or frame of it would say.
    await page.evaluate((message) => window.postMessage(message, '*'), right)
    // The issuer's origin, but another window of this page.
    const [second] = await Promise.all([
      page.waitForEvent('popup'),
      page.evaluate((url) => void window.open(url), `${server.origin}/widget/popup?handle=x`),
    ])
    await second.waitForURL(/handle=x/)
    await second.evaluate((message) => window.opener.postMessage(message, '*'), right)
    // The right window, with a wrong nonce, a wrong attempt, no confirmation, another word.
    for (const wrong of [
      { ...right, nonce: 'x'.repeat(43) },
      { ...right, attempt: 'attempt-0' },
      { ...right, confirmation: 7 },
      { ...right, type: 'done' },
      'postern:done',
      null,
    ])
      await popup.evaluate((message) => window.opener.postMessage(message, '*'), wrong)
    // The right window with the right words, but gone to another origin.
    await popup.goto(host.origin)
    await popup.evaluate((message) => window.opener.postMessage(message, '*'), right)
    await popup.goBack()
    const before = server.calls.filter((call) => call.endsWith('/confirm'))
    expect(before).toEqual([])
    expect(await row(page, 'notes').textContent()).toContain('Continue in the other window')
    await popup.evaluate((message) => window.opener.postMessage(message, '*'), right)
    await expect
      .poll(() => server.calls.filter((call) => call.endsWith('/confirm')).length, PATIENCE)
      .toBe(1)
  })

  it('says quietly that a window was closed, and lets one try again', async (context) => {
    server.window = 'silent'
    const page = await visit(context)
    const [popup] = await Promise.all([page.waitForEvent('popup'), press(page, 'Connect: Notes')])
    await popup.waitForURL(/\/widget\/popup/)
    await page.getByRole('button', { name: 'Show window: Notes' }).waitFor()
    await popup.close()
    await row(page, 'notes').getByText('Nothing came back from the window').waitFor()
    expect((await heard(page)).map(([name]) => name)).toEqual(['postern-ready'])
    server.window = 'done'
    await press(page, 'Try again: Notes')
    await row(page, 'notes').getByText('Connected · ada@notes.example').waitFor()
  })

  it('gives up on a press, and says when the person refused', async (context) => {
    server.window = 'silent'
    const page = await visit(context)
    const [popup] = await Promise.all([page.waitForEvent('popup'), press(page, 'Connect: Notes')])
    const closed = popup.waitForEvent('close')
    await press(page, 'Cancel: Notes')
    await closed
    await row(page, 'notes').getByText('Not connected').waitFor()
    server.window = 'refused'
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Not connected: it was not allowed').waitFor()
  })

  it('offers a link when the browser blocks the window, and binds the window of the link', async (context) => {
    const page = await visit(context)
    await page.evaluate(() => {
      const real = window.open.bind(window)
      window.open = (...all) => {
        window.open = real
        return all.length === 0 ? real() : null
      }
    })
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Your browser blocked the window.').waitFor()
    expect((await heard(page)).at(-1)?.[1]?.code).toBe('ERR_WIDGET_POPUP_BLOCKED')
    await page.getByRole('link', { name: 'Open the window: Notes' }).click()
    await row(page, 'notes').getByText('Connected · ada@notes.example').waitFor()
  })

  it("confirm 'backend': hands the confirmation to the page and confirms nothing itself", async (context) => {
    server.confirm = 'backend'
    const page = await visit(context)
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Finishing…').waitFor()
    const [name, detail] = (await heard(page)).at(-1) ?? []
    expect(name).toBe('postern-confirm')
    expect(detail).toEqual({
      confirmation: `confirmation-${server.last.attempt}`,
      connector: 'notes',
    })
    expect(server.calls.filter((call) => call.endsWith('/confirm'))).toEqual([])
    const notes = server.rows[0]
    if (notes !== undefined) notes.state = 'active'
    await said(page, 'Notes: Connected.')
  })

  it('O1: an address with somebody else’s confirmation confirms nothing and is taken off at once', async (context) => {
    const page = await open(context)
    await page.goto(`${host.origin}/?keep=1#postern-confirmation=of-the-attacker&attempt=attempt-9`)
    expect(page.url()).toBe(`${host.origin}/?keep=1`)
    await page.getByText('This could not be finished').first().waitFor()
    expect(server.rows[0]?.state).toBe('none')
    expect(await page.evaluate(() => history.length)).toBeLessThanOrEqual(2)
  })

  it('says how a trip without a window ended, and takes that off the address', async (context) => {
    const page = await open(context)
    await page.goto(`${host.origin}/#postern=access_denied`)
    expect(page.url()).toBe(`${host.origin}/`)
    await said(page, 'it was not allowed')
    await page.goto('about:blank')
    await page.goto(`${host.origin}/#postern=connected`)
    await said(page, 'Connected.')
  })

  it('two elements show the same: what one connects, the other shows', async (context) => {
    host.body =
      '<postern-connect connectors="notes"></postern-connect><postern-connect layout="buttons" theme="dark"></postern-connect>'
    const page = await visit(context)
    await press(page, 'Disconnect: Tasks')
    await expect.poll(() => page.getByText('Not connected').count(), PATIENCE).toBe(3)
    await page.getByRole('button', { name: 'Connect: Notes' }).first().click()
    await expect
      .poll(() => page.getByText('Connected · ada@notes.example').count(), PATIENCE)
      .toBe(2)
    expect(server.calls.filter((call) => call.endsWith('/attempts'))).toHaveLength(1)
  })
})

describe('when something is wrong', () => {
  it('says in words what failed, and tries again on a press', async (context) => {
    server.refusals.set('/widget/connections', { status: 503, code: 'ERR_WIDGET_UNAVAILABLE' })
    const page = await open(context)
    await page.goto(host.origin)
    await page.getByText('This cannot be done right now.').first().waitFor()
    server.refusals.clear()
    await page.getByRole('button', { name: 'Try again', exact: true }).click()
    await row(page, 'notes').waitFor()
    const limited = { status: 429, code: 'ERR_WIDGET_RATE', retryAfterSeconds: 7 }
    server.refusals.set('/widget/attempts', limited)
    await press(page, 'Connect: Notes')
    await row(page, 'notes').getByText('Too many tries').waitFor()
    expect(page.context().pages()).toHaveLength(1)
    const codes = (await heard(page)).flatMap(([, detail]) => detail?.code ?? [])
    expect(codes).toEqual(['ERR_WIDGET_UNAVAILABLE', 'ERR_WIDGET_RATE'])
  })

  it('offline: says so, and goes on by itself when the network is back', async (context) => {
    const page = await open(context)
    host.script = ''
    await page.goto(host.origin)
    await page.context().setOffline(true)
    await page.evaluate(HAND_OVER)
    await page.getByText('You are offline.').first().waitFor()
    await page.context().setOffline(false)
    await row(page, 'notes').waitFor()
    expect(await page.getByText('You are offline.').count()).toBe(1)
  })

  it('says that the page is at fault when fetchSession fails or no issuer is named', async (context) => {
    host.session = () => Promise.reject(new Error('signed out'))
    const page = await open(context)
    host.script = HAND_OVER.replace(
      '.text()',
      ".text().then(() => { throw new Error('pcs_secret') })",
    )
    await page.goto(host.origin)
    await page.getByText('This page could not prove who you are').first().waitFor()
    expect(await page.content()).not.toContain('pcs_secret')
    expect((await heard(page)).at(-1)?.[1]?.code).toBe('ERR_WIDGET_SESSION')
    await page.evaluate(() =>
      document.querySelector('postern-connect')?.setAttribute('issuer', 'javascript:alert(1)'),
    )
    await page.getByText('This page does not say where').first().waitFor()
  })
})

describe('for everybody', () => {
  it('works by keyboard only, and focus stays in the row', async (context) => {
    const page = await visit(context)
    const reached: (string | null | undefined)[] = []
    for (let step = 0; step < 4; step += 1) {
      await page.keyboard.press('Tab')
      reached.push(await focusedName(page))
    }
    expect(reached).toEqual([
      'Connect: Notes',
      'Disconnect: Tasks',
      'Reconnect: Files',
      'Disconnect: Files',
    ])
    for (let step = 0; step < 3; step += 1) await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await row(page, 'notes').getByText('Connected · ada@notes.example').waitFor()
    expect(
      await page.evaluate(
        () => document.querySelector('postern-connect')?.shadowRoot?.activeElement?.tagName,
      ),
    ).toBe('LI')
    await page.keyboard.press('Tab')
    expect(await focusedName(page)).toBe('Disconnect: Notes')
  })

  it('moves nothing for a person who asked for that', async (context) => {
    server.window = 'silent'
    const page = await visit(context, { reducedMotion: 'reduce' })
    await press(page, 'Connect: Notes')
    await page.getByRole('button', { name: 'Show window: Notes' }).waitFor()
    const running = await page.evaluate(() => document.getAnimations().length)
    expect(running).toBe(0)
  })

  it.for([
    ['light', 'list', 'ltr'],
    ['dark', 'list', 'ltr'],
    ['light', 'buttons', 'rtl'],
    ['dark', 'buttons', 'ltr'],
  ] as const)(
    'axe finds no violation in any state, %s, %s, %s, wide and narrow, and nothing scrolls sideways',
    async ([scheme, layout, direction], context) => {
      host.body = `<postern-connect layout="${layout}" dir="${direction}"></postern-connect>`
      server.window = 'silent'
      const page = await visit(context, { colorScheme: scheme })
      await judge(page, `list-${scheme}-${layout}`)
      await page.evaluate(() => {
        const real = window.open
        window.open = () => {
          window.open = real
          return null
        }
      })
      await press(page, 'Connect: Notes')
      await page.getByRole('link', { name: 'Open the window: Notes' }).waitFor()
      await judge(page, `blocked-${scheme}-${layout}`)
      await press(page, 'Cancel: Notes')
      const [popup] = await Promise.all([page.waitForEvent('popup'), press(page, 'Connect: Notes')])
      await page.getByRole('button', { name: 'Show window: Notes' }).waitFor()
      await judge(page, `waiting-${scheme}-${layout}`)
      await popup.close()
      await row(page, 'notes').getByText('Nothing came back').waitFor()
      server.refusals.set('/widget/disconnect', { status: 503, code: 'ERR_WIDGET_UNAVAILABLE' })
      await press(page, 'Disconnect: Files')
      await row(page, 'files').getByText('This cannot be done right now').waitFor()
      await judge(page, `trouble-${scheme}-${layout}`)
      server.refusals.set('/widget/connections', { status: 503, code: 'ERR_WIDGET_UNAVAILABLE' })
      await page.reload()
      await page.getByRole('button', { name: 'Try again' }).waitFor()
      await judge(page, `failed-${scheme}-${layout}`)
      expect(await violations(page)).toEqual([])
    },
  )
})

async function focusedName(page: Page): Promise<string | null | undefined> {
  return page.evaluate(() =>
    document
      .querySelector('postern-connect')
      ?.shadowRoot?.activeElement?.getAttribute('aria-label'),
  )
}

/** In the state that it is in, wide and narrow. */
async function judge(page: Page, name: string): Promise<void> {
  for (const [width, viewport] of Object.entries(WIDTHS)) {
    await page.setViewportSize(viewport)
    // By itself axe asks for main landmarks and the like of the host's page, which is ours here. There
    // is no frame in it, so it need not open a page of its own for each verdict.
    const axe = new AxeBuilder({ page }).withTags(TAGS).setLegacyMode()
    const { violations: found } = await axe.analyze()
    const wrong = found.map((one) => `${name} ${width} ${one.id}: ${one.nodes[0]?.html}`)
    expect(wrong).toEqual([])
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    )
    expect(overflow, `${name} ${width}`).toBeLessThanOrEqual(0)
    const folder = process.env.POSTERN_SCREENSHOTS
    if (folder !== undefined)
      await page.screenshot({ path: `${folder}/widget-${name}-${width}.png`, fullPage: true })
  }
}
