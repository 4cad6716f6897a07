import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createTestCa } from '../../test/kit/ca.ts'
import { type GitHubDouble, startGitHubDouble } from './github.ts'

const CALLBACK = 'http://127.0.0.1:9/auth/callback'

describe('the GitHub double', () => {
  let nowMs = Date.now()
  let double: GitHubDouble
  beforeAll(async () => {
    double = await startGitHubDouble({ nowMs: () => nowMs })
  })
  afterEach(async () => {
    await double.revive()
    double.slow(0)
    double.limit(undefined)
    double.expireTokens(false)
    double.forget()
  })
  afterAll(() => double.close())

  const authorizationUrl = (scope = 'user') => {
    const url = new URL(`${double.url}/login/oauth/authorize`)
    url.search = new URLSearchParams({
      client_id: 'Iv1.demo',
      redirect_uri: CALLBACK,
      scope,
      state: 's',
    }).toString()
    return url
  }
  const token = (fields: Record<string, string>, accept = 'application/json') =>
    fetch(`${double.url}/login/oauth/access_token`, {
      method: 'POST',
      headers: { accept },
      body: new URLSearchParams({ client_id: 'Iv1.demo', client_secret: 'demo-secret', ...fields }),
    })
  const signIn = async (login = 'ada', scope = 'user'): Promise<Record<string, string>> => {
    const back = await double.playSignIn(authorizationUrl(scope), login)
    return (await (await token({ code: back.searchParams.get('code') ?? '' })).json()) as Record<
      string,
      string
    >
  }
  const get = (path: string, accessToken = '', headers: Record<string, string> = {}) =>
    fetch(`${double.apiUrl}${path}`, {
      headers: { authorization: `Bearer ${accessToken}`, ...headers },
    })

  it('answers by Accept, form-encoded unless JSON is asked for', async () => {
    const back = await double.playSignIn(authorizationUrl('gist user:email,user'), 'grace')
    const response = await token({ code: back.searchParams.get('code') ?? '' }, '*/*')
    expect(response.headers.get('content-type')).toContain('application/x-www-form-urlencoded')
    const answer = new URLSearchParams(await response.text())
    expect(answer.get('token_type')).toBe('bearer')
    expect(answer.get('scope')).toBe('gist,user')
  })

  it.each([
    [{ code: 'wrong' }, 'bad_verification_code'],
    [{ code: 'wrong', client_secret: 'wrong' }, 'incorrect_client_credentials'],
    [{ grant_type: 'refresh_token', refresh_token: 'wrong' }, 'bad_refresh_token'],
  ])('refuses %j with status 200 and %s', async (fields, error) => {
    const response = await token(fields)
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({
      error,
      error_uri: expect.stringContaining('troubleshooting'),
    })
  })

  it('refuses another redirect URI at both ends', async () => {
    const code = (await double.playSignIn(authorizationUrl(), 'ada')).searchParams.get('code') ?? ''
    const refused = await token({ code, redirect_uri: 'http://127.0.0.1:9/other' })
    expect(await refused.json()).toMatchObject({ error: 'redirect_uri_mismatch' })
    const url = authorizationUrl()
    url.searchParams.set('redirect_uri', 'https://evil.example/cb')
    expect((await fetch(url, { redirect: 'manual' })).headers.get('location')).toContain(
      'error=redirect_uri_mismatch',
    )
  })

  it('a code works once, for ten minutes, with its verifier', async () => {
    const late = (await double.playSignIn(authorizationUrl(), 'ada')).searchParams.get('code') ?? ''
    nowMs += 600_000
    expect(await (await token({ code: late })).json()).toMatchObject({
      error: 'bad_verification_code',
    })
    const url = authorizationUrl()
    url.searchParams.set('code_challenge', 'c'.repeat(43))
    const code = (await double.playSignIn(url, 'ada')).searchParams.get('code') ?? ''
    expect(await (await token({ code, code_verifier: 'v' })).json()).toMatchObject({
      error: 'bad_verification_code',
    })
  })

  it('shows the page when nobody is signed in, and lets people cancel', async () => {
    double.signIn(undefined)
    expect(await (await fetch(authorizationUrl())).text()).toContain('Continue as Ada Lovelace')
    expect((await double.playSignIn(authorizationUrl(), 'nobody')).searchParams.get('error')).toBe(
      'access_denied',
    )
    double.signIn('ada')
  })

  it('answers every path with the section it follows, errors with documentation_url', async () => {
    const { access_token: ada } = await signIn()
    for (const path of ['/user', '/user/emails', '/user/repos', '/user/orgs']) {
      const response = await get(path, ada)
      expect(response.status, path).toBe(200)
      expect(response.headers.get('x-documentation'), path).toMatch(
        /^https:\/\/docs\.github\.com\/rest\//,
      )
      expect(response.headers.get('x-oauth-scopes')).toBe('user')
      await response.body?.cancel()
    }
    const refused = await get('/user', 'gho_wrong')
    expect(refused.status).toBe(401)
    expect(await refused.json()).toMatchObject({
      message: 'Bad credentials',
      documentation_url: expect.any(String),
    })
  })

  it('asks for scopes where GitHub does', async () => {
    const { access_token: narrow } = await signIn('ada', 'gist')
    expect((await get('/user/emails', narrow)).status).toBe(404)
    expect((await get('/user/orgs', narrow)).status).toBe(403)
  })

  it('does not count a 304, and counts everything else', async () => {
    const { access_token: ada } = await signIn()
    const first = await get('/user', ada)
    const used = first.headers.get('x-ratelimit-used')
    const second = await get('/user', ada, { 'if-none-match': first.headers.get('etag') ?? '' })
    expect([second.status, second.headers.get('x-ratelimit-used')]).toEqual([304, used])
    expect(double.exchanges()).toEqual({ 'POST /login/oauth/access_token': 1, 'GET /user': 2 })
  })

  it('throttles as told, with the headers of each kind', async () => {
    const { access_token: ada } = await signIn()
    double.limit({ kind: 'primary', status: 403 })
    const primary = await get('/user', ada)
    expect([primary.status, primary.headers.get('x-ratelimit-remaining')]).toEqual([403, '0'])
    double.limit({ kind: 'secondary', status: 429, retryAfterSeconds: 30 })
    const secondary = await get('/user', ada)
    expect([secondary.status, secondary.headers.get('retry-after')]).toEqual([429, '30'])
  })

  it('checks and deletes tokens and grants for the application', async () => {
    const [first, second] = [await signIn(), await signIn()]
    const app = (method: string, path: string, accessToken = '', secret = 'demo-secret') =>
      fetch(`${double.apiUrl}/applications/Iv1.demo/${path}`, {
        method,
        headers: { authorization: `Basic ${btoa(`Iv1.demo:${secret}`)}` },
        body: JSON.stringify({ access_token: accessToken }),
      })
    expect((await app('POST', 'token', first['access_token'])).status).toBe(200)
    expect((await app('POST', 'token', first['access_token'], 'wrong')).status).toBe(401)
    expect((await app('DELETE', 'token', first['access_token'])).status).toBe(204)
    expect((await app('POST', 'token', first['access_token'])).status).toBe(404)
    expect((await app('DELETE', 'grant', second['access_token'])).status).toBe(204)
    expect(double.tokensOf('ada')).toEqual([])
  })

  it('keeps ten tokens per person, application and scope', async () => {
    const [oldest] = [await signIn()]
    for (let count = 0; count < 10; count++) await signIn()
    expect(double.tokensOf('ada')).toHaveLength(10)
    expect((await get('/user', oldest['access_token'])).status).toBe(401)
  })

  it('ends tokens after eight hours, and both with their refresh', async () => {
    double.expireTokens(true)
    const first = await signIn('grace')
    nowMs += 28_800_000
    expect((await get('/user', first['access_token'])).status).toBe(401)
    const renewed = (await (
      await token({ grant_type: 'refresh_token', refresh_token: first['refresh_token'] ?? '' })
    ).json()) as Record<string, string>
    expect((await get('/user', renewed['access_token'])).status).toBe(200)
    expect(double.revoke('grace')).toBeGreaterThan(0)
    expect((await get('/user', renewed['access_token'])).status).toBe(401)
  })

  it('plays github.com and api.github.com by Host', async () => {
    const ask = (host: string, path: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        request(
          `${double.origin}${path}`,
          { headers: { host, 'user-agent': 'test' } },
          (response) => {
            response.resume()
            resolve(response.statusCode)
          },
        )
          .on('error', reject)
          .end()
      })
    expect(await ask('github.com', '/user')).toBe(404)
    expect(await ask('api.github.com', '/login/oauth/authorize')).toBe(404)
    expect(await ask('api.github.com', '/user')).toBe(401)
  })

  it('speaks https with a given certificate', async () => {
    const issued = createTestCa().issue(['localhost'])
    const secure = await startGitHubDouble({ tls: issued })
    expect(secure.origin).toMatch(/^https:/)
    await expect(fetch(`${secure.origin}/user`)).rejects.toThrow()
    await secure.close()
  })

  it('can be hung, failed, killed and revived, and says in which state it is', async () => {
    const { access_token: ada } = await signIn()
    double.fail(503, { 'retry-after': '9' })
    const failed = await get('/user', ada)
    expect([failed.status, failed.headers.get('retry-after'), double.state()]).toEqual([
      503,
      '9',
      'fail',
    ])
    await double.kill()
    await expect(get('/user', ada)).rejects.toThrow()
    expect(double.state()).toBe('dead')
    await double.revive()
    expect([(await get('/user', ada)).status, double.state()]).toEqual([200, 'ok'])
    double.hang()
    const signal = AbortSignal.timeout(20)
    await expect(fetch(`${double.apiUrl}/user`, { signal })).rejects.toThrow()
  })
})
