import { describe, expect, it } from 'vitest'
import { TENANT } from '../../src/records.ts'
import {
  answerOf,
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  type HouseOptions,
  ISSUER,
  locationOf,
  redeem,
  refresh,
  signIn,
  type TestHouse,
  type Tokens,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const PORTAL: HouseOptions = {
  config: { clients: [{ clientId: 'portal', name: 'Portal', redirectUris: [WEB_REDIRECT] }] },
}

const nowSeconds = (house: TestHouse): number => Math.floor(house.runtime.nowMs() / 1000)

async function tokensOf(house: TestHouse, code = ''): Promise<Tokens> {
  return (await (await redeem(house, 'portal', code)).json()) as Tokens
}

/** A house whose provider speaks OpenID, and a browser that signed in there an hour ago. */
async function hourLater(): Promise<{
  house: TestHouse
  visitor: Visitor
  signedInSeconds: number
}> {
  const house = createTestIssuer(PORTAL)
  const visitor = new Visitor(house)
  const signedInSeconds = nowSeconds(house)
  house.provider.says = { idToken: 'id', authTimeSeconds: signedInSeconds, acr: 'pwd' }
  await signIn(house, visitor, 'portal')
  house.runtime.advanceMs(3_600_000)
  return { house, visitor, signedInSeconds }
}

describe('step-up at /authorize', () => {
  it('AZ-18 EXT-09: an old sign-in is asked for anew, max_age and acr_values reach the provider, the token says when and how', async () => {
    const { house, visitor } = await hourLater()
    const wish = { max_age: '600', acr_values: 'phr mfa' }
    const page = await visitor.get(authorizeUrl(house, 'portal', wish))
    const journey = await visitor.press(page, 'allow:github')
    expect(Object.fromEntries(new URL(locationOf(journey)).searchParams)).toMatchObject(wish)
    house.runtime.advanceMs(20_000)
    const authTimeSeconds = nowSeconds(house) - 5
    house.provider.says = { idToken: 'id', authTimeSeconds, acr: 'mfa' }
    const { code } = answerOf(await visitor.comeBack(journey))
    const tokens = await tokensOf(house, code)
    expect(claimsOf(tokens.access_token)).toMatchObject({ auth_time: authTimeSeconds, acr: 'mfa' })
    const renewed = (await (await refresh(house, 'portal', tokens.refresh_token)).json()) as Tokens
    expect(claimsOf(renewed.access_token)).toMatchObject({ auth_time: authTimeSeconds, acr: 'mfa' })
    // Fresh and strong enough now: no page, no provider.
    const again = await visitor.get(authorizeUrl(house, 'portal', wish))
    expect(answerOf(again)).toHaveProperty('code')
  })

  it('EXT-09: a token says nothing about the sign-in where nobody asked', async () => {
    const { house, visitor } = await hourLater()
    const { code } = answerOf(await visitor.get(authorizeUrl(house, 'portal')))
    const claims = claimsOf((await tokensOf(house, code)).access_token)
    expect(Object.keys(claims)).not.toContain('auth_time')
    expect(Object.keys(claims)).not.toContain('acr')
  })

  it('AZ-18: a sign-in young enough is enough, and its real time is told, not the time of the request', async () => {
    const { house, visitor, signedInSeconds } = await hourLater()
    const answer = await visitor.get(authorizeUrl(house, 'portal', { max_age: '7200' }))
    const { code } = answerOf(answer)
    const claims = claimsOf((await tokensOf(house, code)).access_token)
    expect(claims).toMatchObject({ auth_time: signedInSeconds, acr: 'pwd' })
  })

  it('AZ-18: prompt=login and max_age=0 make the provider ask again, whatever its own session says', async () => {
    for (const wish of [{ prompt: 'login' }, { max_age: '0' }]) {
      const house = createTestIssuer(PORTAL)
      const visitor = new Visitor(house)
      await signIn(house, visitor, 'portal')
      const page = await visitor.get(authorizeUrl(house, 'portal', wish))
      const journey = new URL(locationOf(await visitor.press(page, 'allow:github')))
      expect(journey.searchParams.get('max_age')).toBe('0')
    }
  })

  it('EXT-09: a provider that did not do it is told to the client, and nothing is issued', async () => {
    const cases = [
      [{ max_age: '600' }, { idToken: 'id', authTimeSeconds: -3_600 }, 'max_age_unmet'],
      [{ max_age: '600' }, { idToken: 'id' }, 'max_age_unmet'],
      [{ max_age: '0' }, { idToken: 'id', authTimeSeconds: -300 }, 'max_age_unmet'],
      [{ acr_values: 'mfa' }, { idToken: 'id', acr: 'pwd' }, 'acr_unmet'],
      [{ acr_values: 'mfa' }, {}, 'acr_unmet'],
    ] as const
    for (const [wish, said, reason] of cases) {
      const house = createTestIssuer(PORTAL)
      const visitor = new Visitor(house)
      const ago = 'authTimeSeconds' in said ? said.authTimeSeconds : undefined
      house.provider.says = {
        ...said,
        ...(ago === undefined ? {} : { authTimeSeconds: nowSeconds(house) + ago }),
      }
      const answer = await signIn(house, visitor, 'portal', wish)
      expect(answer).toMatchObject({
        error: 'unmet_authentication_requirements',
        state: 'client-state',
        iss: ISSUER,
      })
      expect(house.emit.eventsOf('signin.refused')).toMatchObject([{ reason }])
      expect(await house.store.count('session', TENANT)).toBe(0)
    }
  })

  it('EXT-09: the clock of a provider never makes a sign-in younger than now', async () => {
    const house = createTestIssuer(PORTAL)
    house.provider.says = { idToken: 'id', authTimeSeconds: nowSeconds(house) + 86_400 }
    const { code } = await signIn(house, new Visitor(house), 'portal', { max_age: '60' })
    const claims = claimsOf((await tokensOf(house, code)).access_token)
    expect(claims.auth_time).toBe(nowSeconds(house))
  })

  it('EXT-09: acr_values that cannot be a list of names are refused', async () => {
    const house = createTestIssuer(PORTAL)
    for (const acr_values of ['a'.repeat(256), Array(17).fill('a').join(' '), 'é']) {
      const answer = await new Visitor(house).get(authorizeUrl(house, 'portal', { acr_values }))
      expect(answerOf(answer)).toMatchObject({ error: 'invalid_request' })
    }
  })
})

describe('elevation', () => {
  it('PR-18 I12: more scopes than allowed before leave an event and an audit row: requested, granted, client, user, flow', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    const [approval] = await house.store.list('approval', TENANT, undefined, { max: 1 })
    if (approval === undefined) throw new Error('no approval')
    const narrower = { ...approval.value, scopes: ['notes:read'] }
    await house.store.put('approval', approval.key, approval.version, narrower)
    const scope = 'mcp offline_access'
    const page = await visitor.get(authorizeUrl(house, 'portal', { scope }))
    expect(page.status).toBe(200)
    await visitor.press(page, 'allow')
    const events = house.emit.eventsOf('consent.given')
    const facts = { requestedScope: scope, grantedScope: 'mcp', scopeBefore: 'notes:read' }
    expect(events).toMatchObject([{ clientId: 'portal' }, { clientId: 'portal', ...facts }])
    expect(events[0]).not.toHaveProperty('grantedScope')
    const rows = await house.store.list('audit', TENANT, undefined, { max: 100 })
    const audits = rows.map(({ value }) => value).filter(({ event }) => event === 'consent.given')
    expect(audits.map(({ detail }) => detail)).toContain(
      `${events[1]?.flowId} elevation requested="${scope}" granted="mcp" before="notes:read"`,
    )
    for (const audit of audits)
      expect(audit).toMatchObject({ clientId: 'portal', userId: narrower.userId })
  })
})
