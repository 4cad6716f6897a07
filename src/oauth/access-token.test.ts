import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, createDraw, SEED } from '../../test/kit/family.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { Runtime } from '../ports.ts'
import {
  ACCESS_TOKEN_MAX_CHARS,
  type AccessTokenClaims,
  createJti,
  judgeAccessToken,
  looksLikeAccessToken,
  signAccessToken,
} from './access-token.ts'
import { encodeBase64url } from './base64url.ts'

const runtime = createTestRuntime()
const tagKey = runtime.randomBytes(32)
const issuer = 'https://h'
const NOW = 1_800_000_000
function keyPair() {
  const jwk = runtime.createSigningJwk()
  const { d: _private, ...publicJwk } = jwk
  return {
    signing: runtime.importSigningKey(jwk),
    verify: runtime.importVerifyKey(publicJwk),
    publicJwk,
  }
}
const own = keyPair()
const foreign = keyPair()

function claimsOf(changes: Record<string, unknown> = {}): AccessTokenClaims {
  const times = { iat: NOW, exp: NOW + 3600, gid: 'grt_1', ...changes }
  const jti = createJti(runtime, tagKey, { gid: String(times.gid), exp: Number(times.exp) })
  return {
    iss: issuer,
    aud: 'https://h/mcp',
    sub: 'usr_1',
    client_id: 'c',
    jti,
    scope: 'mcp',
    ...times,
  }
}
const signed = (changes: Record<string, unknown> = {}): string =>
  signAccessToken(claimsOf(changes), { kid: 'k1', key: own.signing }, runtime)
const judge = (token: string, nowSeconds = NOW, on: Runtime = runtime) =>
  judgeAccessToken(token, {
    keys: new Map([['k1', own.verify]]),
    tagKey,
    issuer,
    nowSeconds,
    runtime: on,
  })
const reasonFor = (token: string, nowSeconds?: number): string => {
  const judgement = judge(token, nowSeconds)
  return judgement.ok ? 'ok' : judgement.reason
}
const part = (value: unknown): string =>
  encodeBase64url(
    new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)),
  )
/** A token of our key with any header and payload text. */
const forge = (header: unknown, payload: unknown): string => {
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${runtime.sign(own.signing, input)}`
}
const HEADER = { alg: 'ES256', typ: 'at+jwt', kid: 'k1' }

describe('access token', () => {
  describe('outside of the house that issued it, with no tag key', () => {
    const judgeOutside = (token: string) =>
      judgeAccessToken(token, {
        keys: new Map([['k1', own.verify]]),
        tagKey: undefined,
        issuer,
        nowSeconds: NOW,
        runtime,
      })

    it('TOK-14: accepts what the key signed, whatever its tag', () => {
      const claims = claimsOf()
      const otherTag = {
        ...claims,
        jti: `${claims.jti.slice(0, -1)}${claims.jti.endsWith('A') ? 'E' : 'A'}`,
      }
      expect(reasonFor(forge(HEADER, otherTag))).toBe('tag')
      expect(judgeOutside(signed())).toMatchObject({ ok: true, keyId: 'k1' })
      expect(judgeOutside(forge(HEADER, otherTag))).toMatchObject({ ok: true })
    })

    it('J1 to J6: still refuses every signature but that of a known key', () => {
      const other = signAccessToken(claimsOf(), { kid: 'k1', key: foreign.signing }, runtime)
      expect(judgeOutside(other)).toEqual({ ok: false, reason: 'signature' })
      const unknown = signAccessToken(claimsOf(), { kid: 'k2', key: own.signing }, runtime)
      expect(judgeOutside(unknown)).toEqual({ ok: false, reason: 'unknown_key' })
      expect(judgeOutside(forge(HEADER, { ...claimsOf(), jti: 7 }))).toMatchObject({ ok: false })
    })
  })

  it('TOK-15: ES256, at+jwt, kid and the claims of RFC 9068', () => {
    const claims = claimsOf({ auth_time: NOW - 10 })
    const token = signAccessToken(claims, { kid: 'k1', key: own.signing }, runtime)
    const [header = '', payload = ''] = token.split('.')
    expect(JSON.parse(atob(header))).toEqual(HEADER)
    expect(JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))).toEqual(claims)
    expect(judge(token)).toEqual({ ok: true, claims, keyId: 'k1' })
  })

  it('TOK-17: carries only the claims it was given, also outside ASCII', () => {
    const judgement = judge(signed({ client_id: 'client-ä😀', scope: 'é' }))
    expect(judgement).toMatchObject({ ok: true, claims: { client_id: 'client-ä😀', scope: 'é' } })
  })

  it('SEC-11, J12: jti has 128 random bits and a 64-bit tag over them, gid and exp', () => {
    const facts = { gid: 'g', exp: 1 }
    const all = new Set(Array.from({ length: 500 }, () => createJti(runtime, tagKey, facts)))
    expect(all.size).toBe(500)
    for (const jti of all) expect(jti).toMatch(/^[\w-]{33}$/)
  })

  it('VAL-01: typ, key, signature, issuer and times, one by one', () => {
    const claims = claimsOf()
    expect(reasonFor(forge(HEADER, claims))).toBe('ok')
    expect(reasonFor(forge({ ...HEADER, typ: 'application/at+jwt' }, claims))).toBe('ok')
    for (const typ of [undefined, 'JWT', 'AT+JWT', 'logout+jwt', 'rt+jwt', 1])
      expect(reasonFor(forge({ ...HEADER, typ }, claims)), String(typ)).toBe('typ')
    for (const kid of [
      undefined,
      'k2',
      '',
      1,
      null,
      '../k1',
      "k1' or 1=1",
      'k'.repeat(10_000),
      '__proto__',
    ]) {
      const reason = reasonFor(forge({ ...HEADER, kid }, claims))
      expect(['unknown_key', 'malformed'], String(kid).slice(0, 20)).toContain(reason)
    }
    expect(reasonFor(signAccessToken(claims, { kid: 'k1', key: foreign.signing }, runtime))).toBe(
      'signature',
    )
    for (const iss of [
      'https://h/',
      'https://H',
      'http://h',
      'https://h.evil.example',
      '',
      undefined,
      ['https://h'],
      1,
    ])
      expect(reasonFor(signed({ iss })), String(iss)).toBe('issuer')
    expect(reasonFor(signed(), NOW + 3600)).toBe('expired')
    expect(reasonFor(signed(), NOW + 3599)).toBe('ok')
    expect(reasonFor(signed(), NOW - 60)).toBe('ok')
    expect(reasonFor(signed(), NOW - 61)).toBe('not_yet')
    expect(reasonFor(signed({ nbf: NOW + 60 }))).toBe('ok')
    expect(reasonFor(signed({ nbf: NOW + 61 }))).toBe('not_yet')
    expect(reasonFor(signed({ nbf: 'now' }))).toBe('claims')
  })

  it('J4, J5: claims that are missing or of another type are refused', async () => {
    const bad: readonly Record<string, unknown>[] = [
      ...['aud', 'sub', 'client_id', 'scope', 'iat'].map((name) => ({ [name]: undefined })),
      ...['aud', 'sub', 'client_id', 'scope'].flatMap((name) => [
        { [name]: 1 },
        { [name]: null },
        { [name]: ['x'] },
        { [name]: {} },
      ]),
      ...['aud', 'sub', 'client_id'].map((name) => ({ [name]: '' })),
      ...[String(NOW), null, -1, NOW + 0.5, 1e300, [NOW], {}, true].map((iat) => ({ iat })),
      { auth_time: 'x' },
      { auth_time: -1 },
      { iat: NOW + 3600 },
      { exp: NOW + 86_401 },
      { iat: 0 },
    ]
    await checkFamily('J4', bad, (changes) => expect(reasonFor(signed(changes))).toBe('claims'))
    for (const exp of [undefined, null, String(NOW + 5), -1, NOW + 0.5, 1e300, [NOW], 'Infinity']) {
      expect(reasonFor(forge(HEADER, { ...claimsOf(), exp })), String(exp)).toBe('tag')
    }
  })

  it('D3: a token that was not made here costs no signature check', () => {
    let checks = 0
    const counting: Runtime = {
      ...runtime,
      verify: (...of) => {
        checks += 1
        return runtime.verify(...of)
      },
    }
    const claims = claimsOf()
    const forged = [
      forge(HEADER, { ...claims, jti: createJti(runtime, runtime.randomBytes(32), claims) }),
      forge(HEADER, { ...claims, exp: claims.exp + 1 }),
      forge(HEADER, { ...claims, gid: 'grt_2' }),
      forge(HEADER, { ...claims, jti: claims.jti.slice(1) }),
      forge(HEADER, { ...claims, jti: `${claims.jti}A` }),
      forge(HEADER, { ...claims, jti: undefined }),
      forge({ ...HEADER, kid: 'k2' }, claims),
      forge({ ...HEADER, alg: 'none' }, claims),
      forge({ ...HEADER, typ: 'JWT' }, claims),
      'x',
      'a.b.c',
      `${'a'.repeat(100)}.${'b'.repeat(100)}.${'A'.repeat(86)}`,
    ]
    for (const token of forged) expect(judge(token, NOW, counting).ok, token).toBe(false)
    expect(checks).toBe(0)
    expect(judge(signed(), NOW, counting).ok).toBe(true)
    expect(checks).toBe(1)
  })

  it('VAL-15, J1, J2, J3: alg, crit and header keys never choose', () => {
    const claims = claimsOf()
    for (const alg of [
      'none',
      'None',
      'NONE',
      'nOnE',
      '',
      undefined,
      null,
      'HS256',
      'RS256',
      'ES384',
      'es256',
      'ES256K',
      ['ES256'],
      256,
    ]) {
      expect(reasonFor(forge({ ...HEADER, alg }, claims)), String(alg)).toBe('algorithm')
    }
    for (const crit of [[], ['exp'], ['b64'], ['x'], null])
      expect(reasonFor(forge({ ...HEADER, crit, b64: true }, claims))).toBe('algorithm')
    const input = `${part({ ...HEADER, jwk: foreign.publicJwk, jku: 'https://evil.example/jwks', x5u: 'https://evil.example', x5c: ['x'] })}.${part(claims)}`
    expect(reasonFor(`${input}.${runtime.sign(foreign.signing, input)}`)).toBe('signature')
  })

  it('J1: an HMAC with the public key as its key is no signature', () => {
    const key = new TextEncoder().encode(JSON.stringify(own.publicJwk))
    for (const alg of ['HS256', 'ES256']) {
      const input = `${part({ ...HEADER, alg })}.${part(claimsOf())}`
      const mac = runtime.hmacSha256(key, input)
      expect(reasonFor(`${input}.${encodeBase64url(mac)}`)).toBe('malformed')
      const padded = new Uint8Array(64)
      padded.set(mac)
      expect(reasonFor(`${input}.${encodeBase64url(padded)}`)).toBe(
        alg === 'ES256' ? 'signature' : 'algorithm',
      )
    }
  })

  it('B11: none of 500 hostile tokens is accepted', async () => {
    const draw = createDraw()
    const good = signed()
    const [header = '', payload = '', signature = ''] = good.split('.')
    const zeros = encodeBase64url(new Uint8Array(64))
    const whole = [
      '',
      '.',
      '..',
      '...',
      good.slice(1),
      good.slice(0, -1),
      `${good}.`,
      `.${good}`,
      `${good}=`,
      `${good}A`,
      `${good} `,
      ` ${good}`,
      `${good}\n`,
      good.replace('.', '..'),
      good.replace('.', ','),
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}..${signature}`,
      `.${payload}.${signature}`,
      `${payload}.${header}.${signature}`,
      `${header}.${payload}.${zeros}`,
      `${header}.${payload}.${signature.slice(0, 43)}${signature.slice(0, 43)}`,
      `${header}.${payload}.${encodeBase64url(new Uint8Array(64).fill(255))}`,
      `${header}.${payload}.${signature}.${signature}`,
      `${header}.${payload}.${signature}.a.b`,
      `Bearer ${good}`,
      `"${good}"`,
      `${header}=.${payload}.${signature}`,
      JSON.stringify({ payload, protected: header, signature }),
      good.toLowerCase(),
      good.replaceAll('-', '+').replaceAll('_', '/').concat('='),
      `${good.slice(0, -1)}B`,
      'a'.repeat(ACCESS_TOKEN_MAX_CHARS + 1),
      `${'a'.repeat(ACCESS_TOKEN_MAX_CHARS)}.b.c`,
      ...[
        'null',
        '[]',
        '"x"',
        '1',
        'true',
        '',
        '{',
        '{}',
        '{"a":1}x',
        '\ufeff{}',
        '{"iss":"https://h"}',
        '[{}]',
        '{"jti":null}',
      ].flatMap((text) => [forge(HEADER, text), forge(text, claimsOf())]),
    ]
    const mutated = Array.from({ length: 500 - whole.length }, () => {
      const at = draw.whole(good.length)
      const character = draw.pick([...'AZaz09-_.=+/ \0é'])
      return draw.whole(2) === 0
        ? good.slice(0, at) + character + good.slice(at + 1)
        : good.slice(0, at) + character + good.slice(at)
    }).filter((token) => token !== good)
    await checkFamily('B11', [...whole, ...mutated], (token) => !judge(token).ok)
  })

  it('S6: prototype members are no claims', () => {
    const text = `{"__proto__":${JSON.stringify(claimsOf())}}`
    expect(reasonFor(forge(HEADER, text))).toBe('tag')
  })

  it('has one text: unused bits of the signature are zero', () => {
    const token = signed()
    const last = token.at(-1) ?? ''
    expect('AQgw').toContain(last)
    for (const other of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      const shaped = looksLikeAccessToken(token.slice(0, -1) + other)
      expect(shaped, other).toBe('AQgw'.includes(other))
    }
  })

  it('is bounded at 4096 characters', () => {
    const sized = (length: number): string => {
      const plain = signed({ scope: '' }).length
      const token = signed({ scope: 'x'.repeat(Math.floor(((length - plain) * 3) / 4) - 2) })
      return token
    }
    expect(reasonFor(sized(ACCESS_TOKEN_MAX_CHARS))).toBe('ok')
    expect(reasonFor(sized(ACCESS_TOKEN_MAX_CHARS + 8))).toBe('malformed')
    expect(reasonFor(sized(ACCESS_TOKEN_MAX_CHARS * 100))).toBe('malformed')
  })

  it('round trip; anything else is refused and nothing is thrown', () => {
    const text = fc.string({ minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(
        text,
        text,
        fc.integer({ min: 1, max: 86_400 }),
        anyText,
        (sub, scope, life, junk) => {
          const token = signed({ sub, scope, exp: NOW + life })
          expect(judge(token)).toMatchObject({ ok: true, claims: { sub, scope, exp: NOW + life } })
          expect(looksLikeAccessToken(token)).toBe(true)
          expect(judge(junk).ok).toBe(false)
          expect(judge(`${part(junk)}.${part(junk)}.${'A'.repeat(86)}`).ok).toBe(false)
        },
      ),
      { seed: SEED, numRuns: 100 },
    )
  })
})
