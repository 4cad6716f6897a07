/**
 * `authProvider` under a transport of the official client, and `getToken`, of a whole house against a
 * real remote server.
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { afterEach, describe, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import { node } from '../../src/node/platform.ts'
import { type ConnectionProcesses, openConnectionProcesses } from '../kit/connection-processes.ts'

const HOUR_MS = 3_600_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Stage {
  readonly remote: RemoteServer
  readonly house: ConnectionProcesses
  readonly postern: Postern
}

async function open(): Promise<Stage> {
  const remote = await startRemoteServer()
  cleanups.push(() => remote.close())
  const house = await openConnectionProcesses(remote)
  cleanups.push(() => house.close())
  const postern = createPostern(house.config, node({ environment: {}, log: { write: () => true } }))
  cleanups.push(() => postern.close())
  await postern.ready()
  return { remote, house, postern }
}

async function client({ remote, postern }: Stage, user: string): Promise<Client> {
  const authProvider = postern.authProvider(user, 'notes')
  const connected = new Client({ name: 'product', version: '1.0.0' })
  await connected.connect(new StreamableHTTPClientTransport(new URL(remote.url), { authProvider }))
  cleanups.push(() => connected.close())
  return connected
}

const refreshes = ({ remote }: Stage): number =>
  remote.tokenCalls.filter(([grantType]) => grantType === 'refresh_token').length

async function add(connected: Client, text: string): Promise<boolean> {
  const answer = await connected.callTool({ name: 'add_note', arguments: { text } })
  return answer.isError !== true
}

describe('authProvider with the official client', () => {
  it('GW-23: calls with the token of its person, refreshed by the house and not by the client', async () => {
    const stage = await open()
    await stage.house.link('ada', HOUR_MS)
    const connected = await client(stage, 'ada')
    expect(await add(connected, 'first')).toBe(true)
    expect(refreshes(stage)).toBe(0)
    // All at once, after the server has forgotten every access token.
    stage.remote.expireAccessTokens()
    const notes = Array.from({ length: 10 }, (_, at) => add(connected, `note ${at}`))
    expect(await Promise.all(notes)).toEqual(notes.map(() => true))
    expect(refreshes(stage)).toBe(1)
  })

  it('O15, CLI-20: a connection that is dead is told as what it is, not as a refusal of the server', async () => {
    const stage = await open()
    await stage.house.link('ada', HOUR_MS)
    const connected = await client(stage, 'ada')
    stage.remote.revokeEverything()
    await expect(add(connected, 'lost')).rejects.toMatchObject({
      code: 'ERR_CONNECTION_RECONNECT',
      reason: 'invalid_grant',
    })
    await expect(stage.postern.getToken('ada', 'notes')).rejects.toMatchObject({
      code: 'ERR_CONNECTION_RECONNECT',
    })
    await expect(client(stage, 'grace')).rejects.toMatchObject({ code: 'ERR_CONNECTION_NEEDED' })
    await stage.house.link('ada', HOUR_MS)
    expect(await add(connected, 'found')).toBe(true)
  })
})

describe('getToken of a whole house', () => {
  it('R1, CLI-19: 1,000 callers, one expired connection, one process: one call, and then none', async () => {
    const stage = await open()
    await stage.house.link('ada')
    const asked = Array.from({ length: 1_000 }, () => stage.postern.getToken('ada', 'notes'))
    const tokens = new Set((await Promise.all(asked)).map(({ accessToken }) => accessToken))
    expect(tokens.size).toBe(1)
    expect(stage.remote.isLive([...tokens][0] ?? '')).toBe(true)
    expect(refreshes(stage)).toBe(1)
    const exchanges = stage.remote.exchanges()
    for (let time = 0; time < 100; time += 1) await stage.postern.getToken('ada', 'notes')
    expect(stage.remote.exchanges()).toEqual(exchanges)
  })
})
