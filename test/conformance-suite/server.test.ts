/**
 * Appendix G, server set: every scenario of 2025-11-25 and 2026-07-28 gives the same checks with the
 * same results directly and through Postern, and they are the checks we expect.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium, openBrowser } from '../kit/browser.ts'
import { need } from '../kit/needs.ts'
import { type Fixture, startFixture } from './fixture.ts'
import { openHouse } from './house.ts'
import { checkIds, type Results, type Revision, runServerSuite, summarize } from './suite.ts'

const EXPECTED_FILE = new URL('expected-checks.json', import.meta.url)
const SUITE_TEST_DEADLINE_MS = 600_000
const REVISIONS: readonly Revision[] = ['2025-11-25', '2026-07-28']
/** The official server package has no tasks extension; the suite does not score these either. */
const NOT_IMPLEMENTED = /^tasks-/

type Expected = Readonly<Record<Revision, Readonly<Record<string, readonly string[]>>>>

describe('the official conformance suite, server set', () => {
  const direct = new Map<Revision, Results>()
  let fixture: Fixture

  beforeAll(async () => {
    fixture = await startFixture()
    for (const revision of REVISIONS)
      direct.set(revision, await runServerSuite(fixture.url, revision))
    if (process.env.UPDATE_EXPECTED_CHECKS === '1') writeExpected(direct)
  }, SUITE_TEST_DEADLINE_MS)
  afterAll(() => fixture.close())

  it.each(REVISIONS)('%s directly: every expected check ran and succeeded', (revision) => {
    const results = direct.get(revision) ?? {}
    const expected = JSON.parse(readFileSync(EXPECTED_FILE, 'utf8')) as Expected
    expect(checkIds(results)).toEqual(expected[revision])
    const failed = Object.entries(results)
      .filter(([scenario]) => !NOT_IMPLEMENTED.test(scenario))
      .flatMap(([scenario, checks]) =>
        checks
          .filter(({ status }) => status === 'FAILURE')
          .map(({ id, errorMessage }) => `${scenario} ${id}: ${errorMessage}`),
      )
    expect(failed).toEqual([])
  })

  it('GW-01, GW-04, GW-07, GW-08, GW-11, GW-13, GW-17, GW-18, GW-19, GW-20: through Postern check by check the same', {
    timeout: SUITE_TEST_DEADLINE_MS,
  }, async (context) => {
    const chromium = need(context, 'chromium', findChromium())
    const browser = await openBrowser(chromium)
    const house = await openHouse(fixture.url)
    try {
      await house.signIn(browser)
      for (const revision of REVISIONS) {
        const before = fixture.requests()
        const results = await runServerSuite(house.mcpUrl, revision)
        expect(fixture.requests() - before, 'requests that reached the server').toBeGreaterThan(0)
        expect(summarize(results)).toEqual(summarize(direct.get(revision) ?? {}))
      }
    } finally {
      await browser.close()
      await house.close()
    }
  })
})

/** `UPDATE_EXPECTED_CHECKS=1`: after a new version of the suite, looked at before it is committed. */
function writeExpected(direct: ReadonlyMap<Revision, Results>): void {
  const expected = Object.fromEntries(
    [...direct].map(([revision, results]) => [revision, checkIds(results)]),
  )
  writeFileSync(EXPECTED_FILE, `${JSON.stringify(expected, undefined, 2)}\n`)
}
