import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GitHubDouble } from '../../demo/doubles/github.ts'
import {
  CLIENT,
  gitHubAppHouse,
  gitHubHouse,
  type House,
} from '../../test/contract/provider-house.ts'
import { parseConfig } from '../config/parse.ts'
import { Secret } from '../secret.ts'
import { createGitHubApp, githubApp } from './github-app.ts'

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }

describe('GitHub App', () => {
  let house: House<GitHubDouble>
  beforeAll(async () => {
    house = await gitHubAppHouse()
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  it('PRV-11: a token without the scopes header is accepted, and its permissions are those of the configuration', async () => {
    const signIn = await house.signIn('ada')
    expect(signIn.tokens.accessToken).toMatch(/^ghu_/)
    expect(signIn.tokens.scopes).toEqual(['email_addresses:read', 'members:read'])
    expect(await house.provider.check(house.context, signIn.tokens)).toMatchObject({
      outcome: 'yes',
      scopes: ['email_addresses:read', 'members:read'],
    })
  })

  it('PRV-11: an empty scopes header takes nothing away', async () => {
    const signIn = await house.signIn('ada')
    house.double.answerWith('GET /user', {
      status: 200,
      headers: { ...JSON_TYPE, 'x-oauth-scopes': '' },
      body: '{"id":1001,"login":"ada"}',
    })
    expect(await house.provider.check(house.context, signIn.tokens)).toMatchObject({
      scopes: ['email_addresses:read', 'members:read'],
    })
  })

  it('PRV-11: the OAuth-app adapter refuses the same token', async () => {
    const other = await gitHubHouse({ apps: [{ ...CLIENT, name: 'App', permissions: [] }] })
    await expect(other.signIn('ada')).rejects.toMatchObject({ reason: 'not_an_oauth_app' })
    await other.close()
  })

  it('PRV-11: the token of an OAuth app is refused here', async () => {
    const other = await gitHubAppHouse({ apps: [{ ...CLIENT, name: 'App' }] })
    await expect(other.signIn('ada')).rejects.toMatchObject({ reason: 'not_a_github_app' })
    await other.close()
  })

  it('PRV-11: asks for no scope, and still for S256', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.has('scope')).toBe(false)
    expect(authorizationUrl.searchParams.get('code_challenge_method')).toBe('S256')
  })

  it('PRV-08: 8 h tokens, six months of refresh, and both old tokens dead at once', async () => {
    const signIn = await house.signIn('grace')
    const nowMs = house.runtime.nowMs()
    expect(signIn.tokens).toMatchObject({
      expiresAtMs: nowMs + 28_800_000,
      refreshExpiresAtMs: nowMs + 15_897_600_000,
    })
    const old = signIn.tokens.refreshToken ?? ''
    expect(await house.provider.refresh?.(house.context, old, signIn.tokens)).toMatchObject({
      outcome: 'yes',
      tokens: { scopes: ['email_addresses:read', 'members:read'] },
    })
    expect(await house.provider.check(house.context, signIn.tokens)).toEqual({
      outcome: 'no',
      reason: 'bad_credentials',
    })
    expect(await house.provider.refresh?.(house.context, old, signIn.tokens)).toEqual({
      outcome: 'no',
      reason: 'bad_refresh_token',
    })
  })

  it('PRV-10: ends one token at GitHub, by the application', async () => {
    const signIn = await house.signIn('grace')
    house.double.forget()
    expect(await house.provider.revoke?.(house.context, signIn.tokens)).toBe(true)
    expect(house.double.exchanges()).toEqual({ 'DELETE /applications/{client_id}/token': 1 })
  })

  it('PRV-11: without members:read a 404 is not a no', async () => {
    const other = await gitHubAppHouse({ scopes: ['email_addresses:read'] })
    const signIn = await other.signIn('ada')
    const wanted = { organizations: ['nowhere'], teams: [] }
    expect(await other.provider.memberships?.(other.context, signIn.tokens, wanted)).toMatchObject({
      outcome: 'unknown',
      reason: 'scope_missing',
    })
    expect(await house.provider.memberships?.(house.context, signIn.tokens, wanted)).toMatchObject({
      outcome: 'unknown',
    })
    const known = await house.signIn('ada')
    expect(await house.provider.memberships?.(house.context, known.tokens, wanted)).toMatchObject({
      outcome: 'no',
    })
    await other.close()
  })

  it('PRV-10: has the secret of its webhook, which never prints', () => {
    const provider = createGitHubApp({
      id: 'it',
      clientId: 'x',
      callbackPath: '/callback/it',
      options: {},
      secrets: { webhookSecret: new Secret('of-the-webhook') },
    })
    expect(provider.webhookSecret?.reveal()).toBe('of-the-webhook')
    expect(JSON.stringify(provider)).not.toContain('of-the-webhook')
  })

  it('PRV-02: stands in a configuration as data, under the id github-app', () => {
    const environment = {
      POSTERN_GITHUB_APP_CLIENT_ID: 'client',
      POSTERN_GITHUB_APP_CLIENT_SECRET: 'secret',
      POSTERN_GITHUB_APP_WEBHOOK_SECRET: 'of-the-webhook',
    }
    const [provider] = parseConfig({ providers: [githubApp()] }, { environment }).providers
    expect(provider).toMatchObject({ id: 'github-app', callbackPath: '/callback/github-app' })
    expect(provider?.webhookSecret?.reveal()).toBe('of-the-webhook')
  })
})
