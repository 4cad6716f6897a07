/**
 * A vault, a lock and a provider that rotates its refresh tokens, all in memory on a fake clock: what
 * the tests of a refresh stand on.
 */
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import type { TokenSet } from '../../src/oauth/token-answer.ts'
import type { Lock, Store } from '../../src/ports.ts'
import {
  createRefresher,
  type RefreshAnswer,
  type RefresherOptions,
} from '../../src/vault/refresh.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault, type Vault } from '../../src/vault/vault.ts'
import { createRecordingEmit } from './emit.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const HOUR_MS = 3_600_000
export const OWNER = {
  userId: 'user',
  userKey: 'key',
  provider: 'oidc',
  issuer: 'https://id.example',
  subject: '1',
  tokenOrigin: 'https://id.example',
}
export const wait = (runtime: TestRuntime, ms: number) =>
  new Promise<void>((resolve) => {
    runtime.after(ms, resolve)
  })

/** A provider that rotates: each refresh token once, or once more inside a replay window. */
export function provider(
  runtime: TestRuntime,
  options: { callMs?: number; replayMs?: number } = {},
) {
  let generation = 0
  let rotatedAtMs = Number.NEGATIVE_INFINITY
  let dead = false
  const double = {
    calls: 0,
    /** Thrown after the exchange was done: the answer is lost. */
    loseAnswers: 0,
    current: () => `refresh-${generation}`,
    isDead: () => dead,
    tokens: (): TokenSet => ({
      accessToken: `access-${generation}`,
      tokenType: 'Bearer',
      refreshToken: `refresh-${generation}`,
      expiresAtMs: runtime.nowMs() + HOUR_MS,
    }),
    async call(_record: unknown, tokens: TokenSet): Promise<RefreshAnswer> {
      double.calls += 1
      const half = (options.callMs ?? 100) / 2
      await wait(runtime, half)
      const presented = tokens.refreshToken
      if (dead) return { outcome: 'no', reason: 'invalid_grant' }
      if (presented === `refresh-${generation}`) {
        generation += 1
        rotatedAtMs = runtime.nowMs()
      } else {
        const replay =
          presented === `refresh-${generation - 1}` &&
          runtime.nowMs() - rotatedAtMs <= (options.replayMs ?? -1)
        if (!replay) {
          if (options.replayMs === undefined) dead = true
          return { outcome: 'no', reason: 'invalid_grant' }
        }
      }
      const answer = double.tokens()
      await wait(runtime, half)
      if (double.loseAnswers > 0) {
        double.loseAnswers -= 1
        throw new Error('connection reset')
      }
      return { outcome: 'yes', value: answer }
    },
  }
  return double
}

export interface Setting {
  runtime: TestRuntime
  store: Store
  vault: Vault
  lock: Lock
}
export function setUp(seed = 1): Setting {
  const runtime = createTestRuntime({ seed })
  const store = createMemoryStore()
  const sealing = createSealing([new Uint8Array(32).fill(4)], runtime)
  return {
    runtime,
    store,
    lock: createMemoryLock(runtime),
    vault: createVault({ store, sealing, runtime }),
  }
}
export function node(
  setting: Setting,
  call: RefresherOptions['call'],
  rest: Partial<RefresherOptions> = {},
) {
  const emit = createRecordingEmit()
  return { ...createRefresher({ ...setting, emit, call, ...rest }), emit }
}
/** Saves a sign-in whose access token is due for refresh. */
export async function dueRecord(setting: Setting, tokens: TokenSet): Promise<string> {
  const { id } = await setting.vault.save(OWNER, tokens)
  setting.runtime.advanceMs(HOUR_MS * 0.9)
  return id
}
export async function finish<T>(runtime: TestRuntime, work: Promise<T>, ms = 60_000): Promise<T> {
  await runtime.elapseMs(ms)
  return work
}
