import { describe, expect, it } from 'vitest'
import { AUTH, HOUR_MS, type LinkHouse, openLinkHouse } from '../../../test/kit/connected.ts'
import { TENANT, type Values } from '../../records.ts'
import type { TokenCall } from '../client/token-calls.ts'

const ADA = 'app:default:ada'
const MOVED = 'https://moved.example'

async function expired(): Promise<LinkHouse> {
  const house = await openLinkHouse()
  await house.link('ada')
  house.runtime.advanceMs(HOUR_MS + 1_000)
  return house
}

const load = (house: LinkHouse) =>
  house.finish(house.first.tokens.load(ADA, 'notes', { deadlineMs: 5_000 }))

function moveTokenEndpoint({ server }: LinkHouse): void {
  const { binding } = server
  server.binding = {
    ...binding,
    server: { ...binding.server, token_endpoint: `${MOVED}/token` },
  }
}

async function accept({ store, runtime }: LinkHouse, part: Partial<Values['connector']>) {
  await store.create(
    'connector',
    { tenant: TENANT, id: 'notes' },
    {
      connector: 'notes',
      definition: 'as it is',
      url: 'https://notes.example/mcp',
      state: 'ready',
      issuer: AUTH,
      tokenOrigin: AUTH,
      approvedOrigins: [],
      problems: [],
      checkedAtMs: runtime.nowMs(),
      ...part,
    },
  )
}

describe('O4: where a refresh token goes', () => {
  it('O4: not a byte to a token endpoint that moved; the connector is reported and nothing ends', async () => {
    const house = await expired()
    moveTokenEndpoint(house)
    await accept(house, {})
    expect(await load(house)).toMatchObject({ state: 'unknown' })
    expect(house.server.refreshes).toBe(0)
    expect(house.server.reports).toEqual([['notes', { kind: 'endpoint_gone' }]])
    expect(house.first.emit.eventsOf('server.warning')).toMatchObject([
      { reason: 'connection_pin', connector: 'notes', userId: ADA },
    ])
    expect(await house.first.connections.find(ADA, 'notes')).toMatchObject({ state: 'active' })
  })

  it('O4: it follows where an administrator let it, and not while the connector is quarantined', async () => {
    for (const [part, calls] of [
      [{ approvedOrigins: [MOVED] }, 1],
      [{ approvedOrigins: [MOVED], state: 'quarantined' }, 0],
      [{ approvedOrigins: [MOVED], issuer: 'https://other.example' }, 0],
    ] as const) {
      const house = await expired()
      moveTokenEndpoint(house)
      await accept(house, part)
      expect((await load(house)).state).toBe(calls === 1 ? 'token' : 'unknown')
      expect(house.server.refreshes).toBe(calls)
    }
  })

  it('CLI-04, DSC-20: never to another issuer, nor with another client', async () => {
    const house = await expired()
    house.server.binding = { ...house.server.binding, issuer: 'https://other.example' }
    expect(await load(house)).toEqual({ state: 'reconnect', cause: 'issuer_changed' })
    const other = await expired()
    other.server.client = { ...other.server.client, clientId: 'client-2' }
    expect(await load(other)).toEqual({ state: 'reconnect', cause: 'client_replaced' })
    expect(house.server.refreshes + other.server.refreshes).toBe(0)
  })
})

describe('CLI-20: what an answer means', () => {
  it.each(['invalid_grant', 'bad_refresh_token', 'invalid_refresh_token'])(
    'CLI-20: %s says that the refresh token is dead',
    async (error) => {
      const house = await expired()
      house.server.faults.push({ outcome: 'no', error })
      expect(await load(house)).toEqual({ state: 'reconnect', cause: error })
    },
  )

  it.each([
    'invalid_request',
    'invalid_client',
    'unauthorized_client',
    'unsupported_grant_type',
    'invalid_scope',
    'invalid_target',
    'invalid_answer',
    'token_type',
    'unspecified_error',
    'server_error',
    'temporarily_unavailable',
    'slow_down',
  ])('CLI-20: %s says nothing about it: the connection is kept', async (error) => {
    const house = await expired()
    house.server.faults.push({ outcome: 'no', error })
    expect((await load(house)).state).toBe('unknown')
    expect((await house.first.connections.find(ADA, 'notes'))?.state).toBe('active')
    await house.runtime.elapseMs(5_000)
    expect((await load(house)).state).toBe('token')
  })

  it('CLI-05, CLI-20: refused as a client, another is registered once and nobody is ended', async () => {
    const house = await expired()
    house.server.faults.push({ outcome: 'no', error: 'invalid_client' })
    await load(house)
    expect(house.server.clientRefused).toEqual(['client-1'])
    expect(house.server.reports).toEqual([['notes', { kind: 'invalid_client' }]])
  })

  it('CLI-20: a call that throws, and one that never names an outcome in time, keep the connection', async () => {
    const house = await expired()
    const broken = { outcome: 'unknown', error: new Error('reset') } satisfies TokenCall
    house.server.faults.push(broken)
    expect((await load(house)).state).toBe('unknown')
    expect((await house.first.connections.find(ADA, 'notes'))?.state).toBe('active')
  })
})

describe('how it is asked', () => {
  it('CLI-07: for the resource that the tokens were made for, or for none where it is left out', async () => {
    const house = await openLinkHouse()
    await house.link('ada', { resource: 'https://notes.example/' })
    house.runtime.advanceMs(HOUR_MS + 1_000)
    await load(house)
    const { resource: _, ...rest } = house.server.binding
    house.server.binding = { ...rest, resource: undefined }
    house.runtime.advanceMs(HOUR_MS + 1_000)
    await load(house)
    expect(house.server.resources).toEqual(['https://notes.example/', undefined])
  })

  it('CLI-20, F4: a server that asks to wait about one connection is left alone about it, 5 minutes at most', async () => {
    const house = await expired()
    await house.link('grace', { tokens: { ...house.server.issue('grace'), expiresAtMs: 1 } })
    house.server.faults.push({ outcome: 'unknown', retryAfterMs: 86_400_000 })
    const askBoth = async (): Promise<readonly string[]> => {
      const people = [ADA, 'app:default:grace']
      const { tokens } = house.first
      const asked = people.map((user) => tokens.load(user, 'notes', { deadlineMs: 5_000 }))
      return (await house.finish(Promise.all(asked))).map(({ state }) => state)
    }
    await load(house)
    for (let second = 0; second < 290; second += 10) {
      expect(await askBoth()).toEqual(['unknown', 'token'])
      await house.runtime.elapseMs(9_000)
    }
    expect(house.server.refreshes).toBe(2)
    await house.runtime.elapseMs(120_000)
    expect(await askBoth()).toEqual(['token', 'token'])
  })
})

describe('revocation at the server', () => {
  it.each([
    ['lives on', 'client-1'],
    ['is gone', 'client-2'],
  ])(
    'O15: by the client that the tokens were given to, which %s after a renewal',
    async (how, by) => {
      const house = await openLinkHouse()
      const { connectionId } = await house.link('ada')
      const { client } = house.server
      if (how === 'lives on') house.server.formerClients.push(client)
      house.server.client = { ...client, clientId: 'client-2' }
      await house.link('grace')
      await house.first.connections.end(connectionId, 'disconnected')
      await house.runtime.elapseMs(60_000)
      expect(house.server.revokers).toEqual([by, by])
    },
  )

  it('CLI-04, O4: not at another issuer: it waits until the connector is what it was', async () => {
    const house = await openLinkHouse()
    const { connectionId } = await house.link('ada')
    const before = house.server.binding
    house.server.binding = { ...before, issuer: 'https://other.example' }
    await house.first.connections.end(connectionId, 'disconnected')
    await house.runtime.elapseMs(120_000)
    expect(house.server.revoked).toEqual([])
    house.server.binding = before
    await house.runtime.elapseMs(60_000)
    expect(house.server.revoked).toHaveLength(2)
  })
})
