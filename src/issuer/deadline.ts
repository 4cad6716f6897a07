/** A bound on waiting for somebody else: the work may go on, the person gets an answer. */
import { UpstreamError } from '../errors.ts'
import type { Runtime } from '../ports.ts'

/** @throws {UpstreamError} `ERR_UPSTREAM_TIMEOUT` when `work` takes longer than `deadlineMs`. */
export function withDeadline<T>(
  runtime: Runtime,
  deadlineMs: number,
  about: { readonly operation: string; readonly origin: string },
  work: Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = runtime.after(deadlineMs, () =>
      reject(new UpstreamError('ERR_UPSTREAM_TIMEOUT', { ...about, elapsedMs: deadlineMs })),
    )
    work.then(resolve, reject).finally(cancel)
  })
}
