/** Scopes of a connector at sign-in: in words on the page, at the provider, in the token (flows.md section 3). */
import { describe, expect, it } from 'vitest'
import { createScopeTable } from '../../src/oauth/scope-table.ts'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  connector,
  createTestIssuer,
  ISSUER,
  locationOf,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const NO_RULE = { tools: [], methods: [], implies: [], upstream: {} }
const SCOPES = createScopeTable([
  { ...NO_RULE, name: 'notes:read', title: 'Read your notes', tools: ['list_*'] },
  {
    ...NO_RULE,
    name: 'notes:write',
    title: 'Change <b>your</b> notes',
    tools: ['create_*'],
    implies: ['notes:read'],
    upstream: { github: ['repo', 'read:user'] },
  },
  { ...NO_RULE, name: 'notes:admin', tools: ['delete_*'], implies: ['notes:write'] },
])

function createHouse(): TestHouse {
  return createTestIssuer({
    config: {
      connectors: [connector(ISSUER, 'notes', { scopes: SCOPES }), connector(ISSUER, 'plain')],
      clients: [
        {
          clientId: 'portal',
          name: 'Portal',
          redirectUris: [WEB_REDIRECT],
          secret: new Secret('s3cret'),
        },
      ],
    },
  })
}

const document = async (house: TestHouse, path: string) =>
  (await (await house.fetch(new Request(`${ISSUER}${path}`))).json()) as Record<string, unknown>

async function tokensOf(
  house: TestHouse,
  scope: string | undefined,
  granted: readonly string[] | undefined,
): Promise<Tokens> {
  const { client_id } = await register(house)
  house.provider.granted = granted
  const { code = '' } = await signIn(house, new Visitor(house), client_id, { scope })
  return (await (await redeem(house, client_id, code)).json()) as Tokens
}

describe('scopes of a connector', () => {
  it('PR-05 AS-12: both documents name the minimum for basic use, whatever else there is', async () => {
    const house = createHouse()
    expect(await document(house, '/.well-known/oauth-protected-resource/mcp/notes')).toMatchObject({
      resource: `${ISSUER}/mcp/notes`,
      scopes_supported: ['mcp'],
      bearer_methods_supported: ['header'],
      resource_name: 'Notes',
    })
    expect(
      (await document(house, '/.well-known/oauth-authorization-server'))['scopes_supported'],
    ).toEqual(['mcp', 'offline_access'])
  })

  it('AZ-13: grants what the connector has, drops the rest, and says so in the token answer', async () => {
    const house = createHouse()
    const given = ['read:user', 'repo']
    expect((await tokensOf(house, undefined, given)).scope).toBe('mcp')
    expect((await tokensOf(house, 'mcp notes:read unknown openid', given)).scope).toBe(
      'mcp notes:read',
    )
    expect((await tokensOf(house, 'notes:write', given)).scope).toBe('notes:write')
    const { client_id } = await register(house)
    const page = await new Visitor(house).get(
      authorizeUrl(house, client_id, { scope: 'notes:read', resource: `${ISSUER}/mcp/plain` }),
    )
    expect(await page.text()).toContain('invalid_scope')
  })

  it('TOK-11: a refresh keeps or narrows the scopes, and never adds one of the connector', async () => {
    const house = createHouse()
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, new Visitor(house), client_id, {
      scope: 'mcp notes:read',
    })
    const first = (await (await redeem(house, client_id, code)).json()) as Tokens
    const wider = await refresh(house, client_id, first.refresh_token, {
      scope: 'mcp notes:read notes:write',
    })
    expect(wider.status).toBe(400)
    expect(await wider.json()).toMatchObject({ error: 'invalid_scope' })
    const narrower = await refresh(house, client_id, first.refresh_token, { scope: 'notes:read' })
    expect(await narrower.json()).toMatchObject({ scope: 'notes:read' })
  })

  it('CON-04: the page shows them in words, and what they need at the provider', async () => {
    const house = createHouse()
    const { client_id } = await register(house)
    const show = async (scope: string) =>
      (await new Visitor(house).get(authorizeUrl(house, client_id, { scope }))).text()
    const page = await show('mcp notes:write')
    expect(page).toContain('Change &lt;b&gt;your&lt;/b&gt; notes')
    expect(page).toContain('Use what needs no other permission on this server, in your name')
    expect(page).toContain('read and change your repositories, private ones included')
    const poor = await show('mcp notes:read')
    expect(poor).toContain('Read your notes')
    expect(poor).not.toContain('repositories')
  })

  it('CON-04: the page says what the server is told of the person, and nothing where it is told nothing', async () => {
    const house = createTestIssuer({
      config: {
        connectors: [
          connector(ISSUER, 'notes', { claims: ['name', 'email', 'email_verified', 'groups'] }),
          connector(ISSUER, 'plain'),
        ],
      },
    })
    const { client_id } = await register(house)
    const show = async (resource: string) =>
      (await new Visitor(house).get(authorizeUrl(house, client_id, { resource }))).text()
    expect(await show(`${ISSUER}/mcp/notes`)).toContain(
      'The server is told your name, your e-mail address and the groups you belong to.',
    )
    expect(await show(`${ISSUER}/mcp/plain`)).not.toContain('is told')
  })
})

describe('scopes at the provider', () => {
  it('asks for what each scope needs, also behind what it implies, besides the configured ones', async () => {
    const house = createHouse()
    const { client_id } = await register(house)
    const asked = async (scope: string, provider = 'github'): Promise<string | null> => {
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, client_id, { scope }))
      const trip = await visitor.press(page, `allow:${provider}`)
      return new URL(locationOf(trip)).searchParams.get('scope')
    }
    expect(await asked('mcp')).toBe('read:user user:email')
    expect(await asked('mcp notes:write')).toContain(' repo')
    expect(await asked('notes:admin')).toContain(' repo')
    expect(await asked('notes:write', 'okta')).toBe('read:user user:email')
  })

  it('O10: who gives less there gets ours without those that lack theirs; more never widens ours', async () => {
    const house = createHouse()
    const cases: readonly (readonly [string, readonly string[] | undefined, string])[] = [
      ['mcp notes:write', ['read:user'], 'mcp'],
      ['mcp notes:write', ['repo'], 'mcp'],
      ['mcp notes:write', [], 'mcp'],
      ['mcp notes:write notes:read', ['repo'], 'mcp notes:read'],
      ['mcp notes:admin', ['read:user'], 'mcp'],
      ['mcp notes:write', ['repo', 'read:user'], 'mcp notes:write'],
      // RFC 6749 section 5.1: no `scope` in the answer is what was asked for.
      ['mcp notes:write', undefined, 'mcp notes:write'],
      ['mcp', ['repo', 'read:user', 'notes:write', 'admin'], 'mcp'],
      ['notes:read', ['repo', 'read:user'], 'notes:read'],
      [' ', ['repo', 'read:user'], 'mcp'],
    ]
    for (const [scope, granted, expected] of cases) {
      expect((await tokensOf(house, scope, granted)).scope, `${scope} with ${granted}`).toBe(
        expected,
      )
    }
  })

  it('O10: with nothing left the client is told so, and nothing is granted', async () => {
    const house = createHouse()
    const { client_id } = await register(house)
    house.provider.granted = ['user:email']
    const answer = await signIn(house, new Visitor(house), client_id, { scope: 'notes:write' })
    expect(answer).toEqual({ error: 'access_denied', state: 'client-state', iss: ISSUER })
    expect(house.emit.events.some(({ reason }) => reason === 'upstream_scope_missing')).toBe(true)
  })

  it('PR-10: a returning person whose sign-in lacks theirs is led through the provider by the Allow', async () => {
    const house = createHouse()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id, { scope: 'mcp' })
    expect(house.provider.journeys).toHaveLength(1)
    // Enough already: the code at once.
    const enough = await visitor.get(authorizeUrl(house, client_id, { scope: 'mcp notes:read' }))
    expect(answerOf(await visitor.press(enough, 'allow'))).toHaveProperty('code')
    expect(house.provider.journeys).toHaveLength(1)
    const page = await visitor.get(authorizeUrl(house, client_id, { scope: 'mcp notes:write' }))
    const trip = await visitor.press(page, 'allow')
    expect(new URL(locationOf(trip)).searchParams.get('scope')).toContain('repo')
    house.provider.granted = ['read:user', 'repo']
    const { code = '' } = answerOf(await visitor.comeBack(trip))
    const tokens = (await (await redeem(house, client_id, code)).json()) as Tokens
    expect(tokens.scope).toBe('mcp notes:write')
    // From now on the sign-in has it.
    const again = await visitor.get(authorizeUrl(house, client_id, { scope: 'mcp notes:write' }))
    expect(answerOf(await visitor.press(again, 'allow'))).toHaveProperty('code')
    expect(house.provider.journeys).toHaveLength(2)
  })

  it('AZ-17: what lacks theirs is never granted silently', async () => {
    const house = createHouse()
    const visitor = new Visitor(house)
    house.provider.granted = ['read:user', 'repo']
    const url = authorizeUrl(house, 'portal', { scope: 'mcp notes:write' })
    await visitor.comeBack(await visitor.press(await visitor.get(url), 'allow:github'))
    expect(answerOf(await visitor.get(url))).toHaveProperty('code')
    // The same person signs in with less: the stored sign-in lacks it from now on.
    house.provider.granted = ['read:user']
    const less = await visitor.get(authorizeUrl(house, 'portal', { prompt: 'login' }))
    await visitor.comeBack(await visitor.press(less, 'allow:github'))
    expect((await visitor.get(url)).status).toBe(200)
    const none = authorizeUrl(house, 'portal', { scope: 'mcp notes:write', prompt: 'none' })
    expect(answerOf(await visitor.get(none))).toMatchObject({ error: 'consent_required' })
  })

  it('PRV-09: the event of a sign-in says that the provider gave less than was asked for', async () => {
    const house = createHouse()
    const { provider } = house.provider
    const exchange = provider.exchange.bind(provider)
    Object.assign(provider, {
      exchange: async (...input: Parameters<typeof exchange>) => ({
        ...(await exchange(...input)),
        missingScopes: ['repo'],
      }),
    })
    const { client_id } = await register(house)
    await signIn(house, new Visitor(house), client_id)
    expect(house.emit.eventsOf('signin.completed')).toMatchObject([
      { provider: 'github', reason: 'provider_scopes_missing' },
    ])
  })
})
