import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { judgeLogoutToken } from './logout-token.ts'
import {
  judgeSecurityEvent,
  SECURITY_EVENT_AGE_MAX_SECONDS,
  SECURITY_EVENT_MAX_CHARS,
  type SecurityEventFacts,
} from './security-event.ts'

const ISSUER = 'https://id.example'
const HERE = 'https://auth.example/events/id'
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'
const NOW = 1_800_000_000
const SKEW_SECONDS = 60
let jwks: JSONWebKeySet
let sign: (claims?: JWTPayload, header?: object) => Promise<string>
let signWithout: typeof sign

beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] }
  const common = { iss: ISSUER, aud: HERE, iat: NOW, jti: 'e1', events: { 'urn:e': {} } }
  const signed =
    (header: object) =>
    (claims: JWTPayload = {}, rest: object = {}) =>
      new SignJWT({ ...common, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header, ...rest })
        .sign(privateKey)
  sign = signed({ typ: 'secevent+jwt' })
  signWithout = signed({})
})

async function judged(jwt: string, rest: Partial<SecurityEventFacts> = {}) {
  const facts = { jwks, issuer: ISSUER, audience: HERE, nowMs: NOW * 1_000 }
  return judgeSecurityEvent(jwt, { ...facts, types: ['secevent+jwt'], ...rest })
}

async function reason(claims: JWTPayload, rest: Partial<SecurityEventFacts> = {}) {
  const answer = await judged(await sign(claims), rest)
  return answer.ok ? 'ok' : answer.reason
}

describe('judgeSecurityEvent', () => {
  it('REV-11: says what was told, and nothing that was not', async () => {
    expect(await judged(await sign())).toEqual({
      ok: true,
      event: {
        jti: 'e1',
        iat: NOW,
        subjectId: undefined,
        hasNonce: false,
        events: { 'urn:e': {} },
      },
    })
    const sub_id = { format: 'opaque', id: 'x' }
    const full = { iat: NOW + 0.7, exp: NOW + 9, sub: 'ada', sid: 's1', nonce: 'n', sub_id }
    const answer = await judged(await sign({ ...full, aud: ['x', HERE] }))
    expect(answer).toMatchObject({
      ok: true,
      event: {
        iat: NOW,
        exp: NOW + 9,
        sub: 'ada',
        sid: 's1',
        hasNonce: true,
        subjectId: sub_id,
      },
    })
    const plain = await judged(await sign())
    expect(plain.ok && Object.keys(plain.event)).not.toContain('exp')
    expect(plain.ok && Object.keys(plain.event)).not.toContain('sub')
    expect(plain.ok && Object.keys(plain.event)).not.toContain('sid')
  })

  it('REV-11: issuer and audience to the letter', async () => {
    for (const iss of [undefined, 'https://id.example/', 'https://evil.example'])
      expect(await reason({ iss })).toBe('issuer')
    for (const aud of [undefined, `${HERE}/`, [], ['x'], [[HERE]] as unknown as string[]])
      expect(await reason({ aud })).toBe('audience')
  })

  it('REV-11: each claim has its form', async () => {
    for (const odd of [null, '', 7, {}, 'x'.repeat(513)] as unknown as string[]) {
      expect(await reason({ jti: odd }), `jti ${odd}`).toBe('claims')
      expect(await reason({ sub: odd }), `sub ${odd}`).toBe('claims')
      expect(await reason({ sid: odd }), `sid ${odd}`).toBe('claims')
    }
    expect(await reason({ jti: undefined })).toBe('claims')
    expect(await reason({ iat: undefined })).toBe('claims')
    for (const events of [undefined, null, [], {}, 'x'])
      expect(await reason({ events })).toBe('claims')
    for (const name of ['jti', 'sub', 'sid'])
      expect(await reason({ [name]: 'x'.repeat(512) })).toBe('ok')
  })

  it('REV-11: from a minute ahead to seven days old', async () => {
    expect(SECURITY_EVENT_AGE_MAX_SECONDS).toBe(604_800)
    expect(await reason({ iat: NOW + SKEW_SECONDS })).toBe('ok')
    expect(await reason({ iat: NOW + SKEW_SECONDS + 1 })).toBe('not_yet')
    expect(await reason({ iat: NOW - SECURITY_EVENT_AGE_MAX_SECONDS })).toBe('ok')
    expect(await reason({ iat: NOW - SECURITY_EVENT_AGE_MAX_SECONDS - 1 })).toBe('expired')
  })

  it('REV-11: the algorithm is in our list and in that of the sender', async () => {
    expect(await reason({}, { algorithms: ['RS256'] })).toBe('algorithm')
    expect(await reason({}, { algorithms: ['ES256', 'HS256'] })).toBe('ok')
    expect(await reason({}, { algorithms: [] })).toBe('algorithm')
  })

  it('REV-11: another kind of token, another key, too long', async () => {
    expect(await judged(await sign({}, { typ: 'JWT' }))).toEqual({ ok: false, reason: 'typ' })
    expect(await judged(await signWithout())).toEqual({ ok: false, reason: 'typ' })
    expect(await judged(await sign({}, { typ: 'application/SECEVENT+jwt' }))).toMatchObject({
      ok: true,
    })
    expect(await judged(await sign({}, { kid: 'k2' }))).toEqual({
      ok: false,
      reason: 'unknown_key',
    })
    const long = await sign({ long: 'x'.repeat(SECURITY_EVENT_MAX_CHARS) })
    expect(await judged(long)).toEqual({ ok: false, reason: 'malformed' })
  })
})

describe('judgeLogoutToken', () => {
  const logout = (claims: JWTPayload = {}) => ({
    aud: 'client',
    exp: NOW + 120,
    sub: 'ada',
    events: { [LOGOUT]: {} },
    ...claims,
  })
  async function judge(claims: JWTPayload = {}, header: object = { typ: 'logout+jwt' }) {
    const jwt = await (Object.keys(header).length === 0 ? signWithout : sign)(
      logout(claims),
      header,
    )
    const facts = { jwks, issuer: ISSUER, clientId: 'client', nowMs: NOW * 1_000 }
    return judgeLogoutToken(jwt, { ...facts, algorithms: ['ES256'] })
  }
  const why = async (claims: JWTPayload) => {
    const answer = await judge(claims)
    return answer.ok ? 'ok' : answer.reason
  }

  it('REV-10: who or which session, and until when it is remembered', async () => {
    expect(await judge()).toEqual({
      ok: true,
      token: { jti: 'e1', expiresAtMs: (NOW + 120) * 1_000, sub: 'ada' },
    })
    expect(await judge({ sub: undefined, sid: 's1', exp: NOW + 119.5 })).toEqual({
      ok: true,
      token: { jti: 'e1', expiresAtMs: (NOW + 120) * 1_000, sid: 's1' },
    })
    expect(await why({ sub: undefined })).toBe('claims')
  })

  it('REV-10: `typ` may be logout+jwt, JWT or absent', async () => {
    for (const header of [{ typ: 'JWT' }, { typ: 'Logout+JWT' }, {}])
      expect(await judge({}, header)).toMatchObject({ ok: true })
    expect(await judge({}, { typ: 'secevent+jwt' })).toEqual({ ok: false, reason: 'typ' })
  })

  it('REV-10: no nonce, the logout event, a life of at most a day', async () => {
    expect(await why({ nonce: 'n' })).toBe('nonce')
    for (const events of [{ 'urn:e': {} }, { [LOGOUT]: null }, { [LOGOUT]: 'x' }])
      expect(await why({ events })).toBe('claims')
    expect(await why({ exp: undefined })).toBe('claims')
    expect(await why({ exp: NOW })).toBe('claims')
    expect(await why({ exp: NOW + 1 })).toBe('ok')
    expect(await why({ exp: NOW + 86_400 })).toBe('ok')
    expect(await why({ exp: NOW + 86_401 })).toBe('claims')
    expect(await why({ aud: 'other' })).toBe('audience')
  })
})
