import { describe, expect, it } from 'vitest'
import { APP, asserted, createClientKey, documentOf, openClientHouse } from './client-house.ts'
import {
  authorizeUrl,
  errorOf,
  ISSUER,
  LOOPBACK_REDIRECT,
  locationOf,
  redeem,
  refresh,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const DAY_MS = 86_400_000
const reasonsOf = (house: TestHouse) =>
  house.emit.eventsOf('signin.refused').map(({ reason }) => reason)

async function tokensOf(open: Awaited<ReturnType<typeof openClientHouse>>, visitor: Visitor) {
  const { code = '' } = await signIn(open.house, visitor, APP)
  return (await (await redeem(open.house, APP, code)).json()) as Tokens
}

describe('client metadata documents', () => {
  it('REG-01 REG-04 REG-05: the whole flow with one fetch, without credentials, and none while fresh', async () => {
    const { house, web } = await openClientHouse()
    const visitor = new Visitor(house)
    const { code = '' } = await signIn(house, visitor, APP)
    const answer = await redeem(house, APP, code)
    expect(answer.status).toBe(200)
    await visitor.get(authorizeUrl(house, APP))
    expect(web.asked).toHaveLength(1)
    const [request] = web.asked
    expect(request?.method).toBe('GET')
    expect(request?.url.href).toBe(APP)
    expect(request?.addresses).toBe('public')
    expect(Object.keys(request?.headers ?? {}).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'user-agent',
    ])
  })

  it.each([
    'https://app.example',
    'https://app.example/',
    'https://app.example/c#f',
    'https://app.example/c?q=1',
    'https://u:p@app.example/c',
    'https://app.example/a/../c',
    'https://APP.example/c',
    'http://app.example/c',
  ])('REG-02 AZ-02: %s is a page without redirect and without fetch', async (clientId) => {
    const { house, web } = await openClientHouse()
    const page = await new Visitor(house).get(authorizeUrl(house, clientId))
    expect(page.status).toBe(400)
    expect(page.headers.get('location')).toBeNull()
    expect(web.asked).toHaveLength(0)
  })

  it.each([301, 302, 303, 307, 204, 404, 410, 500, 503])(
    'REG-05 REG-14: status %d is a failure, asked once',
    async (status) => {
      const { house, web } = await openClientHouse()
      web.pages.set(APP, {
        ...documentOf(APP),
        status,
        headers: { location: 'https://x.example/' },
      })
      const page = await new Visitor(house).get(authorizeUrl(house, APP))
      expect(page.status).toBeGreaterThanOrEqual(400)
      expect(page.headers.get('location')).toBeNull()
      expect(web.asked).toHaveLength(1)
    },
  )

  it('REG-06 NET-06: another type or text is refused, and the page is the same for every failure', async () => {
    const texts = new Set<string>()
    const bad = [
      { ...documentOf(APP), headers: { 'content-type': 'text/html' } },
      { ...documentOf(APP), headers: { 'content-type': 'application/jsonp' } },
      { body: '{"client_id":' },
      { body: '[]' },
      documentOf(`${APP}/`),
      documentOf(APP, { client_name: undefined }),
      { status: 404 },
      { status: 500 },
    ]
    for (const page of bad) {
      const { house, web } = await openClientHouse()
      web.pages.set(APP, page)
      const answer = await new Visitor(house).get(authorizeUrl(house, APP))
      expect(answer.headers.get('location')).toBeNull()
      texts.add((await answer.text()).replace(/f_\w{6}/g, 'f_').replace(/\s+/g, ' '))
    }
    expect(texts.size).toBe(1)
    for (const type of ['application/json; charset=utf-8', 'application/oauth-client+json']) {
      const { house, web } = await openClientHouse()
      web.pages.set(APP, { ...documentOf(APP), headers: { 'content-type': type } })
      expect((await new Visitor(house).get(authorizeUrl(house, APP))).status, type).toBe(200)
    }
  })

  it('REG-11: 5 KiB and 3 s are all that is read and waited', async () => {
    const { house, web, runtime } = await openClientHouse()
    const big = documentOf(APP, { padding: 'x'.repeat(6_000) })
    web.pages.set(APP, big)
    expect((await new Visitor(house).get(authorizeUrl(house, APP))).status).toBe(503)
    const slow = 'https://slow.example/client.json'
    web.pages.set(slow, 'hangs')
    let answered = false
    const visit = new Visitor(house).get(authorizeUrl(house, slow)).then((answer) => {
      answered = true
      return answer
    })
    await runtime.elapseMs(2_900)
    expect(answered).toBe(false)
    await runtime.elapseMs(200)
    expect((await visit).status).toBe(503)
  })

  it.each([
    ['max-age=5', 60],
    ['no-store', 60],
    ['max-age=300', 300],
    ['', 3_600],
    ['max-age=31536000', 86_400],
  ])('REG-12: cache-control %j is kept %d s', async (header, seconds) => {
    const { house, web, runtime } = await openClientHouse()
    web.pages.set(APP, { ...documentOf(APP), headers: { 'cache-control': header } })
    const visit = () => new Visitor(house).get(authorizeUrl(house, APP))
    await visit()
    await runtime.elapseMs(seconds * 1_000 - 1_000)
    await visit()
    expect(web.asked).toHaveLength(1)
    await runtime.elapseMs(2_000)
    expect((await visit()).status).toBe(200)
    expect(web.asked).toHaveLength(2)
  })

  it('REG-13 C4: a failure is remembered 10 s, never as a document', async () => {
    for (const failure of [{ status: 404 }, { status: 500 }, 'down', { body: '{}' }] as const) {
      const { house, web, runtime } = await openClientHouse()
      web.pages.set(APP, failure)
      const visit = async () => (await new Visitor(house).get(authorizeUrl(house, APP))).status
      expect(await visit()).toBeGreaterThanOrEqual(400)
      web.pages.set(APP, documentOf(APP))
      await runtime.elapseMs(5_000)
      expect(await visit()).toBeGreaterThanOrEqual(400)
      expect(web.asked).toHaveLength(1)
      await runtime.elapseMs(5_001)
      expect(await visit()).toBe(200)
      expect(web.asked).toHaveLength(2)
    }
  })

  it('REG-14: the host is down: an error page, no redirect, with the reason in the log only', async () => {
    const { house, web } = await openClientHouse()
    web.pages.set(APP, 'down')
    const page = await new Visitor(house).get(authorizeUrl(house, APP))
    expect(page.status).toBe(503)
    expect(page.headers.get('location')).toBeNull()
    expect(page.headers.get('retry-after')).toBe('10')
    const text = await page.text()
    expect(text).toContain('ERR_CLIENT_DOCUMENT')
    expect(text).not.toContain('ERR_UPSTREAM')
    expect(reasonsOf(house)).toEqual(['document_ERR_UPSTREAM_CONNECT'])
  })

  it('REG-15: origin down: refresh works for a day, a stranger is refused, who approved comes in', async () => {
    const open = await openClientHouse()
    const { house, web, runtime } = open
    const ada = new Visitor(house)
    const tokens = await tokensOf(open, ada)
    web.pages.set(APP, 'down')
    await runtime.elapseMs(3_601_000)
    const renewed = await refresh(house, APP, tokens.refresh_token)
    expect(renewed.status).toBe(200)
    const next = (await renewed.json()) as Tokens
    const stranger = await new Visitor(house).get(authorizeUrl(house, APP))
    expect(stranger.status).toBe(503)
    expect(stranger.headers.get('location')).toBeNull()
    expect(reasonsOf(house)).toEqual(['document_stale'])
    const known = await ada.get(authorizeUrl(house, APP))
    expect(new URL(locationOf(known)).searchParams.get('code')).toMatch(/./)
    await runtime.elapseMs(DAY_MS)
    const late = await refresh(house, APP, next.refresh_token)
    expect([late.status, await errorOf(late)]).toEqual([503, 'temporarily_unavailable'])
    web.pages.set(APP, documentOf(APP))
    await runtime.elapseMs(31_000)
    expect((await refresh(house, APP, next.refresh_token)).status).toBe(200)
  })

  it('a document that its host withdrew is no client any more', async () => {
    const open = await openClientHouse()
    const { house, web, runtime } = open
    const tokens = await tokensOf(open, new Visitor(house))
    web.pages.set(APP, { status: 404 })
    await runtime.elapseMs(3_601_000)
    const answer = await refresh(house, APP, tokens.refresh_token)
    expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_client'])
  })

  it('a restart asks nobody: the last good copy is in the store, with its age and life', async () => {
    const first = await openClientHouse()
    const { web, runtime } = first
    web.pages.set(APP, { ...documentOf(APP), headers: { 'cache-control': 'max-age=7200' } })
    await new Visitor(first.house).get(authorizeUrl(first.house, APP))
    await first.close()
    web.pages.set(APP, 'down')
    await runtime.elapseMs(7_000_000)
    const { house } = await first.again()
    expect((await new Visitor(house).get(authorizeUrl(house, APP))).status).toBe(200)
    expect(web.asked).toHaveLength(1)
    await runtime.elapseMs(300_000)
    expect((await new Visitor(house).get(authorizeUrl(house, APP))).status).toBe(503)
  })

  it.each([
    ['redirect_uris', [WEB_REDIRECT, 'https://evil.example/cb']],
    ['client_name', 'Other'],
    ['logo_uri', 'https://app.example/new.png'],
    ['scope', 'mcp'],
    ['grant_types', ['authorization_code']],
    ['jwks_uri', 'https://app.example/jwks'],
  ])('REG-16 CON-10 A18: another %s asks for consent again', async (name, value) => {
    const open = await openClientHouse()
    const { house, web, runtime } = open
    const ada = new Visitor(house)
    await tokensOf(open, ada)
    const silent = await ada.get(authorizeUrl(house, APP))
    expect(new URL(locationOf(silent)).searchParams.get('code')).toMatch(/./)
    const keyed = name === 'jwks_uri' ? { token_endpoint_auth_method: 'private_key_jwt' } : {}
    web.pages.set(APP, documentOf(APP, { [name]: value, ...keyed }))
    await runtime.elapseMs(3_601_000)
    const page = await ada.get(authorizeUrl(house, APP))
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('wants to use')
  })

  it('REG-16: keys that change in the document ask for consent again', async () => {
    const [first, second] = await Promise.all([createClientKey(), createClientKey('k2')])
    const { house, web, runtime } = await openClientHouse()
    const keyed = { token_endpoint_auth_method: 'private_key_jwt' }
    web.pages.set(APP, documentOf(APP, { ...keyed, jwks: first.jwks }))
    const ada = new Visitor(house)
    await signIn(house, ada, APP)
    expect((await ada.get(authorizeUrl(house, APP))).status).toBe(303)
    web.pages.set(APP, documentOf(APP, { ...keyed, jwks: second.jwks }))
    await runtime.elapseMs(3_601_000)
    expect((await ada.get(authorizeUrl(house, APP))).status).toBe(200)
  })

  it('REG-17 CON-04: the page names the host of the document, and loads nothing of the client’s', async () => {
    const { house, web } = await openClientHouse()
    web.pages.set(
      APP,
      documentOf(APP, { logo_uri: 'https://app.example/l.png', client_uri: 'https://app.example' }),
    )
    const page = await new Visitor(house).get(authorizeUrl(house, APP))
    const text = await page.text()
    expect(text).toMatch(/data-consent="verification">app\.example</)
    expect(text).not.toContain('unverified')
    expect(text).not.toMatch(/<img|l\.png|https:\/\/app\.example/)
    expect(page.headers.get('content-security-policy')).toContain("img-src 'self'")
    expect(web.asked).toHaveLength(1)
  })

  it('REG-18: a host that is not listed is refused with its reason, without a fetch', async () => {
    const registration = {
      dynamic: true,
      metadataDocuments: true,
      redirectHosts: [],
      documentHosts: ['claude.ai'],
    }
    const { house, web } = await openClientHouse({ config: { registration } })
    const page = await new Visitor(house).get(authorizeUrl(house, APP))
    expect(page.status).toBe(400)
    expect(web.asked).toHaveLength(0)
    expect(reasonsOf(house)).toEqual(['document_url_host'])
  })

  it('AZ-17 CON-05: loopback is never silent and is warned of; an https redirect may be silent', async () => {
    const { house, web } = await openClientHouse()
    web.pages.set(APP, documentOf(APP, { redirect_uris: ['http://127.0.0.1/cb', WEB_REDIRECT] }))
    const ada = new Visitor(house)
    for (let visit = 0; visit < 2; visit += 1) {
      const page = await ada.get(authorizeUrl(house, APP, { redirect_uri: LOOPBACK_REDIRECT }))
      expect(page.status).toBe(200)
      const text = await page.text()
      expect(text).not.toContain('loopback-warning')
      const pressed = await ada.press(text, visit === 0 ? 'allow:github' : 'allow')
      if (visit === 0) await ada.comeBack(pressed)
    }
    const allowed = await ada.press(await ada.get(authorizeUrl(house, APP)), 'allow')
    expect(allowed.status).toBe(303)
    expect((await ada.get(authorizeUrl(house, APP))).status).toBe(303)
    const only = 'https://app.example/loopback.json'
    web.pages.set(only, documentOf(only, { redirect_uris: ['http://localhost/callback'] }))
    const page = await ada.get(
      authorizeUrl(house, only, { redirect_uri: 'http://localhost:52011/callback' }),
    )
    expect(await page.text()).toContain('loopback-warning')
  })

  it('AZ-03: the portless URIs of Claude Code take any port, for localhost too', async () => {
    const { house, web } = await openClientHouse()
    const redirect_uris = ['http://localhost/callback', 'http://127.0.0.1/callback']
    web.pages.set(APP, documentOf(APP, { redirect_uris }))
    const visit = async (redirect_uri: string) =>
      (await new Visitor(house).get(authorizeUrl(house, APP, { redirect_uri }))).status
    expect(await visit('http://localhost:49152/callback')).toBe(200)
    expect(await visit('http://127.0.0.1:8/callback')).toBe(200)
    expect(await visit('http://localhost:49152/callback/')).toBe(400)
    expect(await visit('http://[::1]:49152/callback')).toBe(400)
    expect(await visit('https://localhost:49152/callback')).toBe(400)
  })

  it('SEC-16 A18: a network makes us fetch 30 documents a minute; what is at hand stays usable', async () => {
    const { house, web, runtime } = await openClientHouse()
    const visit = (clientId: string, address: string) =>
      new Visitor(house).get(authorizeUrl(house, clientId), { 'x-test-address': address })
    for (let index = 0; index < 30; index += 1) {
      await visit(`https://victim.example/${index}`, '192.0.2.1')
    }
    const refused = await visit('https://victim.example/x', '192.0.2.1')
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('location')).toBeNull()
    expect(web.asked).toHaveLength(30)
    expect((await visit(APP, '192.0.2.2')).status).toBe(200)
    expect((await visit(APP, '192.0.2.1')).status).toBe(200)
    const atToken = await token(
      house,
      {
        grant_type: 'refresh_token',
        refresh_token: 'ptr_x',
        client_id: 'https://victim.example/y',
      },
      { 'x-test-address': '192.0.2.1' },
    )
    expect(atToken.status).toBe(429)
    await runtime.elapseMs(60_001)
    expect((await visit('https://victim.example/x', '192.0.2.1')).status).toBe(400)
  })

  it('SEC-16 A18: one host is asked for 60 unknown documents a minute, whoever asks; known ones go on', async () => {
    const { house, web, runtime } = await openClientHouse()
    await new Visitor(house).get(authorizeUrl(house, APP))
    await runtime.elapseMs(3_601_000)
    const asked = web.asked.length
    for (let index = 0; index < 80; index += 1) {
      await new Visitor(house).get(authorizeUrl(house, `https://app.example/${index}`))
    }
    expect(web.asked.length - asked).toBe(60)
    expect((await new Visitor(house).get(authorizeUrl(house, APP))).status).toBe(200)
    expect(web.asked.length - asked).toBe(61)
  })

  it('REG-16 CON-10: who allows what a page showed has not allowed what the document says since', async () => {
    const { house, web, runtime } = await openClientHouse()
    const ada = new Visitor(house)
    const headers = { 'cache-control': 'max-age=60' }
    web.pages.set(APP, { ...documentOf(APP), headers })
    const page = await ada.get(authorizeUrl(house, APP))
    web.pages.set(APP, { ...documentOf(APP, { client_name: 'Something else' }), headers })
    await runtime.elapseMs(61_000)
    await ada.comeBack(await ada.press(page, 'allow:github'))
    const next = await ada.get(authorizeUrl(house, APP))
    expect(next.status).toBe(200)
    expect(await next.text()).toContain('Something else')
  })

  it('REG-04 C8: a hundred visitors at once are one fetch', async () => {
    const { house, web } = await openClientHouse()
    const visits = Array.from({ length: 100 }, () =>
      new Visitor(house).get(authorizeUrl(house, APP)),
    )
    for (const page of await Promise.all(visits)) expect(page.status).toBe(200)
    expect(web.asked).toHaveLength(1)
  })

  it('NET-06 A18 B4: private, loopback and odd hosts are never asked, and the page says no more than for a host that is down', async () => {
    const { house, web } = await openClientHouse()
    const wordsOf = async (page: Response) =>
      (await page.text()).replace(/f_\w{6}/g, 'f_').replace(/\s+/g, ' ')
    web.pages.set(APP, 'down')
    const down = await wordsOf(await new Visitor(house).get(authorizeUrl(house, APP)))
    web.asked.length = 0
    for (const host of [
      '127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      '[::1]',
      '[fd00::1]',
      '[::ffff:7f00:1]',
      '0.0.0.0',
      'app.example:8443',
    ]) {
      const page = await new Visitor(house).get(authorizeUrl(house, `https://${host}/client.json`))
      expect(page.status, host).toBe(503)
      expect(await wordsOf(page), host).toBe(down)
    }
    expect(web.asked).toHaveLength(0)
  })

  it('C3: a document is believed for its own URL only, and only what was parsed is kept', async () => {
    const { house, web, store } = await openClientHouse()
    const evil = 'https://evil.example/client.json'
    web.pages.set(evil, documentOf(APP, { redirect_uris: ['https://evil.example/cb'] }))
    await new Visitor(house).get(
      authorizeUrl(house, evil, { redirect_uri: 'https://evil.example/cb' }),
    )
    const page = await new Visitor(house).get(
      authorizeUrl(house, APP, { redirect_uri: 'https://evil.example/cb' }),
    )
    expect(page.status).toBe(400)
    web.pages.set(APP, documentOf(APP, { admin: true, contacts: ['canary'] }))
    await new Visitor(house).get(authorizeUrl(house, APP))
    const facts = await store.list('fact', 'default', undefined, { max: 10 })
    expect(facts).toHaveLength(1)
    expect(JSON.stringify(facts)).not.toMatch(/admin|canary|evil/)
  })

  it('AS-09: advertised when on, absent when off, and then a URL is no client', async () => {
    const metadata = async (house: { fetch(request: Request): Promise<Response> }) =>
      (await (
        await house.fetch(new Request(`${ISSUER}/.well-known/oauth-authorization-server`))
      ).json()) as Record<string, unknown>
    const on = await openClientHouse()
    expect(await metadata(on.house)).toMatchObject({ client_id_metadata_document_supported: true })
    const registration = { dynamic: true, metadataDocuments: false, redirectHosts: [] }
    const off = await openClientHouse({ config: { registration } })
    expect(await metadata(off.house)).not.toHaveProperty('client_id_metadata_document_supported')
    expect((await new Visitor(off.house).get(authorizeUrl(off.house, APP))).status).toBe(400)
    expect(off.web.asked).toHaveLength(0)
  })

  it('REG-09: a document with private_key_jwt authenticates every request that way', async () => {
    const key = await createClientKey()
    const { house, web } = await openClientHouse()
    web.pages.set(
      APP,
      documentOf(APP, { token_endpoint_auth_method: 'private_key_jwt', jwks: key.jwks }),
    )
    const ada = new Visitor(house)
    const { code = '' } = await signIn(house, ada, APP)
    const without = await redeem(house, APP, code)
    expect([without.status, await errorOf(without)]).toEqual([401, 'invalid_client'])
    const answer = await redeem(house, APP, code, asserted(await key.assert(house, APP)))
    expect(answer.status).toBe(200)
    const tokens = (await answer.json()) as Tokens
    expect((await refresh(house, APP, tokens.refresh_token)).status).toBe(401)
    const proved = asserted(await key.assert(house, APP))
    expect((await refresh(house, APP, tokens.refresh_token, proved)).status).toBe(200)
  })
})
