/**
 * Three houses of one Worker, the outer one and two tenants, on one D1: each has its people, its tokens
 * and its linked accounts, and one cron trigger does what is due in all of them.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { refresh, type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { toolCallRequest } from '../flow/protect-house.ts'
import { createPerson } from '../kit/connect.ts'
import { callTool } from '../kit/plane.ts'
import { freePort } from '../kit/postern.ts'
import { createProduct, type Product } from '../kit/product.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const HOUSES = ['default', 'acme', 'other'] as const
type House = (typeof HOUSES)[number]
const CLIENT = { clientId: 'postern', clientSecret: 'secret-of-the-tenants' }
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const KEYS = { default: randomKey(), acme: randomKey(), other: randomKey() }
const SHOP = 'https://shop.example'

let provider: OpenIdDouble
let notes: NotesServer
let remote: RemoteServer
let worker: RunningWorker
let origin: string
const issuerOf = (house: House): string => (house === 'default' ? origin : `${origin}/t/${house}`)
beforeAll(async () => {
  const port = await freePort()
  origin = `http://127.0.0.1:${port}`
  const redirectUris = HOUSES.map((house) => `${issuerOf(house)}/callback/oidc`)
  provider = await startOpenIdDouble({ clients: [{ ...CLIENT, redirectUris }] })
  ;[notes, remote] = await Promise.all([startNotesServer(), startRemoteServer()])
  const own = (house: House) => ({
    providers: [{ type: 'oidc', issuer: provider.issuer, ...CLIENT }],
    allow: 'anyone',
    adminApiKey: KEYS[house],
    connectors: { notes: { url: notes.url }, linked: { url: remote.url, auth: 'oauth' } },
    apps: { shop: { origins: [SHOP], returnUrls: [`${SHOP}/done`] } },
  })
  const config = {
    issuer: origin,
    sealingKey: randomKey(),
    log: { level: 'warn' },
    limits: { registrationsPerMinuteMax: 1_000, refusalsPerSecondMax: 1_000_000 },
    ...own('default'),
    tenants: { acme: own('acme'), other: own('other') },
  }
  worker = await startWorker({
    entry: new URL('../engines/house.worker.ts', import.meta.url),
    ...{ origin, port, isolates: 2 },
    bindings: { TEST_CONFIG: JSON.stringify(config) },
    options: {
      d1Databases: { POSTERN_DB: 'postern' },
      kvNamespaces: { POSTERN_KV: 'postern' },
      durableObjects: { POSTERN_LOCK: 'PosternLock' },
    },
  })
}, 60_000)
afterAll(async () => {
  await worker?.dispose()
  await Promise.all([provider?.close(), notes?.close(), remote?.close()])
})

function randomKey(): string {
  return randomBytes(32).toString('base64url')
}

const signIn = (house: House): Promise<SignedInClient> =>
  signInAsClient({
    resource: `${issuerOf(house)}/mcp/notes`,
    redirectUri: REDIRECT_URI,
    visitor: createPerson(),
  })
const call = async (house: House, { accessToken }: SignedInClient): Promise<number> =>
  (await callTool(`${issuerOf(house)}/mcp/notes`, accessToken)).status
const productOf = (house: House): Product =>
  createProduct({
    ...{ issuer: issuerOf(house), send: fetch, adminKey: KEYS[house], app: 'shop' },
    ...{ origin: SHOP, returnUrl: `${SHOP}/done` },
  })
const refreshes = (): number =>
  remote.tokenCalls.filter(([grantType]) => grantType === 'refresh_token').length

describe('tenants in workerd', { timeout: 60_000 }, () => {
  it('I2, O5: each signs people in and serves them; a token, key or refresh of one is nothing at another', async () => {
    const clients = { default: undefined, acme: undefined, other: undefined } as Record<
      House,
      SignedInClient | undefined
    >
    for (const house of HOUSES) clients[house] = await signIn(house)
    for (const house of HOUSES) {
      for (const [owner, client] of Object.entries(clients)) {
        if (client === undefined) throw new Error('nobody signed in')
        expect([house, owner, await call(house, client)]).toEqual([
          ...[house, owner],
          house === owner ? 200 : 401,
        ])
        const tokenEndpoint = `${issuerOf(house)}/token`
        if (house !== owner) await expect(refresh({ ...client, tokenEndpoint })).rejects.toThrow()
      }
      for (const other of HOUSES) {
        const answer = await productOf(house).api('GET', '/users', undefined, KEYS[other])
        expect([house, other, answer.status]).toEqual([house, other, house === other ? 200 : 401])
      }
    }
    // What was tried elsewhere has ended nothing.
    for (const house of HOUSES) {
      const client = clients[house]
      expect(client && (await call(house, await refresh(client)))).toBe(200)
    }
  })

  it('VAL-13: one cron trigger refreshes what is in use at each tenant', async () => {
    const before = refreshes()
    const tenants = ['acme', 'other'] as const
    for (const house of tenants) {
      const product = productOf(house)
      const { id } = await product.connect('ada', 'linked')
      const key = await product.tokensKey()
      const asked = { user: 'ada', connector: 'linked' }
      const taken = await product.api('POST', '/tokens', asked, key)
      expect([taken.status, taken.body['connectionId']]).toEqual([200, id])
      const strange = await productOf('default').api('POST', '/tokens', asked, key)
      expect(strange.status).toBe(401)
    }
    await worker.runSql('POSTERN_DB', [
      `UPDATE records SET data = json_set(data, '$.createdAtMs', 1) WHERE kind = 'vault'`,
      `UPDATE records SET id = printf('%015d', 1) || substr(id, 16) WHERE kind = 'renewal'`,
    ])
    expect(await worker.runScheduled()).toMatchObject({ outcome: 'ok' })
    expect(refreshes() - before).toBe(tenants.length)
    for (const house of tenants) {
      const { body } = await productOf(house).api('GET', '/connections')
      expect(body['data']).toMatchObject([{ user: 'ada', refreshedAt: expect.any(String) }])
    }
    const { body } = await productOf('default').api('GET', '/connections')
    expect(body['data']).toEqual([])
  })

  it('REV-08: everything of one tenant is revoked, for the other isolate as well, and nothing of another', async () => {
    const [acme, other] = [await signIn('acme'), await signIn('other')]
    const elsewhere = async (): Promise<number> => {
      const asked = toolCallRequest('list_notes', acme.accessToken)
      return (await worker.fetchAt(1, '/t/acme/mcp/notes', asked)).status
    }
    expect(await elsewhere()).toBe(200)
    const asked = await productOf('acme').api('POST', '/revocations', { tenant: 'acme' })
    expect(asked.status, JSON.stringify(asked.body)).toBe(202)
    expect(await call('acme', acme)).toBe(401)
    expect(await call('other', other)).toBe(200)
    await expect.poll(elsewhere, { timeout: 10_000 }).toBe(401)
  })
})
