/**
 * I12: every change of state leaves its audit row in the same write. The store is watched while the
 * stories of the house are played: each write is judged by what it changes, whoever made it.
 */
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import type { Step, Store } from '../../src/ports.ts'
import type { Kind } from '../../src/records.ts'
import { TENANT } from '../../src/records.ts'
import {
  arrive as arriveAt,
  callbackUrl,
  createConnectHouse,
  depart,
  signedIn,
  userIdOf,
} from '../flow/connect-house.ts'
import {
  authorizeUrl,
  createTestIssuer,
  ISSUER,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  ticketOf,
  Visitor,
} from '../flow/sign-in-house.ts'

/** Rows that say who may do what: making, changing or removing one is a change of state. */
const STATE: readonly Kind[] = [
  'user',
  'client',
  'approval',
  'session',
  'vault',
  'secret',
  'connection',
  'registration',
  'connector',
  'definition',
  'apiKey',
  'webhook',
]
/** Bookkeeping: single use, caches, work to do, and the audit itself. */
const OTHER: readonly Kind[] = [
  'transaction',
  'pushed',
  'attempt',
  'connecting',
  'proof',
  'fact',
  'spent',
  'duty',
  'renewal',
  'origin',
  'tombstone',
  'audit',
  'idempotency',
  'connectSession',
  'handle',
  'delivery',
  'operation',
]

interface Write {
  readonly verb: string
  readonly changes: readonly string[]
  readonly audits: readonly string[]
}

function stepChange(step: Step): string[] {
  if (step.verb === 'createGrant') return ['create grant']
  return STATE.includes(step.kind) ? [`${step.verb} ${step.kind}`] : []
}

function auditsOf(steps: readonly Step[]): string[] {
  return steps.flatMap((step) =>
    (step.verb === 'create' || step.verb === 'put') && step.kind === 'audit'
      ? [(step.value as { event: string }).event]
      : [],
  )
}

/** The store, and every write that won. */
function createWatchedStore(): { store: Store; writes: Write[] } {
  const inner = createMemoryStore()
  const writes: Write[] = []
  const note = (verb: string, steps: readonly Step[], changes: readonly string[] = []): void => {
    writes.push({
      verb,
      changes: [...changes, ...steps.flatMap(stepChange)],
      audits: auditsOf(steps),
    })
  }
  const store: Store = {
    ...inner,
    async create(kind, key, value) {
      const result = await inner.create(kind, key, value)
      if (result.won) note('create', [{ verb: 'create', kind, key, value } as Step])
      return result
    },
    async put(kind, key, ifVersion, value) {
      const result = await inner.put(kind, key, ifVersion, value)
      if (result.won) note('put', [{ verb: 'put', kind, key, ifVersion, value } as Step])
      return result
    },
    async remove(kind, key) {
      await inner.remove(kind, key)
      note('remove', [{ verb: 'remove', kind, key }])
    },
    async commit(steps) {
      const result = await inner.commit(steps)
      if (result.won) note('commit', steps)
      return result
    },
    grants: {
      ...inner.grants,
      async end(...given) {
        const ended = await inner.grants.end(...given)
        if (ended) note('end', given[4] ?? [], ['end grant'])
        return ended
      },
      async revoke(...given) {
        const result = await inner.grants.revoke(...given)
        note('revoke', given[1] ?? [], ['mark'])
        return result
      },
      async rotate(...given) {
        const result = await inner.grants.rotate(...given)
        if (result.outcome === 'reused')
          note('rotate', given[3].alsoWhenReused ?? [], ['end grant'])
        return result
      },
    },
  }
  return { store, writes }
}

/** Changes that need no row of their own, and why. */
const EXEMPT: readonly (readonly [RegExp, string])[] = [
  [/^put session$/, 'a session in use moves its idle end; nobody may more or less'],
  [/^remove session$/, 'rows of a sign-in that has ended by an audited write'],
  [/^remove approval$/, 'rows of a client or person that has ended by an audited write'],
  [/^put client$/, 'a client is marked as used'],
  [
    /^put client, remove client$/,
    'a client that nobody ever used goes with its audit row, so that a flood leaves nothing',
  ],
]

function unaudited(writes: readonly Write[]): string[] {
  return writes
    .filter(({ changes, audits }) => changes.length > 0 && audits.length === 0)
    .map(({ verb, changes }) => `${verb}: ${changes.join(', ')}`)
    .filter(
      (text) =>
        !EXEMPT.some(([pattern]) => pattern.test(text.replace(/^(commit|put|remove): /, ''))),
    )
}

async function arrive(house: TestHouse) {
  const visitor = new Visitor(house)
  const registered = await register(house)
  const { code = '' } = await signIn(house, visitor, registered.client_id)
  const tokens = (await (await redeem(house, registered.client_id, code)).json()) as Tokens
  return { visitor, ...registered, code, tokens }
}

const post = (house: TestHouse, path: string, form: Record<string, string>) =>
  house.fetch(new Request(`${ISSUER}${path}`, { method: 'POST', body: new URLSearchParams(form) }))

async function press(visitor: Visitor, kind: string): Promise<number> {
  const page = await (await visitor.get('/account')).text()
  const value = new RegExp(`name="end" value="(${kind}[^"]*)"`).exec(page)?.[1] ?? ''
  return (await visitor.post('/account', { ticket: ticketOf(page), end: value })).status
}

async function endItself(
  house: TestHouse,
  { client_id = '', registration_access_token = '' }: Readonly<Record<string, string>>,
): Promise<number> {
  const headers = { authorization: `Bearer ${registration_access_token}` }
  const url = `${ISSUER}/register/${client_id}`
  return (await house.fetch(new Request(url, { method: 'DELETE', headers }))).status
}

const STORIES: readonly (readonly [
  name: string,
  play: (house: TestHouse) => Promise<unknown>,
  events: readonly string[],
])[] = [
  ['a registration', (house) => register(house), ['client.registered']],
  ['a first sign-in', (house) => arrive(house), ['consent.given', 'signin.completed']],
  [
    'an answer of no',
    async (house) => {
      const { client_id } = await register(house)
      const visitor = new Visitor(house)
      await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'deny')
    },
    ['consent.denied'],
  ],
  [
    'a no at the provider',
    async (house) => {
      const { client_id } = await register(house)
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, client_id))
      const toProvider = await visitor.press(page, 'allow:github')
      await visitor.comeBack(toProvider, { error: 'access_denied' })
    },
    ['signin.refused'],
  ],
  [
    'a code that comes twice',
    async (house) => {
      const { client_id, code } = await arrive(house)
      expect((await redeem(house, client_id, code)).status).toBe(400)
    },
    ['grant.ended'],
  ],
  [
    'a refresh token that comes too late',
    async (house) => {
      const { client_id, tokens } = await arrive(house)
      const second = (await (
        await refresh(house, client_id, tokens.refresh_token)
      ).json()) as Tokens
      await refresh(house, client_id, second.refresh_token)
      house.runtime.advanceMs(120_000)
      expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(400)
    },
    ['grant.ended'],
  ],
  [
    'an app that revokes its grant',
    async (house) => {
      const { client_id, tokens } = await arrive(house)
      expect(
        (await post(house, '/revoke', { client_id, token: tokens.refresh_token })).status,
      ).toBe(200)
    },
    ['grant.ended'],
  ],
  [
    'an app that revokes one token',
    async (house) => {
      const { client_id, tokens } = await arrive(house)
      expect((await post(house, '/revoke', { client_id, token: tokens.access_token })).status).toBe(
        200,
      )
    },
    ['revocation.confirmed'],
  ],
  [
    'a person who ends an app',
    async (house) => expect(await press((await arrive(house)).visitor, 'client')).toBe(303),
    ['grant.ended'],
  ],
  [
    'a person who ends an approval',
    async (house) => expect(await press((await arrive(house)).visitor, 'approval')).toBe(303),
    ['revocation.confirmed'],
  ],
  [
    'a person who ends this browser',
    async (house) => expect(await press((await arrive(house)).visitor, 'session')).toBe(303),
    [],
  ],
  [
    'a person who ends everything',
    async (house) => expect(await press((await arrive(house)).visitor, 'everywhere')).toBe(303),
    ['revocation.requested'],
  ],
  [
    'a sign-out',
    async (house) => {
      const { visitor } = await arrive(house)
      const page = await (await visitor.get('/')).text()
      const ticket = /name="ticket" value="([^"]+)"/.exec(page)?.[1] ?? ''
      await visitor.post('/logout', { ticket })
    },
    [],
  ],
  [
    'a sign-in that has died at its provider',
    async (house) => {
      const { client_id, tokens } = await arrive(house)
      house.proofs.next = 'dead'
      expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(400)
    },
    ['grant.ended'],
  ],
  [
    'a client with a grant that ends itself',
    async (house) => {
      const registered = (await arrive(house)) as unknown as Record<string, string>
      expect(await endItself(house, registered)).toBe(204)
    },
    ['client.ended'],
  ],
  [
    'a registration that is changed and ended by its client',
    async (house) => {
      const registered = (await register(house)) as { client_id: string } & Record<string, string>
      const headers = {
        authorization: `Bearer ${registered['registration_access_token']}`,
        'content-type': 'application/json',
      }
      const url = `${ISSUER}/register/${registered.client_id}`
      const body = JSON.stringify({
        client_id: registered.client_id,
        redirect_uris: ['https://client.example/other'],
        token_endpoint_auth_method: 'none',
      })
      const changed = await house.fetch(new Request(url, { method: 'PUT', headers, body }))
      expect(changed.status).toBe(200)
      const next = (await changed.json()) as Record<string, string>
      expect(await endItself(house, { ...registered, ...next })).toBe(204)
    },
    ['client.registered'],
  ],
]

describe('I12: audit rows', () => {
  it('I12: every kind of row is judged', async () => {
    const { KINDS } = await import('../../src/record-kinds.ts')
    expect([...STATE, ...OTHER].toSorted()).toEqual(Object.keys(KINDS).toSorted())
  })

  it.each(STORIES)(
    'I12: %s: no write changes state without its audit row',
    async (_, play, events) => {
      const { store, writes } = createWatchedStore()
      const house = createTestIssuer({ store })
      await play(house)
      await house.runtime.settle()
      expect(unaudited(writes)).toEqual([])
      const told = writes.flatMap(({ audits }) => audits)
      for (const event of events) expect(told).toContain(event)
      const rows = await store.list('audit', TENANT, undefined, { max: 100 })
      expect(JSON.stringify(rows)).not.toMatch(/Lovelace|@corp\.example|provider-code|client-state/)
    },
  )

  it('I12: linking an account, anew and no more: no write changes state without its audit row', async () => {
    const { store, writes } = createWatchedStore()
    const house = createConnectHouse({ store })
    const visitor = await signedIn(house)
    for (const code of ['one', 'two']) {
      const { away } = await depart(visitor)
      expect((await arriveAt(visitor, callbackUrl(away, { code }))).status).toBe(303)
    }
    const [connection] = await house.connections.list(await userIdOf(house))
    await house.connections.end(connection?.connectionId ?? '', 'user')
    await house.runtime.settle()
    expect(unaudited(writes)).toEqual([])
    const told = writes.flatMap(({ audits }) => audits)
    for (const event of ['connection.active', 'revocation.requested']) expect(told).toContain(event)
  })

  it('I12: calls and refusals write nothing: a thousand of them leave the audit as it was', async () => {
    const { store, writes } = createWatchedStore()
    const house = createTestIssuer({ store })
    const { client_id } = await arrive(house)
    const before = writes.length
    for (let count = 0; count < 1_000; count += 1)
      await refresh(house, client_id, `prt_unknown_${count}`)
    expect(writes.slice(before).flatMap(({ audits }) => audits)).toEqual([])
  })
})
