/** Every route of the REST API, asked by every role, by nobody, by an ended key and by restricted ones. */
import { describe, expect, it } from 'vitest'
import { endApiKey, KEY_REMEMBERED_MS } from '../../src/api/keys.ts'
import { type ApiHouse, type ApiRoute, ROLES } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { type ApiHouseKit, openApiHouse } from '../kit/api-house.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const ROUTES = apiRoutes({} as ApiHouse)
const HOUR_MS = 3_600_000
const APPS = {
  apps: {
    dashboard: { origins: ['https://app.example.com'], returnUrls: ['https://app.example.com/x'] },
    other: { origins: ['https://other.example.com'], returnUrls: ['https://other.example.com/x'] },
  },
}

/** No id is one of the house, and no body is whole: nothing is changed by whoever may. */
const pathOf = ({ path }: ApiRoute): string => path.replace(/\{\w+\}/g, 'nobody-of-ours')
const ask = (house: ApiHouseKit, route: ApiRoute, key: string) =>
  house.ask(route.method, pathOf(route), { key, ...(route.body === undefined ? {} : { body: {} }) })
const codeOf = ({ body }: { readonly body: unknown }) =>
  (body as { code?: string } | undefined)?.code

describe('route x role', () => {
  it('O6, M1: a role does what the table says it may, and nothing else', async () => {
    const house = await openApiHouse()
    const wrong: string[] = []
    for (const route of ROUTES) {
      for (const role of ROLES) {
        const reply = await ask(house, route, house.keys[role])
        const isRefused = reply.status === 403 && codeOf(reply) === 'ERR_API_ROLE'
        const mayAsk = route.roles.length === 0 || route.roles.includes(role)
        if (isRefused === mayAsk || reply.status === 401 || reply.status >= 500)
          wrong.push(`${role} ${route.method} ${route.path}: ${reply.status}`)
        if (isRefused)
          for (const named of route.roles) expect(reply.text).toContain(`\\"${named}\\"`)
      }
    }
    expect(wrong).toEqual([])
    expect(ROUTES.length).toBeGreaterThan(20)
  }, 60_000)

  it('M1: without a key, with an ended key or with a token of ours every route but the document is 401', async () => {
    const runtime = createTestRuntime({ startMs: Date.now() })
    const house = await openApiHouse({ runtime })
    const { secret, id } = await house.makeKey({ role: 'manage' })
    const config = parseConfig(house.config, { environment: {} })
    await endApiKey({ store: house.store, runtime: house.platform.runtime, config }, id, 'test')
    const accessToken = `${btoa('{"alg":"ES256","typ":"at+jwt"}')}.${btoa('{"sub":"usr_1"}')}.AA`
    for (const route of ROUTES) {
      // Who tries many is told to wait, for a minute.
      runtime.advanceMs(60_000)
      for (const key of ['', secret, accessToken]) {
        const { status } = await ask(house, route, key)
        expect(status, `${route.method} ${route.path}`).toBe(route.roles.length === 0 ? 200 : 401)
        // Foreign ids in body and query make no difference.
        const foreign = await house.ask(route.method, `${pathOf(route)}?user=ada&userId=ada`, {
          key,
        })
        if (route.roles.length > 0) expect(foreign.status).toBe(401)
      }
    }
  }, 60_000)

  it('a key that is ended on another node is refused here within 5 s', async () => {
    const runtime = createTestRuntime({ startMs: Date.now() })
    const house = await openApiHouse({ runtime })
    const { secret, id } = await house.makeKey({ role: 'read' })
    const status = async () => (await house.ask('GET', '/connections', { key: secret })).status
    expect(await status()).toBe(200)
    // Another node, or a command: nobody here is told.
    await house.store.remove('apiKey', { tenant: 'default', id })
    runtime.advanceMs(KEY_REMEMBERED_MS - 1)
    expect(await status()).toBe(200)
    runtime.advanceMs(1)
    expect(await status()).toBe(401)
  })
})

describe('restricted keys', () => {
  it('O6: a key of one app sees and makes only what is its, and foreign ids are not there', async () => {
    const house = await openApiHouse({ config: APPS })
    await house.link('ada', HOUR_MS, 'dashboard')
    await house.link('ada', HOUR_MS, 'other')
    const all = await house.ask('GET', '/connections')
    const rows = (all.body as { data: { id: string; app: string }[] }).data
    expect(rows.map(({ app }) => app).sort()).toEqual(['dashboard', 'other'])
    const foreign = rows.find(({ app }) => app === 'other')?.id ?? ''
    const { secret: key } = await house.makeKey({ role: 'connect', app: 'dashboard' })
    const own = await house.ask('GET', '/connections', { key })
    expect(own.body).toMatchObject({ data: [{ app: 'dashboard', user: 'ada' }] })
    expect((own.body as { data: unknown[] }).data).toHaveLength(1)
    expect(await house.ask('GET', '/connections?user=ada', { key })).toMatchObject({
      body: { data: [{ app: 'dashboard' }] },
    })
    for (const reply of [
      await house.ask('GET', `/connections/${foreign}`, { key }),
      await house.ask('DELETE', `/connections/${foreign}`, { key }),
    ])
      expect(reply).toMatchObject({ status: 404, body: { code: 'ERR_API_NOT_FOUND' } })
    expect(await house.ask('GET', '/connections?app=other', { key })).toMatchObject({ status: 403 })
    const session = { app: 'other', user: 'ada', origin: 'https://other.example.com' }
    expect(await house.ask('POST', '/connect-sessions', { key, body: session })).toMatchObject({
      status: 403,
      body: { code: 'ERR_API_APP', param: 'app' },
    })
    expect(await house.ask('GET', `/connections/${foreign}`)).toMatchObject({
      body: { state: 'active' },
    })
  })

  it('O6: a tokens key gives out tokens of its own app only', async () => {
    const house = await openApiHouse({ config: APPS })
    await house.link('ada', HOUR_MS, 'dashboard')
    await house.link('ada', HOUR_MS, 'other')
    const own = await house.makeKey({ role: 'tokens', app: 'dashboard' })
    const body = { user: 'ada', connector: 'notes' }
    const given = await house.ask('POST', '/tokens', { key: own.secret, body })
    expect(given).toMatchObject({ status: 200, body: { tokenType: 'Bearer' } })
    for (const [key, app] of [
      [own.secret, 'other'],
      [house.keys.tokens, 'dashboard'],
      [house.keys.tokens, 'other'],
    ] as const)
      expect(await house.ask('POST', '/tokens', { key, body: { ...body, app } })).toMatchObject({
        status: 403,
        body: { code: 'ERR_API_APP' },
      })
    expect(await house.ask('POST', '/tokens', { key: house.keys.tokens, body })).toMatchObject({
      status: 422,
      body: { code: 'ERR_APP_UNKNOWN' },
    })
    const people = { user: 'usr_00000000000000000000000000', connector: 'notes' }
    expect(await house.ask('POST', '/tokens', { key: own.secret, body: people })).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONNECTION_NEEDED' },
    })
  })

  it('O6: a key of some connectors sees and changes only those', async () => {
    const house = await openApiHouse({
      config: { connectors: { plain: { url: 'http://127.0.0.1:9/plain' } } },
    })
    await house.link('ada', HOUR_MS)
    const manage = await house.makeKey({ role: 'manage', connectors: ['plain'] })
    const key = manage.secret
    expect((await house.ask('GET', '/connectors', { key })).body).toMatchObject({
      data: [{ name: 'plain' }],
    })
    expect((await house.ask('GET', '/connections', { key })).body).toEqual({ data: [] })
    expect(await house.ask('GET', '/connections?connector=notes', { key })).toMatchObject({
      status: 403,
    })
    for (const [method, path] of [
      ['GET', '/connectors/notes'],
      ['PATCH', '/connectors/notes'],
      ['DELETE', '/connectors/notes'],
      ['POST', '/connectors/notes/discover'],
    ] as const)
      expect(
        await house.ask(method, path, { key, ...(method === 'PATCH' ? { body: {} } : {}) }),
      ).toMatchObject({ status: 404 })
    const { secret } = await house.makeKey({ role: 'tokens', connectors: ['plain'] })
    const body = { user: 'ada', connector: 'notes' }
    expect(await house.ask('POST', '/tokens', { key: secret, body })).toMatchObject({ status: 403 })
  })
})
