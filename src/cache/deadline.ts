/** Bounds on waiting for somebody else: the work may go on, who waits gets an answer. */
import { UpstreamError } from '../errors.ts'
import type { Runtime } from '../ports.ts'

type Clock = Pick<Runtime, 'after'>

/** What the work gives, or `late` when the deadline passed first. Rejects as the work does. */
export function within<T>(
  runtime: Clock,
  work: Promise<T>,
  deadlineMs: number,
): Promise<T | undefined>
export function within<T, const L>(
  runtime: Clock,
  work: Promise<T>,
  deadlineMs: number,
  late: L,
): Promise<T | L>
export function within<T, const L>(
  runtime: Clock,
  work: Promise<T>,
  deadlineMs: number,
  late?: L,
): Promise<T | L | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = runtime.after(deadlineMs, () => resolve(late))
    work.then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error: unknown) => {
        cancel()
        reject(error)
      },
    )
  })
}

const LATE = Symbol('late')

/** @throws {UpstreamError} `ERR_UPSTREAM_TIMEOUT` when `work` takes longer than `deadlineMs`. */
export async function withDeadline<T>(
  runtime: Clock,
  deadlineMs: number,
  about: { readonly operation: string; readonly origin: string },
  work: Promise<T>,
): Promise<T> {
  const answer = await within(runtime, work, deadlineMs, LATE)
  if (answer !== LATE) return answer
  throw new UpstreamError('ERR_UPSTREAM_TIMEOUT', { ...about, elapsedMs: deadlineMs })
}
