/**
 * What a loading cache takes and answers. The cache itself is `loading-cache.ts`.
 *
 * Lives are seconds of age since the fact was loaded, on the monotonic clock; waits are milliseconds.
 */
import type { Emit, Runtime } from '../ports.ts'
import type { Breaker } from './breaker.ts'
import type { Persist } from './write-behind.ts'

export type Loaded<V> =
  | {
      readonly outcome: 'yes'
      readonly value: V
      readonly freshSeconds?: number
      /** It lies where other nodes find it already. */
      readonly isShared?: boolean
    }
  | { readonly outcome: 'no'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly error: unknown; readonly retryAfterMs?: number }

export type Read<V> =
  | { readonly state: 'hit' | 'stale'; readonly value: V; readonly ageSeconds: number }
  | { readonly state: 'negative'; readonly reason: string; readonly ageSeconds: number }
  | { readonly state: 'miss' }
  | { readonly state: 'error'; readonly error: unknown }

export interface ReadOptions {
  /** Longest wait of this caller; the flight goes on without it. */
  readonly deadlineMs: number
  readonly signal?: AbortSignal
  /** A person asked again: passes over remembered noes and failures, never over the breaker. */
  readonly retryNegative?: boolean
}

export interface LoadingCache<V> {
  /** What is in memory now. Never loads. */
  peek(key: string): Read<V>
  /** Loads on a miss; stale values are served at once and renewed behind. Never rejects. */
  read(key: string, options: ReadOptions): Promise<Read<V>>
  /** Starts a flight behind, unless one is under way or the key must wait after a failure. */
  renew(key: string): void
  /** A fact learned elsewhere. `loadedAtMs` is wall time, default now; `freshSeconds` what its load said. */
  put(key: string, value: V, loadedAtMs?: number, freshSeconds?: number): void
  /** Forgets on evidence; what is in flight is not believed either. */
  drop(key: string): void
  /** Doubt without evidence: the last good value is served as stale while it is asked again. */
  revalidate(key: string): void
  /** Re-loads the key ahead of its stale bound until `untilMs` on the monotonic clock. */
  keepWarm(key: string, untilMs: number): void
  size(): { entries: number; bytes: number }
  /** Loads persisted facts; their age goes on. Resolves to their number. */
  start(): Promise<number>
  close(): Promise<void>
}

export interface LoadingCacheOptions<V> {
  /** Label `cache` of the metrics. */
  readonly name: string
  /** One attempt. Rejections are *unknown*. `signal` ends at `flightDeadlineMs`. */
  readonly load: (key: string, previous: V | undefined, signal: AbortSignal) => Promise<Loaded<V>>
  /** Age until which nobody is asked; 0 asks every time. A load may say another. */
  readonly freshSeconds: number
  /** Age until which a value is served while it is renewed. */
  readonly staleSeconds: number
  /** Age until which a value is served when the outcome is unknown. */
  readonly staleIfErrorSeconds: number
  /** How long a no is remembered; 0 forgets it at once. */
  readonly negativeSeconds: number
  /** How long an unknown without older value is remembered, default 0. */
  readonly failureSeconds?: number
  readonly flightDeadlineMs: number
  readonly entriesMax: number
  readonly bytesMax: number
  /** Default: 512 bytes each. */
  readonly sizeOf?: (value: V) => number
  /** Share by which lives are shortened at random, 0 to 0.5, default 0.1. */
  readonly jitter?: number
  readonly runtime: Runtime
  readonly emit: Emit
  readonly breaker?: (key: string) => Breaker | undefined
  /** Budget of flights that nobody waits for; false postpones one. */
  readonly admit?: (key: string, previous: V | undefined) => boolean
  readonly persist?: Persist<V>
  /** Reads all that is kept at start also where nodes are many and short-lived. Default false. */
  readonly startsFull?: boolean
}
