import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { SLACK_DIALECT } from '../../test/contract/product-dialects.ts'
import { type ProductHouse, slackHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { UpstreamError } from '../errors.ts'
import type { SignIn } from './provider.ts'
import { SLACK, slack } from './slack.ts'

describe('Slack', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await slackHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  const say = (endpoint: string, body: unknown) =>
    house.double.answerWith(endpoint, {
      status: 200,
      headers: JSON_TYPE,
      body: JSON.stringify(body),
    })
  const check = () => house.provider.check(house.context, ada.tokens)
  const exchange = async () => house.provider.exchange(house.context, await house.visit())
  const refresh = () =>
    house.provider.refresh?.(house.context, ada.tokens.refreshToken ?? '', ada.tokens)

  it('PRV-17: user scopes with commas, and the token of the person in authed_user', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('user_scope')).toBe('users:read,users:read.email')
    expect(authorizationUrl.searchParams.has('scope')).toBe(false)
    expect(ada.tokens.scopes).toEqual(['users:read', 'users:read.email'])
    expect(ada.tokens.accessToken).toMatch(/^access-/)
  })

  it('PRV-17: a subject is team and user', () => {
    expect(ada.identity).toMatchObject({ issuer: 'https://slack.com', subject: 'T0001-U1001' })
  })

  it.each([
    ['a bot token at the top', { ok: true, access_token: 'xoxb-1', token_type: 'bot' }],
    [
      'a bot token beside a person without one',
      { ok: true, access_token: 'xoxb-1', token_type: 'bot', authed_user: { id: 'U1001' } },
    ],
    ['no token', { ok: true, authed_user: { id: 'U1001' } }],
    ['ok that is not true', { ok: 'true', authed_user: { access_token: 'x', token_type: 'user' } }],
    ['no ok', { authed_user: { access_token: 'x', token_type: 'user' } }],
  ])('PRV-17: %s is no sign-in', async (_what, body) => {
    const visit = await house.visit()
    say(house.tokenEndpoint, body)
    await expect(house.provider.exchange(house.context, visit)).rejects.toBeInstanceOf(
      UpstreamError,
    )
  })

  it.each([
    ['invalid_code', 'provider_invalid_code'],
    ['bad_redirect_uri', 'ERR_PROVIDER_CALLBACK'],
    ['bad_client_secret', 'ERR_PROVIDER_CLIENT'],
    ['invalid_client_id', 'ERR_PROVIDER_CLIENT'],
    ['something_new', 'provider_something_new'],
  ])('PRV-17, S7: ok false with status 200 and %s is an error', async (error, reason) => {
    const visit = await house.visit()
    say(house.tokenEndpoint, { ok: false, error })
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      error: 'server_error',
      reason,
    })
  })

  it.each(['ratelimited', 'internal_error', 'fatal_error'])(
    'PRV-17: %s with status 200 only means not now',
    async (error) => {
      const visit = await house.visit()
      say(house.tokenEndpoint, { ok: false, error })
      await expect(house.provider.exchange(house.context, visit)).rejects.toBeInstanceOf(
        UpstreamError,
      )
      expect(await refresh()).toEqual({ outcome: 'unknown', reason: error })
      say(house.checkEndpoint, { ok: false, error })
      expect(await check()).toMatchObject({ outcome: 'unknown' })
    },
  )

  it.each([
    ['token_revoked', 'no'],
    ['account_inactive', 'no'],
    ['token_expired', 'no'],
    // "... or the request originates from an IP address disallowed from making the request."
    ['invalid_auth', 'unknown'],
    ['ekm_access_denied', 'unknown'],
    ['not_authed', 'unknown'],
  ])('PRV-17: auth.test with %s is %s', async (error, outcome) => {
    say(house.checkEndpoint, { ok: false, error })
    expect((await check()).outcome).toBe(outcome)
  })

  it('B25: auth.test is a yes by literal ok and two ids only', async () => {
    const whole = { ok: true, team_id: 'T0001', user_id: 'U1001' }
    say(house.checkEndpoint, whole)
    expect(await check()).toEqual({ outcome: 'yes' })
    for (const change of [
      { ok: 'true' },
      { ok: 1 },
      { team_id: undefined },
      { user_id: null },
      { user_id: 'U1-T2' },
      { team_id: ['T0001'] },
    ]) {
      say(house.checkEndpoint, { ...whole, ...change })
      expect(await check()).toEqual({ outcome: 'unknown', reason: 'body' })
    }
  })

  it('PRV-17: rotation is opt-in: without it no refresh token and no end', async () => {
    const other = await slackHouse({ dialect: { isRotating: false } })
    const { tokens } = await other.signIn('ada')
    expect(tokens.expiresAtMs).toBeUndefined()
    expect(tokens.refreshToken).toBeUndefined()
    expect(ada.tokens.expiresAtMs).toBe(house.runtime.nowMs() + 43_200_000)
    await other.close()
  })

  it('PRV-17: a refresh answers at the top, with a token of the user only', async () => {
    const grace = await house.signIn('grace')
    const renewed = await house.provider.refresh?.(
      house.context,
      grace.tokens.refreshToken ?? '',
      grace.tokens,
    )
    expect(renewed).toMatchObject({ outcome: 'yes', tokens: { scopes: grace.tokens.scopes } })
    say(house.tokenEndpoint, { ok: true, access_token: 'xoxb-1', token_type: 'bot' })
    expect(await refresh()).toEqual({ outcome: 'unknown', reason: 'token_type' })
    say(house.tokenEndpoint, { ok: false, error: 'bad_client_secret' })
    expect(await refresh()).toEqual({ outcome: 'client-refused' })
  })

  it('A28: an e-mail counts when Slack says it is confirmed; without users.info there is none', async () => {
    const user = { id: 'U1001', profile: { email: 'ada@example.com' } }
    for (const confirmed of ['true', undefined, false]) {
      say('GET /api/users.info', { ok: true, user: { ...user, is_email_confirmed: confirmed } })
      expect((await exchange()).identity.profile.emailVerified).toBe(false)
    }
    say('GET /api/users.info', {
      ok: true,
      user: { ...user, id: 'U9', is_email_confirmed: true },
    })
    expect((await exchange()).identity.profile.emailVerified).toBe(false)
    say('GET /api/users.info', { ok: false, error: 'missing_scope' })
    expect((await exchange()).identity.profile).toEqual({ login: 'ada' })
  })

  it('PRV-17: only people of the team sign in, where one is named', async () => {
    const right = await slackHouse({ team: 'T0001' })
    const { authorizationUrl } = await right.visit()
    expect(authorizationUrl.searchParams.get('team')).toBe('T0001')
    expect((await right.signIn('ada')).identity.subject).toBe('T0001-U1001')
    await right.close()
    const wrong = await slackHouse({ team: 'T0002' })
    await expect(wrong.signIn('ada')).rejects.toMatchObject({ reason: 'other_workspace' })
    await wrong.close()
  })

  it('PRV-17: auth.revoke ends the token; ok alone is no confirmation', async () => {
    const grace = await house.signIn('grace')
    const revoke = () => house.provider.revoke?.(house.context, grace.tokens)
    say('POST /api/auth.revoke', { ok: true, revoked: false })
    expect(await revoke()).toBe(false)
    house.double.answerWith('POST /api/auth.revoke', undefined)
    expect(await revoke()).toBe(true)
    expect(await revoke()).toBe(true)
  })

  it('PRV-02: stands in a configuration as data, at its public address', () => {
    expect(slack({ team: 'T0001' })).toEqual({ type: 'slack', team: 'T0001' })
    expect(
      SLACK.create({ id: 'slack', clientId: 'x', callbackPath: '/callback/it', options: {} }),
    ).toMatchObject({ issuer: 'https://slack.com', approvedOrigins: [] })
    expect(SLACK_DIALECT.scopeParameter).toBe('user_scope')
  })
})
