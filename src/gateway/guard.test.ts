import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { ConnectionMemory, GuardAnswer } from '../middleware/guard.ts'
import { createGuard } from './guard.ts'

const RESOURCE = 'https://a.example/mcp'

function sessionOf(userId: string): Session {
  return {
    digest: userId,
    tenant: 'default',
    userId,
    clientId: 'cli_1',
    grantId: `grt_${userId}`,
    resource: RESOURCE,
    scopes: ['mcp'],
    keyId: 'k',
    jti: 'j',
    issuedAtMs: 0,
    expiresAtMs: 10_000,
    vaultId: 'v',
  }
}

function createHouse() {
  const sessions = new Map([
    ['ada-token', sessionOf('ada')],
    ['bob-token', sessionOf('bob')],
  ])
  const marked = new Set<string>()
  const state = { nowMs: 1_000, lookups: 0 }
  const guard = createGuard({
    emit: createRecordingEmit(),
    resources: [RESOURCE],
    view: {
      nowMs: () => state.nowMs,
      remembered: (token) => {
        state.lookups += 1
        return sessions.get(token)
      },
      judge: () => 'token',
      allowed: () => true,
      marked: (session) => marked.has(session.grantId),
      proof: () => 'fresh',
      load: async () => undefined,
      settled: () => undefined,
    },
  })
  return { guard, marked, state }
}

function who(answer: GuardAnswer | Promise<GuardAnswer>): string {
  if (answer instanceof Promise) return 'waits'
  return answer.ok ? answer.principal.userId : `${answer.refusal.status}`
}

describe('what a connection remembers', () => {
  const options = {}

  it('P1: the same bytes again need no digest; other bytes are looked up (C2, I2)', () => {
    const { guard, state } = createHouse()
    const memory: ConnectionMemory = {}
    const call = (token: string) => who(guard.authenticate(`Bearer ${token}`, options, memory))
    expect([call('ada-token'), call('ada-token'), call('ada-token')]).toEqual(['ada', 'ada', 'ada'])
    expect(state.lookups).toBe(1)
    expect([call('bob-token'), call('ada-token'), call('ada-toke')]).toEqual(['bob', 'ada', '401'])
    expect(call('bob-token')).toBe('bob')
  })

  it('VAL-01 I5: marks and expiry are asked on every call all the same', () => {
    const { guard, marked, state } = createHouse()
    const memory: ConnectionMemory = {}
    const call = () => who(guard.authenticate('Bearer ada-token', options, memory))
    expect(call()).toBe('ada')
    marked.add('grt_ada')
    expect(call()).toBe('401')
    marked.clear()
    expect(call()).toBe('ada')
    state.nowMs = 10_000
    expect(call()).toBe('401')
  })

  it('I2: another house on the same connection believes nothing of it', () => {
    const one = createHouse()
    const other = createHouse()
    const memory: ConnectionMemory = {}
    expect(who(one.guard.authenticate('Bearer ada-token', options, memory))).toBe('ada')
    expect(who(other.guard.authenticate('Bearer ada-token', options, memory))).toBe('ada')
    expect(other.state.lookups).toBe(1)
  })
})
