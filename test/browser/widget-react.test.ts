/** The React shells in real chromium: StrictMode, one render after another, nothing left behind. */
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { startWidgetServer, type WidgetServer } from '../kit/widget-server.ts'
import { type HostPage, startHostPage } from './host-page.ts'

/** What a browser on a busy machine may take. */
const PATIENCE = { timeout: 10_000 }

const PAGE = fileURLToPath(new URL('./react-page.ts', import.meta.url))

let host: HostPage
let server: WidgetServer
let browser: Browser | undefined
beforeAll(async () => {
  host = await startHostPage()
  server = await startWidgetServer(host.origin)
  host.issuer = server.origin
  host.session = async () => server.newSession()
  host.loadsWidget = false
  host.body = `<div id="app"></div>`
  host.script = `document.body.dataset.issuer = ${JSON.stringify(server.origin)};\n${await bundle()}`
})
afterAll(async () => {
  await browser?.close()
  await Promise.all([host.close(), server.close()])
})

/** As a product would, with React's development build: StrictMode mounts everything twice. */
async function bundle(): Promise<string> {
  const build = await rolldown({
    input: PAGE,
    platform: 'browser',
    checks: { moduleLevelDirective: false },
    transform: { define: { 'process.env.NODE_ENV': '"development"' } },
  })
  try {
    const { output } = await build.generate({ format: 'esm', codeSplitting: false })
    return output[0].code
  } finally {
    await build.close()
  }
}

async function visit(context: TestContext, complaints: string[]): Promise<Page> {
  const path = need(context, 'chromium', findChromium())
  browser ??= await openBrowser(path)
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(10_000)
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => void complaints.push(error.message))
  await page.goto(host.origin)
  await page.getByText('Notes is none').waitFor()
  await page.locator('li[data-connector=notes]').waitFor()
  return page
}

/** Listeners of the whole page, by the debugger: `message` and `online` are the element's. */
async function listeners(page: Page): Promise<readonly string[]> {
  const session = await page.context().newCDPSession(page)
  const { result } = await session.send('Runtime.evaluate', {
    expression: 'Object.keys(getEventListeners(window))',
    includeCommandLineAPI: true,
    returnByValue: true,
  })
  await session.detach()
  return result.value as readonly string[]
}

describe('postern/react', () => {
  it('renders in StrictMode, connects and disconnects, and both shells stay in step', async (context) => {
    const complaints: string[] = []
    const page = await visit(context, complaints)
    const element = page.locator('postern-connect')
    expect(await element.getAttribute('class')).toBe('product')
    expect(await element.getAttribute('connectors')).toBe('notes tasks')
    await page.getByRole('button', { name: 'Again 0' }).click()
    await page.getByRole('button', { name: 'Connect: Notes' }).click()
    await page.getByText('Notes is active').waitFor()
    expect(await page.evaluate(() => window.told)).toEqual([
      [1, { connector: 'notes', state: 'active', connectionId: 'con_1' }],
    ])
    await page.getByRole('button', { name: 'Toggle Notes' }).click()
    await page.locator('li[data-connector=notes]').getByText('Not connected').waitFor()
    await page.getByRole('button', { name: 'Toggle Notes' }).click()
    await page.locator('li[data-connector=notes]').getByText('Connected · ada').waitFor()
    server.refusals.set('/widget/disconnect', { status: 503, code: 'ERR_WIDGET_UNAVAILABLE' })
    await page.getByRole('button', { name: 'Toggle Notes' }).click()
    await page.getByText('ERR_WIDGET_UNAVAILABLE').waitFor()
    server.refusals.clear()
    expect(await page.evaluate(() => window.violations)).toEqual([])
    // Chromium itself tells of the refused call; React has nothing to complain about.
    expect(complaints.filter((line) => !line.includes('status of 503'))).toEqual([])
  })

  it('leaves nothing behind when it is unmounted while a window is open', async (context) => {
    for (const row of server.rows) row.state = 'none'
    server.window = 'silent'
    const page = await visit(context, [])
    const [popup] = await Promise.all([
      page.waitForEvent('popup'),
      page.getByRole('button', { name: 'Connect: Notes' }).click(),
    ])
    await page.getByRole('button', { name: 'Show window: Notes' }).waitFor()
    expect(await listeners(page)).toEqual(expect.arrayContaining(['message', 'online']))
    const closed = popup.waitForEvent('close')
    await page.evaluate(() => window.unmount())
    await closed
    await expect.poll(() => listeners(page), PATIENCE).not.toContain('message')
    expect(await listeners(page)).not.toContain('online')
    const calls = server.calls.length
    await page.evaluate(() => {
      dispatchEvent(new Event('online'))
      new BroadcastChannel('postern-connect').postMessage({
        type: 'postern:changed',
        issuer: document.body.dataset.issuer,
      })
    })
    await page.evaluate(() => fetch('/connect-session', { method: 'POST' }))
    expect(server.calls.length).toBe(calls)
  })
})
