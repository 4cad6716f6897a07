import { describe, expect, it } from 'vitest'
import { countStates, idsIn, shownRules, staleReasons } from './index.ts'

describe('which rule is shown by which test', () => {
  it('reads single ids and ranges out of the name of a test', () => {
    const name = 'TOK-05, A23: and REG-05 to REG-08, F1-F3, but not P2P or TOK-5'
    const ids = ['A23', 'F1', 'F2', 'F3', 'REG-05', 'REG-06', 'REG-07', 'REG-08', 'TOK-05']
    expect([...idsIn(name)].sort()).toEqual(ids)
  })

  it('knows every rule once, and counts each in one state', () => {
    for (const table of ['requirements', 'threats'] as const) {
      const rows = shownRules(table)
      const { shown, 'left out': leftOut, missing } = countStates(rows)
      expect(shown + leftOut + missing).toBe(rows.length)
      expect(new Set(rows.map(({ rule }) => rule.id)).size).toBe(rows.length)
    }
    expect(shownRules('requirements')).toHaveLength(290)
  })

  it('finds a test that is known to be there', () => {
    const row = shownRules('requirements').find(({ rule }) => rule.id === 'AS-05')
    expect(row).toMatchObject({ state: 'shown' })
    expect(row?.files.length).toBeGreaterThan(0)
  })

  it('has no reason that is no longer needed', () => {
    expect(staleReasons()).toEqual([])
  })
})
