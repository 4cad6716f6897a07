/** A person connects an account inside another product: every step, and what it costs. */
import { describe, expect, it } from 'vitest'
import { openingOf } from '../../src/app.ts'
import { TENANT } from '../../src/records.ts'
import {
  allow,
  Browser,
  call,
  comeBack,
  confirm,
  type EmbeddedNode,
  ISSUER,
  NONCE,
  openEmbedded,
  press,
  readEnd,
  SHOP,
  SHOP_RETURN,
  session,
  start,
  toConfirmation,
} from './embedded-house.ts'
import { ticketOf } from './sign-in-house.ts'

const code = (error: unknown): unknown => (error as { code?: unknown }).code ?? error

describe('the element', () => {
  it('CLI-06 CLI-07 CLI-24: lists, starts, and confirms; only then is there a token', async () => {
    const { node, remote, settle } = await openEmbedded()
    const token = await session(node, 'ada', { returnUrl: SHOP_RETURN })
    const before = await call(node, 'GET', 'connections', { token })
    expect(before.status).toBe(200)
    expect(before.body).toMatchObject({
      app: 'shop',
      confirm: 'widget',
      data: [{ connector: 'notes', host: new URL(remote.url).host, state: 'none' }],
    })
    expect(before.body['data']).toHaveLength(1)
    const { url, attempt } = await start(node, token)
    const browser = new Browser()
    const page = await browser.get(node, url)
    const html = await page.text()
    for (const shown of ['shop', 'shop.example', remote.url, 'notes:read'])
      expect(html).toContain(shown)
    expect(html).not.toContain('ada')
    const away = await browser.post(node, '/widget/popup', {
      ticket: ticketOf(html),
      decision: 'connect',
    })
    expect(away.status).toBe(303)
    const asked = new URL(away.headers.get('location') ?? '').searchParams
    expect(asked.get('resource')).toBe(remote.url)
    expect(asked.get('code_challenge_method')).toBe('S256')
    const { page: end, said } = await comeBack(node, browser, await allow(away))
    expect(said).toEqual({
      type: 'postern:done',
      attempt,
      nonce: NONCE,
      origin: SHOP,
      'return-url': SHOP_RETURN,
      confirmation: expect.stringMatching(/^[\w-]{43}$/),
    })
    expect(end.status).toBe(200)
    const early = await node.postern.getToken('ada', 'notes', { app: 'shop' }).catch(code)
    expect(early).toBe('ERR_CONNECTION_NEEDED')
    const done = await confirm(node, token, said['confirmation'] ?? '')
    expect(done).toMatchObject({
      status: 200,
      body: { connector: 'notes', state: 'active', connectionId: attempt },
    })
    const { accessToken } = await node.postern.getToken('ada', 'notes', { app: 'shop' })
    expect(remote.isLive(accessToken)).toBe(true)
    const after = await call(node, 'GET', 'connections', { token })
    expect(after.body['data']).toMatchObject([{ state: 'active', connectionId: attempt }])
    await settle()
    const events = node.platform.events.filter(({ type }) => type === 'connection.confirmed')
    expect(events).toMatchObject([{ app: 'shop', connector: 'notes', connectionId: attempt }])
    const ended = await call(node, 'POST', 'disconnect', { token, body: { connector: 'notes' } })
    expect(ended.body).toEqual({ connector: 'notes', state: 'none', revocation: 'pending' })
    const again = await call(node, 'POST', 'disconnect', { token, body: { connector: 'notes' } })
    expect(again.body).toEqual({ connector: 'notes', state: 'none' })
    await expect.poll(() => remote.isLive(accessToken), { timeout: 5_000 }).toBe(false)
  })

  it('DSC-16: a click asks nobody, also when the server is dead, and writes nothing', async () => {
    const { node, remote } = await openEmbedded()
    const token = await session(node)
    remote.forget()
    for (const state of ['alive', 'dead'] as const) {
      if (state === 'dead') await remote.kill()
      const writes = node.writes()
      const { url } = await start(node, token)
      const browser = new Browser()
      const page = await browser.get(node, url)
      expect(page.status).toBe(200)
      expect(node.writes()).toBe(writes)
      const ticket = ticketOf(await page.text())
      const away = await browser.post(node, '/widget/popup', { ticket, decision: 'connect' })
      expect(new URL(away.headers.get('location') ?? '').origin).toBe(remote.origin)
      // The handle is taken, and that is all.
      expect(node.writes()).toBe(writes + 1)
    }
    expect(remote.total()).toBe(0)
  })

  it('W7: a press twice is one trip; a cancelled one goes nowhere', async () => {
    const { node, remote } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const browser = new Browser()
    const ticket = ticketOf(await (await browser.get(node, url)).text())
    const answers = await Promise.all(
      [1, 2, 3].map(() => browser.post(node, '/widget/popup', { ticket, decision: 'connect' })),
    )
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 303])
    const states = answers.map((answer) =>
      new URL(answer.headers.get('location') ?? '').searchParams.get('state'),
    )
    expect(new Set(states).size).toBe(1)
    const cancelled = await browser.post(node, '/widget/popup', { ticket, decision: 'cancel' })
    expect(cancelled.status).toBe(409)
    const other = new Browser()
    const theirs = ticketOf(await (await other.get(node, url)).text())
    const second = await other.post(node, '/widget/popup', { ticket: theirs, decision: 'connect' })
    expect(second.status).toBe(409)
    const again = await start(node, token)
    const no = await press(node, browser, again.url, 'cancel')
    const { said } = await readEnd(await browser.get(node, no.headers.get('location') ?? ''))
    expect(said).toMatchObject({ type: 'postern:failed', code: 'access_denied', nonce: NONCE })
    expect(said).not.toHaveProperty('confirmation')
    expect(remote.tokenCalls).toHaveLength(0)
  })

  it('AZ-23: what the server says instead of a code is told as a word, without a confirmation', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    for (const [error, word] of [
      ['access_denied', 'access_denied'],
      ['server_error', 'server_server_error'],
      ['<script>alert(1)</script>', 'server_error'],
    ] as const) {
      const browser = new Browser()
      const { url } = await start(node, token)
      const callback = await allow(await press(node, browser, url))
      callback.searchParams.delete('code')
      callback.searchParams.set('error', error)
      const { said } = await comeBack(node, browser, callback)
      expect(said).toMatchObject({ type: 'postern:failed', code: word })
    }
    const rows = await pending(node)
    expect(rows).toBe(0)
  })
})

async function pending(node: EmbeddedNode): Promise<number> {
  const { platform, config } = openingOf(node.postern) ?? {}
  const store = await platform?.openStore(config?.databaseUrl ?? '')
  const count = (await store?.store.count('connecting', TENANT)) ?? -1
  await store?.store.close()
  return count
}

describe('what lasts how long', () => {
  it('a handle 60 seconds, a session 15 minutes, a confirmation 5', async () => {
    const { node, remote, elapse } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    await elapse(60_001)
    expect((await new Browser().get(node, url)).status).toBe(400)
    const { confirmation } = await toConfirmation(node, token)
    await elapse(300_001)
    const late = await confirm(node, token, confirmation)
    expect(late).toMatchObject({ status: 409, body: { code: 'ERR_CONFIRMATION' } })
    await expect.poll(() => remote.tokensOf('ada').length, { timeout: 5_000 }).toBe(0)
    expect(await pending(node)).toBe(0)
    await elapse(540_000)
    const ended = await call(node, 'GET', 'connections', { token })
    expect(ended).toMatchObject({ status: 401, body: { code: 'ERR_CONNECT_SESSION' } })
    expect(ended.headers.get('access-control-allow-origin')).toBe(SHOP)
  })

  it('O15: a node that starts later gives back what nobody confirmed', async () => {
    const { node, remote, addNode, elapse } = await openEmbedded()
    const token = await session(node)
    await toConfirmation(node, token)
    expect(remote.tokensOf('ada')).toHaveLength(1)
    await node.postern.close()
    await elapse(400_000)
    expect(remote.tokensOf('ada')).toHaveLength(1)
    await addNode()
    await elapse(1)
    await expect.poll(() => remote.tokensOf('ada').length, { timeout: 5_000 }).toBe(0)
  })

  it('two nodes, and a restart in between: any node goes on with the trip of another', async () => {
    const { node, addNode } = await openEmbedded()
    const other = await addNode()
    const token = await session(node)
    const { url, attempt } = await start(other, token)
    const browser = new Browser()
    const away = await press(node, browser, url)
    await node.postern.close()
    const third = await addNode()
    const { said } = await comeBack(third, browser, await allow(away))
    const done = await confirm(other, token, said['confirmation'] ?? '')
    expect(done.body).toMatchObject({ state: 'active', connectionId: attempt })
    expect((await third.postern.getToken('ada', 'notes', { app: 'shop' })).connectionId).toBe(
      attempt,
    )
  })

  it('I3: of confirmations at once on two nodes one wins', async () => {
    const { node, addNode } = await openEmbedded()
    const other = await addNode()
    const token = await session(node)
    const { confirmation } = await toConfirmation(node, token)
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        confirm(index % 2 === 0 ? node : other, token, confirmation),
      ),
    )
    const statuses = answers.map(({ status }) => status).toSorted()
    expect(statuses).toEqual([200, ...Array.from({ length: 9 }, () => 409)])
  })
})

describe('pages', () => {
  it('CLI-24 W1 W6: name one script of ours, are framed by nobody, cut no opener, and leak no address', async () => {
    const { node } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const browser = new Browser()
    const page = await browser.get(node, url)
    const ticket = ticketOf(await page.clone().text())
    const away = await browser.post(node, '/widget/popup', { ticket, decision: 'connect' })
    const callback = await allow(away)
    const back = await browser.get(node, callback)
    expect(back.status).toBe(303)
    const location = back.headers.get('location') ?? ''
    // The code and the state leave the address at once, and the confirmation never is in one.
    expect(location).toMatch(/^\/widget\/done\?at=[\w-]{43}$/)
    const end = await browser.get(node, location)
    const { said } = await readEnd(end)
    expect(location).not.toContain(said['confirmation'])
    for (const shown of [page, back, end]) {
      const policy = shown.headers.get('content-security-policy') ?? ''
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toContain('unsafe')
      expect(shown.headers.get('x-frame-options')).toBe('DENY')
      expect(shown.headers.get('referrer-policy')).toBe('no-referrer')
      expect(shown.headers.get('cache-control')).toBe('no-store')
      expect(shown.headers.get('cross-origin-opener-policy') ?? 'unsafe-none').toBe('unsafe-none')
    }
    expect(page.headers.get('cross-origin-opener-policy')).toBe('unsafe-none')
    expect(page.headers.get('content-security-policy')).toContain("script-src 'none'")
    expect(end.headers.get('content-security-policy')).toContain(
      `script-src ${ISSUER}/widget/done.js;`,
    )
    const html = await end.text()
    expect(html.match(/<script/g)).toHaveLength(1)
    expect(html).toContain(`<script src="/widget/done.js" `)
    // Another browser with the same address finds nothing.
    const elsewhere = await new Browser().get(node, location)
    expect(elsewhere.status).toBe(400)
    expect(await elsewhere.text()).not.toContain(said['confirmation'])
    const script = await browser.get(node, '/widget/done.js')
    expect(script.headers.get('content-type')).toMatch(/^text\/javascript/)
  })

  it('O5: a place that was taken out of the configuration is none any more, whatever was started', async () => {
    const { node, addNode } = await openEmbedded()
    const token = await session(node)
    const { url } = await start(node, token)
    const browser = new Browser()
    const away = await press(node, browser, url)
    const callback = await allow(away)
    const changed = await addNode({ shop: { origins: ['https://new.example'] } })
    expect((await new Browser().get(changed, url)).status).toBe(400)
    expect((await call(changed, 'GET', 'connections', { token })).status).toBe(401)
    const { said } = await comeBack(changed, browser, callback)
    expect(said).toMatchObject({ type: 'postern:failed', code: 'connector_not_open' })
  })
})
