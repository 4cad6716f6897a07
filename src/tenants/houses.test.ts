import { afterEach, describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryBus, createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import { createPostern, openingOf, type Postern } from '../app.ts'
import type { PosternConfig } from '../config.ts'
import type { Platform, Store } from '../ports.ts'
import { createAddresses } from './addresses.ts'
import { createGaugeSum, createSharedStore, tenantPlatform } from './tenant-platform.ts'

const ISSUER = 'https://auth.example.com'
const SECRET = 'machine-secret-of-32-characters-or-more'
const robot = { secret: SECRET, grants: ['client_credentials'] as const }
const house = (name: string) => ({
  clients: { robot },
  enable: ['client-credentials'] as const,
  resources: [`https://${name}.tools.example/mcp`],
})

const CONFIG: PosternConfig = {
  issuer: ISSUER,
  databaseUrl: 'memory:',
  sealingKey: 'q83vEjRWeJq83vDxo7XmCTnLWlvS-0h8G2Y5-cQZkXI',
  ...house('default'),
  tenants: {
    acme: house('acme'),
    own: { issuer: 'https://own.example', ...house('own') },
  },
}
const ISSUERS = { default: ISSUER, acme: `${ISSUER}/t/acme`, own: 'https://own.example' }

interface World {
  readonly postern: Postern
  readonly runtime: TestRuntime
  readonly emit: ReturnType<typeof createRecordingEmit>
  readonly store: Store
  readonly opened: { stores: number; closed: number }
}

const openNobody: Platform['openFetch'] = () => ({
  fetch: () => Promise.reject(new Error('nobody is asked')),
  send: () => Promise.reject(new Error('nobody is asked')),
  close: async () => undefined,
})

const worlds: Postern[] = []
afterEach(async () => {
  for (const postern of worlds.splice(0)) await postern.close()
})

function open(
  options: { sharesPromises?: boolean; config?: Partial<PosternConfig>; failures?: number } = {},
): World {
  const runtime = createTestRuntime({ sharesPromises: options.sharesPromises ?? true })
  const emit = createRecordingEmit()
  const store = createMemoryStore()
  const opened = { stores: 0, closed: 0 }
  let failures = options.failures ?? 0
  const platform: Platform = {
    name: 'test',
    runtime,
    emit,
    lock: createMemoryLock(runtime),
    environment: {},
    openFetch: openNobody,
    async openStore() {
      opened.stores += 1
      const flaky: Store = {
        ...store,
        list(kind, tenant, index, page) {
          if (kind === 'secret' && tenant === 'acme' && failures-- > 0)
            return Promise.reject(new Error('the disk is gone'))
          return store.list(kind, tenant, index, page)
        },
        close: async () => {
          opened.closed += 1
        },
      }
      return { store: flaky, bus: createMemoryBus() }
    },
    developmentSealingKey: () => Promise.reject(new Error('there is one')),
  }
  const postern = createPostern({ ...CONFIG, ...options.config }, platform)
  worlds.push(postern)
  return { postern, runtime, emit, store, opened }
}

async function token(postern: Postern, at: keyof typeof ISSUERS): Promise<string> {
  const answer = await postern.fetch(
    new Request(`${ISSUERS[at]}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`robot:${SECRET}`)}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        resource: `https://${at}.tools.example/mcp`,
      }),
    }),
  )
  const { access_token: found } = (await answer.json()) as { access_token?: string }
  if (found === undefined) throw new Error(`no token at ${at}: ${answer.status}`)
  return found
}

const NAMES = ['default', 'acme', 'own'] as const

describe('houses of one process', () => {
  it.each([true, false])(
    'O5, M1: a token is good at the resource of its own house only (promises shared: %s)',
    async (sharesPromises) => {
      const { postern } = open({ sharesPromises })
      for (const name of NAMES) {
        const bearer = await token(postern, name)
        const request = new Request('https://tools.example/mcp', {
          headers: { authorization: `Bearer ${bearer}` },
        })
        for (const at of NAMES) {
          const resource = `https://${at}.tools.example/mcp`
          const answer = await postern.authenticate(request, { resource })
          if (at !== name)
            expect(answer, `${name} at ${at}`).toMatchObject({ response: { status: 401 } })
          else
            expect(answer).toMatchObject({
              principal: { tenant: name, resource },
              authInfo: { extra: { principal: { tenant: name } } },
            })
        }
        if (name === 'default') continue
        const own = await postern.tenant(name).authenticate(request)
        expect(own).toMatchObject({ principal: { tenant: name } })
      }
    },
  )

  it('opens a tenant with its first request, and the others behind the outer house', async () => {
    const { postern, runtime, opened, store } = open()
    await postern.fetch(new Request(`${ISSUER}/.well-known/oauth-authorization-server`))
    expect(await store.count('secret', 'acme')).toBe(0)
    await postern.fetch(new Request(`${ISSUERS.acme}/token`, { method: 'POST' }))
    expect(await store.count('secret', 'acme')).toBeGreaterThan(0)
    expect(await store.count('secret', 'own')).toBe(0)
    await runtime.elapseMs(1_000)
    expect(await store.count('secret', 'own')).toBeGreaterThan(0)
    expect(opened.stores).toBe(1)
    await postern.close()
    expect(opened.closed).toBe(1)
  })

  it('ready() opens every house, and rejects when one cannot be opened', async () => {
    const { postern, store } = open()
    await postern.ready()
    for (const name of NAMES) expect(await store.count('secret', name)).toBeGreaterThan(0)
    const broken = open({ failures: 1 })
    await expect(broken.postern.ready()).rejects.toThrow(/disk is gone/)
    // The one that failed kept none of the others.
    expect(await broken.store.count('secret', 'own')).toBeGreaterThan(0)
    await broken.postern.ready()
  })

  it('I7: a tenant that could not be opened behind is told and opened again', async () => {
    const { postern, runtime, emit } = open({ failures: 1 })
    const isOpen = () => openingOf(postern.tenant('acme'))?.opened() !== undefined
    await postern.fetch(new Request(`${ISSUER}/.well-known/oauth-authorization-server`))
    await runtime.elapseMs(1_000)
    expect(emit.events).toContainEqual({ type: 'server.failed', reason: 'tenant', tenant: 'acme' })
    expect(isOpen()).toBe(false)
    await runtime.elapseMs(31_000)
    expect(isOpen()).toBe(true)
  })

  it('runs what is due in every house', async () => {
    const { postern, store } = open({ sharesPromises: false })
    await postern.runDue()
    for (const name of NAMES) expect(await store.count('secret', name)).toBeGreaterThan(0)
  })

  it('O5: a sealed key copied from one tenant into another opens nowhere', async () => {
    const { postern, store } = open()
    await postern.ready()
    await postern.close()
    const rows = await store.list('secret', 'acme', undefined, { max: 100 })
    for (const { key, value } of await store.list('secret', 'own', undefined, { max: 100 }))
      await store.put('secret', key, 1, rows.find((row) => row.key.id === key.id)?.value ?? value)
    await expect(postern.tenant('own').ready()).rejects.toThrow(/ERR_CONFIG_(SEALING_KEY|DATABASE)/)
    await postern.tenant('acme').ready()
  })

  it('D6: a tenant takes its share of the process and no more, and the others go on', async () => {
    let release = (): void => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const { postern, emit } = open({ config: { limits: { tenantRequestsMax: 3 } } })
    await postern.ready()
    const stuck = () => {
      const body = new ReadableStream({
        async pull(controller) {
          await gate
          controller.close()
        },
      })
      const init = { method: 'POST', body, duplex: 'half' }
      return postern.fetch(new Request(`${ISSUERS.acme}/token`, init))
    }
    const waiting = [stuck(), stuck(), stuck()]
    const refused = await postern.fetch(new Request(`${ISSUERS.acme}/token`, { method: 'POST' }))
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(emit.events).toContainEqual(
      expect.objectContaining({ type: 'call.refused', reason: 'tenant_busy', tenant: 'acme' }),
    )
    await token(postern, 'own')
    await token(postern, 'default')
    release()
    await Promise.all(waiting)
    await token(postern, 'acme')
  })

  it('readiness is of all houses that are open', async () => {
    const { postern, runtime } = open()
    await postern.ready()
    const ask = async () => (await postern.fetch(new Request(`${ISSUER}/readyz`))).status
    expect(await ask()).toBe(200)
    const acme = openingOf(postern.tenant('acme'))?.opened()
    expect(acme?.health('/readyz')?.status).toBe(200)
    runtime.stallMs(3_600_000)
    expect(await ask()).toBe(503)
  })
})

describe('addresses', () => {
  const at = (issuer: string, ...resources: string[]) =>
    [{ issuer, resources: resources.map((url) => ({ url })) }, issuer] as const
  const addresses = createAddresses<string>([
    at('https://a.example'),
    at('https://a.example/t/acme', 'https://a.example/acme-tools'),
    at('https://a.example/t/acme/team'),
    at('https://b.example/auth'),
    at('http://127.0.0.1:8080'),
  ])

  it.each([
    ['a.example', '/', 'https://a.example'],
    ['a.example', '/t/acme', 'https://a.example/t/acme'],
    ['A.Example:443', '/t/acme/token', 'https://a.example/t/acme'],
    ['a.example', '/t/acme/team/token', 'https://a.example/t/acme/team'],
    ['a.example', '/t/acme/teams', 'https://a.example/t/acme'],
    ['a.example', '/t/acme2/token', 'https://a.example'],
    ['a.example', '/t/ACME/token', 'https://a.example'],
    ['a.example', '/t/%61cme/token', 'https://a.example'],
    ['a.example', '/.well-known/oauth-authorization-server', 'https://a.example'],
    ['a.example', '/.well-known/oauth-authorization-server/t/acme', 'https://a.example/t/acme'],
    ['a.example', '/.well-known/oauth-protected-resource/t/acme/mcp/x', 'https://a.example/t/acme'],
    ['a.example', '/.well-known/oauth-protected-resource/acme-tools', 'https://a.example/t/acme'],
    ['a.example', '/acme-tools', 'https://a.example'],
    ['b.example', '/auth/token', 'https://b.example/auth'],
    ['b.example', '/other', 'https://b.example/auth'],
    ['127.0.0.1:8080', '/token', 'http://127.0.0.1:8080'],
    ['evil.example', '/t/acme/token', 'https://a.example/t/acme'],
    ['', '/token', 'https://a.example'],
  ])('A19: %s%s is of %s', (host, path, issuer) => {
    expect(addresses.find(host, path)).toBe(issuer)
  })
})

describe('gauges of several houses', () => {
  it('are summed, ages are the greatest', () => {
    const seen = new Map<string, number>()
    const sum = createGaugeSum({
      event: () => undefined,
      count: () => undefined,
      observe: () => undefined,
      gauge: (name, value) => void seen.set(name, value),
    })
    const [first, second] = [sum.join(), sum.join()]
    first.gauge('postern_streams_open', 2)
    second.gauge('postern_streams_open', 3)
    first.gauge('postern_streams_open', 1)
    expect(seen.get('postern_streams_open')).toBe(4)
    first.gauge('postern_revocation_view_age_seconds', 9)
    second.gauge('postern_revocation_view_age_seconds', 1)
    expect(seen.get('postern_revocation_view_age_seconds')).toBe(9)
  })
})

it("C8: who waits for a lease of a tenant waits for that tenant's own, where the lock can tell", async () => {
  const runtime = createTestRuntime()
  const waited: string[] = []
  const emit = createRecordingEmit()
  const platform: Platform = {
    name: 'test',
    runtime,
    emit,
    lock: {
      ...createMemoryLock(runtime),
      wait: async (key) => void waited.push(key),
    },
    environment: {},
    openFetch: openNobody,
    openStore: async () => ({ store: createMemoryStore(), bus: createMemoryBus() }),
    developmentSealingKey: () => Promise.reject(new Error('there is one')),
  }
  const shared = createSharedStore(platform, 'memory:')
  const own = tenantPlatform(platform, 'acme', shared, createGaugeSum(emit))
  await own.lock.wait?.('discovery:x', 1_000)
  expect(waited).toEqual(['tenant/acme/discovery:x'])
  const plain = { ...platform, lock: createMemoryLock(runtime) }
  expect(tenantPlatform(plain, 'acme', shared, createGaugeSum(emit)).lock.wait).toBeUndefined()
})
