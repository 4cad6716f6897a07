import { beforeEach, describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { type AccessTokenClaims, createJti, signAccessToken } from '../oauth/access-token.ts'
import { encodeBase64url } from '../oauth/base64url.ts'
import type { Runtime, VerifyKey, Versioned } from '../ports.ts'
import type { Grant, Kind, Values } from '../records.ts'
import { type Authenticator, createAuthenticator, type Session } from './authenticate.ts'

const ISSUER = 'https://auth.example.com'
const RESOURCE = `${ISSUER}/mcp/notes`

function createWorld(options: { sharesPromises?: boolean } = {}) {
  const runtime = createTestRuntime(options)
  let verifications = 0
  let macs = 0
  const counting: Runtime = {
    ...runtime,
    verify: (...values) => {
      verifications += 1
      return runtime.verify(...values)
    },
    hmacSha256: (...values) => {
      macs += 1
      return runtime.hmacSha256(...values)
    },
  }
  const signing = { kid: 'k1', key: runtime.importSigningKey(JWK) }
  const tagKey = new Uint8Array(32).fill(7)
  const keys = new Map<string, VerifyKey>([['k1', runtime.importVerifyKey(JWK)]])
  const table = new Map<string, Session>()
  const grants = new Map<string, Partial<Grant>>()
  const store = { reads: 0, mode: 'up' as 'up' | 'down' | 'hang' }
  const user = {
    state: 'active',
    userId: 'usr_1',
    provider: 'github',
    subject: '42',
    issuer: 'https://github.com',
    profile: {},
    groups: [],
  }
  const vault = { state: 'active' }
  const wait = (): Promise<void> => {
    store.reads += 1
    if (store.mode === 'down') return Promise.reject(new Error('down'))
    return store.mode === 'hang' ? new Promise(() => {}) : Promise.resolve()
  }
  const authenticator = createAuthenticator({
    runtime: counting,
    emit: createRecordingEmit(),
    issuer: ISSUER,
    keys: { verifyKeys: () => keys, tagKey: () => tagKey },
    table: {
      get: (d) => table.get(d),
      set: (d, s) => table.set(d, s),
      delete: (d) => table.delete(d),
    },
    store: {
      grants: {
        find: async ({ id }) => {
          await wait()
          return grants.get(id) as Grant | undefined
        },
      },
      get: async <K extends Kind>(kind: K): Promise<Versioned<K> | undefined> => {
        await wait()
        const value = (kind === 'user' ? user : vault) as unknown as Values[K]
        return { key: { tenant: 'default', id: '' }, version: 1, value }
      },
    },
  })
  const sign = (change: Partial<AccessTokenClaims> = {}): string => {
    const iat = Math.floor(runtime.nowMs() / 1000)
    const gid = change.gid ?? 'g1'
    const exp = change.exp ?? iat + 600
    const jti = createJti(runtime, tagKey, { gid, exp })
    const base = {
      iss: ISSUER,
      aud: RESOURCE,
      sub: 'usr_1',
      client_id: 'c1',
      iat,
      exp,
      jti,
      scope: 'mcp',
      gid,
    }
    return signAccessToken({ ...base, ...change }, signing, runtime)
  }
  grants.set('g1', {
    tenant: 'default',
    id: 'g1',
    userId: 'usr_1',
    userKey: 'u',
    clientId: 'c1',
    vaultId: 'v1',
    state: 'active',
    authTimeSeconds: 5,
  })
  return {
    runtime,
    authenticator,
    table,
    grants,
    store,
    user,
    vault,
    keys,
    sign,
    tagKey,
    get verifications() {
      return verifications
    },
    get macs() {
      return macs
    },
  }
}

const JWK = createTestRuntime().createSigningJwk()
let world: ReturnType<typeof createWorld>
beforeEach(() => {
  world = createWorld()
})

async function seen(authenticator: Authenticator, token: string) {
  if (authenticator.judge(token) === 'cold') await authenticator.load(token)
  return authenticator.judge(token)
}

describe('authenticate', () => {
  it('VAL-02: verifies once, loads once, then answers from memory', async () => {
    const token = world.sign()
    expect(await seen(world.authenticator, token)).toMatchObject({
      userId: 'usr_1',
      clientId: 'c1',
      grantId: 'g1',
      resource: RESOURCE,
      scopes: ['mcp'],
      keyId: 'k1',
      vaultId: 'v1',
      provider: 'github',
      subject: '42',
      authTimeSeconds: 5,
    })
    for (let turn = 0; turn < 100; turn += 1) world.authenticator.judge(token)
    expect([world.verifications, world.store.reads]).toEqual([1, 4])
    expect(JSON.stringify([...world.table])).not.toContain(token)
  })

  it('the look-up of an unknown token never inserts', () => {
    for (let turn = 0; turn < 1_000; turn += 1) world.authenticator.remembered(`x${turn}`)
    expect(world.table.size).toBe(0)
  })

  it('VAL-04: never answers past exp', async () => {
    const token = world.sign({ exp: Math.floor(world.runtime.nowMs() / 1000) + 5 })
    expect(await seen(world.authenticator, token)).toMatchObject({ grantId: 'g1' })
    world.runtime.advanceMs(5_000)
    expect(world.authenticator.remembered(token)).toBeUndefined()
    expect(world.authenticator.judge(token)).toBe('expired')
  })

  it('VAL-09: concurrent first calls share one load', async () => {
    const token = world.sign()
    await Promise.all(
      Array.from({ length: 100 }, () => {
        expect(world.authenticator.judge(token)).toBe('cold')
        return world.authenticator.load(token)
      }),
    )
    expect([world.verifications, world.store.reads]).toEqual([1, 4])
    expect(world.authenticator.judge(token)).toMatchObject({ grantId: 'g1' })
  })

  it('on a runtime that does not share promises each request loads by itself', async () => {
    world = createWorld({ sharesPromises: false })
    const token = world.sign()
    world.authenticator.judge(token)
    await Promise.all([world.authenticator.load(token), world.authenticator.load(token)])
    expect(world.authenticator.judge(token)).toMatchObject({ grantId: 'g1' })
  })

  it.each<[string, (w: ReturnType<typeof createWorld>) => void]>([
    ['no such grant', (w) => w.grants.clear()],
    ['an ended grant', (w) => Object.assign(w.grants.get('g1') ?? {}, { state: 'ended' })],
    ['a pending grant', (w) => Object.assign(w.grants.get('g1') ?? {}, { state: 'pending' })],
    [
      'a grant of another client',
      (w) => Object.assign(w.grants.get('g1') ?? {}, { clientId: 'c2' }),
    ],
    [
      'a grant of another user',
      (w) => Object.assign(w.grants.get('g1') ?? {}, { userId: 'usr_2' }),
    ],
    ['a disabled user', (w) => Object.assign(w.user, { state: 'disabled' })],
    ['a row of another user', (w) => Object.assign(w.user, { userId: 'usr_2' })],
    ['an ended vault record', (w) => Object.assign(w.vault, { state: 'ended' })],
  ])('I7, PR-09: %s is a refusal', async (_name, change) => {
    change(world)
    expect(await seen(world.authenticator, world.sign())).toBe('ended')
  })

  it('PR-16: a dead store is unavailable, not a refusal, and is asked again', async () => {
    const token = world.sign()
    world.store.mode = 'down'
    expect(await seen(world.authenticator, token)).toBe('unavailable')
    world.store.mode = 'up'
    world.runtime.advanceMs(300)
    expect(await seen(world.authenticator, token)).toMatchObject({ grantId: 'g1' })
  })

  it('I8: a store that hangs is given up at the deadline', async () => {
    const token = world.sign()
    world.store.mode = 'hang'
    expect(world.authenticator.judge(token)).toBe('cold')
    const loaded = world.authenticator.load(token)
    await world.runtime.elapseMs(2_000)
    await loaded
    expect(world.authenticator.judge(token)).toBe('unavailable')
  })

  it.each<[string, (w: ReturnType<typeof createWorld>) => string]>([
    ['another issuer', (w) => w.sign({ iss: 'https://evil.example' })],
    ['iat in the future', (w) => w.sign({ iat: Math.floor(w.runtime.nowMs() / 1000) + 120 })],
    ['a tag that does not match', (w) => w.sign({ jti: encodeBase64url(new Uint8Array(24)) })],
    ['another key id', (w) => tamper(w.sign(), 0, { kid: 'k2' })],
    ['alg none', (w) => tamper(w.sign(), 0, { alg: 'none' })],
    ['alg HS256', (w) => tamper(w.sign(), 0, { alg: 'HS256' })],
    ["an ID token's typ", (w) => tamper(w.sign(), 0, { typ: 'JWT' })],
    ['a changed subject', (w) => tamper(w.sign(), 1, { sub: 'usr_2' })],
    ['a changed audience', (w) => tamper(w.sign(), 1, { aud: 'https://x' })],
    ['a longer life', (w) => tamper(w.sign(), 1, { exp: 4_000_000_000 })],
  ])('VAL-01, J1, J3: %s is refused without a read of the store', async (_name, make) => {
    expect(await seen(world.authenticator, make(world))).toBe('token')
    expect(world.store.reads).toBe(0)
  })

  it('C7, D3: tokens that were not made here cost no signature check and no memory', () => {
    const real = world.sign()
    for (let turn = 0; turn < 2_000; turn += 1) {
      const forged = tamper(real, 1, { jti: encodeBase64url(world.runtime.randomBytes(24)) })
      expect(world.authenticator.judge(forged)).toBe('token')
    }
    expect([world.verifications, world.store.reads, world.table.size]).toEqual([0, 0, 0])
  })

  it('C7: copies of one good tag run out of signature checks; the real token stays good', async () => {
    const real = world.sign()
    expect(await seen(world.authenticator, real)).toMatchObject({ grantId: 'g1' })
    const before = world.verifications
    for (let turn = 0; turn < 500; turn += 1) {
      world.authenticator.judge(tamper(real, 1, { sub: `usr_${turn}` }))
    }
    expect(world.verifications - before).toBeLessThanOrEqual(3)
    expect(world.authenticator.judge(real)).toMatchObject({ grantId: 'g1' })
    world.runtime.advanceMs(10_000)
    expect(world.authenticator.judge(tamper(real, 1, { sub: 'usr_x' }))).toBe('token')
  })

  it('I9: loads under way are bounded', () => {
    world.store.mode = 'hang'
    const base = world.sign()
    expect(world.authenticator.judge(base)).toBe('cold')
    const verdicts = Array.from({ length: 4_100 }, (_, index) =>
      world.authenticator.judge(world.sign({ gid: `g${index}` })),
    )
    expect(verdicts.filter((verdict) => verdict === 'busy').length).toBeGreaterThanOrEqual(4)
  }, 30_000)
})

function tamper(token: string, part: 0 | 1, change: Readonly<Record<string, unknown>>): string {
  const parts = token.split('.')
  const value = JSON.parse(Buffer.from(parts[part] ?? '', 'base64url').toString())
  parts[part] = Buffer.from(JSON.stringify({ ...value, ...change })).toString('base64url')
  return parts.join('.')
}

describe('a token that was just signed here (P3)', () => {
  const claimsOf = (token: string): AccessTokenClaims =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))

  it('is known at its first call: no signature check, no read, no wait', async () => {
    const world = createWorld()
    const token = world.sign()
    world.authenticator.adopt(token, claimsOf(token), 'k1')
    await world.runtime.settle()
    const { reads } = world.store
    expect(world.authenticator.judge(token)).toMatchObject({ grantId: 'g1', userId: 'usr_1' })
    expect([world.verifications, world.store.reads]).toEqual([0, reads])
  })

  it('waits for its load when the call is faster, and is an ordinary token when that failed', async () => {
    const world = createWorld()
    const token = world.sign()
    world.authenticator.adopt(token, claimsOf(token), 'k1')
    expect(world.authenticator.judge(token)).toBe('cold')
    await world.authenticator.load(token)
    expect(world.authenticator.judge(token)).toMatchObject({ grantId: 'g1' })
    const ended = world.sign({ gid: 'g2' })
    world.authenticator.adopt(ended, claimsOf(ended), 'k1')
    await world.runtime.settle()
    expect(world.authenticator.judge(ended)).toBe('ended')
  })
})
