/**
 * Lets something be done once per key and wait, such as asking for a key set again because of a key
 * that nobody knows (VAL-14). In memory of this node, bounded: a full table forgets everything, which
 * lets one more through per key and never holds anything back.
 */
import type { Runtime } from '../ports.ts'

/** @returns true when the key may be used now; it then waits again. */
export function createCoolDown(
  runtime: Pick<Runtime, 'monotonicMs'>,
  { waitMs, keysMax }: { readonly waitMs: number; readonly keysMax: number },
): (key: string) => boolean {
  const usedMs = new Map<string, number>()
  return (key) => {
    const nowMs = runtime.monotonicMs()
    const lastMs = usedMs.get(key)
    if (lastMs !== undefined && nowMs - lastMs < waitMs) return false
    if (usedMs.size >= keysMax) usedMs.clear()
    usedMs.set(key, nowMs)
    return true
  }
}
