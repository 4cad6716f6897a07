import { describe, expect, it } from 'vitest'
import type { Step } from '../ports.ts'
import { happeningsOf } from './committed-events.ts'
import { isEventPattern, matchesAny } from './event-names.ts'

const KEY = { tenant: 'default', id: 'evt_1' }

function audit(event: string, more: object = {}): Step {
  const value = { event, atMs: 1, detail: 'why', expiresAtMs: 2, ...more }
  return { verb: 'create', kind: 'audit', key: KEY, value }
}

describe('what a commit tells', () => {
  it('takes name, id and facts of an audit row, and nothing else of it', () => {
    const told = happeningsOf([audit('client.registered', { clientId: 'cli_1', actor: 'key_1' })])
    expect(told).toEqual([
      { type: 'client.registered', eventId: 'evt_1', data: { clientId: 'cli_1', reason: 'why' } },
    ])
  })

  it('tells of a word that made a connection usable', () => {
    const more = { userId: 'app:desk:u1', connector: 'notes', detail: 'confirmed' }
    expect(happeningsOf([audit('connection.confirmed', more)])).toEqual([
      {
        type: 'connection.confirmed',
        eventId: 'evt_1',
        data: { userId: 'app:desk:u1', connector: 'notes', reason: 'confirmed' },
      },
    ])
    expect(isEventPattern('connection.confirmed')).toBe(true)
  })

  it('names the grant that the commit ends', () => {
    const [told] = happeningsOf([audit('grant.ended', { userId: 'usr_1' })], 'grt_1')
    expect(told?.data).toEqual({ userId: 'usr_1', grantId: 'grt_1', reason: 'why' })
  })

  it('tells a mark for many as grant.ended', () => {
    expect(happeningsOf([audit('grants.ended')]).map(({ type }) => type)).toEqual(['grant.ended'])
  })

  it('tells a connection by its own row, once', () => {
    const value = {
      ...{ connectionId: 'con_1', userId: 'usr_1', connector: 'notes', vaultId: 'v', issuer: 'i' },
      ...{ resource: 'r', clientId: 'at-the-server', scopes: [], requestedScopes: [] },
      ...{ state: 'ended' as const, cause: 'disconnected', connectedAtMs: 1, accountLabel: 'Ada' },
    } as const
    const row: Step = { verb: 'put', kind: 'connection', key: KEY, ifVersion: 1, value }
    const data = { connectionId: 'con_1', userId: 'usr_1', connector: 'notes' }
    expect(happeningsOf([row, audit('connection.ended')])).toEqual([
      { type: 'connection.ended', data: { ...data, reason: 'disconnected' } },
    ])
  })

  it('is silent about rows and names that nobody may ask for', () => {
    const remove: Step = { verb: 'remove', kind: 'connection', key: KEY }
    expect(happeningsOf([remove, audit('signin.ended'), audit('api.called')])).toEqual([])
  })
})

describe('patterns of events', () => {
  it.each(['*', 'connection.*', 'user.offboarded', 'webhook.disabled'])('knows %s', (pattern) => {
    expect(isEventPattern(pattern)).toBe(true)
  })
  it.each(['', 'connection', 'connection.', '.*', 'connection.*.x', 'call.refused', 'nothing.*'])(
    'knows nothing of %s',
    (pattern) => {
      expect(isEventPattern(pattern)).toBe(false)
    },
  )
  it('does not take a part of a word for the word', () => {
    expect(matchesAny(['connect.*'], 'connection.active')).toBe(false)
    expect(matchesAny(['connection.*'], 'connection.active')).toBe(true)
  })
})
