import { describe, expect, it } from 'vitest'
import { createTestIssuer, refresh, register, signIn, tokensFor, Visitor } from './sign-in-house.ts'

describe('sign out of a browser', () => {
  it('VAL-13: forgets the proof of a sign-in that no app depends on', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const page = await visitor.get('/')
    const toProvider = await visitor.press(page, 'allow:github')
    await visitor.comeBack(toProvider)
    const [vaultId] = house.proofs.provedIds
    expect((await visitor.post('/logout', {})).status).toBe(200)
    expect(house.proofs.forgotten).toEqual([vaultId])
    expect(await house.store.count('session', 'default')).toBe(0)
    await visitor.post('/logout', {})
    expect(house.proofs.forgotten).toHaveLength(1)
  })

  it('VAL-13: keeps it where an app is connected: the app goes on', async () => {
    const house = createTestIssuer()
    const { client_id: clientId } = await register(house)
    const tokens = await tokensFor(house, clientId)
    const visitor = new Visitor(house)
    await signIn(house, visitor, clientId)
    await visitor.post('/logout', {})
    expect(house.proofs.forgotten).toEqual([])
    expect((await refresh(house, clientId, tokens.refresh_token)).status).toBe(200)
  })
})
