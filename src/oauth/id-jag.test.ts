import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  ASSERTION_LIFE_MAX_SECONDS,
  ASSERTION_MAX_CHARS,
  claimedIssuer,
  type IdJagFacts,
  judgeIdJag,
} from './id-jag.ts'

const IDP = 'https://idp.corp.example'
const HERE = 'https://auth.example'
const NOW = 1_800_000_000
let facts: IdJagFacts
let sign: (claims?: JWTPayload, header?: Record<string, unknown>) => Promise<string>
let signByOther: typeof sign

beforeAll(async () => {
  const [own, other] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')])
  const jwk = { ...(await exportJWK(own.publicKey)), kid: 'k1', alg: 'ES256' }
  facts = { jwks: { keys: [jwk] }, issuer: IDP, audience: HERE, clientId: 'app', nowMs: NOW * 1000 }
  const signer =
    (key: typeof own.privateKey) =>
    (claims: JWTPayload = {}, header: Record<string, unknown> = {}) =>
      new SignJWT({
        iss: IDP,
        sub: 'u1',
        aud: HERE,
        client_id: 'app',
        jti: 'a1',
        iat: NOW,
        exp: NOW + 300,
        resource: `${HERE}/mcp/notes`,
        scope: 'mcp',
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'oauth-id-jag+jwt', ...header })
        .sign(key)
  sign = signer(own.privateKey)
  signByOther = signer(other.privateKey)
})

async function reason(jwt: string, rest: Partial<IdJagFacts> = {}): Promise<string> {
  const judged = await judgeIdJag(jwt, { ...facts, ...rest })
  return judged.ok ? 'ok' : judged.reason
}

describe('an identity assertion (ID-JAG section 4.4)', () => {
  it('EXT-02: says who, for which client, where, how long', async () => {
    const jwt = await sign({ email: 'ada@corp.example', email_verified: true, auth_time: NOW - 60 })
    expect(claimedIssuer(jwt)).toBe(IDP)
    expect(await judgeIdJag(jwt, facts)).toEqual({
      ok: true,
      claims: {
        subject: 'u1',
        jti: 'a1',
        resource: `${HERE}/mcp/notes`,
        scope: 'mcp',
        expiresAtSeconds: NOW + 300,
        authTimeSeconds: NOW - 60,
        email: 'ada@corp.example',
        emailVerified: true,
      },
    })
  })

  it.each<[string, string, JWTPayload]>([
    ['another issuer', 'issuer', { iss: 'https://evil.example' }],
    ['another audience', 'audience', { aud: 'https://other.example' }],
    ['a list of audiences, ours among them', 'audience', { aud: [HERE] }],
    ['no audience', 'claims', { aud: undefined }],
    ['another client', 'client', { client_id: 'other' }],
    ['no client', 'client', { client_id: undefined }],
    ['an end that has passed', 'expired', { exp: NOW - 61 }],
    ['no end', 'claims', { exp: undefined }],
    ['an end too far away', 'life', { exp: NOW + ASSERTION_LIFE_MAX_SECONDS + 1 }],
    ['an end before its beginning', 'life', { iat: NOW + 40, exp: NOW + 30 }],
    ['a beginning to come', 'not_yet', { iat: NOW + 61, exp: NOW + 300 }],
    ['nbf to come', 'not_yet', { nbf: NOW + 61 }],
    ['no iat', 'claims', { iat: undefined }],
    ['no jti', 'claims', { jti: undefined }],
    ['an empty jti', 'jti', { jti: '' }],
    ['no subject', 'claims', { sub: undefined }],
    ['an empty subject', 'subject', { sub: '' }],
    ['no resource', 'resource', { resource: undefined }],
    ['two resources', 'resource', { resource: [`${HERE}/mcp/a`, `${HERE}/mcp/b`] }],
    ['a scope that is no text', 'claims', { scope: ['mcp'] }],
    ['a binding that cannot be read', 'claims', { cnf: { kid: 'x' } }],
  ])('EXT-02: refuses %s', async (_, expected, claims) => {
    expect(await reason(await sign(claims))).toBe(expected)
  })

  it('EXT-02: refuses another typ, so that an ID token is no assertion', async () => {
    for (const typ of ['JWT', 'at+jwt', 'logout+jwt', undefined]) {
      expect(await reason(await sign({}, { typ })), String(typ)).toBe('typ')
    }
  })

  it('EXT-02: refuses a foreign signature, an unknown key and no signature at all', async () => {
    expect(await reason(await signByOther())).toBe('signature')
    expect(await reason(await sign({}, { kid: 'k9' }))).toBe('unknown_key')
    const bare = new UnsecuredJWT({ iss: IDP }).encode()
    expect(await reason(bare)).toBe('malformed')
    expect(await reason(`${await sign()}`.replace(/\.[^.]+$/, '.AAAA'))).toBe('signature')
    expect(await reason('a'.repeat(ASSERTION_MAX_CHARS + 1))).toBe('malformed')
    expect(await reason('x.y')).toBe('malformed')
  })
})

describe('what an identity assertion leaves out', () => {
  it('EXT-02: an odd `auth_time` says nothing, a whole one from 0 on does', async () => {
    for (const [auth_time, said] of [
      [0, 0],
      [NOW, NOW],
      [-1, undefined],
      [1.5, undefined],
      ['1', undefined],
      [2 ** 53, undefined],
    ] as const) {
      const judged = await judgeIdJag(await sign({ auth_time }), facts)
      expect(judged.ok && judged.claims.authTimeSeconds, String(auth_time)).toBe(said)
    }
  })

  it('EXT-02: names no issuer when it is no compact token of a bounded length', async () => {
    const jwt = await sign()
    expect(claimedIssuer(jwt)).toBe(IDP)
    const [head = '', , tail = ''] = jwt.split('.')
    const payload = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url')
    expect(claimedIssuer(`${head}.${payload({ iss: IDP })}.${tail}`)).toBe(IDP)
    const long = payload({ iss: IDP, x: 'x'.repeat(ASSERTION_MAX_CHARS) })
    for (const odd of [
      '',
      'x',
      `${head}.${payload({ iss: IDP })}`,
      `${head}.${payload({ iss: 7 })}.${tail}`,
      `${head}.${payload({ iss: IDP })}.${tail}.x`,
      `${head}.${payload({ iss: IDP })}=.${tail}`,
      `${head}.${long}.${tail}`,
    ])
      expect(claimedIssuer(odd), odd.slice(0, 40)).toBeUndefined()
  })
})
