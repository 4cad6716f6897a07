/** Tenants of one process and one database, through HTTP: what is each one's own, and what they share. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readJson, type SignedInClient } from '../../demo/sign-in.ts'
import type { Principal } from '../../src/middleware/guard.ts'
import { callTool } from '../kit/plane.ts'
import { browser, HOUSES, type HouseName, startTenants, type TenantHouses } from '../kit/tenants.ts'

let world: TenantHouses
const clients = {} as Record<HouseName, SignedInClient>
// One browser for all of them: cookies know nothing but the host.
const visitor = browser()

beforeAll(async () => {
  world = await startTenants()
  for (const house of HOUSES) clients[house] = await world.signIn(house, visitor)
}, 60_000)
afterAll(() => world.close())

const notesOf = (house: HouseName): string => `${world.issuer(house)}/mcp/notes`
const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >

describe('tenants', () => {
  it.each(HOUSES)(
    'AS-03: %s says one issuer everywhere, at its own well-known address',
    async (house) => {
      const issuer = world.issuer(house)
      const { origin, pathname } = new URL(issuer)
      const path = pathname.replace(/\/$/, '')
      const metadata = await readJson(`${origin}/.well-known/oauth-authorization-server${path}`)
      const resource = await readJson(
        `${origin}/.well-known/oauth-protected-resource${path}/mcp/notes`,
      )
      expect(metadata['issuer']).toBe(issuer)
      expect(resource['authorization_servers']).toEqual([issuer])
      expect(resource['resource']).toBe(notesOf(house))
      expect(claimsOf(clients[house].accessToken)).toMatchObject({
        iss: issuer,
        aud: notesOf(house),
      })
      for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri'])
        expect(String(metadata[name])).toMatch(new RegExp(`^${issuer}/(?!t/)`))
    },
  )

  it('I2: keys of tenants differ, and nobody verifies with those of another', async () => {
    const sets = await Promise.all(
      HOUSES.map(async (house) => {
        const { origin, pathname } = new URL(world.issuer(house))
        const path = pathname.replace(/\/$/, '')
        const { jwks_uri: url } = await readJson(
          `${origin}/.well-known/oauth-authorization-server${path}`,
        )
        return JSON.stringify(await readJson(String(url)))
      }),
    )
    expect(new Set(sets).size).toBe(3)
  })

  it('O5: the same person at the same provider is another user in each', () => {
    const users = HOUSES.map((house) => claimsOf(clients[house].accessToken)['sub'])
    expect(new Set(users).size).toBe(3)
  })

  it('O5: each token calls its own connector, and the other two refuse it', async () => {
    for (const house of HOUSES) {
      for (const at of HOUSES) {
        const { status } = await callTool(notesOf(at), clients[house].accessToken)
        expect(status, `${house} at ${at}`).toBe(house === at ? 200 : 401)
      }
    }
  })

  it('O5: one browser keeps a session with each, and signing out of one leaves the others', async () => {
    const cookies = visitor.cookiesFor(new URL(world.origin))
    for (const name of ['postern_session', 'postern_session-acme', 'postern_session-other'])
      expect(cookies).toMatch(new RegExp(`(^|; )${name}=`))
    const sessions = [...cookies.matchAll(/postern_session[^=]*=([^;]+)/g)].map(
      ([, value]) => value,
    )
    expect(new Set(sessions).size).toBe(3)
    const shared = browser()
    for (const house of ['acme', 'other'] as const) await world.signIn(house, shared)
    const page = await shared.read(new URL(`${world.issuer('acme')}/account`), {
      press: [/^sign out/i],
    })
    expect(page.status).toBe(200)
    const left = shared.cookiesFor(new URL(world.origin))
    expect(left).not.toMatch(/postern_session-acme=/)
    expect(left).toMatch(/postern_session-other=/)
    const other = await shared.read(new URL(`${world.issuer('other')}/account`), { press: [] })
    expect(other.text).toMatch(/ada/i)
  })

  it('A19: an unknown host gets 421 whatever the path, an unknown tenant 404 with nothing learned', async () => {
    const ask = (url: string, init?: RequestInit) => world.postern.fetch(new Request(url, init))
    for (const path of ['/', '/token', '/t/acme/token', '/t/nobody/token']) {
      const answer = await ask(`https://evil.example${path}`, { method: 'POST' })
      expect([answer.status, await answer.json()]).toEqual([
        421,
        {
          error: 'invalid_request',
          error_description: 'this server does not answer for this host',
        },
      ])
    }
    for (const path of [
      '/t',
      '/t/',
      '/t/nobody',
      '/t/nobody/token',
      '/t/nobody/mcp/notes',
      '/t/ACME/token',
    ])
      expect((await fetch(world.origin + path)).status, path).toBe(404)
    const nobody = await fetch(`${world.origin}/.well-known/oauth-authorization-server/t/nobody`)
    expect(nobody.status).toBe(404)
    // Neither of them made a house of it.
    expect(Object.keys(world.rows()).sort()).toEqual(['acme', 'default', 'other'])
  })

  it('A19: what a request says of its tenant in header, query or body changes nothing', async () => {
    const answer = await fetch(`${notesOf('other')}?tenant=acme`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${clients.acme.accessToken}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'x-tenant': 'acme',
        'x-forwarded-host': 'acme.example',
        'x-original-url': '/t/acme/mcp/notes',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { tenant: 'acme' } }),
    })
    expect(answer.status).toBe(401)
  })

  it('M1: events carry the real name of the tenant, and none of another', () => {
    const told = world.platform.events.filter(({ type }) => type === 'signin.completed')
    expect(new Set(told.map(({ tenant }) => tenant))).toEqual(new Set(HOUSES))
    for (const house of ['acme', 'other'] as const) {
      const sub = String(claimsOf(clients[house].accessToken)['sub'])
      const mine = world.platform.events.filter((event) => JSON.stringify(event).includes(sub))
      expect(mine.length).toBeGreaterThan(0)
      expect(new Set(mine.map(({ tenant }) => tenant))).toEqual(new Set([house]))
    }
  })

  it('M1: authenticate and getToken know the tenant by resource and principal', async () => {
    const { postern } = world
    expect(() => postern.tenant('nobody')).toThrow(/there is no tenant nobody/)
    const principal = { userId: 'usr_x', tenant: 'acme' } as Principal
    await expect(postern.tenant('other').getToken(principal, 'files')).rejects.toThrow(
      /not of the tenant other/,
    )
    await expect(postern.getToken({ ...principal, tenant: 'nobody' }, 'files')).rejects.toThrow(
      /there is no tenant nobody/,
    )
    expect(postern.handles(`${world.issuer('acme')}/token`)).toBe(true)
    expect(postern.handles(`${world.origin}/t/nobody/token`)).toBe(false)
  })

  it('I5: what a node revokes in one tenant, another node refuses there and nowhere else', async () => {
    const { postern: second } = world.secondNode()
    await second.ready()
    const ask = (house: HouseName, token: string) =>
      second.fetch(
        new Request(notesOf(house), {
          method: 'POST',
          headers: {
            authorization: `Bearer ${token}`,
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
          },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
        }),
      )
    const acme = await world.signIn('acme')
    expect((await ask('acme', acme.accessToken)).status).toBe(200)
    expect((await ask('other', clients.other.accessToken)).status).toBe(200)
    await fetch(`${world.issuer('acme')}/revoke`, {
      method: 'POST',
      body: new URLSearchParams({ token: acme.refreshToken ?? '', client_id: acme.clientId }),
    })
    await expect
      .poll(async () => (await ask('acme', acme.accessToken)).status, { timeout: 10_000 })
      .toBe(401)
    expect((await ask('other', clients.other.accessToken)).status).toBe(200)
    expect((await ask('default', clients.default.accessToken)).status).toBe(200)
  })

  it('I5: a restart keeps each tenant what it has', async () => {
    await world.restart()
    for (const house of HOUSES)
      expect((await callTool(notesOf(house), clients[house].accessToken)).status).toBe(200)
    expect((await callTool(notesOf('acme'), clients.other.accessToken)).status).toBe(401)
  })
})

describe('a tenant whose server hangs', () => {
  it('D6: gets 503 beyond its share, over sockets, while the others are served as before', async () => {
    const hanging = createServer(() => undefined)
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
    const { port } = hanging.address() as AddressInfo
    const noisy = await startTenants({
      limits: { tenantRequestsMax: 3 },
      notesUrl: { acme: `http://127.0.0.1:${port}/mcp` },
    })
    try {
      const [acme, other] = await Promise.all([noisy.signIn('acme'), noisy.signIn('other')])
      const at = (house: HouseName) => `${noisy.issuer(house)}/mcp/notes`
      const stuck = Array.from({ length: 3 }, () => callTool(at('acme'), acme.accessToken))
      const connected = () =>
        new Promise<number>((resolve) => hanging.getConnections((_, count) => resolve(count)))
      await expect.poll(connected).toBe(3)
      const refused = await callTool(at('acme'), acme.accessToken)
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
      const page = await fetch(`${noisy.issuer('acme')}/account`)
      expect(page.status).toBe(503)
      for (let call = 0; call < 10; call += 1)
        expect((await callTool(at('other'), other.accessToken)).status).toBe(200)
      expect((await fetch(`${noisy.origin}/account`)).status).toBe(200)
      hanging.closeAllConnections()
      const ended = await Promise.all(stuck)
      expect(ended.map(({ status }) => status)).toEqual([502, 502, 502])
      await expect
        .poll(async () => (await fetch(`${noisy.issuer('acme')}/account`)).status)
        .toBe(200)
    } finally {
      hanging.closeAllConnections()
      hanging.close()
      await noisy.close()
    }
  }, 60_000)

  it('T5: a call of a tenant that is under way at the end is answered first', async () => {
    let answer = (): void => {}
    const slow = createServer((_, response) => {
      answer = () =>
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end('{"jsonrpc":"2.0","id":1,"result":{}}')
    })
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
    const { port } = slow.address() as AddressInfo
    const closing = await startTenants({ notesUrl: { acme: `http://127.0.0.1:${port}/mcp` } })
    const acme = await closing.signIn('acme')
    const call = callTool(`${closing.issuer('acme')}/mcp/notes`, acme.accessToken)
    await new Promise<void>((resolve) => slow.once('request', () => resolve()))
    const closed = closing.close()
    answer()
    expect((await call).status).toBe(200)
    await closed
    slow.close()
  }, 60_000)
})
