import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import {
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  redeem,
  refresh,
  register,
  signIn,
  type Tokens,
  token,
  tokensFor,
  VERIFIER,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const withCode = async (options: Parameters<typeof createTestIssuer>[0] = {}) => {
  const house = createTestIssuer(options)
  const { client_id } = await register(house)
  const { code = '' } = await signIn(house, new Visitor(house), client_id)
  return { house, client_id, code }
}
const withTokens = async (options: Parameters<typeof createTestIssuer>[0] = {}) => {
  const house = createTestIssuer(options)
  const { client_id } = await register(house)
  return { house, client_id, tokens: await tokensFor(house, client_id) }
}
const bodyOf = async (response: Response) => (await response.json()) as Tokens

describe('authorization_code', () => {
  it('TOK-12 TOK-14 TOK-15 TOK-17 SEC-04: the answer, and what a token carries', async () => {
    const { house, client_id, code } = await withCode()
    const response = await redeem(house, client_id, code)
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    const body = await bodyOf(response)
    expect(body).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: expect.stringMatching(/^ptr_/),
      scope: 'mcp',
    })
    const header = JSON.parse(atob(body.access_token.split('.')[0] ?? '')) as unknown
    expect(header).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1' })
    const claims = claimsOf(body.access_token)
    expect(Object.keys(claims).sort()).toEqual([
      'aud',
      'client_id',
      'exp',
      'gid',
      'iat',
      'iss',
      'jti',
      'scope',
      'sub',
    ])
    expect(claims).toMatchObject({
      iss: ISSUER,
      aud: NOTES,
      client_id,
      scope: 'mcp',
      sub: expect.stringMatching(/^usr_/),
    })
  })

  it('TOK-16: sub is the same at every sign-in of one person, and another for another', async () => {
    const { house, client_id, tokens } = await withTokens()
    const again = await tokensFor(house, client_id)
    house.provider.person = { subject: '2' }
    const other = await tokensFor(house, client_id)
    expect(claimsOf(again.access_token).sub).toBe(claimsOf(tokens.access_token).sub)
    expect(claimsOf(other.access_token).sub).not.toBe(claimsOf(tokens.access_token).sub)
  })

  it('TOK-01 TOK-13: only POST with a form; each refusal has its code', async () => {
    const { house, client_id, code } = await withCode()
    expect((await house.fetch(new Request(`${ISSUER}/token`))).status).toBe(405)
    const json = await house.fetch(
      new Request(`${ISSUER}/token`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      }),
    )
    expect([json.status, await errorOf(json)]).toEqual([400, 'invalid_request'])
    const cases: [Record<string, string>, string][] = [
      [{ client_id, grant_type: 'password' }, 'unsupported_grant_type'],
      [{ client_id }, 'invalid_request'],
      [{ client_id, grant_type: 'authorization_code', code }, 'invalid_request'],
      [
        { client_id, grant_type: 'authorization_code', code: 'ptc_x.y', code_verifier: VERIFIER },
        'invalid_grant',
      ],
      [
        {
          client_id: 'cli_unknown',
          grant_type: 'authorization_code',
          code,
          code_verifier: VERIFIER,
        },
        'invalid_client',
      ],
      [
        {
          client_id,
          grant_type: 'authorization_code',
          code,
          code_verifier: VERIFIER,
          resource: `${ISSUER}/mcp/other`,
        },
        'invalid_target',
      ],
    ]
    for (const [form, error] of cases)
      expect(await errorOf(await token(house, form)), error).toBe(error)
    expect((await redeem(house, client_id, code)).status).toBe(200)
  })

  it('SEC-18 A20: repeated parameters are refused; the query string is not read', async () => {
    const { house, client_id, code } = await withCode()
    const form = new URLSearchParams({
      grant_type: 'authorization_code',
      client_id,
      code,
      code_verifier: VERIFIER,
    })
    form.append('code', code)
    const repeated = await house.fetch(
      new Request(`${ISSUER}/token`, { method: 'POST', body: form }),
    )
    expect(await errorOf(repeated)).toBe('invalid_request')
    const query = new URLSearchParams({
      grant_type: 'authorization_code',
      client_id,
      code,
      code_verifier: VERIFIER,
    })
    const inQuery = await house.fetch(
      new Request(`${ISSUER}/token?${query}`, {
        method: 'POST',
        body: new URLSearchParams({ client_id }),
      }),
    )
    expect(await errorOf(inQuery)).toBe('invalid_request')
  })

  it('TOK-04 TOK-06 TOK-07 A6 A7: a wrong client, verifier or redirect URI is invalid_grant and burns nothing', async () => {
    const { house, client_id, code } = await withCode()
    const foreign = await register(house)
    expect(await errorOf(await redeem(house, foreign.client_id, code))).toBe('invalid_grant')
    expect(
      await errorOf(await redeem(house, client_id, code, { code_verifier: 'w'.repeat(43) })),
    ).toBe('invalid_grant')
    expect(await errorOf(await redeem(house, client_id, code, { code_verifier: 'short' }))).toBe(
      'invalid_grant',
    )
    expect(
      await errorOf(await redeem(house, client_id, code, { redirect_uri: `${WEB_REDIRECT}/` })),
    ).toBe('invalid_grant')
    const absent = await token(house, {
      grant_type: 'authorization_code',
      client_id,
      code,
      code_verifier: VERIFIER,
    })
    expect(absent.status).toBe(200)
  })

  it('AZ-06: a code lives 60 seconds', async () => {
    const { house, client_id, code } = await withCode()
    house.runtime.advanceMs(60_001)
    expect(await errorOf(await redeem(house, client_id, code))).toBe('invalid_grant')
  })

  it('TOK-08 TOK-09 A7: of 50 redeems at once one succeeds, and the second use ends what it issued', async () => {
    const { house, client_id, code } = await withCode()
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => redeem(house, client_id, code)),
    )
    const won = answers.filter((answer) => answer.status === 200)
    expect(won).toHaveLength(1)
    const [winner] = won
    const { refresh_token = '' } = winner === undefined ? {} : await bodyOf(winner)
    expect(await errorOf(await refresh(house, client_id, refresh_token))).toBe('invalid_grant')
    expect(house.marks).toContainEqual(
      expect.objectContaining({ kind: 'grant', cause: 'code_reused' }),
    )
    expect(house.emit.eventsOf('token.replayed').length).toBeGreaterThan(0)
  })

  it('TOK-09: a replay with a wrong verifier or client ends nothing', async () => {
    const { house, client_id, code } = await withCode()
    const tokens = await bodyOf(await redeem(house, client_id, code))
    await redeem(house, client_id, code, { code_verifier: 'w'.repeat(43) })
    await redeem(house, (await register(house)).client_id, code)
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })

  it('TOK-02 TOK-03 A24: the registered method only; Basic is form-decoded; wrong Basic is 401 with a challenge', async () => {
    const secret = 's:e%c+r é'
    const house = createTestIssuer({
      config: {
        clients: [
          { clientId: 'por:tal', redirectUris: [WEB_REDIRECT], secret: new Secret(secret) },
        ],
      },
    })
    const { code = '' } = await signIn(house, new Visitor(house), 'por:tal')
    const form = { grant_type: 'authorization_code', code, code_verifier: VERIFIER }
    const basic = (id: string, text: string) => ({
      authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(text).replaceAll('%20', '+')}`)}`,
    })
    const wrong = await token(house, form, basic('por:tal', 'wrong'))
    expect(wrong.status).toBe(401)
    expect(wrong.headers.get('www-authenticate')).toMatch(/^Basic/)
    expect(await errorOf(await token(house, { ...form, client_id: 'por:tal' }))).toBe(
      'invalid_client',
    )
    expect(
      await errorOf(
        await token(house, { ...form, client_secret: secret }, basic('por:tal', secret)),
      ),
    ).toBe('invalid_request')
    expect((await token(house, form, basic('por:tal', secret))).status).toBe(200)

    const dynamic = createTestIssuer()
    const { client_id, client_secret = '' } = await register(dynamic, {
      token_endpoint_auth_method: 'client_secret_post',
    })
    const second = await signIn(dynamic, new Visitor(dynamic), client_id)
    const body = { ...form, code: second.code ?? '' }
    expect(await errorOf(await token(dynamic, body, basic(client_id, client_secret)))).toBe(
      'invalid_client',
    )
    expect((await token(dynamic, { ...body, client_id, client_secret })).status).toBe(200)
  })
})
