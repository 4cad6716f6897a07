/** What must not happen while people connect accounts inside other products. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  APPS,
  allow,
  Browser,
  call,
  comeBack,
  confirm,
  DESK,
  ISSUER,
  NONCE,
  openEmbedded,
  press,
  SHOP,
  SHOP_RETURN,
  session,
  start,
  toConfirmation,
} from './embedded-house.ts'
import { ticketOf } from './sign-in-house.ts'

const code = (error: unknown): unknown => (error as { code?: unknown }).code ?? error

describe('a victim with an attacker’s address', () => {
  it('O1 O2: is never connected for the attacker, whoever says the confirmation', async () => {
    const { node, remote, elapse } = await openEmbedded()
    const attacker = await session(node, 'mallory')
    const { url } = await start(node, attacker)
    remote.settings.person = 'victim'
    const victim = new Browser()
    const { said } = await comeBack(node, victim, await allow(await press(node, victim, url)))
    // The victim's window tells a page of the shop, and there the victim is signed in, not Mallory.
    expect(said['origin']).toBe(SHOP)
    const confirmation = said['confirmation'] ?? ''
    const own = await session(node, 'victim')
    expect(await confirm(node, own, confirmation)).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONFIRMATION' },
    })
    // Mallory's element hears nothing: without the confirmation there is nothing to say.
    for (const guess of ['', said['attempt'] ?? '', said['nonce'] ?? '', 'x'.repeat(43)])
      expect((await confirm(node, attacker, guess)).status).toBe(409)
    for (const user of ['mallory', 'victim'])
      expect(await node.postern.getToken(user, 'notes', { app: 'shop' }).catch(code)).toBe(
        'ERR_CONNECTION_NEEDED',
      )
    await elapse(300_001)
    await expect.poll(() => remote.tokensOf('victim').length, { timeout: 5_000 }).toBe(0)
  })

  it('O1: confirmations are for the user, the app and the server of their attempt, in one code', async () => {
    const { node } = await openEmbedded()
    const token = await session(node, 'ada')
    const { confirmation, attempt } = await toConfirmation(node, token)
    const refused = { status: 409, body: { code: 'ERR_CONFIRMATION' } }
    const bodies = []
    for (const other of [
      await session(node, 'bob'),
      await session(node, 'ada', { connectors: [] }),
      await session(node, 'ADA'),
    ]) {
      const answer = await confirm(node, other, confirmation)
      expect(answer).toMatchObject(refused)
      bodies.push({ ...answer.body, requestId: '' })
    }
    const unknown = await confirm(node, token, 'a'.repeat(43))
    bodies.push({ ...unknown.body, requestId: '' })
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1)
    const { connections } = node.postern
    for (const wrong of [
      { app: 'desk', user: 'ada', confirmation },
      { app: 'shop', user: 'bob', confirmation },
      { app: 'shop', user: 'ada', confirmation, id: 'con_other' },
    ])
      expect(await connections.confirm(wrong).catch(code)).toBe('ERR_CONFIRMATION')
    const right = { app: 'shop', user: 'ada', confirmation, id: attempt }
    expect(await connections.confirm(right)).toMatchObject({
      id: attempt,
      app: 'shop',
      user: 'ada',
    })
    expect(await connections.confirm(right).catch(code)).toBe('ERR_CONFIRMATION')
    expect(await confirm(node, token, confirmation)).toMatchObject(refused)
  })

  it('A1 A13: an answer is taken only from the browser that left, once', async () => {
    const { node, remote } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const browser = new Browser()
    const callback = await allow(await press(node, browser, url))
    const foreign = await new Browser().get(node, callback)
    expect(foreign.status).toBe(400)
    expect(remote.tokenCalls).toHaveLength(0)
    // Somebody else had the answer in hands: it is good for nobody now.
    const late = await browser.get(node, callback)
    expect(late.status).toBe(400)
    expect(remote.tokenCalls).toHaveLength(0)
    const again = await start(node, token)
    const second = await allow(await press(node, browser, again.url))
    expect((await comeBack(node, browser, second)).said['type']).toBe('postern:done')
    expect((await browser.get(node, second)).status).toBe(400)
    expect(remote.tokenCalls).toHaveLength(1)
  })

  it('CLI-10 CLI-11 O2: an answer of another server or at another connector ends the trip', async () => {
    const { node, remote } = await openEmbedded()
    const token = await session(node)
    for (const change of [
      (callback: URL) => callback.searchParams.set('iss', 'https://evil.example'),
      (callback: URL) => callback.searchParams.delete('iss'),
      (callback: URL) => {
        callback.pathname = '/connect/finance/callback'
      },
    ]) {
      const browser = new Browser()
      const { url } = await start(node, token)
      const callback = await allow(await press(node, browser, url))
      change(callback)
      const { said } = await comeBack(node, browser, callback)
      expect(said).toMatchObject({ type: 'postern:failed' })
    }
    expect(remote.tokenCalls).toHaveLength(0)
  })

  it('W2 W5: the form is answered by its own browser, from this site, in time', async () => {
    const { node, elapse } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const browser = new Browser()
    const ticket = ticketOf(await (await browser.get(node, url)).text())
    const form = { ticket, decision: 'connect' }
    const cross = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    expect((await browser.post(node, '/widget/popup', form, cross)).status).toBe(403)
    expect((await new Browser().post(node, '/widget/popup', form)).status).toBe(403)
    // A name that comes twice is treated as absent.
    const tossed = new Browser()
    for (const [name, value] of browser.cookies) tossed.cookies.set(name, value)
    const twice = { cookie: '__Host-postern_form=tossed' }
    expect((await tossed.post(node, '/widget/popup', form, twice)).status).toBe(403)
    for (const wrong of [{ ...form, decision: 'other' }, { ...form, ticket: 'x' }, {}])
      expect((await browser.post(node, '/widget/popup', wrong)).status).toBe(400)
    // A ticket of this page is good at no other form, and no other at this one.
    expect((await browser.post(node, '/widget/replace', form)).status).toBe(400)
    expect((await browser.post(node, '/connect/notes', form)).status).toBe(400)
    await elapse(600_001)
    expect((await browser.post(node, '/widget/popup', form)).status).toBe(400)
  })

  it('an address that was changed, is of another kind, or is not ours, opens nothing', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const handle = new URL(url).searchParams.get('handle') ?? ''
    for (const wrong of ['', 'x', handle.slice(1), `${handle}A`, token, 'a'.repeat(10_000)]) {
      const page = await new Browser().get(node, `/widget/popup?handle=${wrong}`)
      expect(page.status).toBe(400)
      expect(await page.text()).toContain('can no longer be used')
    }
    expect((await new Browser().get(node, `/connect/notes?link=${handle}`)).status).toBe(200)
    for (const at of ['', 'x', 'a'.repeat(43)]) {
      expect((await new Browser().get(node, `/widget/done?at=${at}`)).status).toBe(400)
      expect((await new Browser().get(node, `/widget/replace?at=${at}`)).status).toBe(400)
    }
  })
})

describe('calls of the widget', () => {
  const ORIGINS = [
    null,
    'null',
    '',
    '*',
    SHOP.toUpperCase(),
    `${SHOP}/`,
    `${SHOP}:443`,
    `${SHOP}.evil.example`,
    'https://evil.shop.example',
    'https://shop.example.evil',
    'https://shop.exampl',
    'https://shopXexample',
    'http://shop.example',
    'https://shop.example:8443',
    'https://user@shop.example',
    'https://shop.example#',
    'https://shop.example?x',
    'https://shop.example\\.evil',
    'https://shop.example, https://evil.example',
    `${SHOP} ${SHOP}`,
    'shop.example',
    '//shop.example',
    'file://',
    'data:',
    'chrome-extension://abcdefghijklmnop',
    'moz-extension://abc',
    'https://xn--shp-5qa.example',
    'https://shop%2eexample',
    'https://[::1]',
    'http://127.0.0.1',
    'http://localhost',
    'http://localhost:5174',
    'http://127.0.0.1:5173',
    ISSUER,
    'https://evil.example',
    'https://shop.example\t',
    'https://shop..example',
    'https://.shop.example',
    'wss://shop.example',
    'about:blank',
    'https://SHOP.example',
    'https://shop.example./',
  ] as const
  const CALLS = [
    ['GET', 'connections', undefined],
    ['POST', 'attempts', { connector: 'notes', nonce: NONCE }],
    ['POST', 'confirm', { confirmation: 'a'.repeat(43) }],
    ['POST', 'disconnect', { connector: 'notes' }],
  ] as const

  it('W8: may be read by the session’s origin only: 40 others at every route get nothing, credentials nobody', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    expect(ORIGINS.length).toBeGreaterThanOrEqual(40)
    for (const [method, name, body] of CALLS) {
      for (const origin of ORIGINS) {
        const answer = await call(node, method, name, { token, origin, body })
        const at = `${name} from ${origin}`
        // Fetch takes white space at the ends of a header away.
        if (origin?.trim() === SHOP) continue
        expect(answer.status, at).toBe(403)
        expect(answer.body, at).toMatchObject({ code: 'ERR_WIDGET_ORIGIN' })
        expect(answer.headers.get('access-control-allow-origin'), at).toBeNull()
        expect(answer.headers.get('access-control-allow-credentials'), at).toBeNull()
        const asked = await call(node, 'OPTIONS', name, { origin })
        expect(asked.status, at).toBe(403)
        expect(asked.headers.get('access-control-allow-origin'), at).toBeNull()
      }
      const right = await call(node, method, name, { token, body })
      expect(right.headers.get('access-control-allow-origin')).toBe(SHOP)
      expect(right.headers.get('access-control-allow-credentials')).toBeNull()
      expect(right.headers.get('vary')).toBe('Origin')
      expect(right.headers.get('cache-control')).toBe('no-store')
      // The origin of another app, or another of the same app: known, and not this session's.
      for (const origin of [DESK, 'http://localhost:5173']) {
        const other = await call(node, method, name, { token, origin, body })
        expect(other.status).toBe(403)
        expect(other.headers.get('access-control-allow-origin')).toBeNull()
        const asked = await call(node, 'OPTIONS', name, { origin })
        expect(asked.status).toBe(204)
        expect(asked.headers.get('access-control-allow-origin')).toBe(origin)
        expect(asked.headers.get('access-control-allow-methods')).toBe(method)
        expect(asked.headers.get('access-control-allow-credentials')).toBeNull()
      }
      const without = await call(node, method, name, { body, origin: 'https://evil.example' })
      expect(without.status).toBe(401)
      expect(without.headers.get('access-control-allow-origin')).toBeNull()
    }
    for (const page of ['popup', 'done', 'done.js', 'replace']) {
      const shown = await new Browser().get(node, `/widget/${page}`, { origin: SHOP })
      expect(shown.headers.get('access-control-allow-origin')).toBeNull()
    }
  })

  it('need a living session of their own: no cookie, no key, no other token', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    for (const wrong of [
      undefined,
      '',
      'x',
      token.slice(0, -1),
      `${token}x`,
      `${token.slice(0, -1)}A`,
    ]) {
      const answer = await call(
        node,
        'GET',
        'connections',
        wrong === undefined ? {} : { token: wrong },
      )
      if (wrong === token) continue
      expect(answer.status).toBe(401)
      expect(answer.body).toMatchObject({ code: 'ERR_CONNECT_SESSION', status: 401 })
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    }
  })

  it('O6: name no connector that is not open to apps, or not of the session', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    const none = await session(node, 'ada', { connectors: [] })
    for (const connector of ['finance', 'off', 'plain', 'nots', '', '__proto__']) {
      const body = { connector, nonce: NONCE }
      const answer = await call(node, 'POST', 'attempts', { token, body })
      expect(answer).toMatchObject({ status: 404, body: { code: 'ERR_CONNECTOR_NOT_FOUND' } })
      expect((await call(node, 'POST', 'disconnect', { token, body })).status).toBe(404)
      const made = { app: 'shop', user: 'ada', origin: SHOP, connectors: [connector] }
      expect(await node.postern.createConnectSession(made).catch(code)).toBe(
        'ERR_CONNECTOR_NOT_FOUND',
      )
    }
    const body = { connector: 'notes', nonce: NONCE }
    expect((await call(node, 'POST', 'attempts', { token: none, body })).status).toBe(404)
    expect((await call(node, 'GET', 'connections', { token: none })).body['data']).toEqual([])
  })

  it('refuse what they cannot read, and too many a minute', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    for (const body of [
      {},
      [],
      null,
      'x',
      { connector: 'notes' },
      { connector: 'notes', nonce: 'short' },
      { connector: 'notes', nonce: 'x'.repeat(129) },
      { connector: 'notes', nonce: `${NONCE}"><script>` },
      { connector: 1, nonce: NONCE },
      { connector: 'notes', nonce: NONCE, pad: 'x'.repeat(5_000) },
    ]) {
      const answer = await call(node, 'POST', 'attempts', { token, body })
      expect(answer).toMatchObject({ status: 400, body: { code: 'ERR_WIDGET_REQUEST' } })
    }
    const statuses = []
    for (let count = 0; count < 40; count++)
      statuses.push((await call(node, 'POST', 'attempts', { token, body: {} })).status)
    expect(statuses).toContain(429)
    const limited = await call(node, 'POST', 'attempts', { token, body: {} })
    expect(limited.body).toMatchObject({ code: 'ERR_WIDGET_RATE' })
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(limited.headers.get('access-control-allow-origin')).toBe(SHOP)
    // Another person is not held up by it.
    const other = await session(node, 'bob')
    expect((await call(node, 'GET', 'connections', { token: other })).status).toBe(200)
    expect((await call(node, 'POST', 'connections', { token })).status).toBe(405)
  })
})

describe('what a backend may ask', () => {
  it('sessions only for registered origins and return URLs, to the letter, and known apps', async () => {
    const { node } = await openEmbedded()
    const ask = (input: object) =>
      node.postern
        .createConnectSession({ app: 'shop', user: 'ada', origin: SHOP, ...input })
        .then(() => 'made', code)
    expect(await ask({ returnUrl: SHOP_RETURN })).toBe('made')
    for (const origin of [`${SHOP}/`, DESK, 'https://evil.example', ISSUER])
      expect(await ask({ origin })).toBe('ERR_APP_ORIGIN')
    for (const returnUrl of [`${SHOP_RETURN}/`, `${SHOP_RETURN}?x`, `${DESK}/done`, SHOP])
      expect(await ask({ returnUrl })).toBe('ERR_APP_RETURN_URL')
    for (const app of [undefined, 'nope', '', '__proto__'])
      expect(await ask({ app })).toBe('ERR_APP_UNKNOWN')
    for (const user of ['', 'x'.repeat(257), 'a\0b'])
      expect(await ask({ user })).toBeInstanceOf(TypeError)
    const start = (input: object) =>
      node.postern.connections
        .start({ app: 'shop', user: 'ada', connector: 'notes', returnUrl: SHOP_RETURN, ...input })
        .then(() => 'started', code)
    expect(await start({})).toBe('started')
    expect(await start({ returnUrl: 'https://evil.example/' })).toBe('ERR_APP_RETURN_URL')
    expect(await start({ connector: 'finance' })).toBe('ERR_CONNECTOR_NOT_FOUND')
    expect(await start({ app: 'nope' })).toBe('ERR_APP_UNKNOWN')
  })

  it('its own word where the app confirms from its backend; the element may not', async () => {
    const { node } = await openEmbedded()
    const token = await session(node, 'ada', { app: 'desk', origin: DESK })
    const body = { connector: 'notes', nonce: NONCE }
    const started = await call(node, 'POST', 'attempts', { token, origin: DESK, body })
    const browser = new Browser()
    const away = await press(node, browser, String(started.body['url']))
    const { said } = await comeBack(node, browser, await allow(away))
    const confirmation = said['confirmation'] ?? ''
    expect(await confirm(node, token, confirmation, DESK)).toMatchObject({
      status: 403,
      body: { code: 'ERR_CONFIRM_BACKEND' },
    })
    const done = await node.postern.connections.confirm({ app: 'desk', user: 'ada', confirmation })
    expect(done).toMatchObject({ app: 'desk', user: 'ada', connector: 'notes', state: 'active' })
  })

  it('a trip that it starts, which ends at its return URL and waits for its word', async () => {
    const { node } = await openEmbedded()
    const { connections } = node.postern
    const { url } = await connections.start({
      app: 'shop',
      user: 'ada',
      connector: 'notes',
      returnUrl: SHOP_RETURN,
    })
    const browser = new Browser()
    const back = await browser.get(node, await allow(await press(node, browser, url)))
    const end = new URL(back.headers.get('location') ?? '')
    expect(`${end.origin}${end.pathname}${end.search}`).toBe(SHOP_RETURN)
    const fragment = new URLSearchParams(end.hash.slice(1))
    const confirmation = fragment.get('postern-confirmation') ?? ''
    expect([...fragment.keys()]).toEqual(['postern-confirmation', 'attempt'])
    expect(await connections.confirm({ app: 'shop', user: 'eve', confirmation }).catch(code)).toBe(
      'ERR_CONFIRMATION',
    )
    expect(await connections.confirm({ app: 'shop', user: 'ada', confirmation })).toMatchObject({
      id: fragment.get('attempt'),
      state: 'active',
    })
    const again = await connections.start({
      app: 'shop',
      user: 'ada',
      connector: 'notes',
      returnUrl: SHOP_RETURN,
    })
    const no = await press(node, browser, again.url, 'cancel')
    expect(no.headers.get('location')).toBe(`${SHOP_RETURN}#postern=access_denied`)
  })

  it('the only app by default, and none by a wrong name', async () => {
    const { shop } = APPS
    const { node } = await openEmbedded({ apps: shop === undefined ? {} : { shop } })
    const token = await session(node, 'ada', { app: undefined })
    const { confirmation } = await toConfirmation(node, token)
    await confirm(node, token, confirmation)
    expect(await node.postern.getToken('ada', 'notes')).toHaveProperty('accessToken')
    const wrong = node.postern.getToken('ada', 'notes', { app: 'desk' })
    expect(await wrong.catch(code)).toBe('ERR_APP_UNKNOWN')
    const listed = await node.postern.connections.list({ user: 'ada' })
    expect(listed.data).toMatchObject([{ app: 'shop', user: 'ada' }])
    expect(await node.postern.connections.list({ user: 'ada', app: 'x' }).catch(code)).toBe(
      'ERR_APP_UNKNOWN',
    )
  })
})

it('I1: no token, code or confirmation is in an event or on the disk', async () => {
  const { node, remote, folder, settle } = await openEmbedded()
  const token = await session(node)
  const waiting = await toConfirmation(node, token)
  const { confirmation } = await toConfirmation(node, token)
  await confirm(node, token, confirmation)
  await settle()
  const disk = Buffer.concat(
    await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name)))),
  ).toString('latin1')
  expect(disk).toContain('app:shop:ada')
  const told = JSON.stringify(node.platform.events)
  const codes = remote.tokenCalls.map(([, form]) => form.get('code') ?? 'none')
  const secrets = [token, confirmation, waiting.confirmation, ...remote.tokensOf('ada'), ...codes]
  expect(secrets).toHaveLength(7)
  for (const secret of secrets) {
    expect(told).not.toContain(secret)
    expect(disk).not.toContain(secret)
  }
  expect(told).not.toContain(NONCE)
})
