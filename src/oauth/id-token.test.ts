import {
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWTHeaderParameters,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { checkFamily, createDraw } from '../../test/kit/family.ts'
import { ID_TOKEN_MAX_CHARS, type IdTokenFacts, judgeIdToken } from './id-token.ts'

const NOW = 1_800_000_000
const issuer = 'https://idp.example'
const clientId = 'postern'
type Pair = Awaited<ReturnType<typeof generateKeyPair>>
let rsa: Pair
let ec: Pair
let foreign: Pair
let jwks: JSONWebKeySet

beforeAll(async () => {
  rsa = await generateKeyPair('RS256', { extractable: true })
  ec = await generateKeyPair('ES256', { extractable: true })
  foreign = await generateKeyPair('RS256', { extractable: true })
  jwks = {
    keys: [
      { ...(await exportJWK(rsa.publicKey)), kid: 'rsa', use: 'sig' },
      { ...(await exportJWK(ec.publicKey)), kid: 'ec', use: 'sig', alg: 'ES256' },
    ],
  }
})

const CLAIMS = { iss: issuer, sub: 'u1', aud: clientId, iat: NOW, exp: NOW + 300, nonce: 'n1' }
type Changes = Readonly<Record<string, unknown>>
const sign = (
  changes: Changes = {},
  header: Partial<JWTHeaderParameters> = {},
  key = rsa.privateKey,
): Promise<string> =>
  new SignJWT({ ...CLAIMS, ...changes })
    .setProtectedHeader({ alg: 'RS256', kid: 'rsa', ...header })
    .sign(key)
const judge = (jwt: string, facts: Partial<IdTokenFacts> = {}) =>
  judgeIdToken(jwt, {
    jwks,
    issuer,
    clientId,
    nonce: 'n1',
    nowMs: NOW * 1_000,
    algorithms: ['RS256', 'ES256'],
    ...facts,
  })
const reasonFor = async (jwt: string, facts?: Partial<IdTokenFacts>): Promise<string> => {
  const judgement = await judge(jwt, facts)
  return judgement.ok ? 'ok' : judgement.reason
}

describe('judgeIdToken', () => {
  it('CLI-22: a good token gives its claims', async () => {
    expect(await judge(await sign({ email: 'a@b.example' }))).toEqual({
      ok: true,
      claims: { ...CLAIMS, email: 'a@b.example' },
    })
    expect(
      await reasonFor(await sign({}, { alg: 'ES256', kid: 'ec', typ: 'JWT' }, ec.privateKey)),
    ).toBe('ok')
    expect(await reasonFor(await sign({}, { typ: 'jwt' }))).toBe('ok')
  })

  it('CLI-22: signature', async () => {
    expect(await reasonFor(await sign({}, {}, foreign.privateKey))).toBe('signature')
    const good = await sign()
    const [header, payload, signature] = good.split('.')
    const changed = btoa(JSON.stringify({ ...CLAIMS, sub: 'admin' })).replace(/=+$/, '')
    expect(await reasonFor(`${header}.${changed}.${signature}`)).toBe('signature')
    expect(await reasonFor(`${header}.${payload}.`)).toBe('malformed')
  })

  it('CLI-22, J5: iss is the exact string', async () => {
    for (const iss of [
      'https://idp.example/',
      'https://IDP.example',
      'http://idp.example',
      'https://idp.example.evil.example',
      ['https://idp.example'],
      1,
      undefined,
    ]) {
      expect(['issuer', 'claims']).toContain(await reasonFor(await sign({ iss })))
    }
  })

  it('CLI-22, J5: aud and azp are this client', async () => {
    for (const aud of ['other', 'postern2', 'POSTERN', ['other'], [], '', undefined, {}, 1]) {
      expect(['audience', 'claims', 'malformed']).toContain(await reasonFor(await sign({ aud })))
    }
    expect(await reasonFor(await sign({ aud: [clientId] }))).toBe('ok')
    expect(await reasonFor(await sign({ aud: [clientId, 'other'] }))).toBe('authorized_party')
    expect(await reasonFor(await sign({ aud: [clientId, 'other'], azp: clientId }))).toBe('ok')
    expect(await reasonFor(await sign({ azp: 'other' }))).toBe('authorized_party')
  })

  it('CLI-22, J4: exp, iat and nbf, with 60 s of skew', async () => {
    expect(await reasonFor(await sign(), { nowMs: (NOW + 359) * 1_000 })).toBe('ok')
    expect(await reasonFor(await sign(), { nowMs: (NOW + 360) * 1_000 })).toBe('expired')
    expect(await reasonFor(await sign(), { nowMs: (NOW - 60) * 1_000 })).toBe('ok')
    expect(await reasonFor(await sign(), { nowMs: (NOW - 61) * 1_000 })).toBe('not_yet')
    expect(await reasonFor(await sign({ nbf: NOW + 61 }))).toBe('not_yet')
    for (const name of ['exp', 'iat']) {
      for (const value of [undefined, null, String(NOW + 9), 'x', [], {}, true, -5, 1e300]) {
        expect(await reasonFor(await sign({ [name]: value })), `${name} ${String(value)}`).not.toBe(
          'ok',
        )
      }
    }
    expect(await reasonFor(await sign({ auth_time: 'x' }))).toBe('claims')
  })

  it('CLI-22: nonce', async () => {
    for (const nonce of ['n2', 'N1', '', undefined, ['n1'], null])
      expect(await reasonFor(await sign({ nonce }))).toBe('nonce')
    expect(await reasonFor(await sign({ nonce: undefined }), { nonce: undefined })).toBe('ok')
  })

  it('CLI-22, PRV-21: a subject is needed, an e-mail is none', async () => {
    for (const sub of [undefined, '', null, 1, ['u'], 'x'.repeat(256), 'a\0b']) {
      expect(
        await reasonFor(await sign({ sub, email: 'a@b.example' })),
        String(sub).slice(0, 9),
      ).not.toBe('ok')
    }
  })

  it('J3: other kinds of token are no ID token', async () => {
    for (const typ of ['at+jwt', 'logout+jwt', 'secevent+jwt', 'application/at+jwt', ''])
      expect(await reasonFor(await sign({}, { typ }))).toBe('typ')
    expect(await reasonFor(await sign({ events: {} }))).toBe('typ')
  })

  it('J1, VAL-15: the algorithm comes from the lists, never from the token', async () => {
    const unsecured = new UnsecuredJWT(CLAIMS).encode()
    expect(await reasonFor(unsecured)).toBe('malformed')
    expect(await reasonFor(`${unsecured}AAAA`)).toBe('algorithm')
    const secret = new TextEncoder().encode(JSON.stringify(jwks.keys[0]))
    const hmac = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
      .sign(secret)
    expect(await reasonFor(hmac)).toBe('algorithm')
    expect(await reasonFor(hmac, { algorithms: ['HS256', 'none'] })).toBe('algorithm')
    const [, ...rest] = (await sign()).split('.')
    const header = btoa('{"alg":"RS512","kid":"rsa"}').replace(/=+$/, '')
    expect(await reasonFor([header, ...rest].join('.'))).toBe('algorithm')
    expect(await reasonFor(await sign(), { algorithms: [] })).toBe('algorithm')
    expect(await reasonFor(await sign(), { algorithms: ['ES256'] })).toBe('algorithm')
  })

  it('J2, VAL-14: keys come from the set; an unknown kid says so', async () => {
    const jwk = await exportJWK(foreign.publicKey)
    expect(
      await reasonFor(
        await sign(
          {},
          { jwk, jku: 'https://evil.example', x5u: 'https://evil.example' },
          foreign.privateKey,
        ),
      ),
    ).toBe('signature')
    for (const kid of ['other', '../rsa', "rsa' or 1=1", ''])
      expect(await reasonFor(await sign({}, { kid })), kid).toBe('unknown_key')
    expect(await reasonFor(await sign({}, { kid: 'k'.repeat(300) }))).toBe('malformed')
    expect(await reasonFor(await sign(), { jwks: { keys: [] } })).toBe('unknown_key')
    expect(
      await reasonFor(await sign(), {
        jwks: { keys: Array.from({ length: 101 }, () => ({ kty: 'RSA' })) },
      }),
    ).toBe('unknown_key')
  })

  it('J3: crit is refused', async () => {
    const key = rsa.privateKey
    const jwt = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: 'RS256', kid: 'rsa', crit: ['x'], x: 1 })
      .sign(key, { crit: { x: true } })
    expect(await reasonFor(jwt)).toBe('malformed')
  })

  it('J6: tiny RSA keys, wrong curves and bad points are refusals, not exceptions', async () => {
    const [good] = jwks.keys
    const [, point] = jwks.keys
    const sets: readonly JSONWebKeySet[] = [
      { keys: [{ kty: 'RSA', kid: 'rsa', e: 'AQAB', n: 'A'.repeat(86) }] },
      { keys: [{ ...good, n: 'AQ' }] },
      { keys: [{ kty: 'RSA', kid: 'rsa' }] },
      { keys: [{ ...good, use: 'enc' }] },
      { keys: [{ ...good, alg: 'RS384' }] },
      { keys: [{ ...good, key_ops: ['encrypt'] }] },
      { keys: [{ kty: 'oct', kid: 'rsa', k: 'AAAA' }] },
    ]
    for (const set of sets) expect(await reasonFor(await sign(), { jwks: set })).not.toBe('ok')
    const ecToken = await sign({}, { alg: 'ES256', kid: 'ec' }, ec.privateKey)
    for (const key of [
      { ...point, x: 'AA' },
      { ...point, crv: 'P-384' },
      { ...point, crv: 'secp256k1' },
      { ...point, y: point?.x },
    ]) {
      expect(await reasonFor(ecToken, { jwks: { keys: [{ kty: 'EC', ...key }] } })).not.toBe('ok')
    }
  })

  it('B11: none of 500 hostile tokens is accepted and nothing is thrown', async () => {
    const draw = createDraw()
    const good = await sign()
    const [header = '', payload = '', signature = ''] = good.split('.')
    const part = (text: string): string =>
      btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
    const headers = [
      'null',
      '[]',
      '1',
      '{',
      '{}',
      '{"alg":"none"}',
      '{"alg":null}',
      '{"alg":["RS256"]}',
      '{"alg":"RS256"}{}',
      '{"alg":"RS256","kid":1}',
      '{"alg":"RS256","kid":{}}',
      '{"alg":"RS256","typ":1}',
      '{"alg":"RS256","b64":false,"crit":["b64"]}',
      '{"alg":"RS256","zip":"DEF"}x',
      '{"alg":"rs256","kid":"rsa"}',
      '{"alg":"RS256 ","kid":"rsa"}',
    ]
    const whole = [
      '',
      '.',
      '..',
      '....',
      'x',
      good.slice(1),
      `${good}.x`,
      `${good} `,
      ` ${good}`,
      `${good}\n`,
      `${good}=`,
      `${header}.${payload}`,
      `${header}..${signature}`,
      `.${payload}.${signature}`,
      `${header}.${payload}.${signature.slice(2)}`,
      `${payload}.${header}.${signature}`,
      'a'.repeat(ID_TOKEN_MAX_CHARS + 1),
      `${'a'.repeat(1_000_000)}.b.c`,
      `${header}.${payload}.${signature}.${signature}.${signature}`,
      JSON.stringify({ payload, protected: header, signature }),
      `${header}\0.${payload}.${signature}`,
      ...headers.map((text) => `${part(text)}.${payload}.${signature}`),
      ...['null', '[]', '"x"', '{', ''].map((text) => `${header}.${part(text)}.${signature}`),
    ]
    const mutated = Array.from({ length: 500 - whole.length }, () => {
      const at = draw.whole(good.length)
      const character = draw.pick([...'AZaz09-_.=+/ é'])
      return draw.whole(2) === 0
        ? good.slice(0, at) + character + good.slice(at + 1)
        : good.slice(0, at) + character + good.slice(at)
    }).filter((token) => token !== good)
    await checkFamily('B11', [...whole, ...mutated], async (token) => !(await judge(token)).ok)
  })
})
