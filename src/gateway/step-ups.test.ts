import { describe, expect, it } from 'vitest'
import { createStepUps } from './step-ups.ts'

describe('how often scopes are asked for', () => {
  it('CLI-09: two refused tokens for an operation of a person, then no more for an hour', () => {
    let nowMs = 0
    const stepUps = createStepUps({ nowMs: () => nowMs })
    for (const token of ['a', 'a', 'b', 'a', 'b']) {
      expect(stepUps.tryAgain('usr_a notes', 'tools/call add', token)).toBe(true)
    }
    expect(stepUps.tryAgain('usr_a notes', 'tools/call add', 'c')).toBe(false)
    expect(stepUps.tryAgain('usr_a notes', 'tools/call list', 'd')).toBe(true)
    expect(stepUps.tryAgain('usr_b notes', 'tools/call add', 'c')).toBe(true)
    nowMs = 3_600_000
    expect(stepUps.tryAgain('usr_a notes', 'tools/call add', 'c')).toBe(true)
  })

  it('I9: remembers 10,000 operations, the newest', () => {
    const stepUps = createStepUps({ nowMs: () => 0 })
    const fill = (operation: string) =>
      ['a', 'b'].map((token) => stepUps.tryAgain('c', operation, token))
    fill('first')
    for (let at = 0; at < 9_999; at += 1) stepUps.tryAgain('c', `o${at}`, 'a')
    expect(stepUps.tryAgain('c', 'first', 'c')).toBe(false)
    stepUps.tryAgain('c', 'one more', 'a')
    expect(stepUps.tryAgain('c', 'first', 'c')).toBe(true)
  })
})
