import { beforeEach, describe, expect, it } from 'vitest'
import {
  AS,
  type ClientWorld,
  createClientWorld,
  json,
  MANAGEMENT,
  made,
  POSTERN,
  registered,
  registering,
  registersAll,
  SECRET,
} from '../../../test/kit/authorization-server.ts'
import { StoreError } from '../../errors.ts'
import { judgeClientDocument } from '../../oauth/client-document.ts'
import { TENANT } from '../../records.ts'
import { createSealing } from '../../vault/sealing.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { clientDocument } from './client-document.ts'
import { createRegistrations, type Registrations } from './registration.ts'

const CALLBACK = `${POSTERN}/connect/notes/callback`
const DOCUMENT = `${POSTERN}/connect/notes/client.json`

let world: ClientWorld

/** Another node of the same house: memory of its own, the same store, lock and clock. */
function node(): Registrations {
  return createRegistrations(world)
}

function dynamic(server: Partial<Binding['server']> = {}, over: Partial<Binding> = {}): Binding {
  return registering(world, server, over)
}

beforeEach(() => {
  world = createClientWorld()
  registersAll(world)
})

describe('CLI-01: how this house becomes a client', () => {
  it('CLI-01: by hand before all else, asking nobody and storing nothing', async () => {
    const client = { clientId: 'by-hand', clientSecret: SECRET }
    world = createClientWorld({ connector: { client } })
    const binding = dynamic({ client_id_metadata_document_supported: true })
    expect(node().peek(binding)).toEqual({
      clientId: 'by-hand',
      how: 'static',
      authMethod: 'client_secret_basic',
      secret: SECRET,
      redirectUri: CALLBACK,
    })
    expect((await made(node(), binding)).clientId).toBe('by-hand')
    expect([world.sent.length, await world.store.count('registration', TENANT)]).toEqual([0, 0])
  })

  it('CLI-01: by our metadata document where the issuer believes them', async () => {
    const registrations = node()
    const binding = dynamic({ client_id_metadata_document_supported: true })
    expect(await made(registrations, binding)).toEqual({
      clientId: DOCUMENT,
      how: 'document',
      authMethod: 'none',
      redirectUri: CALLBACK,
    })
    expect(world.sent).toEqual([])
    expect(registrations.peek(binding)?.how).toBe('document')
  })

  it.each([
    ['http://127.0.0.1:8414', 'a loopback issuer cannot be fetched from'],
    ['https://postern.example:8443/house', 'any other https issuer can'],
  ])('CLI-01: %s: %s', async (issuer) => {
    world = createClientWorld({ issuer })
    registersAll(world)
    const binding = dynamic({ client_id_metadata_document_supported: true })
    const how = issuer.startsWith('https:') ? 'document' : 'dynamic'
    expect((await made(node(), binding)).how).toBe(how)
  })

  it('CLI-01: by registration where that is all there is', async () => {
    const registrations = node()
    expect(registrations.peek(dynamic())).toBeUndefined()
    expect(await made(registrations, dynamic())).toEqual({
      clientId: 'client-1',
      how: 'dynamic',
      authMethod: 'client_secret_basic',
      secret: `${SECRET}-1`,
      redirectUri: CALLBACK,
    })
    expect(registrations.peek(dynamic())?.clientId).toBe('client-1')
    expect(registered(world)).toHaveLength(1)
  })

  it('CLI-01: else an administrator is told what to do', async () => {
    const result = await node().ensure(world.binding())
    expect(result).toEqual({
      ok: false,
      problem: {
        party: 'here',
        code: 'ERR_CONNECTOR_REGISTRATION',
        text: `${AS} registers nobody by itself, and takes no metadata document of this house. Register a client there with callback ${CALLBACK}, and set POSTERN_CONNECTOR_NOTES_CLIENT_ID and POSTERN_CONNECTOR_NOTES_CLIENT_SECRET`,
        requirement: 'CLI-01',
      },
    })
    expect(world.sent).toEqual([])
  })
})

describe('CLI-02: our metadata document', () => {
  it.each(['none', 'private_key_jwt'] as const)(
    'CLI-02: passes our own validator, with %s',
    (method) => {
      const document = clientDocument(world.config, 'notes', method)
      expect(judgeClientDocument(document, DOCUMENT, { redirectHosts: [] })).toMatchObject({
        ok: true,
        document: { redirectUris: [CALLBACK], authMethod: method, applicationType: 'web' },
      })
      expect(JSON.stringify(document)).not.toContain('secret"')
    },
  )

  it('CLI-02: says how we authenticate there, after a restart and on another node too', async () => {
    const server = {
      client_id_metadata_document_supported: true,
      token_endpoint_auth_methods_supported: ['private_key_jwt', 'none'],
    }
    expect(await node().documentMethod('notes')).toBeUndefined()
    expect((await made(node(), world.binding(server))).authMethod).toBe('private_key_jwt')
    expect(await node().documentMethod('notes')).toBe('private_key_jwt')
    const document = clientDocument(world.config, 'notes', 'private_key_jwt')
    expect(document).toMatchObject({ jwks_uri: `${POSTERN}/connect/jwks.json` })
  })

  it('CLI-02: is not used where no way without a secret is listed', async () => {
    const binding = dynamic({
      client_id_metadata_document_supported: true,
      token_endpoint_auth_methods_supported: ['client_secret_post'],
    })
    expect(await made(node(), binding)).toMatchObject({
      how: 'dynamic',
      authMethod: 'client_secret_post',
    })
  })
})

describe('what a registration asks for', () => {
  it('CLI-03: is a web client with the exact callback, and says so', async () => {
    await made(node(), dynamic())
    expect(registered(world)[0]?.headers).toMatchObject({ 'content-type': 'application/json' })
    expect(JSON.parse(registered(world)[0]?.text ?? '')).toEqual({
      client_name: 'Postern',
      client_uri: POSTERN,
      redirect_uris: [CALLBACK],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      application_type: 'web',
      token_endpoint_auth_method: 'client_secret_basic',
    })
  })

  it('CLI-03: is a native client on a loopback issuer', async () => {
    world = createClientWorld({ issuer: 'http://127.0.0.1:8414' })
    registersAll(world)
    await made(node(), dynamic())
    expect(JSON.parse(registered(world)[0]?.text ?? '')).toMatchObject({
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1:8414/connect/notes/callback'],
    })
  })

  it.each<[readonly string[], string]>([
    [['none'], 'none'],
    [['none', 'client_secret_post'], 'client_secret_post'],
    [['private_key_jwt', 'none'], 'private_key_jwt'],
  ])('CLI-16: authenticates by what the server lists: %j', async (listed, method) => {
    const binding = dynamic({ token_endpoint_auth_methods_supported: listed })
    expect((await made(node(), binding)).authMethod).toBe(method)
  })

  it('CLI-16: follows the answer, not the question', async () => {
    world.answers((sent) =>
      json(201, { ...JSON.parse(sent.text), client_id: 'x', token_endpoint_auth_method: 'none' }),
    )
    expect(await made(node(), dynamic())).toMatchObject({ authMethod: 'none' })
  })

  it.each<[object, string]>([
    [{ client_id: '' }, 'names no usable client_id'],
    [{ client_secret: undefined }, 'promises a client_secret and has none'],
    [{ token_endpoint_auth_method: 'tls_client_auth' }, 'asks for a way of authentication'],
    [{ redirect_uris: [`${CALLBACK}/`] }, 'leaves our callback out'],
  ])('is told about an answer that cannot be used: %j', async (over, text) => {
    world.answers((sent) =>
      json(201, { ...JSON.parse(sent.text), client_id: 'x', client_secret: 's', ...over }),
    )
    const result = await node().ensure(dynamic())
    expect(result).toMatchObject({ ok: false, problem: { party: 'authorization-server' } })
    expect(JSON.stringify(result)).toContain(text)
    expect(await world.store.count('registration', TENANT)).toBe(0)
  })
})

describe('CLI-04, CLI-14: whose registration it is', () => {
  it('CLI-04: O5: another issuer never gets the client of the one before, which is cleared', async () => {
    const registrations = node()
    await made(registrations, dynamic())
    const other = 'https://other.example'
    const moved = dynamic(
      { issuer: other, registration_endpoint: `${other}/register` },
      { issuer: other },
    )
    expect(registrations.peek(moved)).toBeUndefined()
    expect(registrations.find(moved, 'client-1')).toBeUndefined()
    expect((await made(registrations, moved)).clientId).toBe('client-2')
    const rows = await world.store.list('registration', TENANT, undefined, { max: 9 })
    expect(rows.map(({ value }) => [value.issuer, value.clientId])).toEqual([[other, 'client-2']])
  })

  it('CLI-14: two connectors at one server are two clients with callbacks of their own', async () => {
    const registrations = node()
    const first = dynamic()
    const second = dynamic({}, { connector: { ...first.connector, name: 'other' } })
    const clients = [await made(registrations, first), await made(registrations, second)]
    expect(new Set(clients.map(({ clientId }) => clientId)).size).toBe(2)
    expect(new Set(clients.map(({ redirectUri }) => redirectUri)).size).toBe(2)
  })

  it('is made anew where our callback has moved', async () => {
    await made(node(), dynamic())
    const { store, lock } = world
    world = createClientWorld({ issuer: 'https://moved.example', store, lock })
    registersAll(world)
    const moved = node()
    await moved.load()
    expect(moved.peek(dynamic())).toBeUndefined()
    expect((await made(moved, dynamic())).redirectUri).toBe(
      'https://moved.example/connect/notes/callback',
    )
  })

  it('is sealed in the store, and in no event', async () => {
    world.answers((sent) => {
      const answer = { ...JSON.parse(sent.text), client_id: 'x', client_secret: SECRET }
      const management = { registration_client_uri: `${AS}/register/x` }
      return json(201, { ...answer, ...management, registration_access_token: MANAGEMENT })
    })
    await made(node(), dynamic())
    const rows = await world.store.list('registration', TENANT, undefined, { max: 9 })
    const audit = await world.store.list('audit', TENANT, undefined, { max: 9 })
    const text = JSON.stringify([rows, audit]) + world.emit.dump()
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain(MANAGEMENT)
    expect(audit.map(({ value }) => value.event)).toEqual(['client.registered'])
    expect(world.emit.eventsOf('client.registered')).toHaveLength(1)
  })

  it('J7, CLI-04: a sealed client that was moved to the row of another issuer is not opened', async () => {
    await made(node(), dynamic())
    const [row] = await world.store.list('registration', TENANT, undefined, { max: 9 })
    if (row?.value.sealed === undefined) throw new Error('nothing is sealed')
    const issuer = 'https://other.example'
    const id = world.runtime.sha256(JSON.stringify([issuer, 'notes']))
    await world.store.create('registration', { tenant: TENANT, id }, { ...row.value, issuer })
    const restarted = node()
    await restarted.load()
    expect(restarted.peek(dynamic())?.clientId).toBe('client-1')
    expect(restarted.peek(dynamic({}, { issuer }))).toBeUndefined()
  })

  it('is there after a restart, without asking anybody, also under an older sealing key', async () => {
    await made(node(), dynamic())
    const before = world.sent.length
    const next = new Uint8Array(32).map((_, index) => index * 7 + 3)
    const keys = [next, ...world.config.sealingKeys]
    world = { ...world, sealing: createSealing(keys, world.runtime) }
    const restarted = node()
    await restarted.load()
    expect(restarted.peek(dynamic())).toMatchObject({ secret: `${SECRET}-1` })
    world = { ...world, sealing: createSealing([next], world.runtime) }
    const renewed = node()
    await renewed.load()
    expect(renewed.peek(dynamic())).toMatchObject({ secret: `${SECRET}-1` })
    expect(world.sent).toHaveLength(before)
  })
})

it('goes on with what it knows while the store does not answer', async () => {
  const registrations = node()
  const client = await made(registrations, dynamic())
  world.runtime.advanceMs(60_000)
  world.store.get = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
  expect(await registrations.ensure(dynamic())).toEqual({ ok: true, client })
  await expect(node().ensure(dynamic())).rejects.toThrow(StoreError)
})

describe('many at once', () => {
  it('registers once for all who ask, on one node and on four', async () => {
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const registers = registersAll(world)
    world.answers(async (sent) => {
      await gate
      return registers(sent)
    })
    const nodes = [node(), node(), node(), node()]
    const all = Promise.all(
      Array.from({ length: 200 }, (_, index) => nodes[index % 4]?.ensure(dynamic())),
    )
    await world.runtime.elapseMs(1_000)
    open()
    await world.runtime.elapseMs(1_000)
    const clients = (await all).map((result) => result?.ok === true && result.client.clientId)
    expect(new Set(clients)).toEqual(new Set(['client-1']))
    expect(registered(world)).toHaveLength(1)
  })

  it('decides by the write when the lock cannot be had', async () => {
    const broken = async () => ({ state: 'error', maybeHeld: true, cause: 'lock' }) as const
    world = { ...world, lock: { acquire: broken } }
    const clients = await Promise.all([made(node(), dynamic()), made(node(), dynamic())])
    expect(new Set(clients.map(({ clientId }) => clientId)).size).toBe(1)
    expect(await world.store.count('registration', TENANT)).toBe(1)
  })

  it('goes on alone when the node that registers has died', async () => {
    const taken = await world.lock.acquire('held', 1, 0)
    expect(taken.state).toBe('acquired')
    world = {
      ...world,
      lock: { acquire: async () => ({ state: 'held', retryAfterMs: 60_000 }) as const },
    }
    const work = made(node(), dynamic())
    await world.runtime.elapseMs(world.config.limits.tokenCallTimeoutMs + 1_000)
    expect((await work).clientId).toBe('client-1')
  })
})
