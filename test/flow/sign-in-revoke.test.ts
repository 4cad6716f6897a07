import { describe, expect, it } from 'vitest'
import { StoreError } from '../../src/errors.ts'
import {
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  refresh,
  register,
  tokensFor,
} from './sign-in-house.ts'

const withTokens = async (options: Parameters<typeof createTestIssuer>[0] = {}) => {
  const house = createTestIssuer(options)
  const { client_id } = await register(house)
  return { house, client_id, tokens: await tokensFor(house, client_id) }
}
describe('POST /revoke', () => {
  const revoke = (house: ReturnType<typeof createTestIssuer>, form: Record<string, string>) =>
    house.fetch(
      new Request(`${ISSUER}/revoke`, { method: 'POST', body: new URLSearchParams(form) }),
    )

  it('REV-01 REV-03: a refresh token ends its grant, whatever the hint', async () => {
    const { house, client_id, tokens } = await withTokens()
    expect(
      (
        await revoke(house, {
          client_id,
          token: tokens.refresh_token,
          token_type_hint: 'access_token',
        })
      ).status,
    ).toBe(200)
    expect(await errorOf(await refresh(house, client_id, tokens.refresh_token))).toBe(
      'invalid_grant',
    )
    expect(house.marks).toMatchObject([{ kind: 'grant', id: claimsOf(tokens.access_token).gid }])
  })

  it('REV-03: an access token is marked, its refresh token goes on', async () => {
    const { house, client_id, tokens } = await withTokens()
    expect((await revoke(house, { client_id, token: tokens.access_token })).status).toBe(200)
    expect(house.marks).toMatchObject([{ kind: 'token', id: claimsOf(tokens.access_token).jti }])
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })

  it('REV-01 REV-02: a foreign token is refused and stays valid; unknown and repeated ones are 200', async () => {
    const { house, client_id, tokens } = await withTokens()
    const foreign = await register(house)
    expect(
      (await revoke(house, { client_id: foreign.client_id, token: tokens.refresh_token })).status,
    ).toBe(400)
    expect(
      (await revoke(house, { client_id: foreign.client_id, token: tokens.access_token })).status,
    ).toBe(400)
    expect((await revoke(house, { client_id, token: 'nonsense' })).status).toBe(200)
    expect((await revoke(house, { client_id: 'cli_unknown', token: 'nonsense' })).status).toBe(401)
    for (const _again of [1, 2])
      expect((await revoke(house, { client_id, token: tokens.refresh_token })).status).toBe(200)
  })

  it('REV-02: an expired token is 200, and no mark is written for it', async () => {
    const { house, client_id, tokens } = await withTokens()
    house.runtime.advanceMs(3_600_001)
    expect((await revoke(house, { client_id, token: tokens.access_token })).status).toBe(200)
    expect(house.marks).toEqual([])
  })

  it('REV-02: 503 with Retry-After while the store is down: the token may still exist', async () => {
    const { house, client_id, tokens } = await withTokens()
    const down = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
    const { grants } = house.store
    Object.assign(house.store, { grants: { ...grants, find: down, revoke: down, end: down } })
    for (const token of [tokens.refresh_token, tokens.access_token]) {
      const answer = await revoke(house, { client_id, token })
      expect([answer.status, await errorOf(answer)]).toEqual([503, 'temporarily_unavailable'])
      expect(answer.headers.get('retry-after')).not.toBeNull()
    }
    Object.assign(house.store, { grants })
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
  })
})
