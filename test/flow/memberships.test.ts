/**
 * Who may come in by organization and team, asked again while people work: the same answer in the list,
 * on the page, at the token endpoint and at the call, and gone within the stated bound.
 * @see flows.md sections 3 and 9.5, requirements PRV-22, threats C5 and O6
 */
import { describe, expect, it } from 'vitest'
import { openPlane } from '../kit/plane.ts'
import {
  type Changing,
  type MembershipHouse,
  openMembershipHouse,
  person,
  type SignedIn,
} from './membership-house.ts'

/** `fresh` of membership facts, and the longest doubt. */
const BOUND_MS = 300_000
const DOUBT_MS = 10_000
const STALE_IF_ERROR_MS = 3_600_000
const MEMBERSHIP = 'GET /user/memberships/orgs/acme'
const TEAM = 'GET /orgs/acme/teams/reviewers/memberships/ada'

const RULES = {
  house: { allow: { githubOrganizations: ['acme'] } },
  connector: { allow: 'anyone', connectorAllow: { githubTeams: ['acme/reviewers'] } },
} as const

type Answer = 'in' | 'out'
const DOORS: Readonly<Record<string, (house: MembershipHouse, who: SignedIn) => Promise<Answer>>> =
  {
    list: async (house, who) =>
      (await house.listed(who))?.includes('notes') === true ? 'in' : 'out',
    page: async (house, who) => ((await house.offers(who)) ? 'in' : 'out'),
    token: async (house, who) => ((await house.refresh(who)).status === 200 ? 'in' : 'out'),
    call: async (house, who) => ((await house.call(who)).status === 200 ? 'in' : 'out'),
  }

async function open(rule: keyof typeof RULES, ada: Changing, teams: Record<string, string[]>) {
  return openMembershipHouse({
    people: [ada, person('grace', 1002, ['acme'])],
    teams,
    ...RULES[rule],
  })
}

describe.each(['house', 'connector'] as const)('a rule of the %s', (rule) => {
  it.each(Object.keys(DOORS))(
    'PRV-22, O6: %s says in before and out after the person has left',
    async (name) => {
      const door = DOORS[name]
      if (door === undefined) throw new TypeError(name)
      const ada = person('ada', 1001, ['acme'])
      const teams = { 'acme/reviewers': ['ada', 'grace'] }
      const house = await open(rule, ada, teams)
      const who = await house.signIn('ada')
      const grace = await house.signIn('grace')
      expect((await house.call(who)).status).toBe(200)
      if (name !== 'token') expect(await door(house, who)).toBe('in')
      ada.groups = []
      teams['acme/reviewers'] = ['grace']
      for (let seconds = 0; seconds < 320; seconds += 40) {
        await house.elapse(40_000)
        await house.call(who)
        await house.call(grace)
      }
      expect(await door(house, who)).toBe('out')
      if (name !== 'token') expect(await door(house, grace)).toBe('in')
      else expect((await house.refresh(grace)).status).toBe(200)
    },
  )

  it('PRV-22: who is not in gets no code', async () => {
    const house = await openMembershipHouse({
      people: [person('ada', 1001, ['other'])],
      ...RULES[rule],
    })
    const answer = await house.arrive('ada')
    expect(answer.headers.get('location') ?? '').not.toContain('code=')
    expect(house.events().some(({ reason }) => reason === 'not_allowed')).toBe(true)
  })
})

describe('what is asked of GitHub', () => {
  it.each([
    ['an organization', RULES.house, true],
    ['a team', RULES.connector, true],
    ['nobody but people', { allow: { users: ['github:1001'] } }, false],
  ] as const)('PRV-22: a rule that names %s: read:org %#', async (_, rules, isAsked) => {
    const house = await openMembershipHouse({ people: [person('ada', 1001, ['acme'])], ...rules })
    const journey = await house.journey()
    const scopes = (journey.searchParams.get('scope') ?? '').split(' ')
    expect(scopes.includes('read:org')).toBe(isAsked)
    await house.arrive('ada')
    const looked = house.double.total(MEMBERSHIP) + house.double.total(TEAM)
    expect(looked).toBe(isAsked ? 1 : 0)
  })
})

describe('somebody leaves the organization', () => {
  it('C5, PRV-22, TOK-25: calls end within 300 s and 10 s, by a mark with its cause and audit row', async () => {
    const ada = person('ada', 1001, ['acme'])
    const house = await open('house', ada, {})
    const who = await house.signIn('ada')
    expect((await house.call(who)).status).toBe(200)
    const sinceMs = house.runtime.monotonicMs()
    ada.groups = []
    let status = 200
    while (status === 200) {
      await house.elapse(5_000)
      ;({ status } = await house.call(who))
      expect(house.runtime.monotonicMs() - sinceMs).toBeLessThan(BOUND_MS + DOUBT_MS)
    }
    while (status === 503) {
      await house.elapse(1_000)
      ;({ status } = await house.call(who))
    }
    expect(status).toBe(401)
    expect(house.runtime.monotonicMs() - sinceMs).toBeLessThan(BOUND_MS + DOUBT_MS)
    const refused = await house.refresh(who)
    expect([refused.status, ((await refused.json()) as { error: string }).error]).toEqual([
      400,
      'invalid_grant',
    ])
    const ended = house.events().filter(({ type }) => type === 'grant.ended')
    expect(ended).toMatchObject([{ reason: 'not_allowed_any_more' }])
    const rows = await house.store.list('audit', 'default', undefined, { max: 100 })
    expect(rows.map(({ value }) => `${value.event} ${value.detail}`)).toContain(
      'grant.ended not_allowed_any_more',
    )
  })

  it('PRV-22: no request asks: five minutes of calls cost two look-ups at most', async () => {
    const house = await open('house', person('ada', 1001, ['acme']), {})
    const who = await house.signIn('ada')
    house.double.forget()
    for (let calls = 0; calls < 60; calls++) {
      expect((await house.call(who)).status).toBe(200)
      await house.elapse(5_000)
    }
    const asked = house.double.total(MEMBERSHIP)
    expect(asked).toBeGreaterThanOrEqual(1)
    expect(asked).toBeLessThanOrEqual(2)
  })

  it('PRV-22: a refresh with facts that are too old is 503, and the next one is answered', async () => {
    const ada = person('ada', 1001, ['acme'])
    const house = await open('house', ada, {})
    const who = await house.signIn('ada')
    await house.elapse(BOUND_MS + 1_000, 10_000)
    const early = await house.refresh(who)
    expect([early.status, early.headers.get('retry-after')]).toEqual([503, '1'])
    expect((await early.json()) as object).toMatchObject({ error: 'temporarily_unavailable' })
    await house.elapse(1_000)
    expect((await house.refresh(who)).status).toBe(200)
  })

  it('PRV-22: who left during a pause is refused at the refresh after it', async () => {
    const ada = person('ada', 1001, ['acme'])
    const house = await open('house', ada, {})
    const who = await house.signIn('ada')
    await house.elapse(BOUND_MS + 1_000, 10_000)
    ada.groups = []
    expect((await house.refresh(who)).status).toBe(503)
    await house.elapse(1_000)
    expect((await house.refresh(who)).status, 'in doubt').toBe(503)
    await house.elapse(4_000)
    expect((await house.refresh(who)).status).toBe(400)
    expect((await house.call(who)).status).toBe(401)
  })
})

describe('a group of an OpenID provider', () => {
  const RULE = { allow: { groups: ['engineering'] } } as const

  it('C5, PRV-22: is asked again behind the calls; taken away, calls end within 300 s and 10 s', async () => {
    const [ada, grace] = [
      person('ada', 1001, ['engineering']),
      person('grace', 1002, ['engineering']),
    ]
    const plane = await openPlane({ provider: 'openid', people: [ada, grace], config: RULE })
    const [one, other] = [await plane.signIn('ada'), await plane.signIn('grace')]
    for (let round = 0; round < 5; round++) {
      await plane.elapse(200_000, 2_000)
      expect((await plane.call(one)).status).toBe(200)
      expect((await plane.call(other)).status).toBe(200)
    }
    ada.groups = ['guests']
    const sinceMs = plane.elapsedMs()
    const seen: number[] = []
    while (seen.at(-1) !== 401) {
      await plane.elapse(2_000)
      const { status } = await plane.call(one)
      if (seen.at(-1) !== status) seen.push(status)
      expect(plane.elapsedMs() - sinceMs).toBeLessThan(BOUND_MS + DOUBT_MS)
    }
    expect(seen.filter((status) => ![200, 503, 401].includes(status))).toEqual([])
    expect((await plane.refresh(one)).status).toBe(400)
    expect((await plane.call(other)).status).toBe(200)
    expect(plane.events.filter(({ type }) => type === 'grant.ended')).toMatchObject([
      { reason: 'not_allowed_any_more' },
    ])
  }, 60_000)
})

describe('the provider cannot say', () => {
  it('F3, PRV-22: 500 for an hour: nobody is refused, then 503, and nothing ends', async () => {
    const house = await open('house', person('ada', 1001, ['acme']), {})
    const who = await house.signIn('ada')
    expect((await house.call(who)).status).toBe(200)
    const sinceMs = house.runtime.monotonicMs()
    house.double.answerWith(MEMBERSHIP, { status: 500, body: '{}' })
    while (house.runtime.monotonicMs() - sinceMs < STALE_IF_ERROR_MS - 60_000) {
      await house.elapse(50_000, 2_000)
      expect((await house.call(who)).status).toBe(200)
    }
    await house.elapse(120_000, 2_000)
    expect((await house.call(who)).status).toBe(503)
    expect((await house.refresh(who)).status).toBe(503)
    house.double.answerWith(MEMBERSHIP, undefined)
    await house.elapse(40_000)
    expect((await house.call(who)).status).toBe(200)
    expect((await house.refresh(who)).status).toBe(200)
    expect(house.events().filter(({ type }) => type === 'grant.ended')).toEqual([])
  }, 60_000)

  it('F3, PRV-22: at a sign-in: try again, and no account', async () => {
    const house = await open('house', person('ada', 1001, ['acme']), {})
    house.double.answerWith(MEMBERSHIP, { status: 500, body: '{}' })
    const page = await house.arrive('ada')
    expect(page.status).toBeGreaterThanOrEqual(500)
    expect(await house.store.count('user', 'default')).toBe(0)
    house.double.answerWith(MEMBERSHIP, undefined)
    expect((await house.call(await house.signIn('ada'))).status).toBe(200)
  })

  it('F11: an organization that denies everybody ends nobody', async () => {
    const people = ['ada', 'grace', 'alan', 'tony'].map((login, index) =>
      person(login, 1001 + index, ['acme']),
    )
    const house = await openMembershipHouse({ people, ...RULES.house })
    const all: SignedIn[] = []
    for (const { login } of people) all.push(await house.signIn(login))
    for (const one of people) one.groups = []
    for (let round = 0; round < 8; round++) {
      await house.elapse(100_000, 2_000)
      for (const who of all) await house.call(who)
    }
    expect(house.events().filter(({ type }) => type === 'grant.ended')).toEqual([])
    expect(house.events().filter(({ type }) => type === 'provider.incident')).toHaveLength(1)
    for (const one of people) one.groups = ['acme']
    await house.elapse(60_000)
    for (const who of all) expect((await house.call(who)).status).toBe(200)
  }, 60_000)

  it('PRV-22: a restart asks nobody', async () => {
    const house = await open('house', person('ada', 1001, ['acme']), {})
    const who = await house.signIn('ada')
    await house.call(who)
    await house.elapse(5_000)
    await house.restart()
    house.double.forget()
    expect((await house.call(who)).status).toBe(200)
    expect((await house.refresh(who)).status).toBe(200)
    expect(await house.listed(who)).toEqual(['notes'])
    expect(house.double.total()).toBe(0)
  })
})
