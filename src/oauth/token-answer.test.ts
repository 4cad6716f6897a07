import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkFamily, createDraw, SEED } from '../../test/kit/family.ts'
import {
  parseTokenAnswer,
  UPSTREAM_LIFE_MAX_SECONDS,
  UPSTREAM_TOKEN_MAX_CHARS,
} from './token-answer.ts'

const NOW = 1_800_000_000_000
const parse = (body: unknown) => parseTokenAnswer(body, NOW)
const tokensOf = (body: Record<string, unknown>) => {
  const judgement = parse({ access_token: 'a', token_type: 'bearer', ...body })
  if (!judgement.ok) throw new Error(judgement.error)
  return judgement.tokens
}
const errorFor = (body: unknown): string | undefined => {
  const judgement = parse(body)
  return judgement.ok ? undefined : judgement.error
}

describe('parseTokenAnswer', () => {
  it('CLI-17: corpus of real-world answers', () => {
    expect(parse({ access_token: 'gho_x', token_type: 'bearer', scope: 'repo,user' })).toEqual({
      ok: true,
      tokens: { accessToken: 'gho_x', tokenType: 'Bearer', scopes: ['repo', 'user'] },
    })
    expect(
      parse({
        access_token: 'ghu_x',
        expires_in: 28800,
        refresh_token: 'ghr_x',
        refresh_token_expires_in: 15897600,
        scope: '',
        token_type: 'bearer',
      }),
    ).toEqual({
      ok: true,
      tokens: {
        accessToken: 'ghu_x',
        tokenType: 'Bearer',
        refreshToken: 'ghr_x',
        expiresAtMs: NOW + 28_800_000,
        refreshExpiresAtMs: NOW + 15_897_600_000,
        scopes: [],
      },
    })
    expect(
      tokensOf({
        expires_in: '3599',
        scope: 'openid https://www.googleapis.com/auth/userinfo.email',
        id_token: 'h.p.s',
      }),
    ).toMatchObject({
      expiresAtMs: NOW + 3_599_000,
      idToken: 'h.p.s',
      scopes: ['openid', 'https://www.googleapis.com/auth/userinfo.email'],
    })
    expect(
      tokensOf({
        token_type: 'BEARER',
        refresh_expires_in: 1800,
        'not-before-policy': 0,
        session_state: 'x',
      }),
    ).toMatchObject({ tokenType: 'Bearer', refreshExpiresAtMs: NOW + 1_800_000 })
    expect(tokensOf({ refresh_expires_in: 0 })).not.toHaveProperty('refreshExpiresAtMs')
    expect(tokensOf({ scope: ['read', 'write'] }).scopes).toEqual(['read', 'write'])
  })

  it('CLI-17: absent optional members are unknown, not guessed', () => {
    expect(tokensOf({})).toEqual({ accessToken: 'a', tokenType: 'Bearer' })
  })

  it('PRV-04, S7: an error object with status 200 is an error, even beside a token', () => {
    expect(errorFor({ error: 'bad_verification_code', error_description: 'x' })).toBe(
      'bad_verification_code',
    )
    expect(errorFor({ access_token: 'a', token_type: 'bearer', error: 'invalid_grant' })).toBe(
      'invalid_grant',
    )
    expect(errorFor({ ok: false, error: 'invalid_auth' })).toBe('invalid_auth')
    expect(errorFor({ ok: false, access_token: 'a', token_type: 'bearer' })).toBe(
      'unspecified_error',
    )
    expect(tokensOf({ error: null, ok: true }).accessToken).toBe('a')
  })

  it('AZ-23: upstream text never becomes an error code', () => {
    for (const error of ['<b>x</b>', 'a b', '', 'x'.repeat(65), 'é', 'a\r\nb', 1, true, {}, []]) {
      expect(errorFor({ error }), String(error)).toBe('unspecified_error')
    }
  })

  it('CLI-17: a type that is not bearer is refused', () => {
    for (const token_type of [
      undefined,
      null,
      '',
      'DPoP',
      'mac',
      'bot',
      'bearer ',
      1,
      ['bearer'],
    ]) {
      expect(errorFor({ access_token: 'a', token_type }), String(token_type)).toBe('token_type')
    }
  })

  it('S7, S11: an access token is one printable word', () => {
    const bad = [
      undefined,
      null,
      '',
      1,
      true,
      {},
      [],
      ['a'],
      'a b',
      'a\nb',
      'a\r\nX: y',
      'a\0',
      'é',
      ' a',
      'x'.repeat(UPSTREAM_TOKEN_MAX_CHARS + 1),
    ]
    for (const access_token of bad)
      expect(errorFor({ access_token, token_type: 'bearer' })).toBe('invalid_answer')
    expect(
      tokensOf({ access_token: 'x'.repeat(UPSTREAM_TOKEN_MAX_CHARS) }).accessToken,
    ).toHaveLength(UPSTREAM_TOKEN_MAX_CHARS)
    for (const body of [null, undefined, '', 'access_token=a', 1, [], [{}], true])
      expect(errorFor(body)).toBe('invalid_answer')
  })

  it('CLI-17: expires_in is a number or a numeric string, at most ten years; else unknown', () => {
    const good: readonly (readonly [unknown, number])[] = [
      [1, 1],
      ['1', 1],
      [3600.9, 3600],
      ['3600.0', 3600],
      [1e12, UPSTREAM_LIFE_MAX_SECONDS],
      ['999999999999', UPSTREAM_LIFE_MAX_SECONDS],
    ]
    for (const [expires_in, seconds] of good)
      expect(tokensOf({ expires_in }).expiresAtMs, String(expires_in)).toBe(NOW + seconds * 1_000)
    for (const expires_in of [
      0,
      -1,
      '0',
      '-1',
      '',
      ' ',
      'abc',
      '1e3',
      '0x10',
      ' 60',
      '60 ',
      '+60',
      null,
      true,
      {},
      [],
      [60],
      Number.NaN,
      Number.POSITIVE_INFINITY,
      0.5,
      '9'.repeat(400),
    ]) {
      expect(tokensOf({ expires_in }), String(expires_in)).not.toHaveProperty('expiresAtMs')
    }
  })

  it('CLI-18, R6: a refresh token that is missing or no token is absent, so that the old one is kept', () => {
    for (const refresh_token of [
      undefined,
      null,
      '',
      1,
      {},
      [],
      'a b',
      'a\n',
      'x'.repeat(UPSTREAM_TOKEN_MAX_CHARS + 1),
    ]) {
      expect(tokensOf({ refresh_token })).not.toHaveProperty('refreshToken')
    }
  })

  it('O10: odd scopes are as requested, never invented', () => {
    for (const scope of [
      undefined,
      null,
      1,
      {},
      [1],
      ['a', null],
      'a"b',
      'a\nb',
      'é',
      'x '.repeat(20_000),
      Array.from({ length: 300 }, (_, at) => `s${at}`),
    ]) {
      expect(tokensOf({ scope })).not.toHaveProperty('scopes')
    }
    expect(tokensOf({ scope: 'a, b,,c  a' }).scopes).toEqual(['a', 'b', 'c'])
  })

  it('S6: reads own members only', () => {
    expect(errorFor(Object.create({ access_token: 'a', token_type: 'bearer' }))).toBe(
      'invalid_answer',
    )
    expect(errorFor(JSON.parse('{"__proto__":{"access_token":"a","token_type":"bearer"}}'))).toBe(
      'invalid_answer',
    )
  })

  it('B18: 200 odd answers are refused or give a token set that is right in every member', async () => {
    const draw = createDraw()
    const odd: readonly unknown[] = [
      undefined,
      null,
      '',
      'a',
      'bearer',
      '3600',
      3600,
      0,
      -1,
      1e300,
      Number.NaN,
      true,
      false,
      [],
      {},
      ['a'],
      'a b',
      'a\nb',
      '\ud800',
      'é',
      'x'.repeat(20_000),
    ]
    const names = [
      'access_token',
      'token_type',
      'expires_in',
      'refresh_token',
      'id_token',
      'scope',
      'refresh_token_expires_in',
      'error',
      'ok',
      'foo',
    ]
    const bodies = Array.from({ length: 200 }, () => {
      const body: Record<string, unknown> = { access_token: 'a', token_type: 'bearer' }
      for (let count = 1 + draw.whole(4); count > 0; count -= 1)
        body[draw.pick(names)] = odd[draw.whole(odd.length)]
      return body
    })
    let good = 0
    await checkFamily('B18', bodies, (body) => {
      const judgement = parse(body)
      if (!judgement.ok) return expect(judgement.error).toMatch(/^[\w.-]{1,64}$/)
      good += 1
      const { tokens } = judgement
      expect(tokens.accessToken).toBe(body.access_token)
      expect(tokens.tokenType).toBe('Bearer')
      for (const token of [tokens.refreshToken, tokens.idToken])
        expect(token ?? 'x').toMatch(/^[\x21-\x7e]+$/)
      expect(Number.isSafeInteger(tokens.expiresAtMs ?? 0)).toBe(true)
      expect(body.error ?? undefined).toBeUndefined()
      return undefined
    })
    expect(good).toBeGreaterThan(20)
  })

  it('never throws; round trip', () => {
    const token = fc.stringMatching(/^[!-~]{1,40}$/)
    fc.assert(
      fc.property(
        fc.anything(),
        token,
        token,
        fc.integer({ min: 1, max: 1_000_000 }),
        (junk, accessToken, refreshToken, seconds) => {
          parse(junk)
          const body = {
            access_token: accessToken,
            token_type: 'Bearer',
            refresh_token: refreshToken,
            expires_in: seconds,
          }
          expect(parse(body)).toEqual({
            ok: true,
            tokens: {
              accessToken,
              tokenType: 'Bearer',
              refreshToken,
              expiresAtMs: NOW + seconds * 1_000,
            },
          })
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })
})
