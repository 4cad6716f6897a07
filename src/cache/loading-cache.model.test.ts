import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FRESH,
  GONE,
  type Mode,
  NEGATIVE,
  STALE,
  createRemoteFacts as setUp,
} from '../../test/kit/remote-facts.ts'

describe('createLoadingCache against a model', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 0, max: 900 }) }),
    fc.record({
      do: fc.constant('remote' as const),
      mode: fc.constantFrom<Mode>('yes', 'no', 'unknown', 'throws', 'hangs'),
    }),
    fc.record({
      do: fc.constantFrom(
        'read' as const,
        'peek' as const,
        'renew' as const,
        'drop' as const,
        'revalidate' as const,
        'warm' as const,
      ),
      key: fc.constantFrom('a', 'b'),
    }),
  )

  it('never serves past its bounds, never turns unknown into no, never flies twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60, size: 'max' }),
        fc.integer(),
        async (steps, seed) => {
          const { cache, runtime, remote, pass } = setUp({}, { seed })
          const boundSeconds = steps.every((one) => one.do !== 'remote' || one.mode === 'yes')
            ? STALE
            : GONE
          const judge = (key: string, found: Awaited<ReturnType<typeof cache.read>>): void => {
            const nowMs = runtime.monotonicMs()
            if (found.state === 'hit' || found.state === 'stale') {
              const ageSeconds = (nowMs - found.value.atMs) / 1000
              expect(found.value.key).toBe(key)
              expect(ageSeconds).toBeLessThan((found.state === 'hit' ? FRESH : boundSeconds) + 3)
            }
            if (found.state === 'negative') {
              expect(
                nowMs - (remote.refusedAtMs.get(key) ?? Number.NEGATIVE_INFINITY),
              ).toBeLessThan((NEGATIVE + 3) * 1000)
            }
          }
          for (const one of steps) {
            if (one.do === 'wait') await pass(one.seconds)
            else if (one.do === 'remote') remote.mode = one.mode
            else if (one.do === 'read') {
              const reading = cache.read(one.key, { deadlineMs: 2_000 })
              await pass(2)
              judge(one.key, await reading)
            } else if (one.do === 'peek') judge(one.key, cache.peek(one.key))
            else if (one.do === 'warm') cache.keepWarm(one.key, runtime.monotonicMs() + 900_000)
            else cache[one.do](one.key)
            if (one.do === 'drop') expect(cache.peek(one.key)).toEqual({ state: 'miss' })
          }
          // A flight that was dropped may still run beside its successor; nothing else may.
          expect(remote.runningMax).toBeLessThanOrEqual(
            steps.some((one) => one.do === 'drop') ? 8 : 1,
          )
          expect(runtime.rejections).toEqual([])
          await cache.close()
        },
      ),
      { numRuns: 150 },
    )
  })

  it('a remote that never says no is never reported as no', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom<Mode>('yes', 'unknown', 'throws', 'hangs'), {
          maxLength: 25,
          size: 'max',
        }),
        async (modes) => {
          const { cache, remote, pass } = setUp()
          for (const mode of modes) {
            remote.mode = mode
            const reading = cache.read('a', { deadlineMs: 2_000 })
            await pass(130)
            expect((await reading).state).not.toBe('negative')
            expect(cache.peek('a').state).not.toBe('negative')
          }
          expect(remote.runningMax).toBeLessThanOrEqual(1)
        },
      ),
      { numRuns: 40 },
    )
  })
})
