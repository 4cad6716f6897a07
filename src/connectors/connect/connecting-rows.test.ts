import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../../test/kit/runtime.ts'
import { openAnswer, sealAnswer } from './connecting-rows.ts'

const ANSWER = {
  tokens: { accessToken: 'upstream-access', tokenType: 'Bearer' },
  subject: 'ada@notes',
} as const

describe('an answer that waits for a word of the person', () => {
  it('J7: is opened for its own row, and for no other', () => {
    const house = {
      runtime: createTestRuntime(),
      keys: { ticketKey: () => new Uint8Array(32).fill(7) },
    }
    const sealed = sealAnswer(house, 'row-of-ada', ANSWER)
    expect(sealed).not.toContain('upstream-access')
    expect(openAnswer(house, 'row-of-ada', sealed)).toEqual(ANSWER)
    expect(openAnswer(house, 'row-of-grace', sealed)).toBeUndefined()
    expect(openAnswer(house, 'row-of-ada', undefined)).toBeUndefined()
  })
})
