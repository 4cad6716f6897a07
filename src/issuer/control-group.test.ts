import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../test/kit/family.ts'
import { setUpProofs as setUp } from '../../test/kit/proofs.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createControlGroup } from './control-group.ts'

describe('createProofs, in a small house', () => {
  const names = ['ada', 'grace', 'edsger', 'barbara', 'alan', 'donald', 'tony', 'niklaus']

  it.each([3, 8, 20])(
    'F11: the provider refuses all %i people: nothing ends, and it is told',
    async (size) => {
      const { pass, provider, proofs, dead, emit, call } = setUp()
      const house = Array.from({ length: size }, (_, index) => `person-${index}`)
      for (const person of house) await call(person)
      provider.mode = 'no'
      for (let minute = 0; minute < 20; minute++) {
        await pass(60)
        for (const person of house) await call(person)
      }
      expect(dead).toEqual([])
      expect(proofs.incident('github')).toBe(true)
      expect(emit.eventsOf('provider.incident')).toHaveLength(1)
      provider.mode = 'yes'
      await pass(70)
      expect(await call('person-0')).not.toBe('cold')
      await pass(1)
      expect(proofs.incident('github')).toBe(false)
      expect(emit.eventsOf('provider.recovered')).toHaveLength(1)
    },
  )

  it('F11: after an hour of it the refusals are believed, so that people are asked to sign in', async () => {
    const { pass, provider, dead, call } = setUp()
    for (const person of names) await call(person)
    provider.mode = 'no'
    for (let minute = 0; minute < 90; minute++) {
      await pass(60)
      for (const person of names) await call(person)
      if (minute < 55) expect(dead).toEqual([])
    }
    expect(new Set(dead.map(([vaultId]) => vaultId))).toEqual(new Set(names))
  })

  it('F11, I5: a sign-in that works shows that the provider is well', async () => {
    const { pass, provider, proofs, dead, call } = setUp()
    for (const person of names) await call(person)
    provider.mode = 'no'
    for (let minute = 0; minute < 5; minute++) {
      await pass(60)
      for (const person of names) await call(person)
    }
    expect([dead.length, proofs.incident('github')]).toEqual([0, true])
    provider.modes.set('new', 'yes')
    proofs.proved('new', { provider: 'github' })
    for (let round = 0; round < 6; round++) {
      await pass(60)
      for (const person of [...names, 'new']) await call(person)
    }
    expect(new Set(dead.map(([vaultId]) => vaultId))).toEqual(new Set(names))
  })

  it('VAL-12, I5, F11: whoever is really revoked ends within the bound, and nobody else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        fc.integer({ min: 1, max: 100 }),
        async (size, choice, gapSeconds) => {
          const { pass, provider, dead, call, runtime } = setUp()
          const people = names.slice(0, size)
          const revoked = people.filter((_, index) => choice[index] === true)
          for (const person of people) await call(person)
          await pass(gapSeconds)
          for (const person of revoked) provider.modes.set(person, 'no')
          const sinceMs = runtime.monotonicMs()
          while (runtime.monotonicMs() - sinceMs < 312_000) {
            await pass(20)
            for (const person of people) await call(person)
          }
          const isEverybody = revoked.length === people.length && people.length >= 3
          const ended = dead.map(([vaultId]) => vaultId)
          expect(new Set(ended)).toEqual(new Set(isEverybody ? [] : revoked))
        },
      ),
      { seed: SEED, numRuns: 40 },
    )
  }, 60_000)

  it('VAL-12: one real revocation in a house of one, two or many ends within 300 s and 10 s', async () => {
    for (const size of [1, 2, 3, 8]) {
      const { pass, provider, dead, call } = setUp()
      for (const person of names.slice(0, size)) await call(person)
      provider.modes.set('ada', 'no')
      for (let second = 0; second < 310; second += 10) {
        await call('ada')
        await pass(10)
      }
      expect(dead, `${size} people`).toEqual([['ada', 'revoked']])
    }
  })
})

describe('createProofs, told from elsewhere', () => {
  it('F11: our own client refused at a refresh: an incident with an alarm, and nothing ends', async () => {
    const { pass, provider, proofs, dead, emit, call } = setUp()
    await call('ada')
    proofs.clientRefused('github')
    expect(proofs.incident('github')).toBe(true)
    expect(emit.eventsOf('provider.incident')).toMatchObject([{ reason: 'client-refused' }])
    provider.mode = 'no'
    await pass(30)
    proofs.renew('ada')
    await pass(12)
    expect([dead, proofs.state('ada')]).toEqual([[], 'fresh'])
  })

  it('TOK-25: a refusal of the refresh token is doubted as any other, then it ends', async () => {
    const { pass, provider, proofs, dead, call } = setUp()
    await call('ada')
    const no = {
      outcome: 'no',
      reason: 'invalid_grant',
      provider: 'github',
      person: 'ada',
    } as const
    proofs.told('ada', no)
    expect(proofs.state('ada')).toBe('suspect')
    await pass(10)
    expect([proofs.state('ada'), dead]).toEqual(['fresh', []])
    provider.mode = 'no'
    proofs.told('ada', no)
    await pass(10)
    expect(dead).toEqual([['ada', 'invalid_grant']])
  })

  it('TOK-24: a refresh that worked is a proof', async () => {
    const { pass, proofs, call } = setUp()
    await call('ada')
    await pass(200)
    expect(proofs.state('ada')).toBe('stale')
    proofs.told('ada', { outcome: 'yes', provider: 'github', person: 'ada' })
    expect(proofs.state('ada')).toBe('fresh')
    expect(proofs.find('ada')?.etag).toBeUndefined()
  })
})

describe('createControlGroup', () => {
  const ASKED_MAX = 5
  const REMEMBERED_MAX = 32

  function open() {
    const runtime = createTestRuntime()
    const group = createControlGroup(runtime)
    const asked: string[] = []
    const accept = (...people: readonly string[]): void => {
      for (const person of people) group.accept(`vault-${person}`, person)
      runtime.advanceMs(1)
    }
    const refuses = (answer: (id: string) => Promise<'yes' | 'no' | 'unknown'>, person = 'ada') => {
      asked.length = 0
      const ask = (id: string) => {
        asked.push(id)
        return answer(id)
      }
      return group.refusesEverybody({ person, sinceMs: runtime.monotonicMs(), ask })
    }
    return { runtime, group, asked, accept, refuses }
  }
  const no = async () => 'no' as const

  it('F11: two others who are refused speak for everybody, one does not', async () => {
    const { accept, refuses, asked } = open()
    accept('ada', 'grace')
    expect(await refuses(no)).toBe(false)
    expect(asked).toEqual([])
    accept('alan')
    expect(await refuses(no)).toBe(true)
    expect(asked).toEqual(['vault-grace', 'vault-alan'])
    expect(await refuses(async (id) => (id === 'vault-alan' ? 'yes' : 'no'))).toBe(false)
    expect(await refuses(async (id) => (id === 'vault-alan' ? 'unknown' : 'no'))).toBe(false)
    expect(await refuses(() => Promise.reject(new Error('down')))).toBe(false)
  })

  it('F11: who was accepted since the doubt began says that the provider is well', async () => {
    const { runtime, group } = open()
    group.accept('one', 'grace')
    group.accept('two', 'alan')
    const sinceMs = runtime.monotonicMs()
    const doubt = { person: 'ada', sinceMs, ask: no }
    expect(await group.refusesEverybody(doubt)).toBe(true)
    runtime.advanceMs(1)
    group.accept('two', 'alan')
    expect(await group.refusesEverybody(doubt)).toBe(false)
    expect(await group.refusesEverybody({ ...doubt, person: 'alan' })).toBe(false)
  })

  it('F11: asks the five who were accepted last, and remembers thirty-two', async () => {
    const { accept, refuses, asked, group, runtime } = open()
    const people = Array.from({ length: REMEMBERED_MAX + 1 }, (_, index) => `person-${index}`)
    accept(...people)
    expect(await refuses(no)).toBe(true)
    expect(asked).toEqual(people.slice(-ASKED_MAX).map((person) => `vault-${person}`))
    accept('person-30')
    await refuses(no)
    expect(asked.at(-1)).toBe('vault-person-30')
    for (const person of people.slice(3)) group.drop(`vault-${person}`)
    // The very first was forgotten, so two are left to be asked; with one there is nobody to ask.
    expect(await refuses(no)).toBe(true)
    expect(asked).toEqual(['vault-person-1', 'vault-person-2'])
    group.drop('vault-person-2')
    expect(await refuses(no)).toBe(false)
    expect(runtime.timers()).toBe(0)
  })

  it('F11: waits three seconds and no longer; who is silent says nothing', async () => {
    const { accept, refuses, runtime } = open()
    accept('grace', 'alan', 'edsger')
    const silent = (id: string) =>
      id === 'vault-grace' ? new Promise<never>(() => undefined) : no()
    const answer = refuses(silent)
    await runtime.elapseMs(2_999)
    expect(runtime.timers()).toBe(1)
    await runtime.elapseMs(1)
    expect(await answer).toBe(true)
    const nobody = refuses(() => new Promise<never>(() => undefined))
    await runtime.elapseMs(3_000)
    expect(await nobody).toBe(false)
  })
})
