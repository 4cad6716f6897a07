import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  dueRecord,
  finish,
  HOUR_MS,
  node,
  OWNER,
  provider,
  setUp,
  wait,
} from '../../test/kit/refresher.ts'
import { createMemoryLock } from '../adapters/memory.ts'
import { StoreError } from '../errors.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Lock } from '../ports.ts'
import { TENANT } from '../records.ts'
import { type RefreshAnswer, refreshDueAtMs } from './refresh.ts'
import type { Vault } from './vault.ts'

describe('refresh', () => {
  it('R1: makes one call for 1,000 callers of one node', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const id = await dueRecord(setting, upstream.tokens())
    const { refresh } = node(setting, upstream.call)
    const callers = Promise.all(Array.from({ length: 1_000 }, () => refresh(id, 5_000)))
    const results = await finish(setting.runtime, callers, 5_000)
    expect(new Set(results)).toEqual(new Set(['refreshed']))
    expect(upstream.calls).toBe(1)
    expect((await setting.vault.load(id)).tokens.accessToken).toBe('access-1')
    expect((await setting.vault.load(id)).record.intent).toBeUndefined()
  })

  it('R2: makes one call for four nodes, also while the lock does not answer', async () => {
    const broken: Lock = {
      acquire: async () => ({ state: 'error', maybeHeld: true, cause: new Error('down') }),
    }
    for (const lock of [undefined, broken]) {
      const setting = setUp()
      const upstream = provider(setting.runtime)
      const id = await dueRecord(setting, upstream.tokens())
      const nodes = Array.from({ length: 4 }, () =>
        node(setting, upstream.call, lock ? { lock } : {}),
      )
      const callers = Promise.all(
        nodes.flatMap(({ refresh }) => Array.from({ length: 250 }, () => refresh(id, 50_000))),
      )
      const results = await finish(setting.runtime, callers)
      expect(new Set(results)).toEqual(new Set(['refreshed']))
      expect(upstream.calls).toBe(1)
      expect(upstream.isDead()).toBe(false)
    }
  })

  it('R3: keeps its lease through a call of three leases', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime, { callMs: 45_000 })
    const id = await dueRecord(setting, upstream.tokens())
    const nodes = [node(setting, upstream.call), node(setting, upstream.call)]
    const callers = Promise.all(nodes.map(({ refresh }) => refresh(id, 100_000)))
    expect(await finish(setting.runtime, callers, 100_000)).toEqual(['refreshed', 'refreshed'])
    expect(upstream.calls).toBe(1)
    expect(setting.runtime.timers()).toBe(0)
  })

  it('R4: a loser that is refused reads again, and the winner stays', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime, { replayMs: 0 })
    const id = await dueRecord(setting, upstream.tokens())
    // No lease holds: each node believes that it is alone.
    const free: Lock = {
      acquire: async () => ({
        state: 'acquired',
        lease: {
          fence: 1,
          remainingMs: () => 1_000,
          renew: async () => 'acquired',
          release: async () => undefined,
        },
      }),
    }
    const one = node(setting, upstream.call, { lock: free })
    const two = node(setting, upstream.call, { lock: free })
    const first = one.refresh(id, 50_000)
    await setting.runtime.elapseMs(60)
    const second = two.refresh(id, 50_000)
    const results = await finish(setting.runtime, Promise.all([first, second]))
    expect(results).not.toContain('dead')
    const { record, tokens } = await setting.vault.load(id)
    expect(record.state).toBe('active')
    const spare =
      record.spareSealed === undefined ? undefined : setting.vault.openSpare(id, record.spareSealed)
    expect([tokens.refreshToken, spare?.refreshToken]).toContain(upstream.current())
  })

  it('R4: an answer that lost its version is kept as spare and tried before the record is broken', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const id = await dueRecord(setting, upstream.tokens())
    const { refresh } = node(setting, upstream.call)
    const first = refresh(id, 10_000)
    await setting.runtime.elapseMs(60)
    // Another holder writes its own answer between our intent and our answer.
    const current = await setting.vault.load(id)
    const theirs = { ...current.tokens, refreshToken: 'refresh-theirs' }
    await setting.vault.update(current, setting.vault.sealTokens(id, theirs))
    expect(await finish(setting.runtime, first, 1_000)).toBe('refreshed')
    expect((await setting.vault.load(id)).tokens.refreshToken).toBe('refresh-theirs')
    const later = node(setting, async (record, tokens) =>
      tokens.refreshToken === 'refresh-theirs'
        ? { outcome: 'no', reason: 'invalid_grant' }
        : upstream.call(record, tokens),
    )
    expect(await finish(setting.runtime, later.refresh(id, 10_000, { force: true }), 11_000)).toBe(
      'refreshed',
    )
    const { record, tokens } = await setting.vault.load(id)
    expect(tokens.refreshToken).toBe(upstream.current())
    expect(record).toMatchObject({ state: 'active' })
    expect(record.spareSealed).toBeUndefined()
  })

  it('R5: after a crash between answer and write, tries the old token once more', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime, { replayMs: 60_000 })
    const id = await dueRecord(setting, upstream.tokens())
    const crashed = node(setting, async (record, tokens) => {
      await upstream.call(record, tokens)
      return new Promise<never>(() => undefined)
    })
    void crashed.refresh(id, 1_000)
    await setting.runtime.elapseMs(200)
    const restarted = node({ ...setting, lock: createMemoryLock(setting.runtime) }, upstream.call)
    expect(await finish(setting.runtime, restarted.refresh(id, 10_000), 10_000)).toBe('refreshed')
    expect((await setting.vault.load(id)).tokens.refreshToken).toBe(upstream.current())
  })

  it('R5: at a strict provider the loss is told, with its cause, once no answer can come any more', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const id = await dueRecord(setting, upstream.tokens())
    upstream.loseAnswers = 1
    const { refresh } = node(setting, upstream.call)
    expect(await finish(setting.runtime, refresh(id, 10_000), 10_000)).toBe('unknown')
    expect(await finish(setting.runtime, refresh(id, 5_000), 5_000)).toBe('unknown')
    expect((await setting.vault.load(id)).record.state).toBe('active')
    setting.runtime.advanceMs(30_000)
    expect(await finish(setting.runtime, refresh(id, 5_000), 5_000)).toBe('dead')
    expect((await setting.vault.load(id)).record).toMatchObject({
      state: 'reconnect',
      cause: 'lost_at_crash',
    })
  })

  it('R6: keeps the refresh token when the answer has none (CLI-18)', async () => {
    const setting = setUp()
    const id = await dueRecord(setting, provider(setting.runtime).tokens())
    const { refresh } = node(setting, async () => ({
      outcome: 'yes',
      value: { accessToken: 'next', tokenType: 'Bearer' },
    }))
    expect(await finish(setting.runtime, refresh(id, 1_000), 1_000)).toBe('refreshed')
    const { tokens, record } = await setting.vault.load(id)
    expect(tokens).toMatchObject({ accessToken: 'next', refreshToken: 'refresh-0' })
    expect(record.hasRefreshToken).toBe(true)
  })

  it.each(['not-applied', 'unknown'] as const)(
    'R7: holds an answer that cannot be written (%s) until it is written, and is not healthy until then',
    async (certainty) => {
      const setting = setUp()
      const upstream = provider(setting.runtime)
      const id = await dueRecord(setting, upstream.tokens())
      let failing = false
      const vault: Vault = {
        ...setting.vault,
        update: async (entry, change) => {
          const write = !failing || certainty === 'unknown'
          const result = write ? await setting.vault.update(entry, change) : undefined
          if (!failing) return result
          if (certainty === 'unknown') failing = false
          throw new StoreError('ERR_STORE_FULL', certainty)
        },
      }
      const { refresh, unwritten } = node({ ...setting, vault }, async (record, tokens) => {
        failing = true
        return upstream.call(record, tokens)
      })
      const caller = refresh(id, 2_000)
      expect(await finish(setting.runtime, caller, 20_000)).toBe(
        certainty === 'unknown' ? 'refreshed' : 'unknown',
      )
      expect(unwritten()).toBe(certainty === 'unknown' ? 0 : 1)
      failing = false
      await setting.runtime.elapseMs(2_000)
      expect(unwritten()).toBe(0)
      expect(upstream.calls).toBe(1)
      expect((await setting.vault.load(id)).tokens.accessToken).toBe('access-1')
    },
  )

  it('R8: a record that ended during the call stays ended, and the new token is revoked upstream', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const id = await dueRecord(setting, upstream.tokens())
    const revoked: TokenSet[] = []
    const { refresh } = node(setting, upstream.call, {
      revoke: async (_vaultId, _record, tokens) => revoked.push(tokens),
    })
    const caller = refresh(id, 5_000)
    await setting.runtime.elapseMs(60)
    await setting.vault.end(id, 'signed out')
    expect(await finish(setting.runtime, caller, 5_000)).toBe('dead')
    expect((await setting.vault.load(id)).record.state).toBe('ended')
    expect(revoked.map((tokens) => tokens.accessToken)).toEqual(['access-1'])
    expect(await refresh(id, 100)).toBe('dead')
    expect(upstream.calls).toBe(1)
  })

  it('R8: of a record that was erased during the call the new token is revoked, too, and names nobody', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const id = await dueRecord(setting, upstream.tokens())
    const revoked: (readonly [string, string])[] = []
    const { refresh } = node(setting, upstream.call, {
      revoke: async (_vaultId, { userId }, { accessToken }) => revoked.push([userId, accessToken]),
    })
    const caller = refresh(id, 5_000)
    await setting.runtime.elapseMs(60)
    await setting.store.remove('vault', { tenant: TENANT, id })
    expect(await finish(setting.runtime, caller, 5_000)).toBe('dead')
    expect(revoked).toEqual([['', 'access-1']])
  })

  it('R9: tokens of another person are refused for good; fewer scopes are stored and told', async () => {
    const setting = setUp()
    const { id } = await setting.vault.save(OWNER, {
      ...provider(setting.runtime).tokens(),
      scopes: ['a', 'b'],
    })
    setting.runtime.advanceMs(HOUR_MS)
    const fewer = node(setting, async () => ({
      outcome: 'yes',
      value: { accessToken: 'n', tokenType: 'Bearer', scopes: ['a'] },
    }))
    expect(await finish(setting.runtime, fewer.refresh(id, 100), 100)).toBe('refreshed')
    expect((await setting.vault.load(id)).record.scopes).toEqual(['a'])
    expect(fewer.emit.eventsOf('server.warning')).toMatchObject([{ reason: 'scopes_reduced' }])
    setting.runtime.advanceMs(1)
    const other = node(setting, async () => ({ outcome: 'no', reason: 'subject_changed' }))
    expect(await finish(setting.runtime, other.refresh(id, 100, { force: true }), 100)).toBe('dead')
    expect((await setting.vault.load(id)).record).toMatchObject({
      state: 'reconnect',
      cause: 'subject_changed',
    })
  })

  it('R12: refuses beyond its table of flights, and throws none out', async () => {
    const setting = setUp()
    const id = await dueRecord(setting, provider(setting.runtime).tokens())
    const { refresh } = node(setting, () => new Promise(() => undefined))
    const flights = Array.from({ length: 10_000 }, (_, n) => refresh(n === 0 ? id : `v${n}`, 10))
    expect(await refresh('one too many', 10)).toBe('unknown')
    await setting.runtime.elapseMs(10)
    await Promise.all(flights)
  })

  it('does nothing when nothing is due, and everything by force', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime)
    const { id } = await setting.vault.save(OWNER, upstream.tokens())
    const { refresh } = node(setting, upstream.call)
    expect(await refresh(id, 1_000)).toBe('current')
    expect(await refresh('nobody', 1_000)).toBe('dead')
    setting.runtime.advanceMs(1)
    expect(await finish(setting.runtime, refresh(id, 1_000, { force: true }), 1_000)).toBe(
      'refreshed',
    )
    expect(upstream.calls).toBe(1)
  })

  it('tells a refresh of before the call from one that came while it waited', async () => {
    const setting = setUp()
    const { runtime, vault } = setting
    const upstream = provider(runtime)
    const { refresh } = node(setting, upstream.call)
    const entry = await vault.save(OWNER, upstream.tokens())
    expect(await refresh(entry.id, 1_000)).toBe('current')
    const refreshed = await vault.update(entry, { refreshedAtMs: runtime.nowMs() })
    expect(await refresh(entry.id, 1_000), 'in this very millisecond').toBe('refreshed')
    expect(await refresh(entry.id, 1_000, { force: true })).toBe('refreshed')
    runtime.advanceMs(1)
    expect(await refresh(entry.id, 1_000)).toBe('current')
    expect(refreshed).toBeDefined()
    expect(upstream.calls).toBe(0)
  })

  it('R3: a lease that is over before the call is no lease: nothing is called', async () => {
    const setting = setUp()
    const { runtime, lock } = setting
    const upstream = provider(runtime)
    let remainingMs = 0
    const withLease: Lock = {
      async acquire(...asked) {
        const taken = await lock.acquire(...asked)
        if (taken.state !== 'acquired') return taken
        const { lease } = taken
        return { state: 'acquired', lease: { ...lease, remainingMs: () => remainingMs } }
      },
    }
    const { refresh } = node({ ...setting, lock: withLease }, upstream.call)
    const id = await dueRecord(setting, upstream.tokens())
    const answer = await finish(runtime, refresh(id, 1_000), 5_000)
    expect([answer, upstream.calls]).toEqual(['unknown', 0])
    remainingMs = 1
    expect(await finish(runtime, refresh(id, 1_000), 5_000)).toBe('refreshed')
  })

  it('R8: without a way to revoke, an answer for an ended record is dropped', async () => {
    const setting = setUp()
    const { runtime, vault } = setting
    const upstream = provider(runtime)
    const id = await dueRecord(setting, upstream.tokens())
    const { refresh } = node(setting, async (record, tokens) => {
      const answer = await upstream.call(record, tokens)
      await vault.end(id, 'ended meanwhile')
      return answer
    })
    expect(await finish(runtime, refresh(id, 1_000))).toBe('dead')
    expect(runtime.rejections).toEqual([])
  })

  it('marks nothing while the provider has an incident, or when it does not answer', async () => {
    const setting = setUp()
    const id = await dueRecord(setting, provider(setting.runtime).tokens())
    const no = async (): Promise<RefreshAnswer> => ({ outcome: 'no', reason: 'invalid_grant' })
    const calm = node(setting, no, { incident: () => true })
    expect(await finish(setting.runtime, calm.refresh(id, 100), 100)).toBe('unknown')
    const silent = node(setting, async () => ({ outcome: 'unknown' }))
    expect(await finish(setting.runtime, silent.refresh(id, 100), 100)).toBe('unknown')
    expect((await setting.vault.load(id)).record.state).toBe('active')
  })

  it('CLI-20: a definite no with nothing else in sight marks the record for a new sign-in', async () => {
    const setting = setUp()
    const id = await dueRecord(setting, provider(setting.runtime).tokens())
    const { refresh, emit } = node(setting, async () => ({
      outcome: 'no',
      reason: 'invalid_grant',
    }))
    expect(await finish(setting.runtime, refresh(id, 100), 100)).toBe('dead')
    expect((await setting.vault.load(id)).record).toMatchObject({
      state: 'reconnect',
      cause: 'invalid_grant',
    })
    expect(emit.counted('postern_refreshes_total', { outcome: 'dead' })).toBe(1)
    expect(emit.dump()).not.toContain('refresh-0')
  })

  it('told to ask only, it reports a no, writes nothing and asks again', async () => {
    const setting = setUp()
    const id = await dueRecord(setting, provider(setting.runtime).tokens())
    let asked = 0
    const { refresh } = node(setting, async () => {
      asked += 1
      return { outcome: 'no', reason: 'invalid_grant' }
    })
    const only = { believe: false } as const
    expect(await finish(setting.runtime, refresh(id, 100, only), 100)).toBe('dead')
    expect(await finish(setting.runtime, refresh(id, 100, { ...only, force: true }), 100)).toBe(
      'dead',
    )
    expect(asked).toBe(2)
    const { record } = await setting.vault.load(id)
    expect(record).toMatchObject({ state: 'active' })
    expect(record.intent).toBeUndefined()
  })

  it('without a refresh token there is nothing to do until the access token has expired', async () => {
    const setting = setUp()
    const { id } = await setting.vault.save(OWNER, {
      accessToken: 'a',
      tokenType: 'Bearer',
      expiresAtMs: setting.runtime.nowMs() + HOUR_MS,
    })
    const { refresh } = node(setting, async () => ({ outcome: 'unknown' }))
    setting.runtime.advanceMs(HOUR_MS - 1)
    expect(await refresh(id, 100)).toBe('current')
    setting.runtime.advanceMs(1)
    expect(await refresh(id, 100)).toBe('dead')
  })

  it('answers at its deadline while the work goes on', async () => {
    const setting = setUp()
    const upstream = provider(setting.runtime, { callMs: 5_000 })
    const id = await dueRecord(setting, upstream.tokens())
    const { refresh } = node(setting, upstream.call)
    expect(await finish(setting.runtime, refresh(id, 1_000), 1_000)).toBe('unknown')
    await setting.runtime.elapseMs(5_000)
    expect((await setting.vault.load(id)).tokens.accessToken).toBe('access-1')
  })

  it('R10: spreads refreshes of one moment between 75 and 85 % of life', async () => {
    const setting = setUp()
    const { record } = await setting.vault.save(OWNER, provider(setting.runtime).tokens())
    const shares = [0, 0.5, 0.999].map(
      (random) => (refreshDueAtMs(record, random) - record.createdAtMs) / HOUR_MS,
    )
    expect(shares.map((share) => share.toFixed(2))).toEqual(['0.75', '0.80', '0.85'])
  })

  it('never loses a token pair and calls once per need, whatever interleaves', async () => {
    const scenario = fc.record({
      storeMs: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 5, maxLength: 30 }),
      startMs: fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 6 }),
      callMs: fc.integer({ min: 2, max: 600 }),
      lockBroken: fc.boolean(),
      writeAtMs: fc.option(fc.integer({ min: 0, max: 600 }), { nil: undefined }),
    })
    await fc.assert(
      fc.asyncProperty(scenario, async ({ storeMs, startMs, callMs, lockBroken, writeAtMs }) => {
        const setting = setUp()
        const { runtime } = setting
        const upstream = provider(runtime, { callMs })
        const id = await dueRecord(setting, upstream.tokens())
        let operation = 0
        const slow =
          <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
          async (...args: A): Promise<R> => {
            operation += 1
            await wait(runtime, storeMs[operation % storeMs.length] ?? 0)
            return work(...args)
          }
        const vault: Vault = {
          ...setting.vault,
          find: slow(setting.vault.find),
          update: slow(setting.vault.update),
        }
        const error = async () => ({ state: 'error', maybeHeld: true, cause: undefined }) as const
        const lock: Lock = lockBroken ? { acquire: error } : setting.lock
        const callers = startMs.map(async (delayMs) => {
          await wait(runtime, delayMs)
          return node({ ...setting, vault, lock }, upstream.call).refresh(id, 100_000)
        })
        if (writeAtMs !== undefined) {
          runtime.after(writeAtMs, () => {
            void setting.vault
              .load(id)
              .then((entry) => setting.vault.update(entry, { scopes: ['x'] }))
          })
        }
        await runtime.elapseMs(100_000)
        const results = await Promise.all(callers)
        const { record, tokens } = await setting.vault.load(id)
        const spare =
          record.spareSealed === undefined ? undefined : vault.openSpare(id, record.spareSealed)
        // The provider kills the family on any replay, so a second call with one token would show.
        expect(upstream.isDead()).toBe(false)
        expect(upstream.calls).toBe(1)
        expect(record.state).toBe('active')
        expect([tokens.refreshToken, spare?.refreshToken]).toContain(upstream.current())
        expect(results).not.toContain('dead')
      }),
      { numRuns: 40 },
    )
  })
})
