import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { readBindings, warnOfMissing } from './bindings.ts'

const call = () => undefined
const DB = { prepare: call, batch: call, withSession: call }
const KV = { get: call, put: call, delete: call }
const LOCK = { idFromName: call, get: call }

describe('bindings of a Worker', () => {
  it('are each optional; one warning names what is missing and what that costs', () => {
    const emit = createRecordingEmit()
    warnOfMissing(readBindings({ POSTERN_KV: KV, OTHER: 'text' }), emit)
    expect(emit.events).toHaveLength(1)
    expect(emit.events[0]).toMatchObject({
      type: 'server.warning',
      reason: 'bindings_missing',
      detail: expect.stringMatching(/^POSTERN_DB: sign-ins .* forgotten.*; POSTERN_LOCK: /),
    })
    warnOfMissing(readBindings({ POSTERN_DB: DB, POSTERN_KV: KV, POSTERN_LOCK: LOCK }), emit)
    expect(emit.events).toHaveLength(1)
  })

  it.each([
    ['POSTERN_DB', 'text'],
    ['POSTERN_DB', KV],
    ['POSTERN_KV', LOCK],
    ['POSTERN_LOCK', DB],
  ])('%s of another type stops the start with what is to be bound', (name, value) => {
    expect(() => readBindings({ [name]: value })).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG_DATABASE',
        problem: expect.stringContaining(name),
      }),
    )
  })

  it.each(['POSTERN_D1', 'POSTERN_DATABASE', 'POSTERN_LOCKS', 'POSTERN_CACHE'])(
    'K5: %s, a name that is none, stops the start in place of a house that forgets',
    (name) => {
      const error = expect.objectContaining({
        code: 'ERR_CONFIG_DATABASE',
        problem: expect.stringContaining(name),
      })
      expect(() => readBindings({ POSTERN_KV: KV, [name]: DB })).toThrow(error)
      expect(() => readBindings({ POSTERN_KV: KV, [name]: 'text', DB })).not.toThrow()
    },
  )
})
