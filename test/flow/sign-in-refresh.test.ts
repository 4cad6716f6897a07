import { describe, expect, it } from 'vitest'
import { StoreError } from '../../src/errors.ts'
import { KINDS } from '../../src/record-kinds.ts'
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
  tokensFor,
  VERIFIER,
  Visitor,
} from './sign-in-house.ts'

const withTokens = async (options: Parameters<typeof createTestIssuer>[0] = {}) => {
  const house = createTestIssuer(options)
  const { client_id } = await register(house)
  return { house, client_id, tokens: await tokensFor(house, client_id) }
}
const bodyOf = async (response: Response) => (await response.json()) as Tokens

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
