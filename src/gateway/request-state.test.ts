import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import { createRequestStates, requestText } from './request-state.ts'
import { createSessionIds } from './session-id.ts'

const session = { tenant: 'default', userId: 'usr_a', clientId: 'cli_1' } as Session
const connector = { name: 'notes' } as ConnectorConfig
const state = {
  link: 'https://p.example/connect/notes?link=x',
  request: 'd',
  round: 1,
  refused: '',
}

function createWorld() {
  const runtime = createTestRuntime()
  const key = new Uint8Array(32).fill(7)
  return {
    runtime,
    states: createRequestStates({ runtime, key: () => key }),
    sessionIds: createSessionIds({ runtime, key: () => key }),
  }
}

describe('requestState of our own questions (GW-19)', () => {
  it('GW-19: opens for its own user, client and connector, for ten minutes', () => {
    const { runtime, states } = createWorld()
    const sealed = states.seal(state, session, connector)
    expect(sealed).toMatch(/^prs1_[\w-]+$/)
    expect(states.open(sealed, session, connector)).toMatchObject(state)
    for (const other of [{ userId: 'usr_b' }, { clientId: 'cli_2' }, { tenant: 't' }]) {
      expect(states.open(sealed, { ...session, ...other }, connector)).toBeUndefined()
    }
    expect(states.open(sealed, session, { ...connector, name: 'other' })).toBeUndefined()
    runtime.advanceMs(599_999)
    expect(states.open(sealed, session, connector)).toBeDefined()
    runtime.advanceMs(1)
    expect(states.open(sealed, session, connector)).toBeUndefined()
  })

  it('a session id is no state, and a state no session id, under the same key', () => {
    const { states, sessionIds } = createWorld()
    const id = sessionIds.seal('up-1', session, connector)
    const sealed = states.seal(state, session, connector)
    expect(states.open(`prs1_${id.slice(5)}`, session, connector)).toBeUndefined()
    expect(sessionIds.open(`psid_${sealed.slice(5)}`, session, connector)).toBeUndefined()
  })

  it('one text for one request, whatever the order of members and whatever a return adds', () => {
    const text = requestText('tools/call', { name: 'a', arguments: { x: 1, y: [{ b: 2, a: 1 }] } })
    const same = {
      arguments: { y: [{ a: 1, b: 2 }], x: 1 },
      name: 'a',
      _meta: { p: 1 },
      requestState: 's',
      inputResponses: {},
    }
    expect(requestText('tools/call', same)).toBe(text)
    expect(requestText('prompts/get', same)).not.toBe(text)
    for (const other of [
      { ...same, name: 'b' },
      { ...same, arguments: { x: 1, y: [{ b: 2 }] } },
      { ...same, more: 1 },
    ]) {
      expect(requestText('tools/call', other)).not.toBe(text)
    }
  })
})
