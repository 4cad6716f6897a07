import { describe, expect, it } from 'vitest'
import { ANSWER_MS, PROOF_LIMITS as LIMITS, setUpProofs as setUp } from '../../test/kit/proofs.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { Checked } from './proof.ts'

describe('createProofs, in normal times', () => {
  it('P4, VAL-03: one call every 400 s for two hours never waits after the first (keep-warm)', async () => {
    const { call, pass, waits, provider } = setUp()
    await call()
    for (let seconds = 0; seconds < 7_200; seconds += 400) {
      await pass(400)
      expect(['fresh', 'stale']).toContain(await call())
    }
    expect(waits).toEqual(['v'])
    expect(provider.checks).toBeLessThanOrEqual(2 + 7_600 / 216 + 19)
  })

  it('stops asking one hour after the last use', async () => {
    const { call, pass, provider, runtime } = setUp()
    await call()
    await pass(3_700)
    const asked = provider.checks
    await pass(7_200)
    expect(provider.checks).toBe(asked)
    expect(runtime.timers()).toBe(0)
  })

  it('VAL-02: a fresh proof costs nothing, a stale one is renewed behind', async () => {
    const { call, pass, provider, waits } = setUp()
    await call()
    for (let repeat = 0; repeat < 50; repeat++) expect(await call()).toBe('fresh')
    expect(provider.checks).toBe(1)
    await pass(61)
    expect(await call()).toBe('stale')
    await pass(1)
    expect(await call()).toBe('fresh')
    expect([provider.checks, waits.length]).toEqual([2, 1])
    expect(provider.seen[1]).toMatchObject({ provider: 'github', etag: '"1"', scopes: ['repo'] })
  })

  it('a sign-in is the first proof', () => {
    const { proofs, provider } = setUp()
    proofs.proved('v', { scopes: ['repo'] })
    expect(proofs.state('v')).toBe('fresh')
    expect(provider.checks).toBe(0)
  })

  it('VAL-09: 100 cold callers make one check', async () => {
    const { proofs, runtime, provider } = setUp()
    const resolving = Array.from({ length: 100 }, () => proofs.resolve('v'))
    await runtime.elapseMs(ANSWER_MS)
    expect(new Set(await Promise.all(resolving))).toEqual(new Set(['fresh']))
    expect(provider.checks).toBe(1)
  })

  it('VAL-05: upstreamProofTtlSeconds 0 asks once per call, and each answer serves one call', async () => {
    const { call, proofs, provider } = setUp({ limits: { ...LIMITS, upstreamProofTtlSeconds: 0 } })
    for (let calls = 1; calls <= 5; calls++) {
      expect(await call()).toBe('fresh')
      expect(provider.checks).toBe(calls)
      expect(proofs.state('v')).toBe('cold')
    }
  })
})

describe('createProofs, when the provider is unwell', () => {
  it.each(['error', 'throttled', 'throws', 'hangs'] as const)(
    'F3, VAL-10: %s: 0 refusals within the bound, then cold',
    async (mode) => {
      const { call, pass, provider, dead, waits } = setUp()
      await call()
      provider.mode = mode
      const states = new Set<string>()
      for (let seconds = 0; seconds < 3_560; seconds += 20) {
        await pass(20)
        states.add(await call())
      }
      expect(states).toEqual(new Set(['fresh', 'stale']))
      expect(waits.length).toBeLessThanOrEqual(2)
      await pass(60)
      expect(await call()).toBe('cold')
      provider.mode = 'yes'
      await pass(40)
      expect(await call()).toBe('fresh')
      expect(dead).toEqual([])
    },
  )

  it('F4: honours Retry-After: no check of this person before it', async () => {
    const { call, pass, provider } = setUp()
    await call()
    provider.mode = 'throttled'
    await pass(61)
    await call()
    await pass(1)
    const asked = provider.checks
    for (let second = 0; second < 28; second++) {
      await call()
      await pass(1)
    }
    expect(provider.checks).toBe(asked)
  })

  it('F12: several throttled people pause the checks that nobody waits for', async () => {
    const { call, pass, provider, proofs } = setUp()
    for (const vaultId of ['a', 'b', 'c', 'd']) await call(vaultId)
    await pass(61)
    for (const vaultId of ['a', 'b', 'c']) provider.modes.set(vaultId, 'throttled')
    for (const vaultId of ['a', 'b', 'c']) await call(vaultId)
    await pass(1)
    const asked = provider.checks
    proofs.renew('d')
    await pass(1)
    expect(provider.checks).toBe(asked)
    await pass(30)
    proofs.renew('d')
    await pass(1)
    expect(provider.checks).toBeGreaterThan(asked)
  })

  it('tells once that the provider is unreachable, and once that it is back', async () => {
    const { call, pass, provider, emit } = setUp()
    provider.mode = 'error'
    for (let person = 0; person < 9; person++) await call(`v${person}`)
    provider.mode = 'yes'
    await pass(40)
    await call('v0')
    expect(emit.events.map((event) => event.type)).toEqual([
      'provider.unreachable',
      'provider.recovered',
    ])
  })
})

describe('createProofs, when a sign-in is revoked at the provider', () => {
  it('F10: suspect within the bound, dead at most 10 s later, and its listeners are told the cause', async () => {
    const { call, pass, provider, proofs, dead, runtime } = setUp()
    await call()
    provider.mode = 'no'
    const revokedMs = runtime.monotonicMs()
    while (proofs.state('v') !== 'suspect') {
      expect(['fresh', 'stale', 'cold']).toContain(await call())
      await pass(1)
    }
    const suspectMs = runtime.monotonicMs()
    expect(suspectMs - revokedMs).toBeLessThanOrEqual(300_000)
    expect(dead).toEqual([])
    while (proofs.state('v') === 'suspect') await pass(0.5)
    expect(proofs.state('v')).toBe('dead')
    expect(runtime.monotonicMs() - suspectMs).toBeLessThanOrEqual(10_000)
    expect(dead).toEqual([['v', 'revoked']])
    const asked = provider.checks
    await pass(3_600)
    expect(await proofs.resolve('v')).toBe('dead')
    expect(provider.checks).toBe(asked)
  })

  it('one no that is not repeated ends nothing (suspect)', async () => {
    const { call, pass, provider, proofs, dead } = setUp()
    await call()
    await pass(61)
    provider.mode = 'no'
    await call()
    await pass(1)
    expect(proofs.state('v')).toBe('suspect')
    expect(await proofs.resolve('v')).toBe('suspect')
    provider.mode = 'yes'
    await pass(3)
    expect(proofs.state('v')).toBe('fresh')
    await pass(60)
    expect(dead).toEqual([])
  })

  it.each(['error', 'throws', 'hangs', 'client-refused'] as const)(
    'a no whose second opinion is %s is unknown: back to the older proof within 10 s',
    async (mode) => {
      const { call, pass, provider, proofs, dead } = setUp()
      await call()
      await pass(61)
      provider.mode = 'no'
      await call()
      await pass(1)
      provider.mode = mode
      expect(proofs.state('v')).toBe('suspect')
      await pass(9.5)
      expect(proofs.state('v')).toBe('stale')
      expect(dead).toEqual([])
    },
  )

  it('asks the second opinion that it was given, at once', async () => {
    const asked: string[] = []
    const { call, pass, provider, proofs, dead } = setUp({
      secondOpinion: async (vaultId) => {
        asked.push(vaultId)
        return { outcome: 'yes', provider: 'github' }
      },
    })
    await call()
    await pass(61)
    provider.mode = 'no'
    await call()
    await pass(0.5)
    expect([asked, proofs.state('v'), dead]).toEqual([['v'], 'fresh', []])
  })

  it('the second check is unconditional', async () => {
    const { call, pass, provider } = setUp()
    await call()
    await pass(61)
    provider.mode = 'no'
    await call()
    await pass(5)
    expect(provider.seen.map((fact) => fact?.etag)).toEqual([undefined, '"1"', undefined])
  })

  it('VAL-12: suspect at once on a 401 from a server; the provider decides; not more often than every 30 s', async () => {
    const { call, pass, provider, proofs, dead } = setUp()
    await call('good')
    await call('bad')
    proofs.suspect('good')
    expect(proofs.state('good')).toBe('suspect')
    await pass(1)
    expect(proofs.state('good')).toBe('fresh')
    proofs.suspect('good')
    expect(proofs.state('good')).toBe('fresh')
    provider.modes.set('bad', 'no')
    proofs.suspect('bad')
    expect(proofs.state('bad')).toBe('suspect')
    await pass(10)
    expect(proofs.state('bad')).toBe('dead')
    expect(dead).toEqual([['bad', 'revoked']])
    expect(provider.checks).toBe(5)
  })

  it('believes a signed event at once, and forgets what ended here without telling anybody', async () => {
    const { call, proofs, dead } = setUp()
    await call('event')
    await call('logout')
    proofs.end('event', 'backchannel-logout')
    proofs.forget('logout')
    expect([proofs.state('event'), proofs.state('logout')]).toEqual(['dead', 'cold'])
    expect(dead).toEqual([['event', 'backchannel-logout']])
  })
})

describe('createProofs, provider incident', () => {
  const people = Array.from({ length: 200 }, (_, person) => `v${person}`)

  it.each([
    ['all at once', 0, 'refusals'],
    ['one every 300 ms', 0.3, 'refuses-everybody'],
  ])('F11: a storm of refusals ends nothing (%s)', async (_, gapSeconds, reason) => {
    const { pass, provider, proofs, dead, emit } = setUp()
    for (const person of people) proofs.proved(person, { provider: 'github' })
    await pass(61)
    provider.mode = 'no'
    for (const person of people) {
      proofs.renew(person)
      if (gapSeconds > 0) await pass(gapSeconds)
    }
    await pass(20)
    expect(proofs.incident('github')).toBe(true)
    expect(dead).toEqual([])
    expect(new Set(people.map((person) => proofs.state(person)))).toEqual(new Set(['stale']))
    expect(emit.eventsOf('provider.incident')).toMatchObject([{ provider: 'github', reason }])
  })

  it('F11, I5: one person who revokes again and again stages no incident', async () => {
    const check = async (vaultId: string): Promise<Checked> =>
      vaultId.startsWith('mallory')
        ? { outcome: 'no', reason: 'revoked', provider: 'github', person: 'mallory' }
        : { outcome: 'no', reason: 'revoked', provider: 'github', person: vaultId }
    const { proofs, dead, call, pass } = setUp({ check })
    for (let round = 0; round < 30; round++) await call(`mallory-${round}`)
    expect(proofs.incident('github')).toBe(false)
    await call('ada')
    await pass(10)
    expect(dead.map(([vaultId]) => vaultId)).toContain('ada')
    for (let person = 0; person < 21; person++) await call(`person-${person}`)
    expect(proofs.incident('github')).toBe(true)
  })

  it('F11: our own client is refused: an incident, and nothing ends', async () => {
    const { pass, provider, proofs, dead, emit, call } = setUp()
    for (const person of people) proofs.proved(person, { provider: 'github' })
    await pass(61)
    provider.mode = 'client-refused'
    for (const person of people.slice(0, 10)) proofs.renew(person)
    await pass(5)
    provider.mode = 'no'
    for (const person of people.slice(10, 20)) proofs.renew(person)
    await pass(12)
    expect(proofs.incident('github')).toBe(true)
    expect(dead).toEqual([])
    expect(await call('v15')).toBe('stale')
    expect(emit.eventsOf('provider.incident')).toMatchObject([{ reason: 'client-refused' }])
  })

  it('passes when proofs are good again, and not by silence', async () => {
    const { pass, provider, proofs, emit, dead } = setUp()
    for (const person of people) proofs.proved(person, { provider: 'github' })
    await pass(61)
    provider.mode = 'no'
    for (const person of people.slice(0, 50)) proofs.renew(person)
    await pass(120)
    expect(proofs.incident('github')).toBe(true)
    provider.mode = 'yes'
    proofs.renew('v60')
    await pass(1)
    expect(proofs.incident('github')).toBe(false)
    expect(emit.eventsOf('provider.recovered')).toMatchObject([{ reason: 'incident' }])
    provider.modes.set('v60', 'no')
    proofs.renew('v60')
    await pass(70)
    proofs.renew('v60')
    await pass(10)
    expect(dead).toEqual([['v60', 'revoked']])
  })

  it('a few real revocations among many good proofs are believed', async () => {
    const { pass, provider, proofs, dead } = setUp()
    for (const person of people) proofs.proved(person, { provider: 'github' })
    await pass(61)
    for (const person of people.slice(0, 5)) provider.modes.set(person, 'no')
    for (const person of people) proofs.renew(person)
    await pass(11)
    expect(dead).toHaveLength(5)
    expect(proofs.incident('github')).toBe(false)
  })

  it('an operator may say that the refusals are meant', async () => {
    const { pass, provider, proofs, dead } = setUp()
    for (const person of people) proofs.proved(person, { provider: 'github' })
    await pass(61)
    provider.mode = 'no'
    for (const person of people) proofs.renew(person)
    await pass(61)
    proofs.clearIncident('github')
    proofs.renew('v1')
    await pass(11)
    expect(dead).toEqual([['v1', 'revoked']])
  })

  it('another provider is not concerned', async () => {
    const { proofs } = setUp()
    expect(proofs.incident('google')).toBe(false)
  })
})

describe('createProofs, across restarts', () => {
  it('starts with persisted proofs and their age, and writes new ones behind in batches', async () => {
    const runtime = createTestRuntime()
    const batches: number[] = []
    const { proofs, provider, pass } = setUp({
      runtime,
      persist: {
        load: async () => [
          { key: 'recent', value: { etag: '"0"' }, loadedAtMs: runtime.nowMs() - 30_000 },
          { key: 'older', value: {}, loadedAtMs: runtime.nowMs() - 200_000 },
          { key: 'too-old', value: {}, loadedAtMs: runtime.nowMs() - 4_000_000 },
        ],
        save: async (batch) => void batches.push(batch.length),
      },
    })
    await proofs.start()
    expect(['recent', 'older', 'too-old'].map((vaultId) => proofs.state(vaultId))).toEqual([
      'fresh',
      'stale',
      'cold',
    ])
    expect(provider.checks).toBe(0)
    for (let person = 0; person < 300; person++) proofs.proved(`v${person}`, {})
    expect(batches).toEqual([])
    await runtime.elapseMs(1_000)
    expect(batches).toEqual([300])
    await pass(0)
    await proofs.close()
    expect(runtime.timers()).toBe(0)
  })
})
