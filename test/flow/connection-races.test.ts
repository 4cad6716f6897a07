/**
 * Refreshes of connections against each other and against kill -9: real processes on one SQLite file,
 * a real remote server that rotates refresh tokens and answers late at random.
 *
 * POSTERN_TEST_LONG=1: 10,000 rounds and 500 kills.
 * @see threats.md section 6
 */
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type RemoteServer,
  type RemoteSettings,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import type { Reply } from '../kit/connection-child.ts'
import {
  type ConnectionProcess,
  type ConnectionProcesses,
  openConnectionProcesses,
} from '../kit/connection-processes.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const ROUNDS = LONG ? 10_000 : 1_000
const ROUNDS_AT_ONCE = 25
const CALLERS = 3
const CROWD = 500
const KILLS = LONG ? 500 : 50
const KILLS_AT_ONCE = 25
const CALL_TIMEOUT_MS = 1_000
/** Longer than what an intent of a dead process is waited for, and a back-off. */
const RECOVERY_MS = 15_000
const DEADLINE_MS = LONG ? 1_800_000 : 180_000

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function open(
  settings: Partial<RemoteSettings>,
): Promise<{ remote: RemoteServer; house: ConnectionProcesses }> {
  const remote = await startRemoteServer({ settings })
  cleanups.push(() => remote.close())
  const house = await openConnectionProcesses(remote, { tokenCallTimeoutMs: CALL_TIMEOUT_MS })
  cleanups.push(() => house.close())
  return { remote, house }
}

const refreshes = (remote: RemoteServer): number =>
  remote.tokenCalls.filter(([grantType]) => grantType === 'refresh_token').length

const tokenOf = (reply: Reply): string =>
  'accessToken' in reply ? reply.accessToken : `${reply.code} ${reply.reason}`

function together<T>(count: number, one: (at: number) => Promise<T>): Promise<readonly T[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => one(at)))
}

/** Asks until the answer is more than "not now". */
async function settled(child: ConnectionProcess, user: string): Promise<string> {
  const untilMs = Date.now() + RECOVERY_MS
  for (;;) {
    const reply = await child.get(user)
    const isUnknown = 'code' in reply && reply.code.startsWith('ERR_UPSTREAM')
    if (!isUnknown || Date.now() > untilMs) return tokenOf(reply)
    await pause(100)
  }
}

describe('processes on one SQLite file', () => {
  it(
    `R1, R2, CLI-19: two processes with ${CROWD} callers each and one expired connection make one call`,
    async () => {
      const { remote, house } = await open({ refreshTokens: 'strict', tokenDelayMs: () => 200 })
      const children = [await house.start(), await house.start()]
      await house.link('ada')
      const asked = children.map((child) => together(CROWD, () => child.get('ada')))
      const tokens = new Set((await Promise.all(asked)).flat().map(tokenOf))
      expect(tokens.size).toBe(1)
      expect(remote.isLive([...tokens][0] ?? '')).toBe(true)
      expect(refreshes(remote)).toBe(1)
    },
    DEADLINE_MS,
  )

  it(
    `R2, R4, I4: a strict server that ends a family on replay: 0 connections lost in ${ROUNDS} rounds`,
    async () => {
      const { remote, house } = await open({
        refreshTokens: 'strict',
        tokenDelayMs: () => Math.floor(Math.random() * 20),
      })
      const children = [await house.start(), await house.start()]
      const lost: string[] = []
      const race = async (user: string): Promise<void> => {
        await house.link(user)
        const askers = children.flatMap((child) => Array.from({ length: CALLERS }, () => child))
        const tokens = new Set(await Promise.all(askers.map((child) => settled(child, user))))
        const [token = ''] = tokens
        if (tokens.size !== 1 || !remote.isLive(token)) lost.push([user, ...tokens].join(' '))
      }
      for (let round = 0; round < ROUNDS; round += ROUNDS_AT_ONCE)
        await together(ROUNDS_AT_ONCE, (at) => race(`p${round + at}`))
      expect(lost).toEqual([])
      expect(refreshes(remote)).toBe(ROUNDS)
    },
    DEADLINE_MS,
  )
})

/** Kills the process while answers are on their way, then asks a new one for everybody. */
async function killAndAsk(
  { remote, house }: { remote: RemoteServer; house: ConnectionProcesses },
  round: number,
): Promise<readonly { readonly user: string; readonly said: string }[]> {
  const users = Array.from({ length: KILLS_AT_ONCE }, (_, at) => `k${round}-${at}`)
  for (const user of users) await house.link(user)
  const child = await house.start()
  const before = refreshes(remote)
  // Never answered where the kill comes first.
  for (const user of users) void child.get(user)
  for (let tries = 0; refreshes(remote) < before + KILLS_AT_ONCE; tries += 1) {
    if (tries > 10_000) throw new Error(`${refreshes(remote) - before} refreshes, not more`)
    await pause(1)
  }
  await pause(Math.floor(Math.random() * 60))
  await child.kill()
  const next = await house.start()
  const said = await Promise.all(users.map((user) => settled(next, user)))
  await next.stop()
  return users.map((user, at) => ({ user, said: said[at] ?? '' }))
}

describe('kill -9 between the answer and the write', () => {
  it(
    `R5, CLI-18: with a server that tolerates replay 0 of ${KILLS} are lost`,
    async () => {
      const stage = await open({
        refreshTokens: 'tolerant',
        tokenDelayMs: () => 20 + Math.floor(Math.random() * 40),
      })
      for (let round = 0; round < KILLS / KILLS_AT_ONCE; round += 1) {
        for (const { user, said } of await killAndAsk(stage, round))
          expect(stage.remote.isLive(said), `${user}: ${said}`).toBe(true)
      }
    },
    DEADLINE_MS,
  )

  it(
    `R5, CLI-20: with a strict one each of ${KILLS} is whole, or named "lost at crash" and shown`,
    async () => {
      const stage = await open({
        refreshTokens: 'strict',
        tokenDelayMs: () => 20 + Math.floor(Math.random() * 40),
      })
      const { remote, house } = stage
      let lost = 0
      for (let round = 0; round < KILLS / KILLS_AT_ONCE; round += 1) {
        for (const { user, said } of await killAndAsk(stage, round)) {
          const view = await house.connections.find(`app:default:${user}`, 'notes')
          if (remote.isLive(said)) {
            expect(view?.state).toBe('active')
            continue
          }
          lost += 1
          expect(said, user).toBe('ERR_CONNECTION_RECONNECT lost_at_crash')
          expect(view).toMatchObject({ state: 'reconnect', cause: 'lost_at_crash' })
        }
      }
      // The kill really came between: else nothing was shown here.
      expect(lost).toBeGreaterThan(0)
    },
    DEADLINE_MS,
  )
})
