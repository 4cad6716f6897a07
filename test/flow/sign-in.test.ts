import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  GRACE,
  type HouseOptions,
  ISSUER,
  LOOPBACK_REDIRECT,
  locationOf,
  redeem,
  register,
  signIn,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const STATIC: HouseOptions = {
  config: {
    clients: [
      {
        clientId: 'portal',
        name: 'Portal',
        redirectUris: [WEB_REDIRECT],
        secret: new Secret('s3cret'),
      },
    ],
  },
}

describe('first visit', () => {
  it('AZ-06 AZ-08 CON-01: shows the page, then the provider, then answers with code, state and iss', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id))
    expect(page.status).toBe(200)
    expect(house.provider.journeys).toHaveLength(0)
    const toProvider = await visitor.press(page, 'allow:github')
    expect(toProvider.status).toBe(303)
    expect(locationOf(toProvider)).toMatch(/^https:\/\/github\.example\/authorize\?/)
    const back = await visitor.comeBack(toProvider)
    expect(back.status).toBe(303)
    expect(answerOf(back)).toEqual({
      code: expect.stringMatching(/^ptc_grt_/),
      state: 'client-state',
      iss: ISSUER,
    })
    expect(await (await redeem(house, client_id, answerOf(back).code ?? '')).json()).toMatchObject({
      token_type: 'Bearer',
      scope: 'mcp',
    })
  })

  it('CON-13: the page sets the form cookie only, and nothing is written before the answer', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const page = await new Visitor(house).get(authorizeUrl(house, client_id))
    const cookies = page.headers.getSetCookie()
    expect(cookies).toHaveLength(1)
    expect(cookies[0]).toMatch(
      /^__Host-postern_form=[\w-]{43}; Path=\/; Max-Age=600; Secure; HttpOnly; SameSite=Lax$/,
    )
    for (const kind of ['transaction', 'attempt', 'session', 'user', 'approval'] as const) {
      expect(await house.store.count(kind, 'default'), kind).toBe(0)
    }
    const audits = await house.store.list('audit', 'default', undefined, { max: 10 })
    expect(audits.map(({ value }) => value.event)).toEqual(['client.registered'])
  })

  it('SEC-12: transaction and session cookies are __Host-, Secure, HttpOnly, Lax; without the prefix on loopback', async () => {
    for (const issuer of [ISSUER, 'http://127.0.0.1:8414']) {
      const house = createTestIssuer({ issuer })
      const { client_id } = await register(house)
      const visitor = new Visitor(house)
      const toProvider = await visitor.press(
        await visitor.get(authorizeUrl(house, client_id)),
        'allow:github',
      )
      const back = await visitor.comeBack(toProvider)
      const lines = [...toProvider.headers.getSetCookie(), ...back.headers.getSetCookie()]
      expect(lines.some((line) => line.includes('postern_txn_'))).toBe(true)
      expect(lines.some((line) => line.includes('postern_session='))).toBe(true)
      for (const line of lines) {
        expect(line.startsWith('__Host-')).toBe(issuer.startsWith('https'))
        expect(line.includes('Secure;')).toBe(issuer.startsWith('https'))
        expect(line).toMatch(/; HttpOnly; SameSite=Lax$/)
        expect(line).not.toMatch(/Domain/i)
      }
    }
  })

  it("AZ-21: state, challenge and nonce of the upstream leg are fresh and not the client's", async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    await signIn(house, new Visitor(house), client_id)
    await signIn(house, new Visitor(house), client_id)
    const seen = house.provider.journeys.flatMap((url) =>
      ['state', 'code_challenge', 'nonce'].map((name) => url.searchParams.get(name)),
    )
    expect(new Set(seen).size).toBe(6)
    expect(seen).not.toContain('client-state')
    expect(seen).not.toContain(house.runtime.sha256('v'.repeat(43)))
    const [first] = house.provider.exchanges
    expect(house.runtime.sha256(first?.verifier ?? '')).toBe(
      house.provider.journeys[0]?.searchParams.get('code_challenge'),
    )
    expect(first?.nonce).toBe(house.provider.journeys[0]?.searchParams.get('nonce'))
  })

  it('CON-04 CON-05: the page names client, verification, redirect host, resource, scopes, provider scopes; warns for loopback', async () => {
    const house = createTestIssuer()
    const web = await register(house)
    const loopback = await register(house, { redirect_uris: [LOOPBACK_REDIRECT] })
    const text = await (await new Visitor(house).get(authorizeUrl(house, web.client_id))).text()
    for (const part of [
      'Claude',
      'unverified',
      'client.example',
      `${ISSUER}/mcp/notes`,
      'Use every tool',
      'read your profile',
      'You choose the account',
      'Allow and continue with GitHub',
      'Deny',
    ]) {
      expect(text).toContain(part)
    }
    expect(text).not.toContain('loopback-warning')
    const local = await (
      await new Visitor(house).get(
        authorizeUrl(house, loopback.client_id, { redirect_uri: LOOPBACK_REDIRECT }),
      )
    ).text()
    expect(local).toContain('loopback-warning')
  })

  it('REG-27 A15 W3: what a stranger named itself is inert, bounded, never a link or an image', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house, {
      client_name: `<img src=x onerror=alert(1)>\u202egnp.exe${'a'.repeat(10_000)}`,
      client_uri: 'javascript:alert(1)',
      logo_uri: 'https://evil.example/logo.png',
    })
    const text = await (await new Visitor(house).get(authorizeUrl(house, client_id))).text()
    expect(text).not.toMatch(/<img|javascript:|evil\.example|\u202e/)
    expect(text).toContain('&lt;img src=x')
    expect(text.length).toBeLessThan(10_000)
  })

  it('A14: fifty overlapping sign-ins, finished in another order, each get their own answer', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const started = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const visitor = new Visitor(house)
        const page = await visitor.get(authorizeUrl(house, client_id, { state: `s${index}` }))
        return { visitor, index, toProvider: await visitor.press(page, 'allow:github') }
      }),
    )
    for (const { visitor, index, toProvider } of started.toReversed()) {
      expect(answerOf(await visitor.comeBack(toProvider)).state).toBe(`s${index}`)
    }
  })

  it("W7: tabs of one browser do not take each other's cookies; at most eight are kept", async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const pages: string[] = []
    for (const _tab of [0, 1])
      pages.push(await (await visitor.get(authorizeUrl(house, client_id))).text())
    const first = await visitor.press(pages[0] ?? '', 'allow:github')
    expect(first.status).toBe(303)
    for (let tab = 0; tab < 9; tab += 1) {
      house.runtime.advanceMs(1000)
      await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'allow:github')
    }
    expect(
      [...visitor.cookies.keys()].filter((name) => name.includes('postern_txn_')),
    ).toHaveLength(8)
    expect((await visitor.comeBack(first)).status).toBe(400)
  })
})

describe('returning, with a session', () => {
  it('shows the account and issues the code at once, with no trip to the provider', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id)
    const page = await (await visitor.get(authorizeUrl(house, client_id))).text()
    expect(page).toContain('Ada Lovelace')
    expect(page).toContain('Use another account'.slice(0, 11))
    const answer = await visitor.press(page, 'allow')
    expect(answerOf(answer)).toMatchObject({
      code: expect.any(String),
      state: 'client-state',
      iss: ISSUER,
    })
    expect(house.provider.exchanges).toHaveLength(1)
  })

  it('AZ-17 CON-02: a registered client is shown the page again although it was approved', async () => {
    const house = createTestIssuer()
    for (const redirect_uri of [WEB_REDIRECT, LOOPBACK_REDIRECT]) {
      const { client_id } = await register(house, { redirect_uris: [redirect_uri] })
      const visitor = new Visitor(house)
      await signIn(house, visitor, client_id, { redirect_uri })
      expect((await visitor.get(authorizeUrl(house, client_id, { redirect_uri }))).status).toBe(200)
    }
  })

  it('A27: another account than the page showed voids the Allow: new session, the page again, no code', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id)
    const page = await visitor.get(authorizeUrl(house, client_id))
    const toProvider = await visitor.press(page, 'switch:github')
    expect(new URL(locationOf(toProvider)).searchParams.get('prompt')).toBe('select_account')
    house.provider.person = GRACE
    const back = await visitor.comeBack(toProvider)
    expect(locationOf(back)).toMatch(/^\/authorize\?/)
    expect(locationOf(back)).not.toContain('provider-code')
    const again = await (await visitor.get(locationOf(back))).text()
    expect(again).toContain('Grace Hopper')
    expect(await house.store.list('approval', 'default', undefined, { max: 10 })).toHaveLength(1)
    expect(answerOf(await visitor.press(again, 'allow'))).toMatchObject({
      code: expect.any(String),
    })
  })

  it('A13: a finished sign-in always sets a new session, whatever the browser had before', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    visitor.cookies.set('__Host-postern_session', 'a'.repeat(43))
    await signIn(house, visitor, client_id)
    const first = visitor.cookies.get('__Host-postern_session')
    expect(first).not.toBe('a'.repeat(43))
    await visitor.comeBack(
      await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'switch:github'),
    )
    expect(visitor.cookies.get('__Host-postern_session')).not.toBe(first)
    await house.runtime.settle()
    expect(await house.store.count('session', 'default')).toBe(1)
  })

  it('a dead sign-in at the provider, a disabled user or 12 idle hours is no session', async () => {
    for (const spoil of ['dead', 'disabled', 'idle'] as const) {
      const house = createTestIssuer()
      const { client_id } = await register(house)
      const visitor = new Visitor(house)
      await signIn(house, visitor, client_id)
      if (spoil === 'dead') house.proofs.next = 'dead'
      if (spoil === 'idle') house.runtime.advanceMs(43_200_001)
      if (spoil === 'disabled') {
        const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
        if (user)
          await house.store.put('user', user.key, user.version, {
            ...user.value,
            state: 'disabled',
          })
      }
      const fresh = spoil === 'idle' ? (await register(house)).client_id : client_id
      expect(await (await visitor.get(authorizeUrl(house, fresh))).text(), spoil).toContain(
        'You choose the account',
      )
    }
  })
})

describe('upstream tokens', () => {
  const vaults = (house: ReturnType<typeof createTestIssuer>) =>
    house.store.list('vault', 'default', undefined, { max: 10 })

  it('flows 5.8: a new sign-in renews the living record of this person, and proves it', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    await signIn(house, new Visitor(house), client_id)
    await signIn(house, new Visitor(house), client_id)
    const [record, ...others] = await vaults(house)
    expect(others).toEqual([])
    expect(record?.version).toBe(2)
    expect(house.proofs.provedIds).toEqual([record?.key.id, record?.key.id])
    house.provider.person = GRACE
    await signIn(house, new Visitor(house), client_id)
    expect(await vaults(house)).toHaveLength(2)
  })

  it('TOK-25: what the provider refused stays dead; the next sign-in has a record of its own', async () => {
    for (const proof of ['dead', 'suspect'] as const) {
      const house = createTestIssuer()
      const { client_id } = await register(house)
      await signIn(house, new Visitor(house), client_id)
      house.proofs.next = proof
      await signIn(house, new Visitor(house), client_id)
      expect(await vaults(house)).toHaveLength(2)
      expect(new Set(house.proofs.provedIds).size).toBe(2)
    }
  })
})

describe('silent', () => {
  const silentHouse = async () => {
    const house = createTestIssuer(STATIC)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    return { house, visitor }
  }

  it('a static https client with a young approval gets its code with no page and 0 remote exchanges', async () => {
    const { house, visitor } = await silentHouse()
    const answer = await visitor.get(authorizeUrl(house, 'portal'))
    expect(answer.status).toBe(303)
    expect(answerOf(answer)).toMatchObject({ code: expect.any(String), iss: ISSUER })
    expect(house.provider.exchanges).toHaveLength(1)
  })

  it('A2 CON-10: prompt=consent, a visit that is no navigation and a client that was renamed ask again', async () => {
    const { house, visitor } = await silentHouse()
    expect((await visitor.get(authorizeUrl(house, 'portal', { prompt: 'consent' }))).status).toBe(
      200,
    )
    expect(
      (await visitor.get(authorizeUrl(house, 'portal'), { 'sec-fetch-dest': 'iframe' })).status,
    ).toBe(200)
    expect(
      (await visitor.get(authorizeUrl(house, 'portal'), { 'sec-fetch-mode': 'cors' })).status,
    ).toBe(200)
    house.runtime.advanceMs(11 * 3_600_000)
    expect((await visitor.get(authorizeUrl(house, 'portal'))).status).toBe(303)
    // Renamed in the configuration: the fingerprint differs.
    const renamed = createTestIssuer({
      store: house.store,
      runtime: house.runtime,
      config: { clients: [{ clientId: 'portal', name: 'Other', redirectUris: [WEB_REDIRECT] }] },
    })
    const same = new Visitor(renamed)
    for (const [name, value] of visitor.cookies) same.cookies.set(name, value)
    expect((await same.get(authorizeUrl(renamed, 'portal'))).status).toBe(200)
  })

  it('CON-12: remembered consent ends after 30 days', async () => {
    const { house, visitor } = await silentHouse()
    house.runtime.advanceMs(30 * 86_400_000 + 1)
    // A new sign-in of the same person without a client leaves the old approval as it is.
    const signInPage = await visitor.get('/')
    await visitor.comeBack(await visitor.press(signInPage, 'allow:github'))
    expect((await visitor.get(authorizeUrl(house, 'portal'))).status).toBe(200)
  })

  it('AZ-18: prompt=none answers at once, prompt=login and max_age ask to sign in again', async () => {
    const { house, visitor } = await silentHouse()
    expect(
      answerOf(await visitor.get(authorizeUrl(house, 'portal', { prompt: 'none' }))),
    ).toMatchObject({ code: expect.any(String) })
    expect(
      answerOf(await new Visitor(house).get(authorizeUrl(house, 'portal', { prompt: 'none' }))),
    ).toMatchObject({
      error: 'login_required',
      state: 'client-state',
      iss: ISSUER,
    })
    for (const rest of [{ prompt: 'login' }, { max_age: '0' }]) {
      house.runtime.advanceMs(2000)
      expect(await (await visitor.get(authorizeUrl(house, 'portal', rest))).text()).toContain(
        'You choose the account',
      )
    }
  })

  it('AZ-18: prompt=none without an approval is consent_required', async () => {
    const house = createTestIssuer({ ...STATIC, limits: { approvalTtlSeconds: 0 } })
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    expect(
      answerOf(await visitor.get(authorizeUrl(house, 'portal', { prompt: 'none' }))),
    ).toMatchObject({ error: 'consent_required' })
  })
})

describe('first party', () => {
  it('prefix moves the pages for people, not the protocol', async () => {
    const house = createTestIssuer({ config: { prefix: '/postern' } })
    const visitor = new Visitor(house)
    expect((await visitor.get('/')).status).toBe(404)
    expect(locationOf(await visitor.get('/postern'))).toBe('/postern/')
    const back = await visitor.comeBack(
      await visitor.press(await visitor.get('/postern/'), 'allow:github'),
    )
    expect(locationOf(back)).toBe('/postern/')
    expect((await visitor.get('/postern/mcp.json')).status).toBe(200)
    expect((await visitor.get('/authorize')).status).toBe(400)
    expect(house.routes.handles('/')).toBe(false)
  })

  it('signs in without a client and ends at a path of ours', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const page = await visitor.get('/')
    const text = await page.text()
    expect(text).toContain('Continue with GitHub')
    const back = await visitor.comeBack(await visitor.press(text, 'allow:github'))
    expect(locationOf(back)).toBe('/')
    const home = await (await visitor.get('/')).text()
    expect(home).toContain('Ada Lovelace')
    expect(home).toContain(`claude mcp add --transport http notes ${ISSUER}/mcp/notes`)
    expect(await (await visitor.get('/mcp.json')).json()).toEqual({
      mcpServers: { notes: { type: 'http', url: `${ISSUER}/mcp/notes` } },
    })
  })

  it('W2: sign-out is a POST from our own page, ends this session, and is refused cross-site', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    await visitor.comeBack(await visitor.press(await visitor.get('/'), 'allow:github'))
    expect((await visitor.get('/logout')).status).toBe(405)
    expect(
      (
        await visitor.post(
          '/logout',
          {},
          { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
        )
      ).status,
    ).toBe(403)
    const stolen = new Map(visitor.cookies)
    expect((await visitor.post('/logout', {})).status).toBe(200)
    const thief = new Visitor(house)
    for (const [name, value] of stolen) thief.cookies.set(name, value)
    expect(await (await thief.get('/')).text()).toContain('Continue with GitHub')
  })

  it('A21: return_to leads to a path of ours or nowhere', async () => {
    const house = createTestIssuer()
    const bad = [
      'https://evil.example',
      '//evil.example',
      '/\\evil.example',
      '/%09/evil',
      'javascript:alert(1)',
      '/\t/evil.example',
      ' /x',
      'account',
      '/a\\b',
      '/.//evil.example',
      '/x/..//evil.example',
      '/%2e//evil.example',
      '',
    ]
    for (const target of bad) {
      const answer = await new Visitor(house).post(
        `/logout?return_to=${encodeURIComponent(target)}`,
        {},
      )
      const location = answer.headers.get('location')
      expect(location === null || new URL(location, ISSUER).origin === ISSUER, target).toBe(true)
    }
    expect(
      locationOf(await new Visitor(house).post('/logout?return_to=%2Faccount%3Fa%3D1', {})),
    ).toBe('/account?a=1')
  })
})
