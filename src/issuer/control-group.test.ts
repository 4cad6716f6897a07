import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../test/kit/family.ts'
import { setUpProofs as setUp } from '../../test/kit/proofs.ts'

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
