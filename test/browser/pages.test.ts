/** Our pages in real chromium: without script, by keyboard, for assistive technology, never framed. */
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { authorizeUrl, LOOPBACK_REDIRECT, redeem, register } from '../flow/sign-in-house.ts'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { type Served, servePages } from './serve.ts'

const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } }

let served: Served
let browser: Browser | undefined
beforeAll(async () => {
  served = await servePages({ connectors: ['notes', 'tasks'], providers: 1 })
})
afterAll(async () => {
  await browser?.close()
  await served.close()
})

async function open(context: TestContext, options: BrowserContextOptions = {}): Promise<Page> {
  const path = need(context, 'chromium', findChromium())
  browser ??= await openBrowser(path)
  return (await browser.newContext(options)).newPage()
}

/** A client that waits on the other origin, so that its callback page can be reached. */
async function startUrl(metadata: Record<string, unknown> = {}): Promise<string> {
  const redirect_uri = `${served.elsewhere}/client?keep=1`
  const { client_id } = await register(served.house, { redirect_uris: [redirect_uri], ...metadata })
  return String(authorizeUrl(served.house, client_id, { redirect_uri }))
}

async function signInAtHome(page: Page): Promise<void> {
  await page.goto(`${served.house.issuer}/`)
  await page.getByRole('button', { name: 'Continue with GitHub' }).click()
  await page.getByRole('heading', { name: 'Your servers' }).waitFor()
}

describe('consent', () => {
  it('CON-01 W6: the whole sign-in works without script and leaks neither code nor state to anybody else', async (context) => {
    const page = await open(context, { javaScriptEnabled: false })
    served.asked.length = 0
    await page.goto(await startUrl())
    await page.getByRole('button', { name: 'Allow and continue with GitHub' }).click()
    await page.waitForURL(/\/client\?keep=1&code=/)
    const arrived = new URL(page.url())
    expect(arrived.searchParams.get('iss')).toBe(served.house.issuer)
    expect(arrived.searchParams.get('state')).toBe('client-state')
    expect(served.asked.filter((line) => !line.includes('favicon'))).toHaveLength(2)
    for (const line of served.asked.filter((entry) => !entry.includes('favicon')))
      expect(line).toMatch(/referer=$/)
  })

  it('CON-04 CON-05: every element is there to be read', async (context) => {
    const page = await open(context)
    await page.goto(await startUrl({ client_name: 'Claude Code' }))
    const read = (name: string) => page.locator(`[data-consent="${name}"]`).textContent()
    expect(await read('client')).toBe('Claude Code')
    expect(await read('verification')).toBe('unverified')
    expect(await read('redirect-host')).toBe(new URL(served.elsewhere).host)
    expect(await read('resource')).toBe(`${served.house.issuer}/mcp/notes`)
    expect(await read('scopes')).toContain('Use every tool of this server in your name')
    expect(await read('provider-scopes')).toContain('GitHub lets us read your profile')
    expect(await read('account')).toContain('You choose the account')
    expect(await read('loopback-warning')).toContain('Did you start this yourself')
    const sizes = await page.evaluate(() =>
      [...document.querySelectorAll('main *')].map(
        (element) =>
          [
            Number.parseFloat(getComputedStyle(element).fontSize),
            element.getAttribute('data-consent'),
          ] as const,
      ),
    )
    const largest = sizes.toSorted(([left], [right]) => right - left)[0]
    expect(largest?.[1]).toBe('redirect-host')
  })

  it('works by keyboard only: Tab reaches Allow before Deny, Enter answers', async (context) => {
    const page = await open(context)
    await page.goto(await startUrl())
    const reached: string[] = []
    for (let step = 0; step < 6 && !reached.includes('Deny'); step += 1) {
      await page.keyboard.press('Tab')
      reached.push((await page.evaluate(() => document.activeElement?.textContent?.trim())) ?? '')
    }
    expect(reached).toEqual(['Postern', 'Allow and continue with GitHub', 'Deny'])
    await page.keyboard.press('Enter')
    await page.waitForURL(/error=access_denied/)
    expect(new URL(page.url()).searchParams.get('iss')).toBe(served.house.issuer)
  })

  it('W3 B14: names made of markup run nothing and break no policy', async (context) => {
    const names = [
      '<script>alert(1)</script>',
      '"><img src=x onerror=alert(1)>',
      '<svg/onload=alert(1)>',
      '</title><script>alert(1)</script>',
      "javascript:alert('1')",
      '{{alert(1)}}',
      '&lt;script&gt;',
      '\u202eevil',
    ]
    const page = await open(context)
    const trouble: string[] = []
    page.on('dialog', (dialog) => void trouble.push(dialog.message()))
    page.on('console', (message) => void trouble.push(message.text()))
    page.on('pageerror', (error) => void trouble.push(error.message))
    for (const client_name of names) {
      await page.goto(await startUrl({ client_name }))
      expect(await page.locator('main script, main img, main svg').count()).toBe(0)
    }
    expect(trouble).toEqual([])
  })

  it('CON-08 SEC-13 W1: cannot be framed', async (context) => {
    const page = await open(context)
    await page.goto(`${served.elsewhere}/frame`)
    await page.evaluate(
      (source) => {
        const frame = document.createElement('iframe')
        frame.src = source
        document.body.append(frame)
      },
      await startUrl(),
    )
    await expect.poll(() => page.frames().length).toBe(2)
    const inner = page.frames()[1]
    await inner?.waitForLoadState().catch(() => undefined)
    expect(await inner?.locator('button').count()).toBe(0)
  })

  it('W2: a form on another site cannot answer', async (context) => {
    const page = await open(context)
    await page.goto(await startUrl())
    const ticket = await page.locator('input[name=ticket]').getAttribute('value')
    const other = await page.context().newPage()
    await other.goto(`${served.elsewhere.replace('127.0.0.1', 'localhost')}/attack`)
    await other.evaluate(
      ([action, value]) => {
        document.body.innerHTML = `<form method="post" action="${action}"><input name="ticket" value="${value}"><input name="decision" value="allow:github"></form>`
        document.forms[0]?.submit()
      },
      [`${served.house.issuer}/consent`, ticket ?? ''],
    )
    await other.getByRole('heading', { name: 'This page can no longer be used' }).waitFor()
  })

  it("A1 CON-03: the provider's answer is refused in another browser", async (context) => {
    const mine = await open(context)
    const victim = await open(context)
    await mine.goto(await startUrl())
    const journeys = served.house.provider.journeys
    const before = journeys.length
    await mine.getByRole('button', { name: 'Deny' }).waitFor()
    // The attacker allows, but stops before the provider: its URL goes to the victim.
    served.house.provider.origin = 'http://127.0.0.1:9'
    await mine.getByRole('button', { name: /^Allow/ }).click({ noWaitAfter: true })
    await expect.poll(() => journeys.length).toBe(before + 1)
    served.house.provider.origin = served.elsewhere
    const journey = journeys.at(-1)
    const providerUrl = `${served.elsewhere}${journey?.pathname}${journey?.search}`
    await victim.goto(providerUrl)
    await victim.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor()
    expect(new URL(victim.url()).origin).toBe(served.house.issuer)
    expect(await victim.context().cookies()).toEqual([])
  })

  it('W7: the back button after an answer leads to a clear page, and nothing happens twice', async (context) => {
    const page = await open(context)
    await page.goto(await startUrl())
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.waitForURL(/error=access_denied/)
    await page.goBack()
    const again = page.getByRole('button', { name: 'Deny' })
    if ((await again.count()) > 0) {
      await again.click()
      await page.waitForLoadState()
      const heading = await page.getByRole('heading').first().textContent()
      expect(['Already answered', 'elsewhere', 'This page can no longer be used']).toContain(
        heading,
      )
    }
  })
})

describe('account', () => {
  /** An app with a grant, as after a sign-in by its first user. */
  async function allowApp(page: Page, client_name: string): Promise<void> {
    await page.goto(await startUrl({ client_name }))
    await page.getByRole('button', { name: /^Allow/ }).click()
    await page.waitForURL(/\/client\?keep=1&code=/)
    const code = new URL(page.url()).searchParams.get('code') ?? ''
    const grants = await served.house.store.grants.list(
      'default',
      { name: 'userId', value: (await onlyUser()).userId },
      { max: 100 },
    )
    const grant = grants.find(({ codeDigest }) => codeDigest === served.house.runtime.sha256(code))
    await redeem(served.house, grant?.clientId ?? '', code, {
      redirect_uri: grant?.redirectUri ?? '',
    })
  }

  async function onlyUser() {
    const [user] = await served.house.store.list('user', 'default', undefined, { max: 1 })
    if (user === undefined) throw new Error('nobody has signed in')
    return user.value
  }

  it('CON-11: without script, an app is found by its name and ended; what is left says so', async (context) => {
    const page = await open(context, { javaScriptEnabled: false })
    await signInAtHome(page)
    await allowApp(page, 'Cursor')
    await page.goto(`${served.house.issuer}/`)
    await page.getByRole('link', { name: 'Your account' }).click()
    await page.getByRole('button', { name: 'End: the access of Cursor' }).first().click()
    await page.getByRole('status').getByText('Done. The app can no longer act for you.').waitFor()
    expect(await page.getByRole('button', { name: 'End: the access of Cursor' }).count()).toBe(0)
  })

  it('CON-11: by keyboard only, every ending is reached in order and Enter performs it', async (context) => {
    const page = await open(context)
    await signInAtHome(page)
    await allowApp(page, 'Zed')
    await page.goto(`${served.house.issuer}/account`)
    const reached: string[] = []
    for (let step = 0; step < 40 && !reached.includes('Forget: what you allowed Zed'); step += 1) {
      await page.keyboard.press('Tab')
      const name = await page.evaluate(() => {
        const element = document.activeElement
        return element?.getAttribute('aria-label') ?? element?.textContent?.trim() ?? ''
      })
      reached.push(name)
    }
    expect(reached[0]).toBe('Postern')
    expect(reached.indexOf('End: the access of Zed')).toBeGreaterThan(0)
    expect(reached.some((name) => name.startsWith('Sign out: this browser'))).toBe(true)
    expect(reached.at(-1)).toBe('Forget: what you allowed Zed')
    await page.keyboard.press('Enter')
    await page.getByRole('status').getByText('You are asked again next time.').waitFor()
  })

  it('W7: reload and the back button after an ending repeat nothing', async (context) => {
    const page = await open(context)
    await signInAtHome(page)
    await allowApp(page, 'Raycast')
    await page.goto(`${served.house.issuer}/account`)
    await page.getByRole('button', { name: 'End: the access of Raycast' }).click()
    await page.waitForURL(/done=client/)
    await page.reload()
    await page.goBack()
    const stale = page.getByRole('button', { name: 'End: the access of Raycast' })
    if ((await stale.count()) > 0) await stale.click()
    await page.goto(`${served.house.issuer}/account`)
    expect(await stale.count()).toBe(0)
  })

  it('W2: a form on another site ends nothing', async (context) => {
    const page = await open(context)
    await signInAtHome(page)
    await page.goto(`${served.house.issuer}/account`)
    const ticket = await page.locator('input[name=ticket]').first().getAttribute('value')
    const other = await page.context().newPage()
    await other.goto(`${served.elsewhere.replace('127.0.0.1', 'localhost')}/attack`)
    await other.evaluate(
      ([action, value]) => {
        document.body.innerHTML = `<form method="post" action="${action}"><input name="ticket" value="${value}"><input name="end" value="everywhere"></form>`
        document.forms[0]?.submit()
      },
      [`${served.house.issuer}/account`, ticket ?? ''],
    )
    await other.getByRole('heading', { name: 'This page can no longer be used' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'Browsers' }).waitFor()
  })
})

describe('for everybody', () => {
  it.for(['light', 'dark'] as const)(
    'axe finds no violation, %s, wide and narrow, and nothing scrolls sideways',
    async (scheme, context) => {
      for (const viewport of Object.values(WIDTHS)) {
        const page = await open(context, { colorScheme: scheme, viewport })
        const visits: (() => Promise<unknown>)[] = [
          async () => page.goto(await startUrl()),
          async () => page.goto(await startUrl({ redirect_uris: [LOOPBACK_REDIRECT] })),
          async () => page.goto((await startUrl()).replace('scope=mcp', 'scope=nonsense')),
          () => page.goto(`${served.house.issuer}/`),
          () => page.goto(`${served.house.issuer}/errors/ERR_CONFIG_SEALING_KEY`),
          () => page.goto(`${served.house.issuer}/errors/ERR_NO_SUCH`),
          () => page.goto(`${served.house.issuer}/account`),
          () => signInAtHome(page),
          async () => page.goto(await startUrl()),
          () => page.goto(`${served.house.issuer}/account?done=session`),
          () => page.getByText('Sign out everywhere').first().click(),
        ]
        for (const visit of visits) {
          await visit()
          const { violations } = await new AxeBuilder({ page })
            .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
            .analyze()
          expect(
            violations.map(
              (violation) => `${page.url()} ${violation.id}: ${violation.nodes[0]?.html}`,
            ),
          ).toEqual([])
          const overflow = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          )
          expect(overflow).toBeLessThanOrEqual(0)
        }
        await page.context().close()
      }
    },
  )

  it('a returning person sees the account and allows with one press', async (context) => {
    const page = await open(context)
    await signInAtHome(page)
    await page.goto(await startUrl())
    expect(await page.locator('[data-consent="account"]').textContent()).toContain('Ada Lovelace')
    await page.getByRole('button', { name: 'Allow', exact: true }).click()
    await page.waitForURL(/code=/)
  })

  it('pages load nothing from another host', async (context) => {
    const page = await open(context)
    const hosts = new Set<string>()
    page.on('request', (request) => void hosts.add(new URL(request.url()).origin))
    await page.goto(await startUrl({ logo_uri: `${served.elsewhere}/logo.png` }))
    await page.waitForLoadState('networkidle')
    expect([...hosts]).toEqual([served.house.issuer])
  })
})
