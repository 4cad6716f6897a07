/** Attacks on the REST API by people who have a key, or had one: over HTTP, and where time decides. */
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import { judge } from '../../src/api/fields.ts'
import { createApiKey, createApiKeys, endApiKey, type NewApiKey } from '../../src/api/keys.ts'
import type { ApiHouse } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { createId, key } from '../../src/issuer/ids.ts'
import type { Store } from '../../src/ports.ts'
import { askApi, openApiHouse } from '../kit/api-house.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import {
  allow,
  Browser,
  type EmbeddedHouse,
  ISSUER,
  openEmbedded,
  press,
  SHOP_RETURN,
} from './embedded-house.ts'

const HOUR_MS = 3_600_000
const CONFIG = parseConfig({ issuer: 'http://127.0.0.1:8080' }, { environment: {} })
const OPEN = { auth: 'none', url: 'https://notes.example/mcp' }

async function keyOf({ node, folder }: EmbeddedHouse, input: NewApiKey): Promise<string> {
  const { store } = await node.platform.openStore(`sqlite:${join(folder, 'postern.db')}`)
  const house = { store, runtime: node.platform.runtime, config: CONFIG }
  const { secret } = await createApiKey(house, input, 'test')
  await store.close()
  return secret
}

describe('a key of some connectors', () => {
  it('O6 O1: confirms no connection of another one, and does not use the word up', async () => {
    const house = await openEmbedded()
    const { node } = house
    const asked = { app: 'shop', user: 'ada', connector: 'notes', returnUrl: SHOP_RETURN }
    const { url } = await node.postern.connections.start(asked)
    const browser = new Browser()
    const back = await browser.get(node, await allow(await press(node, browser, url)))
    const end = new URLSearchParams(new URL(back.headers.get('location') ?? '').hash.slice(1))
    const body = { app: 'shop', user: 'ada', confirmation: end.get('postern-confirmation') }
    const confirm = async (connectors: readonly string[]) => {
      const secret = await keyOf(house, { role: 'connect', connectors })
      const request = new Request(`${ISSUER}/api/v1/connections/${end.get('attempt')}/confirm`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      const answer = await node.postern.fetch(request)
      return { status: answer.status, body: await answer.json() }
    }
    expect(await confirm(['finance'])).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONFIRMATION' },
    })
    expect(await confirm(['notes'])).toMatchObject({ status: 200, body: { state: 'active' } })
  })

  it('O6: is not told by whom a path is taken', async () => {
    const house = await openApiHouse()
    const hidden = { body: { ...OPEN, path: '/hidden/place' } }
    expect((await house.ask('PUT', '/connectors/unseen', hidden)).status).toBe(201)
    const { secret } = await house.makeKey({ role: 'manage', connectors: ['mine'] })
    for (const where of [{ path: '/hidden/place' }, { routes: { protected: ['/hidden/*'] } }]) {
      const body = { ...OPEN, ...where }
      const reply = await house.ask('PUT', '/connectors/mine', { key: secret, body })
      expect(reply).toMatchObject({ status: 422, body: { code: 'ERR_API_FIELDS' } })
      expect(reply.text).not.toContain('unseen')
      // The operator is told.
      expect((await house.ask('PUT', '/connectors/mine', { body })).text).toContain('unseen')
    }
  })
})

describe('a key that was ended', () => {
  it('I5 M2: makes no other key in the seconds for which another node remembers it', async () => {
    const house = await openApiHouse()
    const { id, secret } = await house.makeKey({ role: 'manage' })
    expect((await house.ask('GET', '/keys', { key: secret })).status).toBe(200)
    const before = await house.store.count('apiKey', 'default')
    // Another node, or a command: this one is not told.
    await house.store.remove('apiKey', { tenant: 'default', id })
    const body = { role: 'manage' }
    expect(await house.ask('POST', '/api-keys', { key: secret, body })).toMatchObject({
      status: 401,
      body: { code: 'ERR_API_KEY' },
    })
    expect(await house.store.count('apiKey', 'default')).toBe(before - 1)
  })

  it('I5 M2: makes none when it is ended between the question and the commit', async () => {
    const { house, slow } = openKeys()
    const maker = await createApiKey(house, { role: 'manage' }, 'test')
    const row = await house.store.get('apiKey', key(maker.id))
    slow.removeBeforeCommit = maker.id
    await expect(createApiKey(house, { role: 'manage' }, maker.id, row)).rejects.toThrow(
      expect.objectContaining({ certainty: 'not-applied' }),
    )
    expect(await house.store.count('apiKey', 'default')).toBe(0)
  })

  it('I5: is not remembered by who was reading it when it ended', async () => {
    const { house, slow } = openKeys()
    const keys = createApiKeys(house)
    const { id, secret } = await createApiKey(house, { role: 'read' }, 'test')
    let release = (): void => undefined
    slow.gate = new Promise((resolve) => {
      release = resolve
    })
    const reading = keys.authenticate(`Bearer ${secret}`)
    slow.gate = undefined
    expect(await endApiKey(house, id, 'test')).toBe('ended')
    keys.forget(id)
    release()
    await reading
    expect(await keys.authenticate(`Bearer ${secret}`)).toBeUndefined()
  })
})

/** Keys on a store whose answers can be held back. */
function openKeys() {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const plain = createMemoryStore()
  const slow: { gate: Promise<void> | undefined; removeBeforeCommit?: string } = { gate: undefined }
  const store: Store = {
    ...plain,
    async get(kind, at) {
      const { gate } = slow
      const row = await plain.get(kind, at)
      await gate
      return row
    },
    async commit(steps) {
      const { removeBeforeCommit: id } = slow
      if (id !== undefined) await plain.remove('apiKey', key(id))
      return plain.commit(steps)
    },
  }
  return { house: { store, runtime, config: CONFIG }, slow }
}

describe('what is sent', () => {
  it('D3: names are compared for as many unknown fields as are told, however many came', () => {
    const body = apiRoutes({} as ApiHouse).find(
      ({ operationId }) => operationId === 'connectors.put',
    )?.body
    if (body === undefined) throw new Error('the route has a body')
    const given = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`f${at}`, 1]))
    const compared = vi.spyOn(String.prototype, 'toLowerCase')
    try {
      expect(() => judge(body, given)).toThrow(expect.objectContaining({ status: 422 }))
      expect(compared.mock.calls.length).toBeLessThan(5_000)
    } finally {
      compared.mockRestore()
    }
  })
})

describe('an export of the audit', () => {
  it('M5: has no formula in a table whose cells end at ; or a tab, nor in wide letters', async () => {
    const house = await openApiHouse()
    const { runtime } = house.platform
    const details = [
      'https://evil.example/;=HYPERLINK("https://evil.example")',
      'x\t=1+1',
      '\uff1dSUM(1)',
    ]
    for (const detail of details)
      await house.store.create('audit', key(createId(runtime, 'evt')), {
        ...{ event: 'client.registered', atMs: 1, detail },
        expiresAtMs: Date.now() + HOUR_MS,
      })
    const { text } = await askApi(`${house.issuer}/api/v1/audit`, 'GET', {
      headers: { accept: 'text/csv' },
    })
    expect(text).toContain('"https://evil.example/;=HYPERLINK(""https://evil.example"")"')
    expect(text).toContain('"x\t=1+1"')
    expect(text).toContain(`"'\uff1dSUM(1)"`)
  })
})
