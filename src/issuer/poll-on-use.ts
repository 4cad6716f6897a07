/**
 * Keeps a revocation view fresh where no timer polls (Workers): the requests do it. Behind when the
 * view is older than the poll's pace, in front only when it is too old to answer (F11).
 */
import type { Runtime } from '../ports.ts'
import { REVOCATION_POLL_MS, type RevocationView } from './revocation.ts'

const DEADLINE_MS = 2_000

/** @returns Called on each use: `undefined`, or what to wait for before the view is asked. */
export function createPollOnUse(
  view: Pick<RevocationView, 'ageMs' | 'load' | 'ensureFresh'>,
  runtime: Pick<Runtime, 'monotonicMs' | 'waitUntil'>,
  maxAgeSeconds: number,
): () => Promise<unknown> | undefined {
  let askedMs = Number.NEGATIVE_INFINITY
  return () => {
    const ageMs = view.ageMs()
    if (ageMs > maxAgeSeconds * 1000) return view.ensureFresh(DEADLINE_MS)
    const nowMs = runtime.monotonicMs()
    if (ageMs > REVOCATION_POLL_MS && nowMs - askedMs > REVOCATION_POLL_MS) {
      askedMs = nowMs
      runtime.waitUntil(view.load().catch(() => undefined))
    }
    return undefined
  }
}
