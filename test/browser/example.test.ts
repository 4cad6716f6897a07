/**
 * The example control plane as a person sees it: chromium on the page of the full variant in real
 * workerd, under the content policy of the product, with the element from the same house.
 */
import { randomBytes } from 'node:crypto'
import { AxeBuilder } from '@axe-core/playwright'
import type { Page } from 'playwright-core'
import { expect, it, onTestFinished } from 'vitest'
import { startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { startExample } from '../../examples/control-plane/start.ts'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { freePort } from '../kit/postern.ts'

const STEP_DEADLINE_MS = 20_000
const PROBLEM = /content security policy|uncaught|failed to load/i

async function signIn(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/settings`)
  await page.getByLabel('Name').fill('ada')
  await page.getByLabel('Password').fill('lovelace')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Settings' }).waitFor()
}

it('CLI-24: a person connects in the settings page of the example, and a tool knows them', async (context) => {
  const path = need(context, 'chromium', findChromium())
  const remote = await startRemoteServer()
  onTestFinished(() => remote.close())
  const { url, worker } = await startExample({
    variant: 'full',
    port: await freePort(),
    notesUrl: remote.url,
    secret: randomBytes(32).toString('base64url'),
  })
  onTestFinished(() => worker.dispose())
  const browser = await openBrowser(path)
  onTestFinished(() => browser.close())
  const person = await browser.newContext()
  person.setDefaultTimeout(STEP_DEADLINE_MS)
  const page = await person.newPage()
  const problems: string[] = []
  page.on('console', (message) => {
    if (PROBLEM.test(message.text())) problems.push(message.text())
  })
  page.on('pageerror', (error) => problems.push(error.message))
  await signIn(page, url)
  const row = page.locator('li[data-connector=notes]')
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: /^Connect: / }).click(),
  ])
  const closed = popup.waitForEvent('close')
  await popup.getByRole('button', { name: /^Continue to/ }).click()
  await closed
  await row.getByText('Connected', { exact: false }).first().waitFor()
  const { violations } = await new AxeBuilder({ page }).analyze()
  expect(violations.map(({ id }) => id)).toEqual([])
  const folder = process.env.POSTERN_SCREENSHOTS
  if (folder !== undefined) await page.screenshot({ path: `${folder}/example.png` })
  await page.getByRole('button', { name: 'Ask Notes who I am' }).click()
  await page.getByText('"sub":"ada"').waitFor()
  expect(problems).toEqual([])
})
