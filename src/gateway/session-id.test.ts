import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import { createSessionIds, isStateless } from './session-id.ts'

const runtime = createTestRuntime()
const key = runtime.randomBytes(32)
const notes = { name: 'notes' } as ConnectorConfig
const ada = { tenant: 'default', userId: 'ada', clientId: 'c1' } as Session

describe('Mcp-Session-Id (GW-13)', () => {
  it('opens on another node, for its owner only', () => {
    const sealed = createSessionIds({ runtime, key: () => key }).seal('up-1', ada, notes)
    const elsewhere = createSessionIds({ runtime, key: () => key })
    expect(elsewhere.open(sealed, ada, notes)).toBe('up-1')
    for (const other of [
      { ...ada, tenant: 'acme' },
      { ...ada, userId: 'bob' },
      { ...ada, clientId: 'c2' },
      { ...ada, userId: 'adac', clientId: '1' },
    ]) {
      expect(elsewhere.open(sealed, other, notes)).toBeUndefined()
      expect(
        createSessionIds({ runtime, key: () => key }).open(sealed, other, notes),
      ).toBeUndefined()
    }
    expect(elsewhere.open(sealed, ada, { name: 'other' } as ConnectorConfig)).toBeUndefined()
    expect(
      createSessionIds({ runtime, key: () => runtime.randomBytes(32) }).open(sealed, ada, notes),
    ).toBeUndefined()
  })

  it('is opened once and then remembered', () => {
    let opens = 0
    const counting = createSessionIds({
      runtime: {
        ...runtime,
        open: (...values) => {
          opens += 1
          return runtime.open(...values)
        },
      },
      key: () => key,
    })
    const sealed = createSessionIds({ runtime, key: () => key }).seal('up-1', ada, notes)
    for (let turn = 0; turn < 10; turn += 1) expect(counting.open(sealed, ada, notes)).toBe('up-1')
    expect(opens).toBe(1)
  })

  it('does not take an id that is not visible ASCII', () => {
    const ids = createSessionIds({ runtime, key: () => key })
    for (const bad of ['', 'a b', 'ä', 'a\r\nb', 'x'.repeat(2_000)]) {
      expect(() => ids.seal(bad, ada, notes)).toThrow(TypeError)
    }
  })

  it.each([
    ['2025-03-26', false],
    ['2025-06-18', false],
    ['2025-11-25', false],
    ['2026-07-28', true],
    ['2027-01-01', true],
    [undefined, false],
    ['', false],
    ['9999', false],
    ['zzzz-zz-zz', false],
  ])('GW-01: %s is without sessions: %s', (version, stateless) => {
    expect(isStateless(version)).toBe(stateless)
  })
})
