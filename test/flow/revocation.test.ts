/**
 * A person loses the grant at the provider: how long Postern still lets them in, what they are told,
 * and what a provider that is merely confused cannot do to anybody.
 * @see flows.md section 10, threats F11 and F12
 */
import { describe, expect, it } from 'vitest'
import type { Person } from '../../demo/doubles/people.ts'
import { type Caller, openPlane, type Plane, type ProviderKind } from '../kit/plane.ts'
import type { SeenEvent } from '../kit/platform.ts'

const PROVIDERS: readonly ProviderKind[] = ['github', 'openid']
/** Defaults: `upstreamProofStaleSeconds`, and the longest suspicion. */
const BOUND_MS = 300_000
const SUSPECT_MS = 10_000
const SHORT_BOUND_MS = 5_000
const SHORT = { upstreamProofTtlSeconds: 2, upstreamProofStaleSeconds: 5 }
/** What a busy machine may add between a decision and its event. */
const SCHEDULING_MS = 1_000
const REAL_CALLS_MAX = 2_000
const REAL_PAUSE_MS = 20
const CROWD = 25
const PROOF_ENDPOINT = { github: 'GET /user', openid: 'GET /me' }

async function expectEnded(plane: Plane, caller: Caller): Promise<void> {
  const refused = await plane.call(caller)
  expect(refused.status).toBe(401)
  expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
  expect(await plane.refresh(caller)).toMatchObject({
    status: 400,
    body: { error: 'invalid_grant' },
  })
}

async function expectAlive(plane: Plane, caller: Caller): Promise<void> {
  expect((await plane.call(caller)).status).toBe(200)
  expect((await plane.refresh(caller)).status).toBe(200)
}

describe.each(PROVIDERS)('revoked at %s', (provider) => {
  it.each([
    ['calling every 5 s', 5_000],
    ['calling every 2 min', 120_000],
    ['coming back after 20 min', 1_200_000],
  ])(
    'I5: %s: 503 within the bound, 401 at most 10 s later, a new sign-in works',
    async (_how, everyMs) => {
      const plane = await openPlane({ provider })
      const [ada, grace] = [await plane.signIn('ada'), await plane.signIn('grace')]
      expect((await plane.call(ada)).status).toBe(200)
      expect(plane.provider.revoke('ada')).toBeGreaterThan(0)
      const revokedMs = plane.elapsedMs()

      let answer = await plane.call(ada)
      while (answer.status === 200) {
        await plane.elapse(everyMs)
        answer = await plane.call(ada)
        // Served at or past the bound would be a call that nobody has vouched for.
        if (answer.status === 200) expect(plane.elapsedMs() - revokedMs).toBeLessThan(BOUND_MS)
      }
      const firstMs = plane.elapsedMs()
      // Who calls rarely may find the whole procedure done by the keep-warm.
      if (answer.status === 503) {
        expect(answer.headers.get('retry-after')).not.toBeNull()
        expect(lastRefusal(plane)).toBe('proof_suspect')
        while (answer.status === 503) {
          await plane.elapse(1_000)
          answer = await plane.call(ada)
        }
      }
      expect(plane.elapsedMs() - firstMs).toBeLessThanOrEqual(SUSPECT_MS)
      await expectEnded(plane, ada)
      await expectAlive(plane, grace)

      await expectAlive(plane, await plane.signIn('ada'))
      await expectEnded(plane, ada)
    },
  )

  it('I5: stays revoked after a restart, and the provider is not asked about it again', async () => {
    const plane = await openPlane({ provider })
    const ada = await plane.signIn('ada')
    await plane.call(ada)
    plane.provider.revoke('ada')
    await plane.elapse(BOUND_MS + SUSPECT_MS)
    await expectEnded(plane, ada)
    plane.provider.forget()
    await plane.restart()
    await expectEnded(plane, ada)
    expect(plane.provider.total(PROOF_ENDPOINT[provider])).toBe(0)
  })

  it('in real time with 2 s and 5 s: 200 until the bound, 503 (suspect), 401 within 10 s', {
    timeout: 60_000,
  }, async () => {
    const plane = await openPlane({ provider, clock: 'real', limits: SHORT })
    const ada = await plane.signIn('ada')
    expect((await plane.call(ada)).status).toBe(200)
    plane.provider.revoke('ada')
    const revokedMs = performance.now()

    const statuses: number[] = []
    for (let calls = 0; calls < REAL_CALLS_MAX && statuses.at(-1) !== 401; calls++) {
      const { status } = await plane.call(ada)
      if (statuses.at(-1) !== status) statuses.push(status)
      await new Promise((resolve) => setTimeout(resolve, REAL_PAUSE_MS))
    }
    expect(statuses).toEqual([200, 503, 401])
    // The call is refused from memory; the row that says so is written behind it.
    const isEnded = (): boolean => plane.events.some(({ type }) => type === 'grant.ended')
    for (let turn = 0; turn < REAL_CALLS_MAX && !isEnded(); turn++)
      await new Promise((resolve) => setTimeout(resolve, REAL_PAUSE_MS))
    const decided = (event: SeenEvent): number => event.atMs - (event.durationMs ?? 0)
    const calls = plane.events.filter(
      ({ type }) => type === 'call.forwarded' || type === 'call.refused',
    )
    const lastServed = calls.findLast(({ status }) => status === 200)
    const firstRefused = calls.find(({ reason }) => reason === 'proof_suspect')
    const ended = plane.events.find(({ type }) => type === 'grant.ended')
    if (lastServed === undefined || firstRefused === undefined || ended === undefined) {
      throw new Error('an event is missing')
    }
    expect(decided(lastServed) - revokedMs).toBeLessThanOrEqual(SHORT_BOUND_MS + SCHEDULING_MS)
    expect(decided(firstRefused)).toBeGreaterThanOrEqual(decided(lastServed))
    expect(ended.atMs - decided(firstRefused)).toBeLessThanOrEqual(SUSPECT_MS + SCHEDULING_MS)
    await expectEnded(plane, ada)
    await expectAlive(plane, await plane.signIn('ada'))
  })
})

function lastRefusal(plane: Plane): string | undefined {
  return plane.events.findLast(({ type }) => type === 'call.refused')?.reason
}

describe('tokens that expire', () => {
  it('F11: at GitHub the refresh is the second opinion: a dead refresh token ends the grant', async () => {
    const plane = await openPlane({ provider: 'github', expiringTokens: true })
    const ada = await plane.signIn('ada')
    await plane.call(ada)
    plane.provider.revoke('ada')
    await plane.elapse(BOUND_MS + SUSPECT_MS)
    await expectEnded(plane, ada)
    expect(plane.provider.total('POST /applications/{client_id}/token')).toBe(0)
  })

  it('F11: an access token that died alone is renewed: nobody is refused', async () => {
    const plane = await openPlane({ provider: 'openid' })
    const ada = await plane.signIn('ada')
    await plane.call(ada)
    expect(plane.provider.expireAccessTokens()).toBeGreaterThan(0)
    const seen = new Set<number>()
    for (let turn = 0; turn < 70; turn++) {
      await plane.elapse(5_000)
      seen.add((await plane.call(ada)).status)
    }
    // The doubt itself may cost a second; it never costs the sign-in.
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([])
    await expectAlive(plane, ada)
  })
})

describe.each(PROVIDERS)('%s says no to everybody', (provider) => {
  const people: readonly Person[] = Array.from({ length: CROWD }, (_, index) => ({
    login: `person${index}x`,
    id: 2_000 + index,
    name: `person${index}x`,
    email: `person${index}@example.com`,
    groups: [],
  }))

  it(`F12: a storm of ${CROWD} refusals at once ends nothing, and passes`, {
    timeout: 60_000,
  }, async () => {
    const plane = await openPlane({ provider, people })
    const callers: Caller[] = []
    for (const { login } of people) callers.push(await plane.signIn(login))
    await plane.elapse(100_000)
    refuseEverybody(plane)
    const during = await plane.during(Promise.all(callers.map((caller) => plane.call(caller))))
    expect(during.map(({ status }) => status)).toEqual(callers.map(() => 200))
    await plane.elapse(2_000)
    expect(plane.events.filter(({ type }) => type === 'provider.incident')).toHaveLength(1)

    // For as long as the bound of an outage says, and not only until the bound of a revocation.
    for (let round = 0; round < 5; round++) {
      await plane.elapse(300_000, 2_000)
      const answers = await plane.during(Promise.all(callers.map((caller) => plane.call(caller))))
      expect(answers.map(({ status }) => status)).toEqual(callers.map(() => 200))
    }
    expect(plane.events.filter(({ type }) => type === 'grant.ended')).toEqual([])

    forgiveEverybody(plane)
    await plane.elapse(300_000, 2_000)
    for (const caller of callers) await expectAlive(plane, caller)
    expect(plane.events.filter(({ type }) => type === 'grant.ended')).toEqual([])
    expect(plane.events.some(({ type }) => type === 'provider.recovered')).toBe(true)
  })
})

const REFUSALS = {
  github: [
    ['GET /user', 401, '{"message":"Bad credentials","status":"401"}'],
    ['POST /applications/{client_id}/token', 404, '{"message":"Not Found","status":"404"}'],
  ],
  openid: [
    ['GET /me', 401, '{"error":"invalid_token"}'],
    ['POST /token', 400, '{"error":"invalid_grant"}'],
  ],
} as const

function refuseEverybody(plane: Plane): void {
  const kind = 'tokensOf' in plane.provider ? 'github' : 'openid'
  for (const [endpoint, status, body] of REFUSALS[kind]) {
    const headers = {
      'content-type': 'application/json',
      ...(status === 401 ? { 'www-authenticate': 'Bearer error="invalid_token"' } : {}),
    }
    plane.provider.answerWith(endpoint, { status, headers, body })
  }
}

function forgiveEverybody(plane: Plane): void {
  const kind = 'tokensOf' in plane.provider ? 'github' : 'openid'
  for (const [endpoint] of REFUSALS[kind]) plane.provider.answerWith(endpoint, undefined)
}

describe('the provider refuses our own client', () => {
  it('F12: GitHub does not know the app: a no about a person is not believed', async () => {
    const plane = await openPlane({ provider: 'github' })
    const ada = await plane.signIn('ada')
    await plane.call(ada)
    refuseEverybody(plane)
    plane.provider.answerWith('POST /applications/{client_id}/token', {
      status: 401,
      headers: { 'content-type': 'application/json' },
      body: '{"message":"Bad credentials"}',
    })
    await plane.elapse(2 * BOUND_MS)
    expect((await plane.call(ada)).status).toBe(200)
    expect(plane.events.filter(({ type }) => type === 'grant.ended')).toEqual([])
    expect(
      plane.events.some(
        ({ type, reason }) => type === 'provider.incident' && reason === 'client-refused',
      ),
    ).toBe(true)
    forgiveEverybody(plane)
    await plane.elapse(BOUND_MS)
    await expectAlive(plane, ada)
  })

  it('F12: the OpenID provider has forgotten our client: nothing ends', async () => {
    const plane = await openPlane({ provider: 'openid' })
    const ada = await plane.signIn('ada')
    await plane.call(ada)
    plane.provider.removeClient('postern')
    plane.provider.expireAccessTokens()
    await plane.elapse(2 * BOUND_MS)
    expect((await plane.call(ada)).status).toBe(200)
    expect(plane.events.filter(({ type }) => type === 'grant.ended')).toEqual([])
    expect((await plane.refresh(ada)).status).toBe(200)
  })
})
