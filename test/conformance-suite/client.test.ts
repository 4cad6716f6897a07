/**
 * Appendix G, client set: every authorization scenario that 2025-11-25 and 2026-07-28 require, each
 * at both wires where it has both, with a whole house as the client. The expected check ids stand in
 * `client-checks.json`; a check that is missing, skipped, warned of or failed is a failure here.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { requiredScenarios, runClientScenario, unscoredScenarios } from './client-suite.ts'

const EXPECTED_FILE = new URL('client-checks.json', import.meta.url)
const REVISIONS = ['2025-11-25', '2026-07-28'] as const
const SCENARIO_TEST_DEADLINE_MS = 120_000

/** Extensions of other roles: not ours to play. Each with its reason. */
const NOT_PLAYED: Readonly<Record<string, string>> = {
  'auth/enterprise-managed-authorization':
    'we accept ID-JAG as an authorization server, we ask none',
  'auth/wif-jwt-bearer': 'a workload that presents a token of its platform',
  'auth/dpop': 'tokens of connectors are bearer tokens',
  'auth/dpop-nonce': 'tokens of connectors are bearer tokens',
}

/** What each scenario is asked for in our requirements. */
const REQUIREMENTS: Readonly<Record<string, string>> = {
  'auth/metadata-default': 'DSC-01 DSC-06',
  'auth/metadata-var1': 'DSC-01 DSC-06',
  'auth/metadata-var2': 'DSC-01 DSC-04 DSC-06',
  'auth/metadata-var3': 'DSC-01 DSC-06',
  'auth/basic-cimd': 'CLI-01',
  'auth/pre-registration': 'CLI-01 CLI-16',
  'auth/scope-from-www-authenticate': 'CLI-08',
  'auth/scope-from-scopes-supported': 'CLI-08',
  'auth/scope-omitted-when-undefined': 'CLI-08',
  'auth/offline-access-scope': 'CLI-08',
  'auth/offline-access-not-supported': 'CLI-08',
  'auth/scope-step-up': 'CLI-09 GW-25',
  'auth/scope-retry-limit': 'CLI-09',
  'auth/token-endpoint-auth-basic': 'CLI-07 CLI-16',
  'auth/token-endpoint-auth-post': 'CLI-07 CLI-16',
  'auth/token-endpoint-auth-none': 'CLI-07 CLI-16',
  'auth/resource-mismatch': 'DSC-03',
  'auth/metadata-issuer-mismatch': 'DSC-07',
  'auth/authorization-server-migration': 'DSC-20 CLI-04',
  'auth/iss-supported': 'CLI-10',
  'auth/iss-not-advertised': 'CLI-10',
  'auth/iss-supported-missing': 'CLI-10',
  'auth/iss-wrong-issuer': 'CLI-10',
  'auth/iss-unexpected': 'CLI-10',
  'auth/iss-normalized': 'CLI-10',
  'auth/client-credentials-jwt': 'CLI-15',
  'auth/client-credentials-basic': 'CLI-16',
  'auth/2025-03-26-oauth-metadata-backcompat': 'DSC-11',
  'auth/2025-03-26-oauth-endpoint-fallback': 'DSC-11',
}

type Expected = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

const expected = JSON.parse(readFileSync(EXPECTED_FILE, 'utf8')) as Expected
const runs = Object.entries(expected).flatMap(([revision, scenarios]) =>
  Object.entries(scenarios).map(([scenario, ids]) => ({
    scenario,
    revision,
    ids,
    requirement: REQUIREMENTS[scenario] ?? '',
  })),
)
const seen: Record<string, Record<string, readonly string[]>> = {}

describe('the official conformance suite, client set', () => {
  afterAll(() => {
    if (process.env.UPDATE_EXPECTED_CHECKS !== '1') return
    const merged = Object.entries(expected).map(([revision, scenarios]) => [
      revision,
      { ...scenarios, ...seen[revision] },
    ])
    writeFileSync(EXPECTED_FILE, `${JSON.stringify(Object.fromEntries(merged), undefined, 2)}\n`)
  })

  it.each(REVISIONS)(
    '%s: the list of scenarios is the one that the suite requires',
    async (revision) => {
      const played = Object.keys(expected[revision] ?? {})
      const required = await requiredScenarios(revision)
      const unscored = await unscoredScenarios(revision)
      expect(required.length).toBeGreaterThan(10)
      expect(played.toSorted()).toEqual(
        [...required, ...unscored.filter((name) => NOT_PLAYED[name] === undefined)].toSorted(),
      )
      expect(unscored).toEqual(expect.arrayContaining(Object.keys(NOT_PLAYED)))
    },
  )

  it.concurrent.each(runs)(
    '$requirement: $scenario at $revision',
    { timeout: SCENARIO_TEST_DEADLINE_MS },
    async ({ scenario, revision, ids }) => {
      const extension = scenario.startsWith('auth/client-credentials-')
      const { checks, output, exitCode } = await runClientScenario(scenario, revision, extension)
      const found = [...new Set(checks.map(({ id }) => id))].toSorted()
      seen[revision] = { ...seen[revision], [scenario]: found }
      const bad = checks
        .filter(({ status }) => status !== 'SUCCESS' && status !== 'INFO')
        .map(({ id, status, description }) => `${id} ${status}: ${description}`)
      expect(bad, output.slice(-6_000)).toEqual([])
      expect(exitCode, output.slice(-6_000)).toBe(0)
      if (process.env.UPDATE_EXPECTED_CHECKS !== '1')
        expect(found, output.slice(-6_000)).toEqual(ids)
    },
  )
})
