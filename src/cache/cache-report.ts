/** What a loading cache says of itself: metrics by outcome, and counts since the start. */
import type { Emit } from '../ports.ts'
import type { Read } from './loaded.ts'

type Outcome = Read<unknown>['state']

export interface CacheReport {
  read(outcome: Outcome, read: Read<unknown>): void
  size(size: { readonly entries: number; readonly bytes: number }): void
  outcomes(): Readonly<Record<Outcome, number>>
}

export function createCacheReport(emit: Emit, cache: string): CacheReport {
  // Made once: a read on the hot path allocates no labels.
  const name = { cache }
  const labels = {
    hit: { cache, outcome: 'hit' },
    stale: { cache, outcome: 'stale' },
    miss: { cache, outcome: 'miss' },
    negative: { cache, outcome: 'negative' },
    error: { cache, outcome: 'error' },
  }
  const counts = { hit: 0, stale: 0, miss: 0, negative: 0, error: 0 }
  return {
    read(outcome, found) {
      counts[outcome] += 1
      emit.count('postern_cache_reads_total', labels[outcome])
      if ('ageSeconds' in found) emit.observe('postern_cache_age_seconds', found.ageSeconds, name)
    },
    size({ entries, bytes }) {
      emit.gauge('postern_cache_entries', entries, name)
      emit.gauge('postern_cache_bytes', bytes, name)
    },
    outcomes: () => ({ ...counts }),
  }
}
