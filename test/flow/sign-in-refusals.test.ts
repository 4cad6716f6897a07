import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  ISSUER,
  LOOPBACK_REDIRECT,
  locationOf,
  redeem,
  register,
  signIn,
  ticketOf,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const PORTAL = {
  clients: [
    { clientId: 'portal', name: 'Portal', redirectUris: [WEB_REDIRECT], secret: new Secret('s') },
  ],
}

describe('GET /authorize', () => {
  it('AZ-02 A3: unknown client or redirect URI gives a page, no Location, no cookie', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house, {
      redirect_uris: [WEB_REDIRECT, LOOPBACK_REDIRECT],
    })
    const bad = [
      { client_id: 'cli_unknown' },
      { client_id: undefined },
      { client_id: 'https://x.example/client.json' },
      { redirect_uri: undefined },
      { redirect_uri: 'https://evil.example/cb' },
      { redirect_uri: `${WEB_REDIRECT}/` },
      { redirect_uri: `${WEB_REDIRECT}?a=1` },
      { redirect_uri: 'https://client.example:444/cb' },
      { redirect_uri: 'https://client.example@evil.example/cb' },
      { redirect_uri: 'https://CLIENT.example/cb' },
      { redirect_uri: 'http://client.example/cb' },
      { redirect_uri: 'https://client.example./cb' },
      { redirect_uri: 'https://client.example/cb#x' },
      { redirect_uri: 'https://client.example/./cb' },
      { redirect_uri: 'https://client.example\\cb' },
      { redirect_uri: 'http://127.0.0.1:33418/other' },
      { redirect_uri: 'http://127.0.0.1.evil.example:33418/cb' },
      { redirect_uri: 'javascript:alert(1)' },
    ]
    for (const rest of bad) {
      const answer = await new Visitor(house).get(authorizeUrl(house, client_id, rest))
      expect(answer.status, JSON.stringify(rest)).toBe(400)
      expect(answer.headers.get('location')).toBeNull()
      expect(answer.headers.getSetCookie()).toEqual([])
      expect(await answer.text()).not.toMatch(/href="https?:\/\/(?!auth)/)
    }
  })

  it('AZ-02: the page has the text of ERR_REDIRECT_URI and the flow id that the event has', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house, { client_name: 'Cursor' })
    const text = await (
      await new Visitor(house).get(
        authorizeUrl(house, client_id, { redirect_uri: 'https://evil.example/cb' }),
      )
    ).text()
    expect(text).toContain(
      'https://evil.example/cb is not a redirect URI of client &quot;Cursor&quot;.',
    )
    expect(text).toContain(
      'If you wrote the client: register this exact URI. We do not send you there.',
    )
    const flowId = /f_[0-9A-Z]{6}/.exec(text)?.[0]
    expect(house.emit.eventsOf('signin.refused')).toMatchObject([
      { reason: 'redirect_uri_mismatch', flowId, clientId: client_id },
    ])
  })

  it('AZ-03: any port of a loopback redirect URI is right', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house, { redirect_uris: [LOOPBACK_REDIRECT] })
    const redirect_uri = LOOPBACK_REDIRECT.replace('33418', '50001')
    expect(
      (await new Visitor(house).get(authorizeUrl(house, client_id, { redirect_uri }))).status,
    ).toBe(200)
  })

  it('AZ-04: none sent is right with one registered URI, and a page without a redirect with two', async () => {
    const house = createTestIssuer()
    const start = async (redirect_uris: string[]) => {
      const { client_id } = await register(house, { redirect_uris })
      return new Visitor(house).get(authorizeUrl(house, client_id, { redirect_uri: undefined }))
    }
    const two = await start([WEB_REDIRECT, 'https://client.example/other'])
    expect([two.status, two.headers.get('location')]).toEqual([400, null])
    const one = await start([WEB_REDIRECT])
    expect(one.status).toBe(200)
    expect(await one.text()).toContain(new URL(WEB_REDIRECT).host)
  })

  it('AZ-15: an error is redirected for a static https client', async () => {
    const house = createTestIssuer({ config: PORTAL })
    const answer = await new Visitor(house).get(
      authorizeUrl(house, 'portal', { scope: 'nonsense' }),
    )
    expect(answer.status).toBe(303)
    expect(answerOf(answer)).toMatchObject({
      error: 'invalid_scope',
      state: 'client-state',
      iss: ISSUER,
    })
  })

  it('AZ-15: for a registered client the same error is a page with "Return to <host>" that carries it', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const answer = await new Visitor(house).get(
      authorizeUrl(house, client_id, { scope: 'nonsense' }),
    )
    expect(answer.status).toBe(400)
    const text = await answer.text()
    expect(text).toContain('Return to client.example')
    expect(text).toContain('error=invalid_scope')
    expect(text).toContain(`iss=${encodeURIComponent(ISSUER)}`)
  })

  it('AZ-15 (b): once this user approved this client and redirect URI, the error is redirected', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id)
    expect(
      answerOf(await visitor.get(authorizeUrl(house, client_id, { scope: 'nonsense' }))).error,
    ).toBe('invalid_scope')
    expect(
      (await new Visitor(house).get(authorizeUrl(house, client_id, { scope: 'nonsense' }))).status,
    ).toBe(400)
  })

  it('AZ-15 (b): an approval of another client, at another redirect URI, or too old is none', async () => {
    const house = createTestIssuer({ limits: { approvalTtlSeconds: 3_600 } })
    const other = 'https://client.example/other'
    const { client_id } = await register(house, { redirect_uris: [WEB_REDIRECT, other] })
    const { client_id: stranger } = await register(house, { client_name: 'Stranger' })
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id)
    const status = async (id: string, rest = {}) =>
      (await visitor.get(authorizeUrl(house, id, { scope: 'nonsense', ...rest }))).status
    expect(await status(client_id)).toBe(303)
    expect(await status(stranger)).toBe(400)
    expect(await status(client_id, { redirect_uri: other })).toBe(400)
    house.runtime.advanceMs(3_600_000)
    expect(await status(client_id)).toBe(400)
  })

  it('AZ-01 AZ-05 AZ-10 AZ-12 AZ-19 A6 A25: each wrong request has its own code at the redirect URI', async () => {
    const house = createTestIssuer({ connectors: ['notes', 'tasks'], config: PORTAL })
    const cases: [Record<string, string | undefined>, string][] = [
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ response_type: 'code token' }, 'unsupported_response_type'],
      [{ response_type: 'id_token' }, 'unsupported_response_type'],
      [{ response_type: undefined }, 'invalid_request'],
      [{ response_mode: 'fragment' }, 'invalid_request'],
      [{ response_mode: 'form_post' }, 'invalid_request'],
      [{ code_challenge: undefined }, 'invalid_request'],
      [{ code_challenge_method: undefined }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ code_challenge: 'a'.repeat(42) }, 'invalid_request'],
      [{ code_challenge: 'a'.repeat(129) }, 'invalid_request'],
      [{ resource: undefined }, 'invalid_target'],
      [{ resource: 'https://other.example/mcp' }, 'invalid_target'],
      [{ resource: `${ISSUER}/mcp/notes#x` }, 'invalid_target'],
      [{ resource: '/mcp/notes' }, 'invalid_target'],
      [{ request: 'eyJ' }, 'request_not_supported'],
      [{ request_uri: 'https://client.example/r' }, 'request_uri_not_supported'],
    ]
    for (const [rest, error] of cases) {
      const answer = await new Visitor(house).get(authorizeUrl(house, 'portal', rest))
      expect(answerOf(answer), JSON.stringify(rest)).toMatchObject({
        error,
        iss: ISSUER,
        state: 'client-state',
      })
    }
  })

  it('AZ-07 AZ-09: state comes back as it was sent, the redirect URI keeps its query, each parameter once', async () => {
    const house = createTestIssuer()
    const redirect_uri = `${WEB_REDIRECT}?x=1&y=a%20b`
    const { client_id } = await register(house, { redirect_uris: [redirect_uri] })
    const state = 'a b+c%20d&e=f ü €'
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id, { redirect_uri, state }))
    const url = new URL(locationOf(await visitor.press(page, 'deny')))
    expect(url.href.startsWith(`${redirect_uri}&`)).toBe(true)
    expect(url.searchParams.getAll('state')).toEqual([state])
    expect(url.searchParams.getAll('iss')).toEqual([ISSUER])
    expect(url.searchParams.getAll('error')).toEqual(['access_denied'])
  })

  it('AZ-11: case and one trailing slash of the resource do not matter; tokens carry the canonical form', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, new Visitor(house), client_id, {
      resource: 'HTTPS://AUTH.example/mcp/notes/',
    })
    expect((await redeem(house, client_id, code, { resource: `${ISSUER}/mcp/notes` })).status).toBe(
      200,
    )
  })

  it('SEC-18 A20: a repeated parameter is refused on a page; resource may repeat with one value', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const url = authorizeUrl(house, client_id)
    expect((await new Visitor(house).get(`${url}&client_id=${client_id}`)).status).toBe(400)
    expect(
      (await new Visitor(house).get(`${url}&resource=${encodeURIComponent(`${ISSUER}/mcp/notes`)}`))
        .status,
    ).toBe(200)
  })

  it('SEC-16: too many visits from one network are 429 with Retry-After; another network is not affected', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const url = authorizeUrl(house, client_id)
    let last: Response | undefined
    for (let visit = 0; visit <= 120; visit += 1)
      last = await new Visitor(house).get(url, { 'x-test-address': '2001:db8:1:2::1' })
    expect(last?.status).toBe(429)
    expect(Number(last?.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(
      (await new Visitor(house).get(url, { 'x-test-address': '2001:db8:1:2:ffff::9' })).status,
    ).toBe(429)
    expect(
      (await new Visitor(house).get(url, { 'x-test-address': '2001:db8:1:3::1' })).status,
    ).toBe(200)
  })
})

describe('POST /consent', () => {
  const open = async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const page = await (await visitor.get(authorizeUrl(house, client_id))).text()
    return { house, client_id, visitor, page }
  }

  it('CON-06: GET has no effect; a missing, foreign, tampered or replayed ticket is 400 or 403', async () => {
    const { house, visitor, page, client_id } = await open()
    expect(
      (await visitor.get(`/consent?ticket=${ticketOf(page)}&decision=allow:github`)).status,
    ).toBe(405)
    const stranger = new Visitor(house)
    const theirs = await (await stranger.get(authorizeUrl(house, client_id))).text()
    expect((await visitor.press(theirs, 'allow:github')).status).toBe(403)
    expect((await visitor.post('/consent', { decision: 'deny' })).status).toBe(400)
    const ticket = ticketOf(page)
    const flipped = ticket.slice(0, 40) + (ticket[40] === 'A' ? 'B' : 'A') + ticket.slice(41)
    expect((await visitor.post('/consent', { ticket: flipped, decision: 'deny' })).status).toBe(400)
    expect((await visitor.post('/consent', { ticket, decision: 'maybe' })).status).toBe(400)
    expect((await visitor.post('/consent', { ticket, decision: 'allow:nobody' })).status).toBe(400)
    expect((await visitor.press(page, 'allow:github')).status).toBe(303)
    const again = await visitor.press(page, 'allow:github')
    expect(again.status).toBe(400)
    expect(await again.text()).toContain('Already answered')
    expect(house.provider.journeys).toHaveLength(1)
  })

  it('CON-07 W2: cross-site posts are refused whatever header says so', async () => {
    const { visitor, page } = await open()
    const headers: Record<string, string>[] = [
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'same-site', origin: 'https://evil.auth.example' },
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'none', origin: 'null' },
    ]
    for (const header of headers)
      expect((await visitor.press(page, 'allow:github', header)).status).toBe(403)
    expect((await visitor.press(page, 'allow:github')).status).toBe(303)
  })

  it('CON-06: a ticket lives ten minutes', async () => {
    const { house, visitor, page } = await open()
    house.runtime.advanceMs(600_001)
    expect((await visitor.press(page, 'allow:github')).status).toBe(400)
  })

  it('W7: of two submits at once one starts a trip, the other says so', async () => {
    const { house, visitor, page } = await open()
    const cookies = new Map(visitor.cookies)
    const twin = new Visitor(house)
    for (const [name, value] of cookies) twin.cookies.set(name, value)
    const answers = await Promise.all([
      visitor.press(page, 'allow:github'),
      twin.press(page, 'allow:github'),
    ])
    expect(answers.map((answer) => answer.status).sort()).toEqual([303, 400])
  })

  it('CON-09: Deny leads back with access_denied, stores nothing, and the next attempt asks again', async () => {
    const { house, visitor, page, client_id } = await open()
    const answer = await visitor.press(page, 'deny')
    expect(answer.status).toBe(303)
    expect(answerOf(answer)).toEqual({ error: 'access_denied', state: 'client-state', iss: ISSUER })
    for (const kind of ['attempt', 'approval', 'session', 'user'] as const)
      expect(await house.store.count(kind, 'default')).toBe(0)
    expect((await visitor.get(authorizeUrl(house, client_id))).status).toBe(200)
    expect(house.emit.eventsOf('consent.denied')).toHaveLength(1)
  })

  it('a client that was deleted while its page was open gets nothing', async () => {
    const { house, visitor, page, client_id } = await open()
    await house.store.remove('client', { tenant: 'default', id: client_id })
    const answer = await visitor.press(page, 'allow:github')
    expect(answer.status).toBe(400)
    expect(answer.headers.get('location')).toBeNull()
  })
})
