import { describe, expect, it } from 'vitest'
import type { Config } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  redeem,
  refresh,
  signIn,
  type Tokens,
  token,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

type Fixed = Partial<Config['clients'][number]>
const houseWith = (rest: Fixed, connectors: readonly string[] = ['notes', 'files']) =>
  createTestIssuer({
    connectors,
    config: { clients: [{ clientId: 'portal', redirectUris: [WEB_REDIRECT], ...rest }] },
  })
type House = ReturnType<typeof houseWith>
const visit = async (house: House, rest: Record<string, string | undefined> = {}) =>
  answerOf(await new Visitor(house).get(authorizeUrl(house, 'portal', rest)))

describe('static clients', () => {
  it('REG-29 REG-01: the flow runs without registration', async () => {
    const house = houseWith({ name: 'Portal', secret: new Secret('of-the-operator') })
    const { code = '' } = await signIn(house, new Visitor(house), 'portal')
    const answer = await redeem(house, 'portal', code, { client_secret: 'of-the-operator' })
    expect(answer.status).toBe(200)
    expect(await house.store.count('client', 'default')).toBe(0)
  })

  it('REG-29: another redirect URI is a page', async () => {
    const house = houseWith({})
    const url = authorizeUrl(house, 'portal', { redirect_uri: 'https://client.example/other' })
    const page = await new Visitor(house).get(url)
    expect([page.status, page.headers.get('location')]).toEqual([400, null])
  })

  it('REG-29: resources beyond its own are invalid_target; a missing one means its only one', async () => {
    const house = houseWith({ resources: [`${ISSUER}/mcp/files`] })
    expect(await visit(house)).toMatchObject({ error: 'invalid_target' })
    const visitor = new Visitor(house)
    const { code = '' } = await signIn(house, visitor, 'portal', { resource: undefined })
    const tokens = (await (await redeem(house, 'portal', code)).json()) as Tokens
    expect(claimsOf(tokens.access_token).aud).toBe(`${ISSUER}/mcp/files`)
  })

  it('REG-29: scopes beyond its own are invalid_scope', async () => {
    expect(await visit(houseWith({ scopes: ['notes:read'] }))).toMatchObject({
      error: 'invalid_scope',
    })
    expect(await visit(houseWith({ scopes: ['notes:read'] }), { scope: undefined })).toMatchObject({
      error: 'invalid_scope',
    })
    const house = houseWith({ scopes: ['mcp'] })
    const answer = await signIn(house, new Visitor(house), 'portal')
    expect(answer.code).toMatch(/./)
  })

  it('REG-29: what the operator takes away is gone for grants that exist', async () => {
    const before = houseWith({})
    const { code = '' } = await signIn(before, new Visitor(before), 'portal')
    const tokens = (await (await redeem(before, 'portal', code)).json()) as Tokens
    const narrowed = (rest: Fixed) =>
      createTestIssuer({
        connectors: ['notes', 'files'],
        store: before.store,
        runtime: before.runtime,
        config: { clients: [{ clientId: 'portal', redirectUris: [WEB_REDIRECT], ...rest }] },
        deps: { keys: before.deps.keys },
      })
    const ask = async (rest: Fixed) =>
      errorOf(await refresh(narrowed(rest), 'portal', tokens.refresh_token))
    expect(await ask({ resources: [`${ISSUER}/mcp/files`] })).toBe('invalid_target')
    expect(await ask({ scopes: ['other'] })).toBe('invalid_scope')
    expect(await ask({ grants: ['authorization_code'] })).toBe('unauthorized_client')
    const left = narrowed({ resources: [`${ISSUER}/mcp/notes`], scopes: ['mcp'] })
    expect((await refresh(left, 'portal', tokens.refresh_token)).status).toBe(200)
  })

  it('REG-29: grant types beyond its own are unauthorized_client', async () => {
    const machine = houseWith({ grants: ['client_credentials'], secret: new Secret('s') })
    expect(await visit(machine)).toMatchObject({ error: 'unauthorized_client' })
    const short = houseWith({ grants: ['authorization_code'] })
    const { code = '' } = await signIn(short, new Visitor(short), 'portal')
    expect(await (await redeem(short, 'portal', code)).json()).not.toHaveProperty('refresh_token')
    expect(await errorOf(await refresh(short, 'portal', 'ptr_x'))).toBe('unauthorized_client')
    const form = { grant_type: 'authorization_code', code: 'x', code_verifier: 'v'.repeat(43) }
    const refused = await token(machine, { ...form, client_id: 'portal', client_secret: 's' })
    expect(await errorOf(refused)).toBe('unauthorized_client')
  })
})
