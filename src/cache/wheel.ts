/**
 * Wakes keys at their time with one timer for all of them, in steps of one second.
 *
 * A key has one time; scheduling it again moves it. Used where there are as many times as keys in
 * use, so that a timer each would be too much.
 */
import type { Runtime } from '../ports.ts'

const STEP_MS = 1_000

export interface Wheel {
  schedule(key: string, atMs: number): void
  cancel(key: string): void
  size(): number
  close(): void
}

/** @param wake Called once per key that is due; it may schedule the key again. */
export function createWheel(
  runtime: Pick<Runtime, 'monotonicMs' | 'after'>,
  wake: (key: string) => void,
): Wheel {
  const stepOf = new Map<string, number>()
  const steps = new Map<number, Set<string>>()
  let lastStep = Math.floor(runtime.monotonicMs() / STEP_MS)
  let disarm: (() => void) | undefined

  const forget = (key: string): void => {
    const step = stepOf.get(key)
    if (step === undefined) return
    stepOf.delete(key)
    const keys = steps.get(step)
    keys?.delete(key)
    if (keys?.size === 0) steps.delete(step)
  }
  const turn = (): void => {
    disarm = undefined
    const nowStep = Math.floor(runtime.monotonicMs() / STEP_MS)
    const due: string[] = []
    // After a long sleep of the machine every step is looked at once, not second by second.
    if (nowStep - lastStep > steps.size) {
      for (const [step, keys] of steps) if (step <= nowStep) due.push(...keys)
    } else {
      for (let step = lastStep + 1; step <= nowStep; step++) due.push(...(steps.get(step) ?? []))
    }
    lastStep = nowStep
    for (const key of due) forget(key)
    for (const key of due) wake(key)
    arm()
  }
  const arm = (): void => {
    if (stepOf.size > 0) disarm ??= runtime.after(STEP_MS, turn)
  }
  return {
    schedule(key, atMs) {
      forget(key)
      if (stepOf.size === 0) lastStep = Math.floor(runtime.monotonicMs() / STEP_MS)
      const step = Math.max(lastStep + 1, Math.ceil(atMs / STEP_MS))
      stepOf.set(key, step)
      const keys = steps.get(step)
      if (keys === undefined) steps.set(step, new Set([key]))
      else keys.add(key)
      arm()
    },
    cancel: forget,
    size: () => stepOf.size,
    close() {
      disarm?.()
      disarm = undefined
      stepOf.clear()
      steps.clear()
    },
  }
}
