import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { createRefresher, type RefreshAnswer, type RefreshResult } from './refresh.ts'
import {
  createRefreshAhead,
  REFRESHES_AT_ONCE_MAX,
  type RefreshAheadDeps,
} from './refresh-ahead.ts'
import { createSealing } from './sealing.ts'
import { createVault, type VaultRecord } from './vault.ts'

const HOUR_MS = 3_600_000
const LIFE_MS = 8 * HOUR_MS
const IN_USE_MS = 600_000

function recordAt(runtime: TestRuntime, lifeMs = LIFE_MS, provider = 'github'): VaultRecord {
  return {
    userId: 'user',
    userKey: 'key',
    provider,
    issuer: `https://${provider}.example`,
    subject: '1',
    tokenOrigin: `https://${provider}.example`,
    sealed: '',
    keyId: '',
    scopes: [],
    state: 'active',
    accessExpiresAtMs: runtime.nowMs() + lifeMs,
    hasRefreshToken: true,
    createdAtMs: runtime.nowMs(),
    refreshedAtMs: runtime.nowMs(),
  }
}

/** A refresher that takes 200 ms and answers as it is told; counts what is under way. */
function setUp(options: { seed?: number; runtime?: TestRuntime } & Partial<RefreshAheadDeps> = {}) {
  const runtime = options.runtime ?? createTestRuntime({ seed: options.seed ?? 1 })
  const remote = {
    answer: 'refreshed' as RefreshResult,
    isIncident: false,
    calls: [] as { id: string; atMs: number }[],
    flying: 0,
    mostFlying: 0,
  }
  const told: [string, string][] = []
  const ahead = createRefreshAhead({
    async refresh(id) {
      remote.calls.push({ id, atMs: runtime.nowMs() })
      remote.flying += 1
      remote.mostFlying = Math.max(remote.mostFlying, remote.flying)
      await new Promise<void>((resolve) => void runtime.after(200, resolve))
      remote.flying -= 1
      return remote.answer
    },
    told: (id, _record, result) => void told.push([id, result]),
    incident: () => remote.isIncident,
    inUseMs: IN_USE_MS,
    runtime,
    ...options,
  })
  /** In steps: what is due fires, then promises settle. A day second by second takes too long. */
  const pass = async (ms: number, stepMs = 10_000): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      runtime.advanceMs(Math.min(stepMs, left))
      await runtime.settle()
    }
  }
  /** Time goes on while the records are in use: each is seen every four minutes. */
  const use = async (records: ReadonlyMap<string, VaultRecord>, ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 240_000) {
      for (const [id, record] of records) {
        // After a refresh the vault has another record.
        if (!told.some(([done, result]) => done === id && result === 'refreshed'))
          ahead.seen(id, record)
      }
      await pass(Math.min(240_000, ms - passed), 60_000)
    }
  }
  return { runtime, remote, told, ahead, use, pass }
}

describe('refresh ahead', () => {
  it('VAL-13: begins at 80 % of the life with jitter, once, and tells the proof', async () => {
    const starts: number[] = []
    for (let seed = 1; seed <= 20; seed += 1) {
      const { runtime, remote, told, use } = setUp({ seed })
      const record = recordAt(runtime)
      const sinceMs = runtime.nowMs()
      await use(new Map([['a', record]]), LIFE_MS * 0.86)
      expect(remote.calls).toHaveLength(1)
      expect(told).toEqual([['a', 'refreshed']])
      starts.push(((remote.calls[0]?.atMs ?? 0) - sinceMs) / LIFE_MS)
    }
    expect(Math.min(...starts)).toBeGreaterThanOrEqual(0.75)
    expect(Math.max(...starts)).toBeLessThanOrEqual(0.8501)
    expect(new Set(starts).size).toBeGreaterThan(12)
  })

  it('VAL-13: never under 60 s before the end, and short lives do not spin', async () => {
    for (const [lifeMs, latestMs] of [
      [600_000, 540_000],
      [300_000, 240_000],
      [150_000, 90_000],
      [60_000, 30_000],
    ] as const) {
      const { runtime, remote, ahead } = setUp()
      const sinceMs = runtime.nowMs()
      ahead.seen('a', recordAt(runtime, lifeMs))
      await runtime.elapseMs(lifeMs)
      const [first] = remote.calls
      expect(remote.calls, `${lifeMs}`).toHaveLength(1)
      const afterMs = (first?.atMs ?? 0) - sinceMs
      // One step of the wheel is a second.
      expect(afterMs).toBeLessThanOrEqual(latestMs + 1_000)
      expect(afterMs).toBeGreaterThanOrEqual(lifeMs * 0.5)
    }
  })

  it('VAL-13, CLI-20: backs off on temporary errors, and stops on invalid_grant', async () => {
    const { runtime, remote, told, use } = setUp()
    const records = new Map([['a', recordAt(runtime)]])
    remote.answer = 'unknown'
    await use(records, LIFE_MS * 0.95)
    const gaps = remote.calls.slice(1).map(({ atMs }, index) => {
      return atMs - (remote.calls[index]?.atMs ?? 0)
    })
    expect(remote.calls.length).toBeGreaterThan(5)
    expect(remote.calls.length).toBeLessThan(30)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1_000_000)
    // In steps of a minute: 15 s doubling, with half as much again at random.
    expect(
      gaps.slice(0, 3).every((gap, index) => gap <= 60_000 + 22_500 * 2 ** index + 1_000),
    ).toBe(true)
    remote.answer = 'dead'
    await use(records, 1_200_000)
    expect(told).toEqual([['a', 'dead']])
    const asked = remote.calls.length
    await use(records, 4 * HOUR_MS)
    expect(remote.calls).toHaveLength(asked)
  })

  it('VAL-13: a token that nobody uses is not refreshed, and one that is used again is', async () => {
    const { runtime, remote, ahead, use, pass } = setUp()
    const record = recordAt(runtime)
    await use(new Map([['a', record]]), HOUR_MS)
    await pass(LIFE_MS * 0.8, 60_000)
    expect([remote.calls.length, ahead.size().watched]).toEqual([0, 0])
    ahead.seen('a', record)
    await runtime.elapseMs(31_500)
    expect(remote.calls).toHaveLength(1)
  })

  it('VAL-13: a record that has no refresh token or no end any more is let go', async () => {
    for (const change of [{ hasRefreshToken: false }, { accessExpiresAtMs: undefined }]) {
      const { runtime, ahead, remote, pass } = setUp()
      const record = recordAt(runtime, HOUR_MS)
      ahead.seen('v', record)
      expect(ahead.size()).toEqual({ watched: 1, flying: 0 })
      const { accessExpiresAtMs: _, ...rest } = record
      const changed = 'hasRefreshToken' in change ? { ...record, ...change } : rest
      ahead.seen('v', { ...changed, refreshedAtMs: runtime.nowMs() + 1 })
      expect(ahead.size()).toEqual({ watched: 0, flying: 0 })
      await pass(2 * HOUR_MS)
      expect(remote.calls).toEqual([])
    }
  })

  it('VAL-13: watches nothing once it is closed', async () => {
    const { runtime, ahead, remote, pass } = setUp()
    ahead.seen('v', recordAt(runtime, HOUR_MS))
    ahead.close()
    ahead.seen('w', recordAt(runtime, HOUR_MS))
    expect(ahead.size()).toEqual({ watched: 0, flying: 0 })
    await pass(2 * HOUR_MS)
    expect(remote.calls).toEqual([])
    expect(runtime.timers()).toBe(0)
  })

  it('VAL-13: nothing to do for tokens without end or without refresh token', async () => {
    const { runtime, remote, ahead } = setUp()
    const { accessExpiresAtMs: _, ...endless } = recordAt(runtime)
    ahead.seen('endless', endless)
    ahead.seen('no-refresh', { ...recordAt(runtime), hasRefreshToken: false })
    expect(ahead.size().watched).toBe(0)
    await runtime.elapseMs(LIFE_MS)
    expect(remote.calls).toEqual([])
    expect(runtime.timers()).toBe(0)
  })

  it('R10, F9: 3,000 records with one expiry are spread, with 20 under way at most', async () => {
    const { runtime, remote, ahead, told } = setUp({ inUseMs: LIFE_MS })
    const record = recordAt(runtime, HOUR_MS)
    for (let index = 0; index < 3_000; index += 1) ahead.seen(`v${index}`, record)
    const sinceMs = runtime.nowMs()
    runtime.advanceMs(HOUR_MS * 0.749)
    expect(remote.calls).toEqual([])
    await runtime.elapseMs(HOUR_MS * 0.103)
    expect(told).toHaveLength(3_000)
    expect(new Set(remote.calls.map(({ id }) => id)).size).toBe(3_000)
    expect(remote.mostFlying).toBeLessThanOrEqual(REFRESHES_AT_ONCE_MAX)
    const perMinute = new Map<number, number>()
    for (const { atMs } of remote.calls) {
      const minute = Math.floor((atMs - sinceMs) / 60_000)
      perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1)
    }
    // Flat: ten per cent of an hour are six minutes, 500 a minute.
    expect(Math.max(...perMinute.values())).toBeLessThan(1.3 * (3_000 / 6))
  }, 60_000)

  it('F9: after an outage all are done, with the cap in flight', async () => {
    const { runtime, remote, ahead, told, pass } = setUp({ inUseMs: LIFE_MS })
    const record = recordAt(runtime, HOUR_MS)
    remote.answer = 'unknown'
    for (let index = 0; index < 500; index += 1) ahead.seen(`v${index}`, record)
    await pass(HOUR_MS)
    expect(told).toEqual([])
    remote.answer = 'refreshed'
    remote.mostFlying = 0
    await pass(1_000_000, 1_000)
    expect(told).toHaveLength(500)
    expect(remote.mostFlying).toBeLessThanOrEqual(REFRESHES_AT_ONCE_MAX)
  }, 60_000)

  it('F11: a provider that refuses our client is asked once a minute and rarer, then all goes on', async () => {
    const { runtime, remote, ahead, told, pass } = setUp({ inUseMs: LIFE_MS })
    const record = recordAt(runtime, HOUR_MS)
    remote.answer = 'unknown'
    remote.isIncident = true
    for (let index = 0; index < 500; index += 1) ahead.seen(`v${index}`, record)
    await pass(2 * HOUR_MS)
    expect(remote.calls.length).toBeLessThan(20)
    remote.isIncident = false
    remote.answer = 'refreshed'
    await pass(HOUR_MS)
    expect(told).toHaveLength(500)
  })

  it('another provider is not held up', async () => {
    const { runtime, told, ahead, remote } = setUp({
      inUseMs: LIFE_MS,
      incident: (provider) => provider === 'sick',
    })
    ahead.seen('a', recordAt(runtime, HOUR_MS, 'sick'))
    ahead.seen('b', recordAt(runtime, HOUR_MS, 'well'))
    await runtime.elapseMs(HOUR_MS * 0.86)
    expect(told.map(([id]) => id)).toContain('b')
    expect(remote.mostFlying).toBe(1)
    ahead.close()
    expect(runtime.timers()).toBe(0)
  })
})

describe('refresh ahead, on two nodes of one store', () => {
  it('VAL-13, PRV-08: one refresh per record and life, whoever is first; foreground shares it', async () => {
    const runtime = createTestRuntime()
    const store = createMemoryStore()
    const lock = createMemoryLock(runtime)
    const vault = createVault({
      store,
      sealing: createSealing([new Uint8Array(32).fill(4)], runtime),
      runtime,
    })
    let calls = 0
    const call = async (): Promise<RefreshAnswer> => {
      calls += 1
      await new Promise<void>((resolve) => void runtime.after(100, resolve))
      return { outcome: 'yes', value: tokens(runtime, calls) }
    }
    const { userId, userKey, provider, issuer, subject, tokenOrigin } = recordAt(runtime)
    const owner = { userId, userKey, provider, issuer, subject, tokenOrigin }
    const { id } = await vault.save(owner, tokens(runtime, 0))
    const emit = createRecordingEmit()
    const nodes = [1, 2].map(() => {
      const refresher = createRefresher({ vault, lock, runtime, emit, call })
      const ahead = createRefreshAhead({
        refresh: (vaultId) => refresher.refresh(vaultId, 10_000, { believe: false }),
        told: () => undefined,
        incident: () => false,
        inUseMs: IN_USE_MS,
        runtime,
      })
      return { refresher, ahead }
    })
    for (let life = 1; life <= 3; life += 1) {
      const untilMs = runtime.nowMs() + LIFE_MS * 0.84
      while (runtime.nowMs() < untilMs) {
        const { record } = await vault.load(id)
        for (const { ahead } of nodes) ahead.seen(id, record)
        void nodes[0]?.refresher.refresh(id, 0, { believe: false })
        for (let step = 0; step < 24; step += 1) {
          runtime.advanceMs(10_000)
          await runtime.settle()
        }
      }
      expect(calls).toBeLessThanOrEqual(life)
    }
    expect(calls).toBeGreaterThanOrEqual(2)
    const { tokens: kept } = await vault.load(id)
    expect(kept.accessToken).toBe(`access-${calls}`)
  })
})

function tokens(runtime: TestRuntime, generation: number): TokenSet {
  return {
    accessToken: `access-${generation}`,
    tokenType: 'Bearer',
    refreshToken: `refresh-${generation}`,
    expiresAtMs: runtime.nowMs() + LIFE_MS,
  }
}
