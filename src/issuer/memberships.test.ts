import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import type { Allow } from '../config.ts'
import { defineProvider, type Identity, type Provider } from '../providers/provider.ts'
import { createCallAdmission, judgePerson, type Person, userKeyOf } from './admission.ts'
import { type Asked, createMemberships, type MembershipFact } from './memberships.ts'

const ANSWER_MS = 200
const TENANT_ID = '7f1c0000-0000-4000-8000-0000000000aa'

function provider(type: string, can: Partial<Provider>): Provider {
  return defineProvider({
    id: type,
    type,
    title: type,
    issuer: `https://${type}.example`,
    callbackPath: `/callback/${type}`,
    clientId: 'client',
    scopes: [],
    approvedOrigins: [],
    judgeIssuer: async () => 'right',
    authorize: async () => new URL('https://x.example'),
    exchange: () => Promise.reject(new Error('not here')),
    check: async () => ({ outcome: 'yes' }),
    ...can,
  })
}

const ENTRA = provider('entra', { identify: async () => undefined })
const KEYCLOAK = provider('keycloak', { identify: async () => undefined })
const GITHUB = provider('github', { memberships: () => Promise.reject(new Error('not here')) })
const PLAIN = provider('plain', {})

function person(at: Provider, subject: string, rest: Partial<Person> = {}): Person {
  return { provider: at.id, issuer: at.issuer, subject, profile: {}, groups: [], ...rest }
}

/** A provider that says what it is told to, after 200 ms, and counts. */
function setUp(allow: Allow, store = createMemoryStore(), runtime = createTestRuntime()) {
  const emit = createRecordingEmit()
  const config = {
    allow,
    development: false,
    connectors: [],
    providers: [ENTRA, KEYCLOAK, GITHUB, PLAIN],
  }
  const remote = {
    identities: new Map<string, Identity>(),
    names: new Map<string, MembershipFact>(),
    isSilent: false,
    asked: 0,
  }
  const answer = async <V>(value: V | undefined, at: string): Promise<Asked<V>> => {
    remote.asked += 1
    await new Promise<void>((resolve) => void runtime.after(ANSWER_MS, resolve))
    if (remote.isSilent || value === undefined) return { outcome: 'unknown', provider: at }
    return { outcome: 'yes', provider: at, value }
  }
  const lost: [string, object][] = []
  const believed: string[] = []
  const memberships = createMemberships({
    config,
    keepSeconds: 300,
    store,
    runtime,
    emit,
    askIdentity: (userKey) => answer(remote.identities.get(userKey), 'keycloak'),
    askMemberships: (userKey) => answer(remote.names.get(userKey), 'github'),
    onLost: async (userKey, facts) => void lost.push([userKey, facts]),
    onIdentity: async (_, { groups }) => void believed.push(groups.join()),
  })
  const rules = { config, runtime, known: memberships }
  const keyOf = (who: Person) => userKeyOf(runtime, who)
  const identity = (who: Person, groups: readonly string[]): Identity => {
    const { issuer, subject, profile } = who
    return { issuer, subject, profile, groups }
  }
  return {
    runtime,
    store,
    emit,
    remote,
    memberships,
    rules,
    lost,
    believed,
    keyOf,
    identity,
    judge: (who: Person, bound: 'current' | 'remembered' = 'current') =>
      judgePerson(rules, who, undefined, bound),
    /** A sign-in with these groups. */
    arrive(who: Person, groups: readonly string[]) {
      remote.identities.set(keyOf(who), identity(who, groups))
      memberships.learned(keyOf(who), who.provider, { identity: identity(who, groups) })
    },
    /** In use: the proof engine speaks of this person every minute. */
    async use(who: Person, ms: number) {
      for (let passed = 0; passed < ms; passed += 20_000) {
        if (passed % 60_000 === 0) memberships.keep(keyOf(who), who.provider)
        await runtime.elapseMs(Math.min(20_000, ms - passed))
      }
    },
  }
}

describe('memberships, of somebody in use', () => {
  const ada = person(KEYCLOAK, 'ada')

  it('C5, PRV-22: a group that was taken away is lost within 300 s and 10 s, after a second opinion', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff', 'maps'])
    await house.use(ada, 60_000)
    expect(house.judge(ada)).toBe('in')
    house.remote.identities.set(house.keyOf(ada), house.identity(ada, ['maps']))
    const sinceMs = house.runtime.monotonicMs()
    while (house.judge(ada) === 'in') await house.use(ada, 1_000)
    // In doubt it is neither yes nor no.
    expect(house.judge(ada)).toBe('unknown')
    expect(house.lost).toEqual([])
    while (house.judge(ada) === 'unknown') await house.runtime.elapseMs(250)
    expect(house.judge(ada)).toBe('out')
    expect(house.runtime.monotonicMs() - sinceMs).toBeLessThanOrEqual(310_000)
    expect(house.lost).toEqual([[house.keyOf(ada), { belonging: { groups: [], roles: [] } }]])
  })

  it('PRV-22: a single wrong answer costs a doubt of two seconds, and nothing is lost', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff'])
    await house.use(ada, 200_000)
    house.remote.identities.set(house.keyOf(ada), house.identity(ada, []))
    while (house.judge(ada) === 'in') await house.use(ada, 1_000)
    house.remote.identities.set(house.keyOf(ada), house.identity(ada, ['staff']))
    await house.runtime.elapseMs(5_000)
    expect([house.judge(ada), house.lost]).toEqual(['in', []])
    expect(new Set(house.believed)).toEqual(new Set(['staff']))
  })

  it('PRV-22: what a proof says for free needs no other question', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff'])
    for (let minute = 0; minute < 20; minute++) {
      await house.runtime.elapseMs(60_000)
      house.memberships.observed(house.keyOf(ada), 'keycloak', house.identity(ada, ['staff']))
      expect(house.judge(ada)).toBe('in')
    }
    expect(house.remote.asked).toBe(0)
    house.remote.identities.set(house.keyOf(ada), house.identity(ada, []))
    house.memberships.observed(house.keyOf(ada), 'keycloak', house.identity(ada, []))
    await house.runtime.elapseMs(5_000)
    expect([house.judge(ada), house.lost.length]).toEqual(['out', 1])
  })

  it('PRV-22: 300 s fresh, 3 600 s while the provider is silent, then unknown; pages remember the hour', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff'])
    house.remote.isSilent = true
    await house.use(ada, 3_500_000)
    expect([house.judge(ada), house.judge(ada, 'remembered')]).toEqual(['in', 'in'])
    await house.use(ada, 120_000)
    expect([house.judge(ada), house.judge(ada, 'remembered')]).toEqual(['unknown', 'unknown'])
    expect(house.lost).toEqual([])
  })

  it('PRV-22: nobody asks for who is away; what they come back to is unknown first, then known', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff'])
    await house.runtime.elapseMs(1_800_000)
    expect(house.remote.asked).toBe(0)
    expect(house.judge(ada, 'remembered')).toBe('in')
    expect(house.judge(ada)).toBe('unknown')
    await house.runtime.elapseMs(1_000)
    expect(house.judge(ada)).toBe('in')
    expect(house.remote.asked).toBe(1)
  })

  it('F12: 100 people in use are asked about once in four minutes each, however often they call', async () => {
    const house = setUp({ groups: ['staff'] })
    const people = Array.from({ length: 100 }, (_, index) => person(KEYCLOAK, `p${index}`))
    for (const one of people) house.arrive(one, ['staff'])
    for (let round = 0; round < 60; round++) {
      for (const one of people) {
        house.memberships.keep(house.keyOf(one), one.provider)
        expect(house.judge(one)).toBe('in')
      }
      await house.runtime.elapseMs(20_000)
    }
    // Twenty minutes: five or six rounds of 216 to 240 s.
    expect(house.remote.asked).toBeLessThanOrEqual(600)
  })

  it('F11: a directory that takes everything from everybody is an incident, and nobody loses anything', async () => {
    const house = setUp({ groups: ['staff'] })
    const people = Array.from({ length: 6 }, (_, index) => person(KEYCLOAK, `p${index}`))
    for (const one of people) house.arrive(one, ['staff'])
    for (const one of people) house.remote.identities.set(house.keyOf(one), house.identity(one, []))
    for (let round = 0; round < 30; round++) {
      for (const one of people) await house.use(one, 20_000)
    }
    expect(house.lost).toEqual([])
    expect(house.emit.eventsOf('provider.incident')).toHaveLength(1)
  })

  it('PRV-22: a restart finds the facts and their age', async () => {
    const first = setUp({ groups: ['staff'] })
    first.arrive(ada, ['staff'])
    await first.runtime.elapseMs(2_000)
    await first.memberships.close()
    const second = setUp({ groups: ['staff'] }, first.store, first.runtime)
    await second.memberships.start()
    expect([second.judge(ada), second.remote.asked]).toEqual(['in', 0])
    await second.memberships.close()
    expect(second.runtime.timers()).toBe(0)
  })
})

describe('memberships, of an e-mail rule', () => {
  const ada = person(KEYCLOAK, 'ada')
  const mail = (email: string) => ({ profile: { email, emailVerified: true } })

  it('PRV-22, PRV-21: the address is asked again for who is in use; a changed one is a loss', async () => {
    const house = setUp({ emailDomains: ['corp.example'] })
    const { issuer, subject } = ada
    const at = (email: string): Identity => ({ issuer, subject, groups: ['any'], ...mail(email) })
    house.remote.identities.set(house.keyOf(ada), at('ada@corp.example'))
    house.memberships.learned(house.keyOf(ada), ada.provider, { identity: at('ada@corp.example') })
    await house.use(ada, 600_000)
    expect([house.lost, house.remote.asked > 0]).toEqual([[], true])
    house.remote.identities.set(house.keyOf(ada), at('ada@gone.example'))
    await house.use(ada, 310_000)
    expect(house.lost).toHaveLength(1)
  })

  it("PRV-22: is judged by the person's row, so that nobody waits after a pause", async () => {
    const house = setUp({ emailDomains: ['corp.example'] })
    await house.runtime.elapseMs(7_200_000)
    expect(house.judge({ ...ada, ...mail('ada@corp.example') })).toBe('in')
    expect(house.judge({ ...ada, ...mail('ada@gone.example') })).toBe('out')
    expect(house.remote.asked).toBe(0)
  })

  it('PRV-22: a group that no rule names is neither kept nor missed', async () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(ada, ['staff', 'secret-project'])
    house.remote.identities.set(house.keyOf(ada), house.identity(ada, ['staff']))
    await house.use(ada, 600_000)
    expect([house.judge(ada), house.lost]).toEqual(['in', []])
    const rows = await house.store.list('fact', 'default', undefined, { max: 10 })
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain('secret-project')
  })
})

describe('memberships, what is asked at all', () => {
  it('PRV-22: only what a rule names, of a provider that can say it', () => {
    const { memberships } = setUp({ groups: ['staff'] })
    expect(memberships.asks('keycloak')).toMatchObject({ belonging: true, memberships: false })
    expect(memberships.asks('github')).toMatchObject({ belonging: false, memberships: false })
    expect(memberships.asks('plain')).toMatchObject({ belonging: false, memberships: false })
    expect(memberships.wanted('github')).toBeUndefined()
    const other = setUp({ githubOrganizations: ['acme'], githubTeams: ['acme/x'] }).memberships
    expect(other.asks('keycloak')).toMatchObject({ belonging: false, memberships: false })
    expect(other.wanted('github')).toEqual({ organizations: ['acme'], teams: ['acme/x'] })
    expect(other.wanted('keycloak')).toBeUndefined()
  })

  it('PRV-22: a provider that cannot be asked again is believed as of the sign-in', () => {
    const { judge } = setUp({ groups: ['staff'] })
    expect(judge(person(PLAIN, 'x', { groups: ['staff'] }))).toBe('in')
    expect(judge(person(PLAIN, 'x', { groups: ['guests'] }))).toBe('out')
  })

  it('A28, PRV-21: a tenant counts only as a word of Entra, a membership only as one of GitHub', async () => {
    const { judge, memberships, keyOf } = setUp({ entraTenants: [TENANT_ID] })
    expect(judge(person(PLAIN, 'x', { tenantId: TENANT_ID }))).toBe('out')
    const google = person(KEYCLOAK, 'x', { tenantId: TENANT_ID })
    const { issuer, subject } = google
    const identity = { issuer, subject, profile: {}, groups: [], tenant: TENANT_ID }
    memberships.learned(keyOf(google), 'keycloak', { identity })
    expect(judge(google)).toBe('out')
    const eve = person(ENTRA, 'x', { tenantId: TENANT_ID })
    memberships.learned(keyOf(eve), 'entra', { identity: { ...identity, issuer: eve.issuer } })
    expect(judge(eve)).toBe('in')
    const { judge: judgeTeams } = setUp({ githubOrganizations: ['acme'] })
    expect(judgeTeams(person(KEYCLOAK, 'x', { groups: ['acme'] }))).toBe('out')
  })

  it('PRV-21, A28: facts belong to issuer and subject; another provider with the same subject has none', () => {
    const house = setUp({ groups: ['staff'] })
    house.arrive(person(KEYCLOAK, '1'), ['staff'])
    expect(house.judge(person(KEYCLOAK, '1'))).toBe('in')
    expect(house.judge(person(ENTRA, '1'))).toBe('unknown')
    expect(house.judge(person(KEYCLOAK, '11'))).toBe('unknown')
  })
})

describe('the same judgement for calls', () => {
  it('O6, PRV-22: cold where memory does not know; a yes costs one look-up a second', async () => {
    const house = setUp({ groups: ['staff'] })
    const ada = person(KEYCLOAK, 'ada')
    const session = { ...ada, identityIssuer: ada.issuer }
    let looks = 0
    const known = {
      ...house.memberships,
      belonging: (...given: Parameters<typeof house.memberships.belonging>) => {
        looks += 1
        return house.memberships.belonging(...given)
      },
    }
    const { rules, runtime } = house
    const mayCall = createCallAdmission({ ...rules, runtime, known })
    expect(mayCall(session, undefined)).toBe('cold')
    house.arrive(ada, ['staff'])
    looks = 0
    for (let calls = 0; calls < 10_000; calls++) expect(mayCall(session, undefined)).toBe(true)
    expect(looks).toBe(1)
    house.arrive(ada, ['guests'])
    house.runtime.advanceMs(1_001)
    expect(mayCall(session, undefined)).toBe(false)
    expect(mayCall({ ...session }, { groups: ['guests'] })).toBe(false)
  })

  it('K7, C5: a yes lasts no longer when the clock goes back', () => {
    const house = setUp({ groups: ['staff'] })
    const ada = person(KEYCLOAK, 'ada')
    const session = { ...ada, identityIssuer: ada.issuer }
    const { rules, runtime, memberships } = house
    const mayCall = createCallAdmission({ ...rules, runtime, known: memberships })
    house.arrive(ada, ['staff'])
    expect(mayCall(session, undefined)).toBe(true)
    house.arrive(ada, ['guests'])
    runtime.jumpWallMs(-86_400_000)
    runtime.advanceMs(1_001)
    expect(mayCall(session, undefined)).toBe(false)
  })

  it('P1: an open house looks nothing up', () => {
    const house = setUp('anyone')
    let looks = 0
    const runtime = {
      sha256: () => {
        looks += 1
        return ''
      },
      monotonicMs: () => {
        looks += 1
        return 0
      },
    }
    const mayCall = createCallAdmission({ ...house.rules, runtime })
    expect(mayCall({}, undefined)).toBe(true)
    expect(mayCall({}, 'anyone')).toBe(true)
    expect(looks).toBe(0)
  })
})
