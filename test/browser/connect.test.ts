/** Linking an account in real chromium: without script, by keyboard, for assistive technology. */
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { sealLink } from '../../src/connectors/connect/link.ts'
import { type ConnectTestHouse, createConnectHouse, userIdOf } from '../flow/connect-house.ts'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { type Served, serveHouse } from './serve.ts'

const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 360, height: 780 } }
const SCOPES = ['notes:read', 'notes:write', 'offline_access']

let served: Served<ConnectTestHouse>
let browser: Browser | undefined
beforeAll(async () => {
  served = await serveHouse((issuer) =>
    createConnectHouse({ issuer, linked: ['notes', 'tasks', 'files'], providers: 1 }),
  )
  const { house, elsewhere } = served
  for (const name of ['notes', 'tasks', 'files']) {
    const remote = house.remote(name)
    const { server } = remote.binding
    remote.binding = {
      ...remote.binding,
      scopesSupported: SCOPES,
      server: {
        ...server,
        authorization_endpoint: `${elsewhere}/authorize`,
        authorization_response_iss_parameter_supported: false,
      },
    }
  }
  comesAs('ada@notes.example')
  const files = house.remote('files')
  files.state = 'dead'
  files.problems = [
    {
      party: 'authorization-server',
      code: 'issuer_mismatch',
      text: 'its metadata names another issuer than the one that the server sent us to',
      requirement: 'DSC-07, RFC 8414 section 3.3',
    },
  ]
})
afterAll(async () => {
  await browser?.close()
  await served.close()
})

/** Who is signed in at the notes server from now on. */
function comesAs(subject: string): void {
  served.house.remote('notes').answer = (code) => ({
    outcome: 'yes',
    subject,
    tokens: { accessToken: `upstream-${code}`, tokenType: 'Bearer', scopes: SCOPES.slice(0, 2) },
  })
}

async function open(context: TestContext, options: BrowserContextOptions = {}): Promise<Page> {
  const path = need(context, 'chromium', findChromium())
  browser ??= await openBrowser(path)
  return (await browser.newContext(options)).newPage()
}

const at = (path: string) => `${served.house.issuer}${path}`

async function signIn(page: Page, path = '/connect'): Promise<void> {
  await page.goto(at(path))
  await page.getByRole('button', { name: 'Continue with GitHub' }).click()
  await page.waitForURL(at(path))
}

async function connectNotes(page: Page): Promise<void> {
  await page.goto(at('/connect/notes'))
  await page.getByRole('button', { name: /^(Continue to|Reconnect at)/ }).click()
  await page.waitForURL(/done=connected|\/replace\?/)
}

async function linkUrl(): Promise<string> {
  const userId = await userIdOf(served.house)
  return sealLink(served.house.deps, {
    userId,
    connector: 'notes',
    clientId: 'cli_1',
    clientName: 'Claude Code',
    scopes: ['notes:admin'],
  })
}

describe('linking', () => {
  it('CLI-12: the whole way works without script; the code is off the address at once', async (context) => {
    const page = await open(context, { javaScriptEnabled: false })
    await signIn(page)
    await page.getByRole('link', { name: 'Connect: Tasks' }).click()
    expect(await page.locator('[data-connect="sign-in-host"]').textContent()).toBe(
      new URL(served.elsewhere).host,
    )
    expect(await page.locator('[data-connect="scopes"]').textContent()).toContain('notes:read')
    expect(await page.locator('[data-connect="account"]').textContent()).toContain('Ada Lovelace')
    served.asked.length = 0
    await page.getByRole('button', { name: /^Continue to/ }).click()
    await page.getByRole('status').getByText('Connected.').waitFor()
    expect(page.url()).toBe(at('/connect?done=connected'))
    const asked = served.asked.filter((line) => !line.includes('favicon'))
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatch(/referer=$/)
    await page.getByRole('button', { name: 'Disconnect: Tasks' }).click()
    await page.getByRole('status').getByText('Disconnected.').waitFor()
    expect(await page.getByRole('button', { name: 'Disconnect: Tasks' }).count()).toBe(0)
  })

  it('is reached and pressed by keyboard only, in the order of the page', async (context) => {
    const page = await open(context)
    await signIn(page, '/connect/tasks')
    const reached: string[] = []
    for (let step = 0; step < 5 && reached.at(-1) !== 'Not now'; step += 1) {
      await page.keyboard.press('Tab')
      reached.push((await page.evaluate(() => document.activeElement?.textContent?.trim())) ?? '')
    }
    expect(reached).toEqual(['Postern', `Continue to ${new URL(served.elsewhere).host}`, 'Not now'])
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('status').waitFor()
    await page.getByRole('button', { name: 'Disconnect: Tasks' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('status').getByText('Disconnected.').waitFor()
  })

  it('W7: the back button after connecting leads to a clear page and connects nothing twice', async (context) => {
    const page = await open(context)
    await signIn(page)
    comesAs('ada@notes.example')
    await connectNotes(page)
    const before = served.house.remote('notes').exchanges.length
    await page.goBack()
    const again = page.getByRole('button', { name: /^Continue to/ })
    if ((await again.count()) > 0) {
      await again.click()
      await page.waitForLoadState()
    }
    expect(served.house.remote('notes').exchanges.length).toBeLessThanOrEqual(before + 1)
    const own = await served.house.connections.list(await userIdOf(served.house))
    expect(own.filter(({ connector }) => connector === 'notes')).toHaveLength(1)
  })

  it('W2: a form on another site connects and ends nothing', async (context) => {
    const page = await open(context)
    await signIn(page)
    comesAs('ada@notes.example')
    await connectNotes(page)
    await page.goto(at('/connect'))
    const ticket = await page.locator('input[name=ticket]').first().getAttribute('value')
    const end = await page.getByRole('button', { name: 'Disconnect: Notes' }).getAttribute('value')
    const other = await page.context().newPage()
    await other.goto(`${served.elsewhere.replace('127.0.0.1', 'localhost')}/attack`)
    await other.evaluate(
      ([action, value, what]) => {
        document.body.innerHTML = `<form method="post" action="${action}"><input name="ticket" value="${value}"><input name="end" value="${what}"></form>`
        document.forms[0]?.submit()
      },
      [at('/connect'), ticket ?? '', end ?? ''],
    )
    await other.getByRole('heading', { name: 'This page can no longer be used' }).waitFor()
    await page.reload()
    expect(await page.getByRole('button', { name: 'Disconnect: Notes' }).count()).toBe(1)
  })

  it('W3 B14: names and scopes made of markup run nothing and break no policy', async (context) => {
    const page = await open(context)
    await signIn(page)
    const trouble: string[] = []
    page.on('dialog', (dialog) => void trouble.push(dialog.message()))
    page.on('console', (message) => void trouble.push(message.text()))
    page.on('pageerror', (error) => void trouble.push(error.message))
    const remote = served.house.remote('tasks')
    const { binding } = remote
    const hostile = '<svg/onload=alert(1)>'
    remote.binding = { ...binding, scopesSupported: [hostile, "javascript:alert('1')"] }
    const userId = await userIdOf(served.house)
    const facts = { userId, connector: 'tasks', clientId: 'x', clientName: hostile, scopes: [] }
    await page.goto(sealLink(served.house.deps, facts))
    expect(await page.locator('[data-connect="client"]').textContent()).toBe(hostile)
    expect(await page.locator('main script, main img, main svg').count()).toBe(0)
    remote.binding = binding
    expect(trouble).toEqual([])
  })

  it('W1: cannot be framed', async (context) => {
    const page = await open(context)
    await signIn(page)
    await page.goto(`${served.elsewhere}/frame`)
    await page.evaluate((source) => {
      const frame = document.createElement('iframe')
      frame.src = source
      document.body.append(frame)
    }, at('/connect/notes'))
    await expect.poll(() => page.frames().length).toBe(2)
    const inner = page.frames()[1]
    await inner?.waitForLoadState().catch(() => undefined)
    expect(await inner?.locator('button').count()).toBe(0)
  })
})

describe('for everybody', () => {
  it.for(['light', 'dark'] as const)(
    'axe finds no violation, %s, wide and narrow, and nothing scrolls sideways',
    async (scheme, context) => {
      for (const [width, viewport] of Object.entries(WIDTHS)) {
        const page = await open(context, { colorScheme: scheme, viewport })
        await signIn(page)
        comesAs('ada@notes.example')
        await connectNotes(page)
        const visits: Record<string, () => Promise<unknown>> = {
          list: () => page.goto(at('/connect?done=connected')),
          connected: () => page.goto(at('/connect/notes')),
          page: () => page.goto(at('/connect/tasks')),
          link: async () => page.goto(await linkUrl()),
          trouble: () => page.goto(at('/connect/files')),
          account: () => page.goto(at('/account?done=disconnected-here')),
          home: () => page.goto(at('/')),
          unknown: () => page.goto(at('/connect/nothing')),
          stale: () => page.goto(at('/connect/notes/callback?state=x')),
          replace: async () => {
            comesAs('root@notes.example')
            await connectNotes(page)
          },
        }
        for (const [name, visit] of Object.entries(visits)) {
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
          expect(overflow, name).toBeLessThanOrEqual(0)
          const folder = process.env.POSTERN_SCREENSHOTS
          if (folder !== undefined) {
            const path = `${folder}/${name}-${scheme}-${width}.png`
            await page.screenshot({ path, fullPage: true })
          }
        }
        await page.getByRole('button', { name: 'Keep the one I had' }).click()
        await page.getByRole('status').getByText('Nothing was changed.').waitFor()
        await page.context().close()
      }
    },
  )
})
