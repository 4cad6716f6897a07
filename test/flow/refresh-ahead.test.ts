/**
 * Upstream tokens that end: refreshed behind the people who use them, once per life, never for those who
 * do not, and never after the provider has said no.
 * @see flows.md section 10, requirements VAL-13, TOK-24, TOK-25, PRV-08, threat F11
 */
import { describe, expect, it } from 'vitest'
import {
  type MembershipHouse,
  openMembershipHouse,
  person,
  type SignedIn,
} from './membership-house.ts'

/** GitHub's: eight hours. */
const LIFE_MS = 28_800_000
const TOKEN = 'POST /login/oauth/access_token'
const STEP_MS = 10_000

async function open(): Promise<{ house: MembershipHouse; who: SignedIn }> {
  const house = await openMembershipHouse({
    people: [person('ada', 1001, [])],
    allow: 'anyone',
    expiringTokens: true,
  })
  const who = await house.signIn('ada')
  house.double.forget()
  return { house, who }
}

/** Calls every four minutes; answers the statuses that were seen. */
async function work(
  house: MembershipHouse,
  who: SignedIn,
  ms: number,
  stepMs = STEP_MS,
): Promise<Set<number>> {
  const statuses = new Set<number>()
  for (let passed = 0; passed < ms; passed += 240_000) {
    statuses.add((await house.call(who)).status)
    await house.elapse(Math.min(240_000, ms - passed), stepMs)
  }
  return statuses
}

describe('a sign-in with tokens of eight hours', () => {
  it('VAL-13, PRV-08, TOK-24: in use it is refreshed ahead, once per life, and no call waits for it', async () => {
    const { house, who } = await open()
    expect(await work(house, who, LIFE_MS * 0.74)).toEqual(new Set([200]))
    expect(house.double.total(TOKEN)).toBe(0)
    expect(await work(house, who, LIFE_MS * 0.13)).toEqual(new Set([200]))
    expect(house.double.total(TOKEN)).toBe(1)
    expect(await work(house, who, LIFE_MS * 0.8)).toEqual(new Set([200]))
    expect(house.double.total(TOKEN)).toBe(2)
    expect(house.events().filter(({ type }) => type === 'grant.ended')).toEqual([])
  }, 60_000)

  it('VAL-13: nobody uses it: nothing is refreshed', async () => {
    const { house, who } = await open()
    expect((await house.call(who)).status).toBe(200)
    await house.elapse(LIFE_MS * 0.95, 60_000)
    expect(house.double.total(TOKEN)).toBe(0)
  }, 60_000)

  it('VAL-13, TOK-25, VAL-12: refused, asked a second time, ended, and never asked again', async () => {
    const { house, who } = await open()
    await work(house, who, LIFE_MS * 0.7)
    house.double.answerWith(TOKEN, {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: '{"error":"bad_refresh_token","error_description":"incorrect or expired"}',
    })
    // A doubt is measured in seconds.
    await work(house, who, LIFE_MS * 0.17, 1_000)
    expect(house.double.total(TOKEN)).toBe(2)
    expect((await house.call(who)).status).toBe(401)
    expect((await house.refresh(who)).status).toBe(400)
    expect(house.events().filter(({ type }) => type === 'grant.ended')).toHaveLength(1)
    await house.elapse(LIFE_MS / 2, 60_000)
    expect(house.double.total(TOKEN)).toBe(2)
  }, 60_000)

  it('F11: our own client is refused there: an alarm, few calls, nothing ends, and it passes', async () => {
    const { house, who } = await open()
    await work(house, who, LIFE_MS * 0.7)
    house.double.answerWith(TOKEN, {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: '{"error":"incorrect_client_credentials"}',
    })
    expect(await work(house, who, LIFE_MS * 0.25)).toEqual(new Set([200]))
    expect(
      house
        .events()
        .some(({ type, reason }) => type === 'provider.incident' && reason === 'client-refused'),
    ).toBe(true)
    const asked = house.double.total(TOKEN)
    expect(asked).toBeGreaterThanOrEqual(1)
    expect(asked).toBeLessThan(30)
    house.double.answerWith(TOKEN, undefined)
    expect(await work(house, who, LIFE_MS * 0.1)).toEqual(new Set([200]))
    expect(house.double.total(TOKEN)).toBe(asked + 1)
    expect(house.events().filter(({ type }) => type === 'grant.ended')).toEqual([])
  }, 60_000)
})
