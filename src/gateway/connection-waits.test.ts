import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { CONNECTION_WAIT_MS, createConnectionWaits, type Waiting } from './connection-waits.ts'

function createWorld(sharesPromises = true) {
  const runtime = createTestRuntime({ sharesPromises })
  const waits = createConnectionWaits(runtime)
  const state = { isReady: false, isThere: false, looks: 0, isGone: false }
  const waiting: Waiting = {
    userId: 'usr_a',
    connector: 'notes',
    isReady: () => state.isReady,
    isGone: () => state.isGone,
    async look() {
      state.looks += 1
      state.isReady = state.isThere
    },
  }
  const start = (change: Partial<Waiting> = {}) => {
    const told: { ready?: boolean; atMs?: number } = {}
    void waits.wait({ ...waiting, ...change }).then((ready) => {
      told.ready = ready
      told.atMs = runtime.monotonicMs() - 1_000
    })
    return told
  }
  return { runtime, waits, state, start }
}

describe('waiting for a person to connect (flows.md section 8)', () => {
  it('what is ready waits for nothing and looks nowhere', async () => {
    const { state, start, runtime } = createWorld()
    state.isReady = true
    const told = start()
    await runtime.settle()
    expect([told.ready, state.looks, runtime.timers()]).toEqual([true, 0, 0])
  })

  it('ends after 25 s, having looked every 2 s and no more often', async () => {
    const { state, start, runtime } = createWorld()
    const told = start()
    await runtime.elapseMs(CONNECTION_WAIT_MS - 1)
    expect(told.ready).toBeUndefined()
    await runtime.elapseMs(1)
    expect([told.ready, told.atMs]).toEqual([false, 25_000])
    expect(state.looks).toBeLessThanOrEqual(14)
    expect(runtime.timers()).toBe(0)
  })

  it('goes on at once when this node connects, and only for that person and connector', async () => {
    const { state, start, runtime, waits } = createWorld()
    const told = start()
    await runtime.elapseMs(100)
    state.isThere = true
    waits.connected('usr_b', 'notes')
    waits.connected('usr_a', 'other')
    await runtime.settle()
    expect(told.ready).toBeUndefined()
    waits.connected('usr_a', 'notes')
    await runtime.settle()
    expect([told.ready, told.atMs]).toEqual([true, 100])
  })

  it('finds within 2 s what another node has connected; all calls of a person share the looks', async () => {
    const { state, start, runtime } = createWorld()
    const told = Array.from({ length: 10 }, () => start())
    await runtime.elapseMs(2_000)
    expect(state.looks).toBeLessThanOrEqual(3)
    state.isThere = true
    await runtime.elapseMs(2_000)
    expect(told.every(({ ready }) => ready)).toBe(true)
    expect(state.looks).toBeLessThanOrEqual(5)
  })

  it('a caller that left, and a look that fails, end nothing but their own', async () => {
    const { state, start, runtime } = createWorld()
    const left = start({ isGone: () => true })
    const failing = start({ look: () => Promise.reject(new Error('store')) })
    await runtime.elapseMs(10_000)
    expect([left.ready, failing.ready]).toEqual([false, undefined])
    state.isReady = true
    await runtime.elapseMs(2_000)
    expect(failing.ready).toBe(true)
  })

  it('I9: at most 16 calls of one person wait, and 1,000 of all; further ones are told at once', async () => {
    const { start, runtime } = createWorld()
    const one = Array.from({ length: 17 }, () => start())
    await runtime.settle()
    expect(one.filter(({ ready }) => ready === false)).toHaveLength(1)
    const all = Array.from({ length: 1_000 }, (_, at) => start({ userId: `usr_${at}` }))
    await runtime.settle()
    expect(all.filter(({ ready }) => ready === false)).toHaveLength(16)
    await runtime.elapseMs(CONNECTION_WAIT_MS)
    expect([...one, ...all].every(({ ready }) => ready === false)).toBe(true)
    expect(runtime.timers()).toBe(0)
    const again = start()
    await runtime.settle()
    expect(again.ready, 'places are given back').toBeUndefined()
  })

  it('where promises belong to their request, each call looks for itself', async () => {
    const { state, start, runtime, waits } = createWorld(false)
    const told = [start(), start()]
    await runtime.settle()
    expect(state.looks).toBe(2)
    state.isThere = true
    waits.connected('usr_a', 'notes')
    await runtime.settle()
    expect(told.map(({ ready }) => ready)).toEqual([undefined, undefined])
    await runtime.elapseMs(2_000)
    expect(told.map(({ ready }) => ready)).toEqual([true, true])
  })
})
