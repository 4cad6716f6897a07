/**
 * A provider that gives a refresh token once: what is stored outlives the next sign-in, and the
 * provider is asked for a new one only when none is stored. Google's adapter over its recorded shapes.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import { TENANT } from '../../src/records.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import { GOOGLE, productHouse } from '../contract/openid-products.ts'
import {
  authorizeUrl,
  createTestIssuer,
  ISSUER,
  locationOf,
  register,
  type TestHouse,
  Visitor,
} from './sign-in-house.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** @param gives Does the provider's next answer carry a refresh token? */
async function startHouse(gives: { next: boolean }) {
  const google = await productHouse(GOOGLE, { shape: { givesRefreshToken: () => gives.next } })
  closing.push(google.close)
  const { runtime } = google
  const store = createMemoryStore()
  const sealing = createSealing([runtime.randomBytes(32)], runtime)
  const vault = createVault({ store, sealing, runtime })
  const context = { ...google.context, redirectUri: `${ISSUER}/callback/it` }
  const house = createTestIssuer({
    runtime,
    store,
    deps: { vault, providers: [{ provider: google.provider, context }] },
  })
  const { client_id: clientId } = await register(house)
  return { google, house, store, vault, clientId }
}

/** Through the page and Google's own; answers the address at Google that the browser was sent to. */
async function signIn(
  { google, house, clientId }: Awaited<ReturnType<typeof startHouse>>,
  visitor: Visitor,
): Promise<URL> {
  const page = await visitor.get(authorizeUrl(house, clientId, { prompt: 'login' }))
  const away = new URL(locationOf(await visitor.press(page, 'allow:google')))
  const back = await visitor.get(await google.double.playSignIn(away, 'ada'), {
    'sec-fetch-site': 'cross-site',
  })
  expect(new URL(locationOf(back)).searchParams.get('code')).not.toBeNull()
  return away
}

async function refreshTokens({ store, vault }: Awaited<ReturnType<typeof startHouse>>) {
  const rows = await store.list('vault', TENANT, undefined, { max: 10 })
  const entries = await Promise.all(rows.map(({ key }) => vault.find(key.id)))
  return entries.map((entry) => entry?.tokens.refreshToken)
}

describe('a sign-in whose answer has no refresh token', () => {
  it('PRV-12: keeps the stored one beside the new access token', async () => {
    const gives = { next: true }
    const setting = await startHouse(gives)
    const visitor = new Visitor(setting.house as TestHouse)
    await signIn(setting, visitor)
    const [first] = await refreshTokens(setting)
    expect(first).toMatch(/^refresh-/)
    gives.next = false
    await signIn(setting, visitor)
    expect(await refreshTokens(setting)).toEqual([first])
    const [row] = await setting.store.list('vault', TENANT, undefined, { max: 10 })
    expect(row).toMatchObject({ version: 2, value: { hasRefreshToken: true, state: 'active' } })
  })

  it('PRV-12: keeps it for a browser that nobody knows, too', async () => {
    const gives = { next: true }
    const setting = await startHouse(gives)
    await signIn(setting, new Visitor(setting.house as TestHouse))
    const before = await refreshTokens(setting)
    gives.next = false
    await signIn(setting, new Visitor(setting.house as TestHouse))
    expect(await refreshTokens(setting)).toEqual(before)
  })

  it('PRV-12: asks for consent at the next sign-in only when none is stored', async () => {
    const gives = { next: false }
    const setting = await startHouse(gives)
    const visitor = new Visitor(setting.house as TestHouse)
    const promptOf = async () => (await signIn(setting, visitor)).searchParams.get('prompt')
    expect(await promptOf()).toBeNull()
    gives.next = true
    expect(await promptOf()).toBe('consent')
    gives.next = false
    expect(await promptOf()).toBeNull()
    expect(await refreshTokens(setting)).toEqual([expect.stringMatching(/^refresh-/)])
  })

  it('PRV-12: a replaced token is not revoked where that would end the whole authorization', async () => {
    const setting = await startHouse({ next: true })
    const visitor = new Visitor(setting.house as TestHouse)
    await signIn(setting, visitor)
    await signIn(setting, visitor)
    expect(await setting.store.count('duty', TENANT)).toBe(0)
    expect(setting.google.double.total('POST /oauth2.googleapis.com/revoke')).toBe(0)
  })
})
