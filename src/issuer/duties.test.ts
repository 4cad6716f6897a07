import { expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import { createMemoryLock } from '../adapters/memory-lock.ts'
import { TENANT } from '../records.ts'
import { createDuties } from './duties.ts'
import { type Duty, surveyStep } from './duty-steps.ts'

it('D4: many walks that wait for the same are one, and one under way is finished', async () => {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const walked: string[] = []
  const duties = createDuties({
    store,
    runtime,
    lock: createMemoryLock(runtime),
    emit: createRecordingEmit(),
    givenUp: () => [],
    async perform({ userId = 'everybody', after }: Duty) {
      walked.push(`${userId} from ${after ?? 'the start'}`)
      return { outcome: 'done' }
    },
  })
  for (let turn = 0; turn < 40; turn += 1) {
    await store.commit([surveyStep(runtime, 'registration_deleted')])
    await store.commit([surveyStep(runtime, 'signed_out', 'usr_ada')])
  }
  const under = surveyStep(runtime, 'revoked')
  if (under.verb !== 'create' || under.kind !== 'duty') throw new Error('not a duty')
  await store.commit([{ ...under, value: { ...under.value, after: 'vault_500' } }])
  await duties.run()
  expect(walked.toSorted()).toEqual([
    'everybody from the start',
    'everybody from vault_500',
    'usr_ada from the start',
  ])
  expect(await store.count('duty', TENANT)).toBe(0)
})
