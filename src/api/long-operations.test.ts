/** Operations behind their answer: one node, a killed one, a failing one. */
import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory-store.ts'
import { parseConfig } from '../config.ts'
import { key } from '../issuer/ids.ts'
import type { Step, Store } from '../ports.ts'
import { createLateOperations } from './late-operations.ts'
import { startOperation, type WorkingHouse } from './long-operations.ts'

const ASKED = { type: 'revocation', by: 'all', of: 'default' } as const

function createHouse(runtime: TestRuntime, store: Store) {
  const emit = createRecordingEmit()
  const asked: string[] = []
  const house = {
    ...{ store, runtime, emit, config: parseConfig({}, { environment: {} }) },
    fails: false,
    dies: false,
    operations: {
      async revoke({ kind }: { kind: string }, _cause: string, also: readonly Step[] = []) {
        asked.push(kind)
        if (house.dies) return new Promise<void>(() => undefined)
        if (house.fails) throw new Error('the store is away')
        if (!(await store.commit(also)).won) throw new Error('lost')
      },
      offboard: () => Promise.reject(new Error('not here')),
      pending: async () => 0,
    },
  }
  return { house: house as typeof house & WorkingHouse, asked, emit }
}

async function stateOf(store: Store, id: string) {
  return (await store.get('operation', key(id)))?.value
}

describe('an operation', () => {
  it('is done once, in the commit that says so, and its start is audited with who asked', async () => {
    const runtime = createTestRuntime()
    const store = createMemoryStore()
    const { house, asked } = createHouse(runtime, store)
    const { key: at } = await startOperation(house, ASKED, 'key_1')
    await runtime.settle()
    expect(await stateOf(store, at.id)).toMatchObject({ state: 'done', done: 1, total: 1 })
    await createLateOperations(runtime, () => house).runDue()
    expect(asked).toEqual(['tenant'])
    const audit = await store.list('audit', 'default', undefined, { max: 10 })
    expect(audit.map(({ value }) => [value.event, value.actor])).toEqual([
      ['revocation.requested', 'key_1'],
    ])
  })

  it('of a node that was killed is finished by another one, not before its claim has ended', async () => {
    const runtime = createTestRuntime()
    const store = createMemoryStore()
    const killed = createHouse(runtime, store)
    killed.house.dies = true
    const { key: at } = await startOperation(killed.house, ASKED, 'key_1')
    await runtime.settle()
    const other = createHouse(runtime, store)
    const late = createLateOperations(runtime, () => other.house)
    await late.runDue()
    expect([other.asked, (await stateOf(store, at.id))?.state]).toEqual([[], 'running'])
    late.start()
    await runtime.elapseMs(150_000)
    expect([other.asked, (await stateOf(store, at.id))?.state]).toEqual([['tenant'], 'done'])
    late.stop()
    expect(runtime.timers()).toBe(0)
  })

  it('that fails again and again is tried ten times, then says so', async () => {
    const runtime = createTestRuntime()
    const store = createMemoryStore()
    const { house, asked, emit } = createHouse(runtime, store)
    house.fails = true
    const { key: at } = await startOperation(house, ASKED, 'key_1')
    const late = createLateOperations(runtime, () => house)
    late.start()
    await runtime.elapseMs(30 * 60_000)
    late.stop()
    expect(asked).toHaveLength(10)
    expect(await stateOf(store, at.id)).toMatchObject({ state: 'failed', done: 0 })
    expect(emit.eventsOf('server.failed').length).toBe(10)
  })
})
