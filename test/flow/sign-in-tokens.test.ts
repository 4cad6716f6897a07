import { describe, expect, it } from 'vitest'
import { StoreError } from '../../src/errors.ts'
import { KINDS } from '../../src/records.ts'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
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

describe('refresh_token', () => {
  it('AZ-14 TOK-13: only clients registered for it get one, with or without offline_access', async () => {
    const house = createTestIssuer()
    const plain = await register(house, { grant_types: ['authorization_code'] })
    const { code = '' } = await signIn(house, new Visitor(house), plain.client_id)
    expect(await bodyOf(await redeem(house, plain.client_id, code))).not.toHaveProperty(
      'refresh_token',
    )
    expect(await errorOf(await refresh(house, plain.client_id, 'ptr_x'))).toBe(
      'unauthorized_client',
    )
    const usual = await register(house)
    for (const scope of ['mcp', 'mcp offline_access', 'openid profile', undefined]) {
      const answer = await signIn(house, new Visitor(house), usual.client_id, { scope })
      const tokens = await bodyOf(await redeem(house, usual.client_id, answer.code ?? ''))
      expect(tokens).toMatchObject({ refresh_token: expect.stringMatching(/^ptr_/), scope: 'mcp' })
    }
  })

  it('TOK-18: rotates', async () => {
    const { house, client_id, tokens } = await withTokens()
    const next = await bodyOf(await refresh(house, client_id, tokens.refresh_token))
    expect(next.refresh_token).not.toBe(tokens.refresh_token)
    expect(claimsOf(next.access_token)).toMatchObject({
      aud: NOTES,
      gid: claimsOf(tokens.access_token).gid,
    })
  })

  it('TOK-20 A8: 64 at once with one token give one successor and one exp', async () => {
    const { house, client_id, tokens } = await withTokens()
    const answers = await Promise.all(
      Array.from({ length: 64 }, () => refresh(house, client_id, tokens.refresh_token)),
    )
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    const bodies = await Promise.all(answers.map(bodyOf))
    expect(new Set(bodies.map((body) => body.refresh_token)).size).toBe(1)
    house.runtime.advanceMs(30_000)
    const late = await bodyOf(await refresh(house, client_id, tokens.refresh_token))
    expect(late.refresh_token).toBe(bodies[0]?.refresh_token)
    expect(new Set([...bodies, late].map((body) => claimsOf(body.access_token).exp)).size).toBe(1)
    expect(late.expires_in).toBe(3570)
  })

  it('TOK-19 A8: a replay after 60 s, or after the successor was used, ends the family', async () => {
    for (const how of ['late', 'used'] as const) {
      const { house, client_id, tokens } = await withTokens()
      const next = await bodyOf(await refresh(house, client_id, tokens.refresh_token))
      const newest =
        how === 'used' ? await bodyOf(await refresh(house, client_id, next.refresh_token)) : next
      if (how === 'late') house.runtime.advanceMs(60_001)
      expect(await errorOf(await refresh(house, client_id, tokens.refresh_token))).toBe(
        'invalid_grant',
      )
      expect(await errorOf(await refresh(house, client_id, newest.refresh_token)), how).toBe(
        'invalid_grant',
      )
      expect(house.marks).toContainEqual(
        expect.objectContaining({ kind: 'grant', id: claimsOf(tokens.access_token).gid }),
      )
    }
  })

  it('flows 9.1: a token with a wrong tag touches nothing, even when it names a real grant', async () => {
    const { house, client_id, tokens } = await withTokens()
    const forged = `${tokens.refresh_token.slice(0, -1)}${tokens.refresh_token.endsWith('A') ? 'Q' : 'A'}`
    expect(await errorOf(await refresh(house, client_id, forged))).toBe('invalid_grant')
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })

  it('TOK-21: another client is refused and touches nothing', async () => {
    const { house, client_id, tokens } = await withTokens()
    expect(
      await errorOf(await refresh(house, (await register(house)).client_id, tokens.refresh_token)),
    ).toBe('invalid_grant')
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })

  it('TOK-21: a confidential client proves itself at each refresh, within the scope and resource it was given', async () => {
    const house = createTestIssuer({ connectors: ['notes', 'tasks'] })
    const { client_id, client_secret = '' } = await register(house, {
      token_endpoint_auth_method: 'client_secret_post',
    })
    const { code = '' } = await signIn(house, new Visitor(house), client_id)
    const tokens = await bodyOf(await redeem(house, client_id, code, { client_secret }))
    const ask = (rest: Record<string, string>) =>
      refresh(house, client_id, tokens.refresh_token, rest)
    for (const rest of [{}, { client_secret: 'wrong' }] as Record<string, string>[])
      expect(await errorOf(await ask(rest))).toBe('invalid_client')
    expect(await errorOf(await ask({ client_secret, scope: 'mcp admin' }))).toBe('invalid_scope')
    const elsewhere = { client_secret, resource: `${ISSUER}/mcp/tasks` }
    expect(await errorOf(await ask(elsewhere))).toBe('invalid_target')
    expect((await ask({ client_secret })).status).toBe(200)
  })

  it('TOK-10 TOK-11: another resource is invalid_target, a wider scope invalid_scope; neither rotates', async () => {
    const { house, client_id, tokens } = await withTokens()
    expect(
      await errorOf(
        await refresh(house, client_id, tokens.refresh_token, { resource: `${ISSUER}/mcp/x` }),
      ),
    ).toBe('invalid_target')
    expect(
      await errorOf(await refresh(house, client_id, tokens.refresh_token, { scope: 'mcp admin' })),
    ).toBe('invalid_scope')
    expect(
      (await refresh(house, client_id, tokens.refresh_token, { resource: NOTES, scope: 'mcp' }))
        .status,
    ).toBe(200)
  })

  it('TOK-22: ends by idle time and by absolute time', async () => {
    const DAY_MS = 86_400_000
    const idle = await withTokens({ limits: { unusedRegistrationTtlSeconds: 90 * 86_400 } })
    idle.house.runtime.advanceMs(32 * DAY_MS)
    expect(
      await errorOf(await refresh(idle.house, idle.client_id, idle.tokens.refresh_token)),
    ).toBe('invalid_grant')
    const { house, client_id, tokens } = await withTokens()
    let newest = tokens.refresh_token
    for (let day = 0; day < 175; day += 25) {
      house.runtime.advanceMs(25 * DAY_MS)
      newest = (await bodyOf(await refresh(house, client_id, newest))).refresh_token
    }
    house.runtime.advanceMs(6 * DAY_MS)
    expect(await errorOf(await refresh(house, client_id, newest))).toBe('invalid_grant')
  })

  it('TOK-24 TOK-25: answered from memory; cold or stale renews behind, suspect is 503, dead ends the grant', async () => {
    const { house, client_id, tokens } = await withTokens()
    const exchanges = house.provider.exchanges.length
    house.proofs.next = 'suspect'
    const suspect = await refresh(house, client_id, tokens.refresh_token)
    expect([suspect.status, suspect.headers.get('retry-after'), await errorOf(suspect)]).toEqual([
      503,
      '1',
      'temporarily_unavailable',
    ])
    expect(house.proofs.renewed).toHaveLength(1)
    house.proofs.next = 'cold'
    const first = await bodyOf(await refresh(house, client_id, tokens.refresh_token))
    house.proofs.next = 'stale'
    const next = await bodyOf(await refresh(house, client_id, first.refresh_token))
    expect(house.proofs.renewed).toHaveLength(3)
    house.proofs.next = 'dead'
    expect(await errorOf(await refresh(house, client_id, next.refresh_token))).toBe('invalid_grant')
    expect(house.marks).toContainEqual(expect.objectContaining({ cause: 'upstream_dead' }))
    expect(house.provider.exchanges).toHaveLength(exchanges)
  })

  it('PRV-22: who is no longer allowed, or disabled, is refused at the next refresh', async () => {
    const { house, client_id, tokens } = await withTokens()
    const stricter = createTestIssuer({
      store: house.store,
      runtime: house.runtime,
      config: { allow: { users: ['github:7'] } },
    })
    Object.assign(stricter.deps.keys, house.deps.keys)
    expect(await errorOf(await refresh(stricter, client_id, tokens.refresh_token))).toBe(
      'invalid_grant',
    )
    const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
    if (user)
      await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    expect(await errorOf(await refresh(house, client_id, tokens.refresh_token))).toBe(
      'invalid_grant',
    )
  })

  it('A10: rotation and its replay window survive a restart', async () => {
    const { house, client_id, tokens } = await withTokens()
    const next = await bodyOf(await refresh(house, client_id, tokens.refresh_token))
    const restarted = createTestIssuer({ store: house.store, runtime: house.runtime })
    Object.assign(restarted.deps.keys, house.deps.keys)
    expect(
      (await bodyOf(await refresh(restarted, client_id, tokens.refresh_token))).refresh_token,
    ).toBe(next.refresh_token)
    house.runtime.advanceMs(60_001)
    expect(await errorOf(await refresh(restarted, client_id, tokens.refresh_token))).toBe(
      'invalid_grant',
    )
    expect(await errorOf(await refresh(house, client_id, next.refresh_token))).toBe('invalid_grant')
  })

  it('REG-26: an unused registration ends after a day, a used one after 90 idle days, then invalid_client with 401', async () => {
    const house = createTestIssuer()
    const unused = await register(house)
    house.runtime.advanceMs(86_400_001)
    const answer = await refresh(house, unused.client_id, 'ptr_x')
    expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_client'])
    const { client_id } = await register(house)
    const tokens = await tokensFor(house, client_id)
    await house.runtime.settle()
    house.runtime.advanceMs(20 * 86_400_000)
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
    await house.runtime.settle()
    house.runtime.advanceMs(91 * 86_400_000)
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(401)
  })

  it('a store that is down is 503 with Retry-After, never invalid_grant', async () => {
    const { house, client_id, tokens } = await withTokens()
    const grants = {
      ...house.store.grants,
      find: () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')),
    }
    Object.assign(house.store, { grants })
    const answer = await refresh(house, client_id, tokens.refresh_token)
    expect([answer.status, await errorOf(answer)]).toEqual([503, 'temporarily_unavailable'])
    expect(answer.headers.get('retry-after')).not.toBeNull()
  })

  it('SEC-08 SEC-05 I1: no token, code, secret, state or cookie is in an event or in the store', async () => {
    const house = createTestIssuer()
    const { client_id, client_secret = '' } = await register(house, {
      token_endpoint_auth_method: 'client_secret_post',
    })
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id))
    const cookies = [...visitor.cookies.values()]
    const toProvider = await visitor.press(page, 'allow:github')
    cookies.push(...visitor.cookies.values())
    const { code = '' } = answerOf(await visitor.comeBack(toProvider))
    cookies.push(...visitor.cookies.values())
    const redeemed = await redeem(house, client_id, code, { client_secret })
    const tokens = await bodyOf(redeemed)
    const next = await bodyOf(
      await refresh(house, client_id, tokens.refresh_token, { client_secret }),
    )
    expect(new Set(cookies).size).toBe(3)
    const journey = house.provider.journeys[0]?.searchParams
    const secrets = [
      ...cookies,
      code,
      client_secret,
      journey?.get('state') ?? '',
      journey?.get('nonce') ?? '',
      house.provider.exchanges[0]?.verifier ?? '',
      tokens.access_token,
      tokens.refresh_token,
      next.refresh_token,
      'provider-code',
      'upstream-1001',
      VERIFIER,
    ]
    const rows: unknown[] = []
    for (const kind of Object.keys(KINDS) as (keyof typeof KINDS)[]) {
      rows.push(...(await house.store.list(kind, 'default', undefined, { max: 100 })))
    }
    rows.push(
      await house.store.grants.find({
        tenant: 'default',
        id: String(claimsOf(tokens.access_token).gid),
      }),
    )
    const written = `${JSON.stringify(rows)}${house.emit.dump()}`
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(10)
      expect(written.includes(secret), `${secret.slice(0, 8)}...`).toBe(false)
    }
    expect(house.emit.dump()).not.toContain('client-state')
  })

  it('SEC-16: failures are counted per client and grant, and answered 429 with Retry-After', async () => {
    const { house, client_id, tokens } = await withTokens()
    const other = await register(house)
    let last: Response | undefined
    for (let count = 0; count <= 60; count += 1)
      last = await refresh(house, other.client_id, tokens.refresh_token)
    expect(last?.status).toBe(429)
    expect(last?.headers.get('retry-after')).not.toBeNull()
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })
})
