/**
 * Clock, timers and cryptography on Workers (`nodejs_compat`).
 *
 * Promises of one request may not be awaited in another. The clock stands still between two I/O
 * operations, and timers live as long as the request that armed them: callers that need an age
 * bound check it on use. `waitUntil` comes from the execution context of the platform.
 */
import { createCryptography } from '../node/crypto.ts'
import type { Runtime } from '../ports.ts'

export function createWorkersRuntime(options: {
  waitUntil: (work: Promise<unknown>) => void
  onRejection?: (error: unknown) => void
}): Runtime {
  const onRejection = options.onRejection ?? (() => undefined)
  return {
    ...createCryptography(),
    sharesPromises: false,
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    random: () => Math.random(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs)
      return () => clearTimeout(timer)
    },
    waitUntil: (work) => options.waitUntil(work.catch(onRejection)),
  }
}
