import { describe, expect, it } from 'vitest'
import {
  answerOf,
  authorizeUrl,
  connector,
  createTestIssuer,
  GRACE,
  ISSUER,
  locationOf,
  register,
  Visitor,
} from './sign-in-house.ts'

describe('GET /callback', () => {
  const travel = async (options: Parameters<typeof createTestIssuer>[0] = {}) => {
    const house = createTestIssuer(options)
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id))
    const toProvider = await visitor.press(page, 'allow:github')
    return { house, client_id, visitor, toProvider }
  }

  it('A1 CON-03 AZ-22: another browser is refused, the attempt is burnt, nothing is issued, the refusal is on record', async () => {
    const { house, visitor, toProvider } = await travel()
    const victim = new Visitor(house)
    const refused = await victim.comeBack(toProvider)
    expect(refused.status).toBe(400)
    expect(refused.headers.get('location')).toBeNull()
    expect(victim.cookies.size).toBe(0)
    expect(house.provider.exchanges).toHaveLength(0)
    expect(house.emit.eventsOf('signin.refused')).toMatchObject([
      { reason: 'browser_cookie_missing' },
    ])
    expect(await house.store.count('audit', 'default')).toBe(2)
    expect((await visitor.comeBack(toProvider)).status).toBe(400)
  })

  it("CLI-06 A13: the attacker's state in the victim's own flow is refused", async () => {
    const { house, client_id, toProvider } = await travel()
    const victim = new Visitor(house)
    await victim.press(await victim.get(authorizeUrl(house, client_id)), 'allow:github')
    expect((await victim.comeBack(toProvider)).status).toBe(400)
    expect(house.provider.exchanges).toHaveLength(0)
  })

  it('AZ-22 CLI-06: a second use, an unknown and an expired state are refused', async () => {
    const { house, visitor, toProvider, client_id } = await travel()
    expect((await visitor.comeBack(toProvider)).status).toBe(303)
    expect((await visitor.comeBack(toProvider)).status).toBe(400)
    expect((await visitor.get('/callback/github?code=x&state=unknown')).status).toBe(400)
    expect((await visitor.get('/callback/github?code=x')).status).toBe(400)
    const late = await visitor.press(
      await visitor.get(authorizeUrl(house, client_id)),
      'allow:github',
    )
    house.runtime.advanceMs(600_001)
    expect((await visitor.comeBack(late)).status).toBe(400)
    expect(house.provider.exchanges).toHaveLength(1)
  })

  it('A12: the answer of another provider, a wrong iss and a missing announced iss are refused before error is read', async () => {
    for (const wrong of ['path', 'iss', 'missing', 'normalised'] as const) {
      const { house, visitor, toProvider } = await travel()
      house.provider.announcesIss = wrong === 'missing'
      const state = new URL(locationOf(toProvider)).searchParams.get('state') ?? ''
      const iss = {
        path: undefined,
        missing: undefined,
        iss: 'https://okta.example',
        normalised: 'https://github.example/',
      }[wrong]
      const path = wrong === 'path' ? '/callback/okta' : '/callback/github'
      const query = new URLSearchParams({
        state,
        error: 'access_denied',
        ...(iss === undefined ? {} : { iss }),
      })
      const answer = await visitor.get(`${path}?${query}`)
      expect(answer.status, wrong).toBe(400)
      expect(answer.headers.get('location')).toBeNull()
      expect(house.provider.exchanges).toHaveLength(0)
    }
    const { house, visitor, toProvider } = await travel()
    expect((await visitor.comeBack(toProvider, { iss: 'https://github.example' })).status).toBe(303)
    expect(house.provider.exchanges).toHaveLength(1)
  })

  it('AZ-23: a no at the provider is access_denied, anything else server_error, and no upstream text goes on', async () => {
    for (const [error, expected] of [
      ['access_denied', 'access_denied'],
      ['temporarily<b>', 'server_error'],
    ] as const) {
      const { visitor, toProvider } = await travel()
      const answer = await visitor.comeBack(toProvider, {
        error,
        error_description: '<script>alert(1)</script>',
      })
      expect(answerOf(answer)).toEqual({ error: expected, state: 'client-state', iss: ISSUER })
    }
  })

  it('says how to correct the callback URL when the provider does not know it (ERR_PROVIDER_CALLBACK)', async () => {
    const { visitor, toProvider } = await travel()
    const answer = await visitor.comeBack(toProvider, { error: 'redirect_uri_mismatch' })
    const text = await answer.text()
    expect(text).toContain('GitHub says redirect_uri is not associated with this application.')
    expect(text).toContain(
      `In the OAuth app, set the callback URL to ${ISSUER}/callback/github (exactly, no slash at the end).`,
    )
    expect(text).toContain('ERR_PROVIDER_CALLBACK')
    expect(text).toMatch(/Flow <code>f_[0-9A-Z]{6}/)
  })

  it('F1: a provider that is dead or slow gives a page by the deadline, with Try again and the way back', async () => {
    for (const behaviour of ['fails', 'hangs'] as const) {
      const { house, visitor, toProvider } = await travel()
      house.provider.behaviour = behaviour
      const pending = visitor.comeBack(toProvider)
      await house.runtime.elapseMs(10_000)
      const answer = await pending
      expect(answer.status).toBe(503)
      const text = await answer.text()
      expect(text).toContain('Return to client.example')
      house.provider.behaviour = 'answers'
      const again = await visitor.press(text, 'allow:github')
      expect(answerOf(await visitor.comeBack(again))).toMatchObject({
        code: expect.any(String),
        state: 'client-state',
      })
    }
  })

  it('allow: an account that may not sign in gets a page with the reason, and access_denied behind the button', async () => {
    const { house, visitor, toProvider } = await travel({
      config: { allow: { emailDomains: ['corp.example'] } },
    })
    house.provider.person = {
      subject: '9',
      profile: { email: 'eve@evil.example', emailVerified: true },
    }
    const answer = await visitor.comeBack(toProvider)
    expect(answer.status).toBe(403)
    const text = await answer.text()
    expect(text).toContain('error=access_denied')
    expect(text).toContain('Use another account')
    expect(await house.store.count('user', 'default')).toBe(0)
    expect(house.emit.eventsOf('signin.refused')).toMatchObject([{ reason: 'not_allowed' }])
    house.provider.person = {}
    expect(
      answerOf(await visitor.comeBack(await visitor.press(text, 'switch:github'))),
    ).toMatchObject({ code: expect.any(String) })
  })

  it('allow of one connector is asked for that resource only', async () => {
    const notes = connector(ISSUER, 'notes', { allow: { users: ['github:1001'] } })
    const house = createTestIssuer({ config: { connectors: [notes, connector(ISSUER, 'tasks')] } })
    house.provider.person = GRACE
    const { client_id } = await register(house)
    const start = async (resource: string) => {
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, client_id, { resource }))
      return visitor.comeBack(await visitor.press(page, 'allow:github'))
    }
    expect((await start(`${ISSUER}/mcp/notes`)).status).toBe(403)
    expect((await start(`${ISSUER}/mcp/tasks`)).status).toBe(303)
  })

  it('PRV-21 A27: two providers with one e-mail address are two accounts', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    for (const provider of ['github', 'okta']) {
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, client_id))
      expect((await visitor.comeBack(await visitor.press(page, `allow:${provider}`))).status).toBe(
        303,
      )
    }
    expect(await house.store.count('user', 'default')).toBe(2)
  })

  it('a disabled user is told so and gets nothing', async () => {
    const { house, visitor, toProvider, client_id } = await travel()
    await visitor.comeBack(toProvider)
    const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
    if (user)
      await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    const again = new Visitor(house)
    const page = await again.get(authorizeUrl(house, client_id))
    const answer = await again.comeBack(await again.press(page, 'allow:github'))
    expect(answer.status).toBe(403)
    expect(again.cookieNamed('session')).toBeUndefined()
  })
})

describe('every answer', () => {
  it('SEC-13 W1 W6 SEC-04: pages cannot be framed, run no script, send no referrer, are not stored', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id))
    const answers = [
      page,
      await visitor.get('/'),
      await visitor.get(authorizeUrl(house, 'cli_unknown')),
      await visitor.get('/callback/github?state=x'),
      await visitor.post('/consent', {}),
      await visitor.press(page, 'allow:github'),
      await visitor.get('/logout'),
      await visitor.get('/nowhere'),
    ]
    for (const answer of answers) {
      const policy = answer.headers.get('content-security-policy') ?? ''
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).toContain("script-src 'none'")
      expect(policy).not.toContain('unsafe-inline')
      expect(answer.headers.get('x-frame-options')).toBe('DENY')
      expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
  })

  it('SEC-14 W8: authorize, consent, callback and home send no CORS headers', async () => {
    const house = createTestIssuer()
    for (const path of [
      '/authorize',
      '/consent',
      '/callback/github',
      '/',
      '/mcp.json',
      '/logout',
    ]) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const answer = await house.fetch(
          new Request(`${ISSUER}${path}`, { method, headers: { origin: 'https://evil.example' } }),
        )
        expect(answer.headers.get('access-control-allow-origin'), `${method} ${path}`).toBeNull()
      }
    }
  })

  it('A19: another host gets 421; a page under another loopback name is redirected to the issuer', async () => {
    const house = createTestIssuer()
    for (const host of [
      'evil.example',
      'auth.example.evil.example',
      'auth.example:8443',
      'auth.example.',
      '127.0.0.1',
    ]) {
      const answer = await house.fetch(
        new Request(`https://${host}/.well-known/oauth-authorization-server`, {
          headers: { 'x-forwarded-host': 'auth.example' },
        }),
      )
      expect(answer.status, host).toBe(421)
    }
    const local = createTestIssuer({ issuer: 'http://127.0.0.1:8414' })
    const page = await local.fetch(
      new Request('http://localhost:8414/authorize?a=1', { headers: { accept: 'text/html' } }),
    )
    expect(page.status).toBe(302)
    expect(page.headers.get('location')).toBe('http://127.0.0.1:8414/authorize?a=1')
    expect(
      (await local.fetch(new Request('http://localhost:8414/token', { method: 'POST' }))).status,
    ).toBe(421)
    expect(
      (
        await local.fetch(
          new Request('http://localhost:9999/', { headers: { accept: 'text/html' } }),
        )
      ).status,
    ).toBe(421)
  })

  it('store down: a page with 503, no stack, and the event', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const url = authorizeUrl(house, client_id)
    const { StoreError } = await import('../../src/errors.ts')
    Object.assign(house.store, {
      get: () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')),
    })
    const answer = await new Visitor(house).get(url)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('2')
    expect(await answer.text()).not.toContain('StoreError')
  })
})
