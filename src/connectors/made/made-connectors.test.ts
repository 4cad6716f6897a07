import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../../test/kit/emit.ts'
import { createTestRuntime } from '../../../test/kit/runtime.ts'
import { createMemoryBus, createMemoryStore } from '../../adapters/memory.ts'
import { parseConfig } from '../../config/parse.ts'
import type { ConnectorInput } from '../../config.ts'
import { ConfigError, OAuthError } from '../../errors.ts'
import { createRevocationView } from '../../issuer/revocation.ts'
import type { Store } from '../../ports.ts'
import { TENANT } from '../../records.ts'
import { reseal } from '../../vault/reseal.ts'
import { createSealing } from '../../vault/sealing.ts'
import { openMade } from './open-made.ts'

const NOTES: ConnectorInput = { url: 'https://notes.example/mcp', auth: 'oauth' }
const CLIENT = { clientId: 'us', clientSecret: 'canary-secret' }
const KEYS = [1, 2].map((byte) => new Uint8Array(32).fill(byte))

function configOf(connectors: Readonly<Record<string, ConnectorInput>> = {}) {
  return parseConfig(
    {
      issuer: 'https://mcp.example.com',
      databaseUrl: 'memory:',
      sealingKey: 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs',
      allow: 'anyone',
      connectors,
    },
    { environment: {} },
  )
}

function createWorld() {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const bus = createMemoryBus()
  /** One more node on the same store. */
  const node = async (
    options: { keys?: readonly Uint8Array[]; file?: Readonly<Record<string, ConnectorInput>> } = {},
    seen: Store = store,
  ) => {
    const emit = createRecordingEmit()
    const view = createRevocationView({ store: seen, bus, runtime, emit, maxAgeSeconds: 30 })
    await view.load()
    await view.start()
    const sealing = createSealing(options.keys ?? [new Uint8Array(32).fill(1)], runtime)
    const ground = { store: seen, bus, runtime, emit, sealing, revocation: view }
    const opened = openMade({ ...ground, config: configOf(options.file) })
    await opened.made.load()
    return { ...opened, emit, sealing, view }
  }
  const audits = async () =>
    (await store.list('audit', TENANT, undefined, { max: 100 })).map(({ value }) => value)
  return { runtime, store, node, audits }
}

const codeOf = (error: unknown): unknown =>
  error instanceof OAuthError || error instanceof ConfigError ? error.code : error

describe('made connectors', () => {
  it('I12: each change is one commit with its audit row, which names the key and no secret', async () => {
    const { node, audits, store } = createWorld()
    const { made } = await node()
    await made.put('notes', { ...NOTES, client: CLIENT }, { actor: 'key_1' })
    await made.update('notes', { title: 'Notes' }, { actor: 'key_2' })
    await made.remove('notes', { actor: 'key_3' })
    const rows = await audits()
    const told = rows.map(({ event, connector, actor }) => `${event} ${connector} ${actor}`)
    expect(told.toSorted()).toEqual([
      'connector.changed notes key_2',
      'connector.created notes key_1',
      'connector.removed notes key_3',
      'grants.ended undefined undefined',
    ])
    const [row] = await store.list('definition', TENANT, undefined, { max: 2 })
    expect(JSON.stringify([rows, row])).not.toContain(CLIENT.clientSecret)
  })

  it('I12: a change that loses its commit writes nothing and is told as changed in between', async () => {
    const { node, audits, store } = createWorld()
    const { made } = await node()
    await made.put('notes', NOTES)
    const racing: Store = {
      ...store,
      grants: {
        ...store.grants,
        async revoke(marks, also) {
          await made.update('notes', { title: 'first' })
          return store.grants.revoke(marks, also)
        },
      },
    }
    const late = (await node({}, racing)).made
    expect(await late.update('notes', { title: 'second' }).catch(codeOf)).toBe(
      'ERR_CONNECTOR_CHANGED',
    )
    expect(await late.remove('notes').catch(codeOf)).toBe('ERR_CONNECTOR_CHANGED')
    expect(made.find('notes')?.title).toBe('first')
    expect((await audits()).filter(({ event }) => event === 'connector.removed')).toEqual([])
  })

  it('REV-04: other nodes follow by poll and by bus, and one that lost the mark by its next read', async () => {
    const { node, runtime } = createWorld()
    const [first, second] = [await node(), await node()]
    const told: string[] = []
    second.made.onChange((names) => told.push(...names))
    const list = second.config.connectors
    await first.made.put('notes', NOTES)
    await runtime.elapseMs(2_000)
    expect(second.made.find('notes')?.url.href).toBe(NOTES.url)
    // The array that rooms were given, with another content.
    expect(list).toBe(second.config.connectors)
    expect(list.map(({ name, made }) => [name, made])).toEqual([['notes', true]])
    await first.made.remove('notes')
    await runtime.elapseMs(2_000)
    expect(list).toEqual([])
    expect(second.made.parted().map(({ name }) => name)).toEqual(['notes'])
    expect(told).toEqual(['notes', 'notes'])
  })

  it('keeps a connector that did not change the same object, so that nothing of it is forgotten', async () => {
    const { node } = createWorld()
    const { made } = await node()
    await made.put('notes', NOTES)
    const before = made.find('notes')
    await made.put('tasks', { url: 'https://tasks.example/mcp' })
    await made.load()
    expect(made.find('notes')).toBe(before)
  })

  it('O5: a connector that is made anew is another one, with another client', async () => {
    const { node, store, runtime } = createWorld()
    const { made } = await node()
    await made.put('notes', NOTES)
    const first = made.find('notes')
    const registration = {
      connector: 'notes',
      issuer: 'https://notes.example',
      clientId: 'ours',
      authMethod: 'none',
      redirectUri: 'https://mcp.example.com/connect/notes/callback',
      createdAtMs: runtime.nowMs(),
    } as const
    await store.create('registration', { tenant: TENANT, id: 'r' }, registration)
    await made.remove('notes')
    const [leaving] = await store.list('registration', TENANT, undefined, { max: 1 })
    expect(leaving?.value.expiresAtMs).toBeGreaterThan(runtime.nowMs())
    runtime.advanceMs(1)
    expect(await made.put('notes', NOTES)).toEqual({ created: true })
    expect(made.find('notes')?.madeAtMs).not.toBe(first?.madeAtMs)
    expect(await store.count('registration', TENANT)).toBe(0)
    expect(made.parted()).toEqual([])
  })

  it('O6: the file wins over a row of the same name, and over its path', async () => {
    const { node } = createWorld()
    const { made } = await node()
    await made.put('notes', NOTES)
    await made.put('tasks', { url: 'https://tasks.example/mcp', path: '/mcp/work' })
    const other = await node({
      file: {
        notes: { url: 'https://own.example/mcp' },
        work: { url: 'https://work.example/mcp' },
      },
    })
    expect(other.made.list().map(({ name, made: isMade }) => [name, isMade === true])).toEqual([
      ['notes', false],
      ['work', false],
    ])
    expect(other.made.isMade('notes')).toBe(false)
    expect(other.made.facts('tasks')?.problem).toMatchObject({ code: 'ERR_CONFIG_OVERLAP' })
    expect(await other.made.remove('notes').catch(codeOf)).toBe('ERR_CONNECTOR_IN_FILE')
    expect(await other.made.remove('tasks')).toBe(true)
  })

  it('K13: secrets follow a change of sealing keys, and one that no key opens uses nothing', async () => {
    const { node, store, runtime } = createWorld()
    const { made } = await node({ keys: [KEYS[0] ?? new Uint8Array()] })
    await made.put('notes', { ...NOTES, client: CLIENT })
    const both = await node({ keys: KEYS.toReversed() })
    expect(await reseal({ store, sealing: both.sealing, runtime })).toMatchObject({ resealed: 1 })
    const after = await node({ keys: [KEYS[1] ?? new Uint8Array()] })
    expect(after.made.find('notes')?.oauth?.client?.clientSecret?.reveal()).toBe(
      CLIENT.clientSecret,
    )
    const none = await node({ keys: [KEYS[0] ?? new Uint8Array()] })
    expect(none.made.find('notes')).toBeUndefined()
    expect(none.made.facts('notes')?.problem).toMatchObject({ code: 'ERR_CONFIG_SEALING_KEY' })
  })

  it('J7: what stands in another row is not its secret', async () => {
    const { node, store } = createWorld()
    const { made } = await node()
    await made.put('notes', { ...NOTES, client: CLIENT })
    await made.put('tasks', { ...NOTES, client: { clientId: 'us' } })
    const at = (id: string) => ({ tenant: TENANT, id })
    const [from, to] = [
      await store.get('definition', at('notes')),
      await store.get('definition', at('tasks')),
    ]
    const { sealed = '', keyId = '' } = from?.value ?? {}
    if (to === undefined) throw new Error('no row')
    await store.put('definition', to.key, to.version, { ...to.value, sealed, keyId })
    await made.load()
    expect(made.find('tasks')).toBeUndefined()
  })

  it.each([
    ['url', { url: 'https://other.example/mcp' }],
    ['auth', { auth: 'client_credentials' }],
    ['pinnedIssuer', { pinnedIssuer: 'https://other.example' }],
    [
      'endpoints',
      { endpoints: { authorization: 'https://a.example/a', token: 'https://a.example/t' } },
    ],
    ['client', { client: { clientId: 'they' } }],
  ])('O5: the client secret is cleared when %s changes', async (field, patch) => {
    const { node } = createWorld()
    const { made } = await node()
    await made.put('notes', { ...NOTES, client: CLIENT })
    // Where it needs one, it has to be given again.
    const isRefused = await made.update('notes', patch).then(
      () => false,
      () => true,
    )
    const secret = made.find('notes')?.oauth?.client?.clientSecret?.reveal()
    expect(secret).toBe(isRefused ? CLIENT.clientSecret : undefined)
    expect(isRefused).toBe(field === 'auth')
    expect(made.find('notes')?.auth).toBe('oauth')
    await made.update('notes', { ...patch, client: { clientId: 'they', clientSecret: 'new' } })
    expect(made.find('notes')?.oauth?.client?.clientSecret?.reveal()).toBe('new')
  })

  it('D3: refuses another path and more connectors than there may be, and tells of all at once', async () => {
    const { node, store } = createWorld()
    const { made } = await node()
    await made.put('notes', NOTES)
    expect(await made.update('notes', { path: '/elsewhere' }).catch(codeOf)).toBe(
      'ERR_CONFIG_VALUE',
    )
    for (let at = 1; at < 1_000; at += 1) {
      await store.create(
        'definition',
        { tenant: TENANT, id: `c${at}` },
        {
          connector: `c${at}`,
          input: JSON.stringify({ url: `https://c${at}.example/mcp` }),
          createdAtMs: 1,
          changedAtMs: 1,
        },
      )
    }
    const told: number[] = []
    made.onChange((names) => told.push(names.length))
    expect(await made.put('one-more', NOTES).catch(codeOf)).toBe('ERR_CONNECTOR_LIMIT')
    // D3: what is made of the whole list is made once.
    expect(told).toEqual([999])
    expect(await made.update('notes', { title: 'Notes' })).toBe(true)
  })
})
