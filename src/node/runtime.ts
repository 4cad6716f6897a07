/**
 * Clock, timers and cryptography on Node.
 *
 * Timers never keep the process alive. Background work is remembered until it settles, so that a
 * shutdown can wait for it; its rejection goes to `onRejection`, never up.
 */
import type { Runtime } from '../ports.ts'
import { createCryptography } from './crypto.ts'

/** `setTimeout` takes 31 bits and fires at once beyond them. */
const TIMER_MAX_MS = 2_147_483_647

export interface NodeRuntime extends Runtime {
  /** Resolves when all background work is done, or after `deadlineMs`; true when nothing is left. */
  drain(deadlineMs: number): Promise<boolean>
}

export function createNodeRuntime(
  options: { onRejection?: (error: unknown) => void } = {},
): NodeRuntime {
  const onRejection = options.onRejection ?? warnOfRejection
  const background = new Set<Promise<void>>()
  return {
    ...createCryptography(),
    sharesPromises: true,
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    random: () => Math.random(),
    after,
    waitUntil(work) {
      const settled: Promise<void> = work.then(
        () => {
          background.delete(settled)
        },
        (error: unknown) => {
          background.delete(settled)
          onRejection(error)
        },
      )
      background.add(settled)
    },
    drain: (deadlineMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve(background.size === 0), deadlineMs)
        const check = (): void => {
          if (background.size > 0) {
            void Promise.allSettled(background).then(check)
            return
          }
          clearTimeout(timer)
          resolve(true)
        }
        check()
      }),
  }
}

function after(delayMs: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const arm = (remainingMs: number): void => {
    const stepMs = Math.min(remainingMs, TIMER_MAX_MS)
    timer = setTimeout(() => {
      if (remainingMs > stepMs) arm(remainingMs - stepMs)
      else callback()
    }, stepMs)
    timer.unref()
  }
  arm(Math.max(0, delayMs))
  return () => clearTimeout(timer)
}

/** The class only: a message could carry what must not be printed. */
function warnOfRejection(error: unknown): void {
  const name = error instanceof Error ? error.name : typeof error
  process.emitWarning(`background work failed with ${name}`, 'PosternBackground')
}
