import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { Lock } from '../ports.ts'
import { acrossNodes } from './across-nodes.ts'

const LOAD_MS = 300

/** One lock and one shared memory for all nodes; each load takes 300 ms. */
function setUp(state: 'works' | 'error' = 'works') {
  const runtime = createTestRuntime()
  const holders = new Set<string>()
  const shared = new Map<string, { value: string; loadedAtMs: number; freshSeconds?: number }>()
  const counts = { loads: 0, released: 0 }
  const lock: Lock = {
    async acquire(key) {
      if (state === 'error') return { state: 'error', maybeHeld: true, cause: undefined }
      // A lock may say when the lease ends; the answer comes long before.
      if (holders.has(key)) return { state: 'held', retryAfterMs: 10_000 }
      holders.add(key)
      const release = async (): Promise<void> => {
        counts.released++
        holders.delete(key)
      }
      return {
        state: 'acquired',
        lease: { fence: 1, remainingMs: () => 1, renew: async () => 'acquired', release },
      }
    },
  }
  const node = (fails = false) =>
    acrossNodes<string>({
      name: 'facts',
      lock,
      leaseMs: 10_000,
      runtime,
      facts: {
        find: async (key) => shared.get(key),
        async save(batch) {
          for (const { key, ...fact } of batch) shared.set(key, fact)
        },
      },
      load: async () => {
        counts.loads++
        await new Promise<void>((resolve) => void runtime.after(LOAD_MS, resolve))
        if (fails) throw new Error('down')
        return { outcome: 'yes', value: `loaded ${counts.loads}`, freshSeconds: 60 }
      },
    })
  return { runtime, node, counts, holders }
}

describe('acrossNodes', () => {
  it('C8: eight nodes that need one fact make one load', async () => {
    const { runtime, node, counts } = setUp()
    const { signal } = new AbortController()
    const loading = Array.from({ length: 8 }, () => node()('key', undefined, signal))
    await runtime.elapseMs(2_000)
    const found = await Promise.all(loading)
    expect(new Set(found.map((one) => one.outcome === 'yes' && one.value))).toEqual(
      new Set(['loaded 1']),
    )
    expect(counts.loads).toBe(1)
    // REG-12: what the host said holds on every node.
    expect(found.map((one) => one.outcome === 'yes' && one.freshSeconds)).toEqual(
      found.map(() => 60),
    )
  })

  it('a shared fact from before the question is not an answer', async () => {
    const { runtime, node, counts } = setUp()
    for (let round = 1; round <= 2; round++) {
      const loading = node()('key', undefined, new AbortController().signal)
      await runtime.elapseMs(1_000)
      await loading
      expect(counts.loads).toBe(round)
    }
  })

  it('a node whose load fails gives the lease back, and the next one tries', async () => {
    const { runtime, node, counts, holders } = setUp()
    const { signal } = new AbortController()
    const first = expect(node(true)('key', undefined, signal)).rejects.toThrow('down')
    const second = node()('key', undefined, signal)
    await runtime.elapseMs(2_000)
    await first
    expect(await second).toMatchObject({ outcome: 'yes' })
    expect([counts.loads, counts.released, holders.size]).toEqual([2, 2, 0])
  })

  it('asks for itself when the lock fails, and is unknown when its time is over', async () => {
    const broken = setUp('error')
    const loading = broken.node()('key', undefined, new AbortController().signal)
    await broken.runtime.elapseMs(1_000)
    expect(await loading).toMatchObject({ outcome: 'yes' })
    const { runtime, node, holders, counts } = setUp()
    holders.add('facts:key')
    const abort = new AbortController()
    const waiting = node()('key', undefined, abort.signal)
    await runtime.elapseMs(5_000)
    abort.abort(new Error('deadline'))
    await runtime.elapseMs(100)
    expect(await waiting).toMatchObject({ outcome: 'unknown' })
    expect([counts.loads, runtime.timers()]).toEqual([0, 0])
  })
})
