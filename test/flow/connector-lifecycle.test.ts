/**
 * The life of a connector in the whole product, over sockets: a remote server that takes half a second
 * for each answer, a person who clicks "connect", restarts, and a server that is dead.
 */
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type RemoteServer,
  type RemoteServerOptions,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import type { ReadingVisitor } from '../../demo/visitor.ts'
import { connectAccount, createPerson } from '../kit/connect.ts'
import { openPlane, type Plane } from '../kit/plane.ts'

const REMOTE_DELAY_MS = 500
const REAL_PATIENCE_MS = 10_000

interface World {
  readonly plane: Plane<'github'>
  readonly remote: RemoteServer
  readonly person: ReadingVisitor
  /** A click on "connect" up to the redirect to the remote authorization server. */
  click(): Promise<URL>
  /** Remote calls that the house counted itself. */
  counted(): Promise<number>
}

interface WorldOptions extends Pick<RemoteServerOptions, 'separate' | 'settings'> {
  readonly alsoAllowed?: readonly string[]
}

async function openWorld(options: WorldOptions = {}): Promise<World> {
  const { alsoAllowed = [], ...remoteOptions } = options
  const remote = await startRemoteServer(remoteOptions)
  onTestFinished(() => remote.close())
  const plane = await openPlane({
    provider: 'github',
    connectorUrl: remote.url,
    connector: { auth: 'oauth' },
    config: { egress: { allowHosts: [remote.issuer, ...alsoAllowed] } },
  })
  await found(plane)
  const person = createPerson()
  const world: World = {
    plane,
    remote,
    person,
    click: () =>
      plane.during(
        person.visit(new URL(`${plane.issuer}/connect/notes`), `${remote.issuer}/authorize`),
      ),
    counted: async () =>
      (await plane.metric('postern_remote_calls_total', { operation: 'discovery' })) +
      (await plane.metric('postern_remote_calls_total', { operation: 'registration' })),
  }
  return world
}

/** The first look has ended, behind the start. */
async function found(plane: Plane<'github'>): Promise<void> {
  const untilMs = performance.now() + REAL_PATIENCE_MS
  const told = () => plane.events.some(({ type }) => type === 'client.registered')
  while (!told() && performance.now() < untilMs) await plane.elapse(10, 10)
}

describe('a connector whose server takes 500 ms', () => {
  it('DSC-14 DSC-16: asks nothing of it at the first click, the next, after a restart, and when it is dead', async () => {
    const { plane, remote, click, counted } = await openWorld()
    remote.slow(REMOTE_DELAY_MS)
    remote.forget()
    const before = await counted()
    expect(before).toBeGreaterThanOrEqual(4)
    const first = await click()
    expect(first.searchParams.get('code_challenge_method')).toBe('S256')
    expect(first.searchParams.get('resource')).toBe(remote.url)
    const second = await click()
    expect(second.searchParams.get('state')).not.toBe(first.searchParams.get('state'))
    expect(second.searchParams.get('client_id')).toBe(first.searchParams.get('client_id'))
    expect(await counted()).toBe(before)
    await plane.restart()
    expect((await click()).searchParams.get('client_id')).toBe(first.searchParams.get('client_id'))
    expect(remote.total()).toBe(0)
    await remote.kill()
    await click()
    await plane.restart()
    await click()
    expect(await counted()).toBe(0)
    await remote.revive()
    expect(remote.total()).toBe(0)
  })

  it('connects a person through it all', async () => {
    const { plane, person, remote } = await openWorld()
    const place = { issuer: plane.issuer, connector: 'notes' }
    const page = await plane.during(connectAccount(place, person))
    expect([page.isConnected, page.status]).toEqual([true, 200])
    expect(remote.tokenCalls).toHaveLength(1)
  })
})

describe('a connector in trouble', () => {
  it('DSC-19: a token endpoint that is gone makes the documents be asked for, and the next click works', async () => {
    const world = await openWorld({
      settings: {
        editServer: (document) => ({ ...document, token_endpoint: `${document['issuer']}/before` }),
      },
    })
    const { plane, remote, person } = world
    const place = { issuer: plane.issuer, connector: 'notes' }
    remote.settings.editServer = (document) => document
    const before = await world.counted()
    // What is shared by nodes is told apart by its time.
    await plane.elapse(1_000, 100)
    expect((await plane.during(connectAccount(place, person))).isConnected).toBe(false)
    await plane.elapse(1_000, 100)
    expect(await world.counted()).toBeGreaterThan(before)
    expect((await plane.during(connectAccount(place, person))).isConnected).toBe(true)
    expect(remote.tokenCalls).toHaveLength(1)
  })

  it('O4: drift of the token endpoint between refreshes sends 0 bytes to the new origin', async () => {
    const thief = await startRemoteServer()
    onTestFinished(() => thief.close())
    // An origin that may be reached is not one that secrets may go to.
    const world = await openWorld({ separate: true, alsoAllowed: [thief.origin] })
    const { plane, remote, person } = world
    const place = { issuer: plane.issuer, connector: 'notes' }
    expect((await plane.during(connectAccount(place, person))).isConnected).toBe(true)
    remote.settings.editServer = (document) => ({
      ...document,
      token_endpoint: `${thief.origin}/token`,
      revocation_endpoint: `${thief.origin}/revoke`,
    })
    const caller = await plane.signIn('ada')
    expect((await plane.call(caller)).status).toBe(200)
    await plane.elapse(2 * 3_600_000, 30_000)
    // The access token has ended, and its refresh token goes nowhere.
    const fresh = await plane.signIn('ada')
    expect((await plane.call(fresh)).status).toBe(503)
    expect(remote.tokenCalls).toHaveLength(1)
    expect(thief.total()).toBe(0)
    expect(plane.events.some(({ type }) => type === 'connector.quarantined')).toBe(true)
    const page = await plane.during(
      person.read(new URL(`${plane.issuer}/connect/notes`), { press: [] }),
    )
    expect(page.status).toBe(503)
    expect(page.text).toContain(thief.origin)
  })
})
