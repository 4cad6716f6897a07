import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  assertedClientId,
  CLIENT_ASSERTION_ALGORITHMS,
  judgeClientAssertion,
} from './client-assertion.ts'
import { type ClientKeySet, readClientKeys, readKeysUri } from './client-keys.ts'

const ISSUER = 'https://auth.example'
const CLIENT = 'cli_1'
const NOW_MS = 1_767_225_600_000
const NOW = NOW_MS / 1_000

type Pair = Awaited<ReturnType<typeof generateKeyPair>>
const pairs = new Map<string, Pair>()
let keys: ClientKeySet

beforeAll(async () => {
  const jwks = []
  for (const alg of CLIENT_ASSERTION_ALGORITHMS) {
    const pair = await generateKeyPair(alg, { extractable: true })
    pairs.set(alg, pair)
    jwks.push({ ...(await exportJWK(pair.publicKey)), kid: alg, use: 'sig' })
  }
  const read = readClientKeys({ keys: jwks })
  if (read === undefined) throw new Error('keys refused')
  keys = read
})

const claims = (rest: JWTPayload = {}): JWTPayload => ({
  iss: CLIENT,
  sub: CLIENT,
  aud: ISSUER,
  exp: NOW + 60,
  iat: NOW,
  jti: 'one',
  ...rest,
})

function sign(payload: JWTPayload, alg = 'ES256', header: object = {}): Promise<string> {
  const pair = pairs.get(alg)
  if (pair === undefined) throw new Error(alg)
  return new SignJWT(payload).setProtectedHeader({ alg, kid: alg, ...header }).sign(pair.privateKey)
}

const judge = (jwt: string, set = keys) =>
  judgeClientAssertion(jwt, { keys: set, clientId: CLIENT, issuer: ISSUER, nowMs: NOW_MS })
const reasonOf = async (jwt: string, set = keys) => {
  const judged = await judge(jwt, set)
  return judged.ok ? 'accepted' : judged.reason
}
const forged = (header: object, payload: object = claims(), signature = 'AAAA') =>
  [header, payload]
    .map((part) =>
      btoa(JSON.stringify(part)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''),
    )
    .concat(signature)
    .join('.')

describe('judgeClientAssertion', () => {
  it.each([...CLIENT_ASSERTION_ALGORITHMS])('TOK-05: takes a good one, %s', async (alg) => {
    expect(await judge(await sign(claims(), alg))).toEqual({
      ok: true,
      jti: 'one',
      expiresAtMs: NOW_MS + 120_000,
    })
    expect(await reasonOf(await sign(claims(), alg, { kid: undefined }))).toBe('accepted')
  })

  it('TOK-05: iss and sub are both the client', async () => {
    for (const wrong of [
      { iss: 'other' },
      { sub: 'other' },
      { iss: undefined },
      { sub: undefined },
    ]) {
      expect(await reasonOf(await sign(claims(wrong)))).toBe('assertion_subject')
    }
  })

  it('TOK-05 A23 J5: aud is our issuer, one string, to the letter', async () => {
    for (const aud of [
      [ISSUER],
      [ISSUER, 'https://other.example'],
      [],
      `${ISSUER}/`,
      `${ISSUER}/token`,
      'https://AUTH.example',
      'https://auth.example.evil.example',
      'https://auth.exampl',
      '',
      undefined,
    ]) {
      expect(await reasonOf(await sign(claims({ aud }))), String(aud)).toBe('assertion_audience')
    }
  })

  it('TOK-05: our token endpoint is an audience only for whom the caller names it, to the letter', async () => {
    const tokenEndpoint = `${ISSUER}/token`
    const facts = { keys, clientId: CLIENT, issuer: ISSUER, tokenEndpoint, nowMs: NOW_MS }
    const accepted = async (aud: string | string[] | undefined) =>
      (await judgeClientAssertion(await sign(claims({ aud })), facts)).ok
    for (const aud of [ISSUER, tokenEndpoint]) expect(await accepted(aud), aud).toBe(true)
    for (const aud of [
      [tokenEndpoint],
      [ISSUER, tokenEndpoint],
      `${tokenEndpoint}/`,
      '',
      undefined,
    ])
      expect(await accepted(aud), String(aud)).toBe(false)
  })

  it('TOK-05 J4: exp is required and near; iat and nbf are not in the future', async () => {
    const times: [JWTPayload, string][] = [
      [{ exp: undefined }, 'assertion_expired'],
      [{ exp: NOW - 61 }, 'assertion_expired'],
      [{ exp: NOW - 59 }, 'accepted'],
      [{ exp: NOW + 360 }, 'accepted'],
      [{ exp: NOW + 361 }, 'assertion_too_long'],
      [{ exp: 1e18 }, 'assertion_expired'],
      [{ exp: -1 }, 'assertion_expired'],
      [{ iat: NOW + 61 }, 'assertion_not_yet'],
      [{ nbf: NOW + 61 }, 'assertion_not_yet'],
      [{ nbf: NOW + 59, iat: NOW + 59 }, 'accepted'],
      [{ iat: undefined }, 'accepted'],
    ]
    for (const [rest, reason] of times) {
      expect(await reasonOf(await sign(claims(rest))), JSON.stringify(rest)).toBe(reason)
    }
    for (const exp of ['1767225660', null, true, [NOW + 60]]) {
      expect(await reasonOf(await sign(claims({ exp: exp as unknown as number })))).toMatch(
        /^assertion_/,
      )
    }
  })

  it('TOK-05: jti is required and bounded', async () => {
    for (const jti of [undefined, '', 'x'.repeat(257), 1]) {
      expect(await reasonOf(await sign(claims({ jti: jti as string })))).toBe('assertion_jti')
    }
  })

  it('TOK-05 J1: no algorithm but ours, whatever the header says', async () => {
    for (const alg of ['none', 'None', 'HS256', 'RS512', 'ES384', '', undefined]) {
      expect(await reasonOf(forged({ alg, kid: 'ES256' })), String(alg)).toBe('assertion_algorithm')
    }
    const rsa = keys.keys.find((key) => key.kty === 'RSA')
    const secret = new TextEncoder().encode(JSON.stringify(rsa))
    const confused = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256' }).sign(secret)
    expect(await reasonOf(confused)).toBe('assertion_algorithm')
  })

  it('TOK-05 J2: keys of the header are never used', async () => {
    const evil = await generateKeyPair('ES256', { extractable: true })
    const jwk = await exportJWK(evil.publicKey)
    for (const header of [
      { jwk },
      { jku: 'https://evil.example/jwks' },
      { x5u: 'https://evil.example/x5u' },
      { x5c: ['AAAA'] },
    ]) {
      const jwt = await new SignJWT(claims())
        .setProtectedHeader({ alg: 'ES256', kid: 'ES256', ...header })
        .sign(evil.privateKey)
      expect(await reasonOf(jwt)).toBe('assertion_signature')
    }
    expect(await reasonOf(await sign(claims(), 'ES256', { kid: 'unknown' }))).toBe(
      'assertion_unknown_key',
    )
    expect(await reasonOf(forged({ alg: 'ES256', kid: 'x'.repeat(257) }))).toBe(
      'assertion_malformed',
    )
  })

  it('TOK-05 J3: crit, b64 and tokens of another kind are refused', async () => {
    expect(await reasonOf(forged({ alg: 'ES256', crit: ['exp'], exp: 1 }))).toBe(
      'assertion_malformed',
    )
    expect(await reasonOf(forged({ alg: 'ES256', b64: false }))).toBe('assertion_malformed')
    for (const typ of ['at+jwt', 'logout+jwt', 'dpop+jwt', 'secevent+jwt']) {
      expect(await reasonOf(await sign(claims(), 'ES256', { typ }))).toBe('assertion_malformed')
    }
    for (const typ of ['JWT', 'jwt', 'client-authentication+jwt']) {
      expect(await reasonOf(await sign(claims(), 'ES256', { typ }))).toBe('accepted')
    }
  })

  it('TOK-05: one text per assertion, bounded', async () => {
    const jwt = await sign(claims())
    for (const text of ['', 'a', 'a.b', `${jwt}=`, `${jwt}.`, ` ${jwt}`, jwt.replace('.', '..')]) {
      expect(await reasonOf(text)).toBe('assertion_malformed')
    }
    const long = await sign(claims({ pad: 'x'.repeat(9_000) }))
    expect(await reasonOf(long)).toBe('assertion_malformed')
    const cut = `${jwt.slice(0, -4)}AAAA`
    expect(await reasonOf(cut)).toBe('assertion_signature')
  })

  it('without kid, one of several keys of the same kind is found', async () => {
    const first = await generateKeyPair('ES256', { extractable: true })
    const set = readClientKeys({
      keys: [await exportJWK(first.publicKey), ...keys.keys.filter(({ kid }) => kid === 'ES256')],
    })
    if (set === undefined) throw new Error('keys refused')
    expect(await reasonOf(await sign(claims(), 'ES256', { kid: undefined }), set)).toBe('accepted')
    const other = await generateKeyPair('ES256')
    const jwt = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES256' })
      .sign(other.privateKey)
    expect(await reasonOf(jwt, set)).toBe('assertion_signature')
  })

  it('tells whom an assertion names, and nothing for anything else', async () => {
    expect(assertedClientId(await sign(claims()))).toBe(CLIENT)
    for (const text of ['', 'x', 'a.b.c', forged({}, [] as object), forged({}, { sub: 1 })]) {
      expect(assertedClientId(text)).toBeUndefined()
    }
  })
})

describe('readClientKeys', () => {
  it('J6: RSA has 2,048 bits or more, curves are ours, uses are signatures', async () => {
    const weak = await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
      true,
      ['sign', 'verify'],
    )
    const short = await exportJWK(weak.publicKey)
    expect(readClientKeys({ keys: [short] })).toBeUndefined()
    const [key] = keys.keys
    expect(readClientKeys({ keys: [{ ...key, crv: 'P-384' }] })).toBeUndefined()
    expect(readClientKeys({ keys: [{ ...key, use: 'enc' }] })).toBeUndefined()
    expect(readClientKeys({ keys: [short, key] })).toEqual({ keys: [key] })
  })

  it('J1: a set with a private or symmetric key is refused whole', () => {
    const [key] = keys.keys
    for (const bad of [{ ...key, d: 'AAAA' }, { kty: 'oct', k: 'AAAA' }, null, 'x']) {
      expect(readClientKeys({ keys: [key, bad] })).toBeUndefined()
    }
    for (const set of [null, {}, { keys: [] }, { keys: 'x' }, { keys: Array(21).fill(key) }]) {
      expect(readClientKeys(set)).toBeUndefined()
    }
    expect(readClientKeys({ keys: [{ ...key, x5u: 'https://evil.example' }] })).toEqual({
      keys: [key],
    })
  })

  it('keeps https addresses of sets only', () => {
    expect(readKeysUri('https://a.example/jwks')).toBe('https://a.example/jwks')
    for (const uri of [
      'http://a.example/j',
      'https://u@a.example/j',
      'https://a.example/#x',
      '',
      1,
    ]) {
      expect(readKeysUri(uri)).toBeUndefined()
    }
  })
})
