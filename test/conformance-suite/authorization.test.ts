/**
 * Appendix G, authorization server set: both scenarios of the official suite against Postern, with a
 * client registered first and chromium as the person. SKIPPED is a failure here.
 */
import { describe, expect, it } from 'vitest'
import { findChromium, openBrowser, playBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { freePort } from '../kit/postern.ts'
import { startFixture } from './fixture.ts'
import { openHouse } from './house.ts'
import { runAuthorizationSuite, summarize } from './suite.ts'

const SUITE_TEST_DEADLINE_MS = 300_000
/** May warn until client metadata documents are there (CIMD). */
const MAY_WARN = 'authorization-server-metadata-cimd'

describe('the official conformance suite, authorization server set', () => {
  it('authorization-server-metadata-endpoint and authorization-code-grant succeed', {
    timeout: SUITE_TEST_DEADLINE_MS,
  }, async (context) => {
    const chromium = need(context, 'chromium', findChromium())
    const browser = await openBrowser(chromium)
    const fixture = await startFixture()
    const house = await openHouse(fixture.url)
    try {
      const port = await freePort()
      const clientId = await register(house.issuer, `http://127.0.0.1:${port}/callback`)
      const results = await runAuthorizationSuite(
        { issuer: house.issuer, clientId, resource: house.mcpUrl, port },
        (url) => playBrowser(browser, url),
      )
      const checks = Object.values(results).flat()
      expect(Object.keys(results).toSorted()).toEqual([
        'authorization-code-grant',
        'authorization-server-metadata-endpoint',
      ])
      expect(checks.map(({ id }) => id).toSorted()).toEqual(
        expect.arrayContaining([
          'authorization-code-grant',
          'authorization-server-metadata',
          MAY_WARN,
        ]),
      )
      const allowed = ({ id, status }: (typeof checks)[number]): boolean =>
        status === 'SUCCESS' || status === 'INFO' || (id === MAY_WARN && status === 'WARNING')
      expect(
        checks.filter((check) => !allowed(check)),
        JSON.stringify(summarize(results)),
      ).toEqual([])
    } finally {
      await browser.close()
      await house.close()
      await fixture.close()
    }
  })
})

async function register(issuer: string, redirectUri: string): Promise<string> {
  const response = await fetch(`${issuer}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Conformance suite',
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: 'none',
    }),
  })
  if (response.status !== 201)
    throw new Error(`registration: ${response.status} ${await response.text()}`)
  return ((await response.json()) as { client_id: string }).client_id
}
