import { beforeEach, describe, expect, it } from 'vitest'
import {
  AS,
  type ClientWorld,
  createClientWorld,
  json,
  MANAGEMENT,
  made,
  registered,
  registering,
  registersAll,
  reply,
  SECRET,
} from '../../../test/kit/authorization-server.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { createRegistrations, type Registrations } from './registration.ts'

const DAY_SECONDS = 86_400
const DAY_MS = DAY_SECONDS * 1000
const LIFE_SECONDS = 10 * DAY_SECONDS

let world: ClientWorld

/** Another node of the same house: memory of its own, the same store, lock and clock. */
function node(): Registrations {
  return createRegistrations(world)
}

function dynamic(server: Partial<Binding['server']> = {}): Binding {
  return registering(world, server)
}

beforeEach(() => {
  world = createClientWorld()
  registersAll(world)
})

describe('CLI-05: refused and expired clients', () => {
  it('CLI-05: registers once more for all who were refused, then reports', async () => {
    const registrations = node()
    const first = await made(registrations, dynamic())
    const again = await Promise.all(
      Array.from({ length: 50 }, () => registrations.refused(dynamic(), first)),
    )
    expect(new Set(again.map((client) => client?.clientId))).toEqual(new Set(['client-2']))
    const second = again[0]
    if (second === undefined) throw new Error('no second client')
    // A server that always answers invalid_client gets one extra registration, whoever asks.
    for (const who of [registrations, node(), node()])
      expect(await who.refused(dynamic(), second)).toBeUndefined()
    expect(registered(world)).toHaveLength(2)
    expect(registrations.find(dynamic(), 'client-1')).toBeUndefined()
  })

  it('CLI-05: takes what another node has registered meanwhile', async () => {
    const [one, other] = [node(), node()]
    const first = await made(one, dynamic())
    await made(other, dynamic())
    expect((await one.refused(dynamic(), first))?.clientId).toBe('client-2')
    expect((await other.refused(dynamic(), first))?.clientId).toBe('client-2')
    expect(registered(world)).toHaveLength(2)
  })

  it('CLI-05: may replace a client again that has worked for a day', async () => {
    const registrations = node()
    const second = await registrations.refused(dynamic(), await made(registrations, dynamic()))
    if (second === undefined) throw new Error('no second client')
    world.runtime.advanceMs(DAY_MS)
    expect((await registrations.refused(dynamic(), second))?.clientId).toBe('client-3')
  })

  it('CLI-05: replaces neither a client made by hand nor our document', async () => {
    const registrations = node()
    const documents = dynamic({ client_id_metadata_document_supported: true })
    expect(
      await registrations.refused(documents, await made(registrations, documents)),
    ).toBeUndefined()
    world = createClientWorld({ connector: { client: { clientId: 'x', clientSecret: 'y' } } })
    const byHand = node()
    expect(await byHand.refused(dynamic(), await made(byHand, dynamic()))).toBeUndefined()
    expect(registered(world)).toEqual([])
  })

  it('CLI-05: a secret is renewed ahead of its end; the client before lives on for its tokens', async () => {
    registersAll(world, LIFE_SECONDS)
    const registrations = node()
    await made(registrations, dynamic())
    world.runtime.advanceMs(8.9 * DAY_MS)
    expect(registrations.peek(dynamic())?.clientId).toBe('client-1')
    await world.runtime.settle()
    expect(registered(world)).toHaveLength(1)
    world.runtime.advanceMs(0.2 * DAY_MS)
    expect(registrations.peek(dynamic())?.clientId).toBe('client-1')
    await world.runtime.settle()
    expect(registrations.peek(dynamic())?.clientId).toBe('client-2')
    expect(registrations.find(dynamic(), 'client-1')).toMatchObject({ secret: `${SECRET}-1` })
    const restarted = node()
    await restarted.load()
    expect(restarted.find(dynamic(), 'client-1')).toMatchObject({ secret: `${SECRET}-1` })
    world.runtime.advanceMs(DAY_MS)
    expect(registrations.find(dynamic(), 'client-1')).toBeUndefined()
    expect(registrations.find(dynamic(), 'client-2')).toBeDefined()
  })

  it('CLI-05: a server that manages registrations (RFC 7592) renews the same client', async () => {
    const registers = registersAll(world, LIFE_SECONDS, {
      registration_client_uri: `${AS}/register/client-1`,
      registration_access_token: MANAGEMENT,
    })
    world.answers((sent) => {
      if (sent.method === 'POST') return registers(sent)
      const expires = Math.floor(world.runtime.nowMs() / 1000) + LIFE_SECONDS
      const renewed = { client_secret: `${SECRET}-renewed`, client_secret_expires_at: expires }
      return json(200, { ...JSON.parse(sent.text), ...renewed })
    })
    const registrations = node()
    await made(registrations, dynamic())
    world.runtime.advanceMs(9.5 * DAY_MS)
    registrations.peek(dynamic())
    await world.runtime.settle()
    expect(registrations.peek(dynamic())).toMatchObject({
      clientId: 'client-1',
      secret: `${SECRET}-renewed`,
    })
    const put = world.sent.find(({ method }) => method === 'PUT')
    expect(put?.headers).toMatchObject({ authorization: `Bearer ${MANAGEMENT}` })
    expect(JSON.parse(put?.text ?? '')).toMatchObject({ client_id: 'client-1' })
    expect(registered(world)).toHaveLength(1)
  })

  it('CLI-05: the token that manages a registration goes to no other origin', async () => {
    registersAll(world, LIFE_SECONDS, {
      registration_client_uri: 'https://evil.example/register/client-1',
      registration_access_token: MANAGEMENT,
    })
    const registrations = node()
    await made(registrations, dynamic())
    world.runtime.advanceMs(9.5 * DAY_MS)
    registrations.peek(dynamic())
    await world.runtime.settle()
    expect(world.sent.map(({ url }) => new URL(url).origin)).toEqual([AS, AS])
  })

  it('CLI-05: a client whose secret has ended is not used, and made anew', async () => {
    registersAll(world, 3_600)
    const registrations = node()
    await made(registrations, dynamic())
    world.runtime.advanceMs(3_600_000)
    expect(registrations.peek(dynamic())).toBeUndefined()
    expect((await made(registrations, dynamic())).clientId).toBe('client-2')
  })

  it.each<[string, () => ReturnType<typeof reply>, string]>([
    ['503', () => reply(503, '', { 'retry-after': '30' }), 'answered 503; it is asked again'],
    ['403', () => json(403, { error: 'access_denied' }), 'refused to register this house (403'],
    ['a page', () => reply(200, '<html>', { 'content-type': 'text/html' }), 'is no JSON'],
  ])('CLI-05: a failure is told, and the server not hammered: %s', async (name, answer, text) => {
    world.answers(answer)
    const registrations = node()
    for (let tries = 0; tries < 5; tries += 1)
      expect(await registrations.ensure(dynamic())).toMatchObject({
        ok: false,
        problem: { text: expect.stringContaining(text) },
      })
    expect(registered(world)).toHaveLength(1)
    // A server that names its time is not asked before.
    world.runtime.advanceMs(29_000)
    if (name === '503') await registrations.ensure(dynamic())
    if (name === '503') expect(registered(world)).toHaveLength(1)
    registersAll(world)
    world.runtime.advanceMs(60_000)
    expect((await made(registrations, dynamic())).clientId).toBe('client-2')
  })
})
