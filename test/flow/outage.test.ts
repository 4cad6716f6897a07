/**
 * What a person who is signed in notices of a sick provider: nothing within the stated bound, then
 * 503 with `Retry-After`, never `invalid_token`; and everything again soon after it is well.
 */
import { describe, expect, it } from 'vitest'
import type { GitHubDouble } from '../../demo/doubles/github.ts'
import type { OpenIdDouble } from '../../demo/doubles/openid.ts'
import { type Answer, openPlane } from '../kit/plane.ts'

/** `upstreamProofStaleIfErrorSeconds` by default: the stated bound. */
const BOUND_MS = 3_600_000
const CALL_EVERY_MS = 100_000
const STEP_MS = 2_000
const DAY_SECONDS = 86_400
const HOUR_MS = 3_600_000
/** Longest open period of a breaker, or the wait that the provider ordered, and one step. */
const RECOVERY_MS = 140_000
/** Longest wait that a provider may order, with its jitter. */
const ORDERED_MS = 400_000
const RECOVERY_STEP_MS = 5_000

type Sickness = readonly [name: string, fall: (double: GitHubDouble & OpenIdDouble) => unknown]

const EVERYWHERE: readonly Sickness[] = [
  ['F3: answers 500', (double) => double.fail(500)],
  ['F4: answers 429 with Retry-After', (double) => double.fail(429, { 'retry-after': '120' })],
  [
    'F4: answers 429 with an absurd date',
    (double) => double.fail(429, { 'retry-after': 'Fri, 31 Dec 2199 23:59:59 GMT' }),
  ],
  ['answers 403 to everything', (double) => double.fail(403)],
  ['answers 401 with a page of somebody else', (double) => double.fail(401)],
  ['F2: hangs after accept', (double) => double.hang('accept')],
  ['F2: hangs after the headers', (double) => double.hang('headers')],
  ['F2: hangs in the body', (double) => double.hang('body')],
  ['resets every connection', (double) => double.reset()],
  ['refuses connections', (double) => double.kill()],
  [
    'F5: answers 200 with a broken body',
    (double) => {
      for (const endpoint of ['GET /user', 'GET /me', 'POST /token']) {
        double.answerWith(endpoint, {
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: '{"id":1',
        })
      }
    },
  ],
]
const AT_GITHUB: readonly Sickness[] = [
  ...EVERYWHERE,
  ['limits with 403 (primary)', (double) => double.limit({ kind: 'primary', status: 403 })],
  [
    'limits with 403 (secondary)',
    (double) => double.limit({ kind: 'secondary', status: 403, retryAfterSeconds: 60 }),
  ],
  ['limits with 429 (primary)', (double) => double.limit({ kind: 'primary', status: 429 })],
  [
    'F5: answers 200 with an error object',
    (double) => double.answerWith('GET /user', { status: 200, body: '{"error":"unavailable"}' }),
  ],
]
const CASES = [
  ...AT_GITHUB.map((sickness) => ['github', ...sickness] as const),
  ...EVERYWHERE.map((sickness) => ['openid', ...sickness] as const),
]

describe('F2 F3 F4 F5: a person who is signed in', () => {
  it.each(CASES)(
    'VAL-10: %s %s: no refusal within the bound, then 503, then well again',
    async (provider, name, fall) => {
      const plane = await openPlane({ provider, limits: { accessTokenTtlSeconds: DAY_SECONDS } })
      const caller = await plane.signIn()
      expect((await plane.call(caller)).status).toBe(200)
      const double = plane.provider as GitHubDouble & OpenIdDouble
      const provedMs = plane.elapsedMs()
      await fall(double)

      const refusals: number[] = []
      while (plane.elapsedMs() + CALL_EVERY_MS < provedMs + BOUND_MS) {
        await plane.elapse(CALL_EVERY_MS, STEP_MS)
        const { status } = await plane.call(caller)
        if (status !== 200) refusals.push(status)
      }
      expect(refusals, name).toEqual([])
      // Nobody waited either: a failing provider is known to fail.
      expect(
        await plane.metric('postern_hot_path_waits_total', { reason: 'proof' }),
      ).toBeLessThanOrEqual(1)

      await plane.elapse(CALL_EVERY_MS, STEP_MS)
      expect(isPlainly503(await plane.call(caller))).toBe(true)
      const refreshed = await plane.refresh(caller)
      expect(refreshed.status, 'the grant lives').toBe(200)

      await double.revive()
      if ('limit' in double) double.limit(undefined)
      const sinceMs = plane.elapsedMs()
      let status = 503
      while (status !== 200 && plane.elapsedMs() - sinceMs < HOUR_MS) {
        await plane.elapse(RECOVERY_STEP_MS)
        status = (await plane.call(caller)).status
        expect([200, 503]).toContain(status)
      }
      expect(status).toBe(200)
      const ordered = /absurd|primary/.test(name)
      expect(plane.elapsedMs() - sinceMs).toBeLessThanOrEqual(ordered ? ORDERED_MS : RECOVERY_MS)
      expect(plane.events.filter(({ type }) => type === 'grant.ended')).toEqual([])
    },
  )
})

/** F3: "unknown" is not a refusal of the token. */
function isPlainly503({ status, headers, text }: Answer): boolean {
  expect({ status, challenge: headers.get('www-authenticate') }).toEqual({
    status: 503,
    challenge: null,
  })
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  expect(text).not.toContain('invalid_token')
  return true
}
