import { describe, expect, it } from 'vitest'
import type { SecurityEvent } from './security-event.ts'
import { isVerification, readSignals } from './shared-signals.ts'

const TYPES = 'https://schemas.openid.net/secevent'
const REVOKED = `${TYPES}/caep/event-type/session-revoked`

function event(events: Record<string, unknown>, rest: Partial<SecurityEvent> = {}): SecurityEvent {
  return { jti: 'e1', iat: 1, hasNonce: false, events, ...rest }
}

const subjectOf = (subjectId: unknown, rest: Partial<SecurityEvent> = {}) =>
  readSignals(event({ [REVOKED]: {} }, { subjectId, ...rest })).map(({ subject }) => subject)

describe('readSignals', () => {
  it.each([
    ['caep', 'session-revoked'],
    ['caep', 'credential-change'],
    ['risc', 'account-disabled'],
    ['risc', 'account-purged'],
    ['risc', 'account-credential-change-required'],
    ['risc', 'credential-compromise'],
    ['risc', 'identifier-changed'],
    ['risc', 'identifier-recycled'],
    ['risc', 'sessions-revoked'],
    ['oauth', 'tokens-revoked'],
  ])('REV-12: %s %s ends what its subject has', (family, name) => {
    const told = event({ [`${TYPES}/${family}/event-type/${name}`]: {} }, { sub: 'ada' })
    expect(readSignals(told)).toEqual([
      { event: name, subject: { kind: 'person', subject: 'ada' } },
    ])
    expect(isVerification(told)).toBe(false)
  })

  it('REV-11: other events, and an event that is no object, end nothing', () => {
    for (const [uri, detail] of [
      [`${TYPES}/caep/event-type/token-claims-change`, {}],
      [`${TYPES}/caep/event-type/account-disabled`, {}],
      [REVOKED, null],
      [REVOKED, 'yes'],
      [REVOKED, []],
    ] as const) {
      expect(readSignals(event({ [uri]: detail }, { sub: 'ada' })), uri).toEqual([])
    }
  })

  it('REV-11: verification of both drafts, alone or beside others', () => {
    for (const family of ['ssf', 'risc']) {
      const uri = `${TYPES}/${family}/event-type/verification`
      expect(isVerification(event({ [uri]: {} }))).toBe(true)
      expect(isVerification(event({ [REVOKED]: {}, [uri]: {} }))).toBe(true)
      expect(readSignals(event({ [uri]: {} }, { sub: 'ada' }))).toEqual([])
    }
  })

  it('REV-12: RFC 9493 subjects, as the older drafts write them too', () => {
    const person = { kind: 'person', issuer: 'https://i.example', subject: 'ada' }
    const named = { iss: 'https://i.example', sub: 'ada' }
    for (const format of [
      { format: 'iss_sub' },
      { subject_type: 'iss-sub' },
      { subject_type: 'iss_sub' },
      { subject_type: 'id-token-claims' },
      { format: 'id_token_claims' },
    ]) {
      expect(subjectOf({ ...format, ...named })).toEqual([person])
    }
    expect(subjectOf({ format: 'iss_sub', sub: 'ada' })).toEqual([
      { kind: 'person', subject: 'ada' },
    ])
    expect(subjectOf({ format: 'opaque', id: 'ada' })).toEqual([{ kind: 'person', subject: 'ada' }])
  })

  it('REV-12: a person and a session are all of the person; a session alone is the session', () => {
    const user = { format: 'iss_sub', iss: 'https://i.example', sub: 'ada' }
    const session = { format: 'opaque', id: 's1' }
    const person = { kind: 'person', issuer: 'https://i.example', subject: 'ada' }
    for (const format of [{ format: 'complex' }, {}]) {
      expect(subjectOf({ ...format, user, session })).toEqual([person])
      expect(subjectOf({ ...format, user })).toEqual([person])
      expect(subjectOf({ ...format, session })).toEqual([{ kind: 'session', sid: 's1' }])
      expect(subjectOf({ ...format, session: 's1' })).toEqual([undefined])
      expect(subjectOf({ ...format, session: {} })).toEqual([undefined])
      expect(subjectOf(format)).toEqual([undefined])
    }
  })

  it('REV-12: the subject of the event comes before that of the token, and `sub` last', () => {
    const inside = { format: 'iss_sub', sub: 'inside' }
    const told = event(
      { [REVOKED]: { subject: inside } },
      { sub: 'last', subjectId: { format: 'iss_sub', sub: 'outside' } },
    )
    expect(readSignals(told).map(({ subject }) => subject)).toEqual([
      { kind: 'person', subject: 'inside' },
    ])
    expect(subjectOf({ format: 'iss_sub', sub: 'outside' }, { sub: 'last' })).toEqual([
      { kind: 'person', subject: 'outside' },
    ])
    for (const odd of [undefined, null, 'ada', 7, []])
      expect(subjectOf(odd, { sub: 'last' })).toEqual([{ kind: 'person', subject: 'last' }])
    expect(subjectOf(undefined)).toEqual([undefined])
  })

  it('REV-11: a name that is none names nobody', () => {
    for (const odd of [undefined, null, '', 7, {}, 'x'.repeat(513)]) {
      expect(subjectOf({ format: 'iss_sub', sub: odd })).toEqual([undefined])
      expect(subjectOf({ format: 'opaque', id: odd })).toEqual([undefined])
      if (odd !== undefined)
        expect(subjectOf({ format: 'iss_sub', sub: 'ada', iss: odd })).toEqual([undefined])
      expect(subjectOf({ session: { id: odd } })).toEqual([undefined])
    }
    expect(subjectOf({ format: 'opaque', id: 'x'.repeat(512) })).not.toEqual([undefined])
    for (const format of ['email', 'phone_number', 'account', 'did', 'toString', 7])
      expect(subjectOf({ format, sub: 'ada', id: 'ada', user: { sub: 'ada' } })).toEqual([
        undefined,
      ])
  })
})
