/** What a loading cache keeps of a key: a value, a no, a load that is under way. */
import type { Runtime } from '../ports.ts'
import type { Loaded } from './loaded.ts'

export interface Entry<V> {
  readonly value: V
  readonly loadedMs: number
  readonly freshMs: number
  readonly staleMs: number
  readonly goneMs: number
  doubted: boolean
  failures: number
  failedMs: number
  /** Nobody asks before this time. */
  retryMs: number
}
export interface Negative {
  readonly verdict:
    | { readonly outcome: 'no'; readonly reason: string }
    | { readonly outcome: 'unknown'; readonly error: unknown }
  readonly sinceMs: number
  readonly untilMs: number
}
export interface Flight<V> {
  readonly startedMs: number
  readonly abort: AbortController
  /** Kept through eviction: what is being loaded is never lost. */
  readonly entry: Entry<V> | undefined
  /** What is kept elsewhere is no answer: somebody doubts it. */
  readonly anew: boolean
  dropped: boolean
  /** Age of the answer, where it was kept elsewhere. */
  recalledMs: number | undefined
  promise: Promise<Loaded<V>>
}

/** `late`: the deadline passed. `left`: the caller went away. The flight goes on. */
export function waitFor<V>(
  flight: Flight<V>,
  runtime: Pick<Runtime, 'after'>,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<Loaded<V> | 'late' | 'left'> {
  if (signal?.aborted === true) return Promise.resolve('left')
  return new Promise((resolve) => {
    const finish = (waited: Loaded<V> | 'late' | 'left'): void => {
      disarm()
      signal?.removeEventListener('abort', leave)
      resolve(waited)
    }
    const leave = (): void => finish('left')
    const disarm = runtime.after(Math.max(0, waitMs), () => finish('late'))
    signal?.addEventListener('abort', leave, { once: true })
    void flight.promise.then(finish)
  })
}
