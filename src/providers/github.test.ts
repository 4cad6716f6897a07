import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GitHubDouble } from '../../demo/doubles/github.ts'
import { gitHubHouse, type House, REDIRECT_URI } from '../../test/contract/provider-house.ts'
import { Secret } from '../secret.ts'
import { createGitHub, GITHUB, github } from './github.ts'
import { GITHUB_APP } from './github-app.ts'
import type { SignIn } from './provider.ts'

const ADA = '{"id":1001,"login":"ada"}'
const ANSWER = { status: 200, headers: { 'content-type': 'application/json; charset=utf-8' } }

describe('GitHub', () => {
  let house: House<GitHubDouble>
  let ada: SignIn
  const check = (etag?: string) =>
    house.provider.check(house.context, ada.tokens, {
      subject: '1001',
      ...(etag === undefined ? {} : { etag }),
    })

  beforeAll(async () => {
    house = await gitHubHouse()
    ada = await house.signIn('ada')
  })
  afterEach(async () => {
    await house.double.revive()
    house.double.limit(undefined)
  })
  afterAll(() => house.close())

  it('PRV-04: asks for JSON at the token endpoint', async () => {
    await house.signIn('ada')
    expect(house.double.lastHeaders(house.tokenEndpoint)).toMatchObject({
      accept: 'application/json',
    })
  })

  it.each([
    [
      'bad_verification_code',
      'provider_bad_verification_code',
      'GitHub says that the code is wrong or too old. Start again.',
    ],
    [
      'unverified_user_email',
      'provider_unverified_user_email',
      'GitHub wants you to verify your primary e-mail address first.',
    ],
    [
      'redirect_uri_mismatch',
      'ERR_PROVIDER_CALLBACK',
      `GitHub says redirect_uri is not associated with this application. In the OAuth app, set the callback URL to ${REDIRECT_URI} (exactly, no slash at the end).`,
    ],
    [
      'incorrect_client_credentials',
      'ERR_PROVIDER_CLIENT',
      'GitHub does not accept our client id and secret. Copy both again from the application, and set POSTERN_GITHUB_CLIENT_ID and POSTERN_GITHUB_CLIENT_SECRET.',
    ],
  ])('PRV-04: %s with status 200 is an error', async (error, reason, description) => {
    const visit = await house.visit()
    house.double.answerWith(house.tokenEndpoint, { ...ANSWER, body: JSON.stringify({ error }) })
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      error: 'server_error',
      reason,
      description,
    })
  })

  it('ERR_PROVIDER_CALLBACK: in the words of the ten mistakes', () => {
    expect(
      house.provider.explain?.('redirect_uri_mismatch', 'https://mcp.corp.example/callback/github'),
    ).toEqual({
      code: 'ERR_PROVIDER_CALLBACK',
      problem: 'GitHub says redirect_uri is not associated with this application.',
      fix: 'In the OAuth app, set the callback URL to https://mcp.corp.example/callback/github (exactly, no slash at the end).',
    })
    expect(house.provider.explain?.('access_denied', REDIRECT_URI)).toBeUndefined()
  })

  it('PRV-05: takes the scopes from the same answer', async () => {
    const proof = await check()
    expect(proof).toMatchObject({ outcome: 'yes', scopes: ['user:email'] })
    expect(ada.tokens.scopes).toEqual(['user:email'])
  })

  it('PRV-06: asks with the ETag, and a 304 is a yes that costs nothing', async () => {
    const first = await check()
    if (first.outcome !== 'yes' || first.etag === undefined) throw new Error('no etag')
    expect(ada.proof.etag).toBe(first.etag)
    house.double.forget()
    expect(await check(first.etag)).toMatchObject({
      outcome: 'yes',
      etag: first.etag,
      scopes: ['user:email'],
    })
    expect(house.double.lastHeaders('GET /user')).toMatchObject({ 'if-none-match': first.etag })
    expect(house.double.total()).toBe(1)
  })

  it('PRV-06: a 304 that nobody asked for is unknown', async () => {
    house.double.answerWith('GET /user', { status: 304 })
    expect(await check()).toMatchObject({ outcome: 'unknown' })
  })

  describe.each([403, 429] as const)('PRV-07: status %s', (status) => {
    it('of the primary limit waits until the reset', async () => {
      house.double.limit({ kind: 'primary', status })
      const proof = await check()
      if (proof.outcome !== 'unknown') throw new Error(proof.outcome)
      expect(proof).toMatchObject({ reason: 'rate_limit' })
      expect(proof.retryAfterMs).toBeGreaterThan(3_000_000)
      expect(proof.retryAfterMs).toBeLessThanOrEqual(3_600_000)
    })

    it('of a secondary limit waits at least a minute', async () => {
      for (const [retryAfterSeconds, waitMs] of [
        [undefined, 60_000],
        [5, 60_000],
        [90, 90_000],
        [86_400, 300_000],
      ] as const) {
        house.double.limit({
          kind: 'secondary',
          status,
          ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
        })
        expect(await check()).toEqual({
          outcome: 'unknown',
          reason: 'rate_limit',
          retryAfterMs: waitMs,
        })
      }
    })
  })

  it('PRV-07: "Maximum number of login attempts exceeded" is a limit, not a no', async () => {
    const body = '{"message":"Maximum number of login attempts exceeded"}'
    house.double.answerWith('GET /user', { ...ANSWER, status: 403, body })
    expect(await check()).toMatchObject({ outcome: 'unknown', retryAfterMs: 60_000 })
  })

  it.each([
    ['another message', { ...ANSWER, status: 401, body: '{"message":"Requires authentication"}' }],
    ['HTML', { status: 401, headers: { 'content-type': 'text/html' }, body: 'Bad credentials' }],
    ['no body', { status: 401 }],
    ['another status', { ...ANSWER, status: 400, body: '{"message":"Bad credentials"}' }],
    [
      'a message inside',
      { ...ANSWER, status: 401, body: '{"error":{"message":"Bad credentials"}}' },
    ],
  ])('design: 401 with %s is not the documented no', async (_what, answer) => {
    house.double.answerWith('GET /user', answer)
    expect(await check()).toMatchObject({ outcome: 'unknown' })
  })

  it('PRV-11: a token without the scopes header is not of an OAuth app', async () => {
    const visit = await house.visit()
    house.double.answerWith('GET /user', { ...ANSWER, body: '{"id":1001,"login":"ada"}' })
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      reason: 'not_an_oauth_app',
    })
  })

  it('PRV-09: lists the scopes that were asked for and not given, larger ones counted', async () => {
    const other = await gitHubHouse({ scopes: ['user:email', 'read:org'] })
    const signedIn = async (granted: string) => {
      const visit = await other.visit()
      const scopes = { ...ANSWER.headers, 'x-oauth-scopes': granted }
      other.double.answerWith('GET /user', { ...ANSWER, headers: scopes, body: ADA })
      return await other.provider.exchange(other.context, visit)
    }
    expect((await signedIn('user:email')).missingScopes).toEqual(['read:org'])
    expect((await signedIn('')).missingScopes).toEqual(['user:email', 'read:org'])
    expect((await signedIn('user, admin:org')).missingScopes).toBeUndefined()
    await other.close()
  })

  it('PRV-09: the instructions say one callback, and no wildcards', () => {
    for (const { setUp } of [GITHUB, GITHUB_APP]) {
      expect(setUp).toContain('exactly one callback URL, without wildcards')
    }
    expect(GITHUB.setUp).toContain('leave wildcard matching of redirect URIs off')
  })

  it('PRV-10: ends one token at GitHub by DELETE, and a dead one is confirmed', async () => {
    const grace = await house.signIn('grace')
    house.double.forget()
    const revoke = () => house.provider.revoke?.(house.context, grace.tokens)
    expect(await revoke()).toBe(true)
    expect(house.double.exchanges()).toEqual({ 'DELETE /applications/{client_id}/token': 1 })
    expect(await revoke()).toBe(true)
    expect(await house.provider.check(house.context, grace.tokens)).toMatchObject({ outcome: 'no' })
  })

  it('PRV-09: an account chooser and a hint, when asked for', async () => {
    const url = await house.provider.authorize(house.context, {
      state: 's',
      verifierChallenge: 'c',
      chooseAccount: true,
      loginHint: 'grace',
    })
    expect(url.searchParams.get('prompt')).toBe('select_account')
    expect(url.searchParams.get('login')).toBe('grace')
  })

  it('A12: sends no iss, and takes the one it would send', async () => {
    expect(await house.provider.judgeIssuer(house.context, undefined)).toBe('right')
    expect(await house.provider.judgeIssuer(house.context, `${house.double.url}/login/oauth`)).toBe(
      'right',
    )
    expect(
      createGitHub({ id: 'github', clientId: 'x', callbackPath: '/callback/github', options: {} })
        .issuer,
    ).toBe('https://github.com/login/oauth')
  })

  it('NET-02: the public GitHub is not excepted from the address check', () => {
    const provider = createGitHub({
      id: 'github',
      clientId: 'x',
      callbackPath: '/callback/github',
      options: { apiUrl: 'https://ghe.corp.example/api/v3' },
    })
    expect(provider.approvedOrigins).toEqual(['https://ghe.corp.example'])
  })

  describe('e-mail (A28)', () => {
    const signInWith = async (
      scopes: readonly string[],
      answer?: Parameters<GitHubDouble['answerWith']>[1],
    ) => {
      const other = await gitHubHouse({ scopes })
      other.double.answerWith('GET /user/emails', answer)
      try {
        const signIn = await other.signIn('ada')
        return { profile: signIn.identity.profile, asked: other.double.total('GET /user/emails') }
      } finally {
        await other.close()
      }
    }

    it('is verified by one call, where a scope allows it', async () => {
      for (const scope of ['user', 'user:email']) {
        expect(await signInWith([scope])).toMatchObject({
          asked: 1,
          profile: { email: 'ada@example.com', emailVerified: true },
        })
      }
    })

    it('is not asked for and not verified without such a scope', async () => {
      expect(await signInWith(['read:org'])).toMatchObject({
        asked: 0,
        profile: { email: 'ada@example.com', emailVerified: false },
      })
    })

    it.each([
      [
        'is listed as unverified',
        { ...ANSWER, body: '[{"email":"ada@example.com","verified":false,"primary":true}]' },
      ],
      ['is not listed', { ...ANSWER, body: '[]' }],
      ['cannot be asked for', { ...ANSWER, status: 404, body: '{"message":"Not Found"}' }],
      [
        'comes as something else',
        { ...ANSWER, body: '{"email":"ada@example.com","verified":true}' },
      ],
      ['is broken', { ...ANSWER, body: '[{"email"' }],
      [
        'is verified by a word',
        { ...ANSWER, body: '[{"email":"ada@example.com","verified":"true","primary":true}]' },
      ],
    ])('is unverified when it %s', async (_what, answer) => {
      expect((await signInWith(['user:email'], answer)).profile.emailVerified).toBe(false)
    })
  })

  describe('second opinion', () => {
    const ask = (signIn: SignIn, subject = '1001') =>
      house.provider.secondOpinion?.(house.context, signIn.tokens, { subject })
    const endpoint = 'POST /applications/{client_id}/token'

    it('is yes with scopes for a live token, by one call', async () => {
      house.double.forget()
      expect(await ask(ada)).toEqual({ outcome: 'yes', scopes: ['user:email'] })
      expect(house.double.exchanges()).toEqual({ [endpoint]: 1 })
    })

    it('is no for a revoked token', async () => {
      const grace = await house.signIn('grace')
      house.double.revoke('grace')
      expect(await ask(grace, '1002')).toEqual({ outcome: 'no', reason: 'not_found' })
    })

    it('F11: says that our own client is refused', async () => {
      const options = { url: house.double.url, apiUrl: house.double.apiUrl }
      const stranger = createGitHub({
        id: 'github',
        clientId: 'postern',
        clientSecret: new Secret('rotated'),
        callbackPath: '/callback/it',
        options,
      })
      expect(await stranger.secondOpinion?.(house.context, ada.tokens)).toEqual({
        outcome: 'client-refused',
      })
    })

    it.each([404, 422, 500, 503])('is unknown for status %s in HTML', async (status) => {
      house.double.answerWith(endpoint, {
        status,
        headers: { 'content-type': 'text/html' },
        body: 'Not Found',
      })
      expect(await ask(ada)).toMatchObject({ outcome: 'unknown' })
    })
  })

  describe('tokens that expire (PRV-08)', () => {
    let expiring: House<GitHubDouble>
    beforeAll(async () => {
      expiring = await gitHubHouse({ expiringTokens: true })
    })
    afterAll(() => expiring.close())
    const refresh = (signIn: SignIn) =>
      expiring.provider.refresh?.(expiring.context, signIn.tokens.refreshToken ?? '', signIn.tokens)

    it('come with their lives, and tokens that do not expire come without', async () => {
      const signIn = await expiring.signIn('ada')
      const nowMs = expiring.runtime.nowMs()
      expect(signIn.tokens).toMatchObject({
        expiresAtMs: nowMs + 28_800_000,
        refreshExpiresAtMs: nowMs + 15_897_600_000,
      })
      expect(ada.tokens.expiresAtMs).toBeUndefined()
      expect(ada.tokens.refreshToken).toBeUndefined()
    })

    it('kill both old tokens when they are refreshed', async () => {
      const signIn = await expiring.signIn('ada')
      expect(await refresh(signIn)).toMatchObject({ outcome: 'yes' })
      expect(await expiring.provider.check(expiring.context, signIn.tokens)).toEqual({
        outcome: 'no',
        reason: 'bad_credentials',
      })
      expect(await refresh(signIn)).toEqual({ outcome: 'no', reason: 'bad_refresh_token' })
    })

    it('F11: say that our own client is refused', async () => {
      const signIn = await expiring.signIn('ada')
      expiring.double.answerWith('POST /login/oauth/access_token', {
        ...ANSWER,
        body: '{"error":"incorrect_client_credentials"}',
      })
      expect(await refresh(signIn)).toEqual({ outcome: 'client-refused' })
    })
  })

  it('stands in a configuration as data', () => {
    expect(github({ scopes: ['user'] })).toEqual({ type: 'github', scopes: ['user'] })
  })
})
