/**
 * Tokens of GitHub that expire, through the refresher of the vault: after a refresh both old tokens are
 * dead at once, so a second call with the old one would end the sign-in.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GitHubDouble } from '../../demo/doubles/github.ts'
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import { createRefresher, type RefreshResult } from '../../src/vault/refresh.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { gitHubAppHouse, gitHubHouse, type House } from './provider-house.ts'

const CALLERS = 200
const EXPIRIES = 3
const LIFE_MS = 28_800_000
const DEADLINE_MS = 5_000

describe.each([
  ['an OAuth app with expiring tokens', () => gitHubHouse({ expiringTokens: true })],
  ['a GitHub App', () => gitHubAppHouse()],
] as const)('GitHub, %s', (_name, start) => {
  let house: House<GitHubDouble>
  beforeAll(async () => {
    house = await start()
  })
  afterAll(() => house.close())

  /** Two nodes over one store and one lock. */
  async function signedIn() {
    const { runtime, provider, context } = house
    const sealing = createSealing([new Uint8Array(32).fill(7)], runtime)
    const lock = createMemoryLock(runtime)
    const vault = createVault({ store: createMemoryStore(), sealing, runtime })
    const { tokens, identity } = await house.signIn('ada')
    const { id } = await vault.save(
      {
        userId: 'user',
        userKey: 'key',
        provider: provider.id,
        issuer: identity.issuer,
        subject: identity.subject,
        tokenOrigin: house.double.url,
      },
      tokens,
    )
    const node = () =>
      createRefresher({
        vault,
        lock,
        runtime,
        emit: createRecordingEmit(),
        async call(_record, held) {
          const answer = await provider.refresh?.(context, held.refreshToken ?? '', held)
          if (answer?.outcome === 'yes') return { outcome: 'yes', value: answer.tokens }
          return answer?.outcome === 'no' ? answer : { outcome: 'unknown' }
        },
      })
    return { id, vault, nodes: [node(), node()] }
  }

  /** The other node looks again after a wait of the fake clock, while the sockets are real. */
  async function settled(work: Promise<readonly RefreshResult[]>) {
    let results: readonly RefreshResult[] | undefined
    void work.then((value) => {
      results = value
    })
    for (let round = 0; results === undefined && round < 400; round += 1)
      await house.runtime.elapseMs(10)
    return new Set(results)
  }

  it('PRV-08, CLI-19: one refresh per expiry, whoever asks at once, and the sign-in lives on', async () => {
    const { id, vault, nodes } = await signedIn()
    for (let expiry = 1; expiry <= EXPIRIES; expiry += 1) {
      const before = (await vault.load(id)).tokens
      house.runtime.advanceMs(LIFE_MS + 1)
      house.double.forget()
      const callers = Array.from({ length: CALLERS }, (_, index) =>
        nodes[index % nodes.length]?.refresh(id, DEADLINE_MS),
      )
      const results = await settled(
        Promise.all(callers.map(async (caller) => (await caller) ?? 'unknown')),
      )
      expect([...results].every((one) => one === 'refreshed' || one === 'current')).toBe(true)
      expect(house.double.exchanges()).toEqual({ [house.tokenEndpoint]: 1 })
      const { tokens } = await vault.load(id)
      expect(tokens.accessToken).not.toBe(before.accessToken)
      expect(tokens.refreshToken).not.toBe(before.refreshToken)
      expect(await house.provider.check(house.context, tokens)).toMatchObject({ outcome: 'yes' })
      expect(
        await house.provider.refresh?.(house.context, before.refreshToken ?? '', before),
      ).toEqual({ outcome: 'no', reason: 'bad_refresh_token' })
    }
  })

  it('PRV-08: nobody refreshes what has not expired', async () => {
    const { id, nodes } = await signedIn()
    house.double.forget()
    expect(await nodes[0]?.refresh(id, DEADLINE_MS)).toBe('current')
    expect(house.double.total()).toBe(0)
  })
})
