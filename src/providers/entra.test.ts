import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ADA } from '../../demo/doubles/people.ts'
import {
  entraProduct,
  OTHER_TENANT,
  oidOf,
  productHouse,
  TENANT,
} from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import { CLIENT, type House } from '../../test/contract/provider-house.ts'
import { parseConfig } from '../config/parse.ts'
import type { SignIn } from './provider.ts'

const GRAPH = 'POST /graph.microsoft.com/v1.0/me/getMemberObjects'
const ISSUER = `https://login.microsoftonline.com/${TENANT}/v2.0`

describe('Microsoft Entra', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(entraProduct(TENANT))
  })
  afterEach(async () => {
    house.double.say({})
    await house.double.revive()
  })
  afterAll(() => house.close())

  const refresh = ({ tokens }: SignIn) =>
    house.provider.refresh?.(house.context, tokens.refreshToken ?? '', tokens)

  it('PRV-14: uses the v2 endpoints, repeats scopes at the token endpoint, never sends resource', async () => {
    const visit = await house.visit()
    expect(visit.authorizationUrl.pathname).toContain('/oauth2/v2.0/authorize')
    await refresh(await house.provider.exchange(house.context, visit))
    const forms = house.double.tokenForms.slice(-2)
    expect(forms.map((form) => form.get('grant_type'))).toEqual([
      'authorization_code',
      'refresh_token',
    ])
    for (const form of forms) {
      expect(form.has('resource')).toBe(false)
      expect(form.get('scope')).toBe(
        'openid profile email offline_access https://graph.microsoft.com/User.Read',
      )
    }
    expect(visit.authorizationUrl.searchParams.has('resource')).toBe(false)
  })

  it('PRV-14: a token request names further scopes of ours too', async () => {
    const visit = await house.visit()
    await house.provider.exchange(house.context, { ...visit, scopes: ['Mail.Read'] })
    expect(house.double.tokenForms.at(-1)?.get('scope')).toMatch(/ Mail\.Read$/)
  })

  it('PRV-14: names the scopes of one resource in a token request (AADSTS28000)', async () => {
    const scopes = ['offline_access', 'api://notes/read', 'User.Read', 'api://notes/write']
    const mixed = await productHouse(entraProduct(TENANT), { scopes })
    const { authorizationUrl } = await mixed.visit()
    expect(authorizationUrl.searchParams.get('scope')).toBe(`openid ${scopes.join(' ')}`)
    await mixed.signIn()
    expect(mixed.double.tokenForms.at(-1)?.get('scope')).toBe(
      'openid offline_access api://notes/read api://notes/write',
    )
    await mixed.close()
  })

  it('PRV-14, PRV-21: a person is tid and oid, not the sub of one application', async () => {
    house.double.say({ idToken: { sub: 'another-pairwise' } })
    const { identity } = await house.signIn()
    expect(identity).toMatchObject({
      issuer: ISSUER,
      subject: `${TENANT}.${oidOf(ADA)}`,
      tenant: TENANT,
    })
  })

  it('PRV-21: an e-mail without xms_edov is not verified, roles are those of the token', async () => {
    house.double.say({ idToken: { xms_edov: undefined, email_verified: true, roles: ['admin'] } })
    const { identity } = await house.signIn()
    expect(identity.profile).toMatchObject({ email: ADA.email, emailVerified: false })
    expect(identity.roles).toEqual(['admin'])
  })

  it.each([
    ['of another tenant', { tid: OTHER_TENANT, iss: ISSUER.replace(TENANT, OTHER_TENANT) }],
    ['with the tid of another tenant', { tid: OTHER_TENANT }],
    ['whose issuer is not the one of its tid', { iss: ISSUER.replace(TENANT, OTHER_TENANT) }],
    ['of the v1 endpoints', { iss: `https://sts.windows.net/${TENANT}/` }],
  ])('PRV-14: refuses a token %s', async (_what, idToken) => {
    house.double.say({ idToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_issuer' })
  })

  it('PRV-14: refuses a token for another client, and one without oid', async () => {
    house.double.say({ idToken: { aud: 'somebody-else' } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_audience' })
    house.double.say({ idToken: { oid: undefined } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_oid' })
  })

  it('PRV-14: a Graph token is opaque: proved by its life, then by the refresh', async () => {
    const { tokens, identity } = await house.signIn()
    house.double.forget()
    const check = () => house.provider.check(house.context, tokens, { subject: identity.subject })
    expect(await check()).toEqual({ outcome: 'yes' })
    await house.runtime.elapseMs(3_601_000)
    expect(await check()).toEqual({ outcome: 'unknown', reason: 'access_token_expired' })
    expect(house.double.total()).toBe(0)
  })

  it('PRV-14: a refresh that needs the person is the end, a throttled one is not', async () => {
    const signIn = await house.signIn()
    const answer = (status: number, error: string) =>
      house.double.answerWith(house.tokenEndpoint, {
        status,
        headers: { 'content-type': 'application/json', 'retry-after': '30' },
        body: JSON.stringify({ error, error_codes: [50_076] }),
      })
    answer(400, 'interaction_required')
    expect(await refresh(signIn)).toEqual({ outcome: 'no', reason: 'interaction_required' })
    answer(429, 'temporarily_unavailable')
    expect(await refresh(signIn)).toMatchObject({ outcome: 'unknown', retryAfterMs: 30_000 })
  })

  describe('groups that do not fit into the token', () => {
    const OVERAGE = { groups: undefined, _claim_names: { groups: 'src1' } }

    it('PRV-22: come from Graph with one call, at sign-in and when asked again', async () => {
      house.double.say({
        idToken: {
          ...OVERAGE,
          _claim_sources: { src1: { endpoint: 'https://evil.example/getMemberObjects' } },
        },
      })
      const visit = await house.visit()
      house.double.forget()
      const { identity, tokens } = await house.provider.exchange(house.context, visit)
      expect(identity.groups).toEqual(['from-graph-1', 'from-graph-2'])
      expect(house.double.exchanges()).toEqual({ [house.tokenEndpoint]: 1, [GRAPH]: 1 })
      house.double.forget()
      const again = await house.provider.identify?.(house.context, tokens)
      expect(again).toMatchObject({ subject: identity.subject, groups: identity.groups })
      expect(house.double.exchanges()).toEqual({ [GRAPH]: 1 })
    })

    it.each([[{ hasgroups: true }], [{ hasgroups: 'true' }]])(
      'PRV-22: %j says the same',
      async (mark) => {
        house.double.say({ idToken: { groups: undefined, ...mark } })
        expect((await house.signIn()).identity.groups).toHaveLength(2)
      },
    )

    it('PRV-22: Graph throttled or broken is an error, never a person without groups', async () => {
      house.double.say({ idToken: OVERAGE })
      for (const [answer, code] of [
        [{ status: 429, headers: { 'retry-after': '9' } }, 'ERR_UPSTREAM_RATE_LIMIT'],
        [{ status: 403, body: '{}' }, 'ERR_UPSTREAM_STATUS'],
        [
          { status: 200, headers: { 'content-type': 'application/json' }, body: '{"error":{}}' },
          'ERR_UPSTREAM_BODY',
        ],
      ] as const) {
        house.double.answerWith(GRAPH, answer)
        await expect(house.signIn()).rejects.toMatchObject({ name: 'UpstreamError', code })
      }
    })
  })
})

describe('Microsoft Entra for several directories', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(entraProduct('organizations', { allowedTenants: TENANT }))
  })
  afterEach(() => house.double.say({}))
  afterAll(() => house.close())

  const ofTenant = (tid: string) => ({ tid, iss: ISSUER.replace(TENANT, tid) })

  it('PRV-15: puts tid in the place of {tenantid}', async () => {
    const { identity } = await house.signIn()
    expect(identity).toMatchObject({ issuer: ISSUER, tenant: TENANT })
    expect(house.provider.issuer).toBe('https://login.microsoftonline.com/organizations/v2.0')
  })

  it('PRV-15: refuses a token of a tenant that is not allowed', async () => {
    house.double.say({ idToken: ofTenant(OTHER_TENANT) })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_issuer' })
  })

  it.each([
    ['no tid', { tid: undefined }],
    [
      'a tid that is no id',
      { tid: '../evil', iss: 'https://login.microsoftonline.com/../evil/v2.0' },
    ],
    ['the template itself', { tid: '{tenantid}', iss: ISSUER.replace(TENANT, '{tenantid}') }],
    ['the issuer of another tenant', { iss: ISSUER.replace(TENANT, OTHER_TENANT) }],
  ])('PRV-15: refuses a token with %s', async (_what, idToken) => {
    house.double.say({ idToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_issuer' })
  })

  it('PRV-15: any admits every directory, and nothing that is none', async () => {
    const open = await productHouse(entraProduct('common', { allowedTenants: 'any' }))
    open.double.say({ idToken: ofTenant(OTHER_TENANT) })
    expect((await open.signIn()).identity).toMatchObject({
      tenant: OTHER_TENANT,
      subject: `${OTHER_TENANT}.${oidOf(ADA)}`,
    })
    open.double.say({ idToken: { tid: 'any', iss: ISSUER.replace(TENANT, 'any') } })
    await expect(open.signIn()).rejects.toMatchObject({ reason: 'id_token_issuer' })
    await open.close()
  })

  it('PRV-15: a key of one tenant signs for no other', async () => {
    const { context } = house
    const jwks: typeof context.jwks = async (uri) => {
      const { keys } = await context.jwks(uri)
      return { keys: keys.map((key) => ({ ...key, issuer: ISSUER.replace(TENANT, OTHER_TENANT) })) }
    }
    const bound = { ...context, jwks, refreshJwks: jwks }
    const outcome = house.provider.exchange(bound, await house.visit())
    await expect(outcome).rejects.toMatchObject({ reason: 'id_token_unknown_key' })
  })
})

describe('Microsoft Entra with an API of our own', () => {
  const audience = 'api://notes'
  const accessToken = {
    sub: 'p',
    tid: TENANT,
    oid: oidOf(ADA),
    aud: audience,
    azp: CLIENT.clientId,
  }
  const start = () =>
    productHouse(entraProduct(TENANT, { audience }), {
      scopes: ['offline_access', 'api://notes/read'],
      shape: { accessToken: () => ({ ...accessToken, scp: 'read' }), grant: () => undefined },
    })

  it('PRV-03, PRV-14: checks its access token here, with the scopes in it', async () => {
    const house = await start()
    const { tokens, identity } = await house.signIn()
    expect(tokens.scopes).toEqual(['read'])
    house.double.forget()
    const check = (subject: string) => house.provider.check(house.context, tokens, { subject })
    expect(await check(identity.subject)).toEqual({ outcome: 'yes', scopes: ['read'] })
    expect(await check('somebody')).toEqual({ outcome: 'no', reason: 'subject' })
    expect(house.double.total()).toBe(0)
    await house.close()
  })

  it.each([
    ['audience', { aud: 'api://other' }],
    ['client', { azp: 'somebody-else' }],
    ['issuer', { tid: OTHER_TENANT }],
  ])('PRV-14: refuses an access token for another %s', async (reason, change) => {
    const house = await start()
    house.double.say({ accessToken: change })
    await expect(house.signIn()).rejects.toMatchObject({ reason: `access_token_${reason}` })
    await house.close()
  })
})

describe('the configuration of Microsoft Entra', () => {
  const parse = (provider: Record<string, unknown>) =>
    parseConfig(
      { providers: [{ type: 'entra', clientId: 'a', clientSecret: 'b', ...provider }] },
      { environment: {} },
    )

  it.each([
    [{}, 'tenant'],
    [{ tenant: 'contoso.onmicrosoft.com' }, 'tenant'],
    [{ tenant: 'organizations' }, 'allowedTenants'],
    [{ tenant: TENANT, allowedTenants: [OTHER_TENANT] }, 'allowedTenants'],
    [{ tenant: 'common', allowedTenants: ['contoso.com'] }, 'allowedTenants'],
  ])('PRV-15: refuses %j and names %s', (given, option) => {
    expect(() => parse(given)).toThrow(`providers[0].${option} must be`)
  })

  it('PRV-15: takes a list of directories', () => {
    const given = { tenant: 'organizations', allowedTenants: [TENANT, OTHER_TENANT] }
    expect(parse(given).providers[0]?.openId).toEqual({
      issuer: 'https://login.microsoftonline.com/organizations/v2.0',
      documentIssuer: 'https://login.microsoftonline.com/{tenantid}/v2.0',
    })
  })
})
