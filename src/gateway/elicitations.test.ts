import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createElicitations } from './elicitations.ts'

describe('links that clients of 2025-11-25 were given', () => {
  it('GW-25: each session is told once, of its own person and connector', () => {
    const elicitations = createElicitations(createTestRuntime())
    const elicitationId = elicitations.asked('ada', 'notes', 'session-1')
    expect(elicitations.completed('ada', 'tasks')).toEqual([])
    expect(elicitations.completed('grace', 'notes')).toEqual([])
    expect(elicitations.completed('ada', 'notes')).toEqual([
      { sessionId: 'session-1', elicitationId },
    ])
    expect(elicitations.completed('ada', 'notes')).toEqual([])
  })

  it('I9: the newest 16 of a person and connector are kept, and 10,000 pairs', () => {
    const elicitations = createElicitations(createTestRuntime())
    for (let count = 0; count < 20; count += 1)
      elicitations.asked('ada', 'notes', `session-${count}`)
    const told = elicitations.completed('ada', 'notes').map(({ sessionId }) => sessionId)
    expect(told).toEqual(Array.from({ length: 16 }, (_, index) => `session-${index + 4}`))
    for (let count = 0; count <= 10_000; count += 1)
      elicitations.asked(`person-${count}`, 'notes', 'session')
    expect(elicitations.completed('person-0', 'notes')).toEqual([])
    expect(elicitations.completed('person-1', 'notes')).toHaveLength(1)
  })
})
