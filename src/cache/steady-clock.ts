/**
 * A wall clock for deleting by: it follows the wall back at once, and forward only as fast as time
 * passes. A jump forward is believed when it has lasted for a day (threats K7): what a wrong clock
 * calls dead is refused meanwhile, but not yet gone, and is there again when the clock comes back.
 */
import type { Runtime } from '../ports.ts'

/** NTP corrects less than this by slewing: no jump. */
const SLEW_MAX_MS = 60_000
const BELIEVED_AFTER_MS = 86_400_000

/** Wall milliseconds, never ahead of `nowMs()`. */
export function createSteadyClock(runtime: Pick<Runtime, 'nowMs' | 'monotonicMs'>): () => number {
  let offsetMs = runtime.nowMs() - runtime.monotonicMs()
  let aheadSinceMs: number | undefined
  return () => {
    const monotonicMs = runtime.monotonicMs()
    const currentMs = runtime.nowMs() - monotonicMs
    if (currentMs - offsetMs <= SLEW_MAX_MS) {
      offsetMs = currentMs
      aheadSinceMs = undefined
    } else {
      aheadSinceMs ??= monotonicMs
      if (monotonicMs - aheadSinceMs >= BELIEVED_AFTER_MS) offsetMs = currentMs
    }
    return monotonicMs + offsetMs
  }
}
