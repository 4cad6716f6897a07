/** Each reason for which `explain` says that a token would be refused, on a house with a clock of its own. */
import { describe, expect, it } from 'vitest'
import { type Explanation, explainToken } from '../../src/issuer/explain.ts'
import { TENANT } from '../../src/records.ts'
import { createTestIssuer, register, type TestHouse, tokensFor } from './sign-in-house.ts'

const HOUR_MS = 3_600_000

async function signedIn() {
  const house = createTestIssuer({ connectors: ['notes', 'tasks'] })
  const { client_id } = await register(house)
  return { house, tokens: await tokensFor(house, client_id) }
}

async function explain(house: TestHouse, token: string, asked?: string): Promise<Explanation> {
  const { config, keys, runtime, store } = house.deps
  const told = await explainToken({ config, keys, runtime, store }, token, asked)
  expect(JSON.stringify(told)).not.toContain(token)
  return told
}

const reasons = async (house: TestHouse, token: string, asked?: string): Promise<string[]> =>
  (await explain(house, token, asked)).problems.map(({ reason }) => reason)

describe('explainToken', () => {
  it('nothing is wrong with a token of now, and its own URL may be written as people write it', async () => {
    const { house, tokens } = await signedIn()
    expect(await reasons(house, tokens.access_token)).toEqual([])
    expect(await reasons(house, tokens.access_token, 'HTTPS://AUTH.EXAMPLE/mcp/notes/')).toEqual([])
    expect(await reasons(house, tokens.refresh_token)).toEqual([])
  })

  it('expiry is told beside everything else', async () => {
    const { house, tokens } = await signedIn()
    house.runtime.advanceMs(3 * HOUR_MS)
    const told = await explain(house, tokens.access_token, `${house.issuer}/mcp/tasks`)
    expect(told.problems.map(({ reason, problem }) => [reason, problem])).toEqual([
      ['expired', 'it expired 2 h ago.'],
      ['audience', `this token is for ${house.issuer}/mcp/notes, not for /mcp/tasks.`],
    ])
    house.runtime.advanceMs(40 * 24 * HOUR_MS)
    expect(await reasons(house, tokens.refresh_token)).toEqual(['grant_ended'])
  })

  it('a person who was switched off, and a sign-in that is over at the provider', async () => {
    const { house, tokens } = await signedIn()
    const [user] = await house.store.list('user', TENANT, undefined, { max: 1 })
    const [vault] = await house.store.list('vault', TENANT, undefined, { max: 1 })
    if (user === undefined || vault === undefined) throw new Error('nobody is signed in')
    const off = { ...user.value, state: 'disabled' as const }
    await house.store.put('user', user.key, user.version, off)
    const over = { ...vault.value, state: 'ended' as const, cause: 'invalid_grant' }
    await house.store.put('vault', vault.key, vault.version, over)
    const told = await explain(house, tokens.access_token)
    expect(told.problems.map(({ problem }) => problem)).toEqual([
      'its user is switched off.',
      'the sign-in at github is over: invalid_grant.',
    ])
  })

  it('each kind of mark by its name, and none that covers only older tokens', async () => {
    const { house, tokens } = await signedIn()
    const nowMs = house.runtime.nowMs()
    const claims = JSON.parse(atob(tokens.access_token.split('.')[1] ?? '')) as Record<
      string,
      string
    >
    const marks = [
      ['token', claims.jti],
      ['client', claims.client_id],
      ['connector', claims.aud],
      ['tenant', TENANT],
      ['key', 'key-1'],
    ] as const
    for (const [kind, id = ''] of marks) {
      const mark = { tenant: TENANT, kind, id, expiresAtMs: nowMs + HOUR_MS, cause: kind }
      await house.store.grants.revoke({ ...mark, issuedBeforeMs: nowMs - HOUR_MS })
    }
    expect(await reasons(house, tokens.access_token)).toEqual([])
    for (const [kind, id = ''] of marks) {
      const mark = { tenant: TENANT, kind, id, expiresAtMs: nowMs + HOUR_MS, cause: kind }
      await house.store.grants.revoke({ ...mark, issuedBeforeMs: nowMs })
    }
    const { problems } = await explain(house, tokens.access_token)
    expect(problems.filter(({ reason }) => reason === 'revoked').map((one) => one.problem)).toEqual(
      [
        'its token was revoked: token.',
        'its client was revoked: client.',
        'its connector was revoked: connector.',
        'everything was revoked: tenant.',
        'its key was revoked: key.',
      ],
    )
  })

  it('a server that is not in this configuration any more', async () => {
    const { house, tokens } = await signedIn()
    const without = createTestIssuer({ connectors: ['tasks'], store: house.store })
    const deps = { ...house.deps, config: without.deps.config }
    const { problems } = await explainToken(deps, tokens.access_token)
    expect(problems).toMatchObject([
      { code: 'ERR_TOKEN_AUDIENCE', problem: expect.stringContaining('not for /mcp/tasks.') },
    ])
  })
})
