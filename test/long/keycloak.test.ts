/**
 * The second implementation of PRV-01: a real Keycloak, with its own login page, asked by the generic
 * provider and by the product of that name; then a whole Postern in front of it, down to the logout
 * that Keycloak posts to us.
 */
import { afterAll, beforeAll, describe, expect, it, onTestFailed, type TestContext } from 'vitest'
import { ADA, GRACE, type Person } from '../../demo/doubles/people.ts'
import { playBrowser } from '../../demo/doubles/sign-in.ts'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createEgress } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { createVerifier, s256 } from '../../src/oauth/pkce.ts'
import { PROVIDER_TYPES } from '../../src/providers/index.ts'
import type { Provider, ProviderContext, SignIn } from '../../src/providers/provider.ts'
import { createContext, settings } from '../contract/provider-house.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { type Keycloak, prepareKeycloak, startKeycloak } from '../kit/keycloak.ts'
import { need } from '../kit/needs.ts'
import { freePort, type ServedPostern, servePostern } from '../kit/postern.ts'

const REALM = 'acme'
const SECRET = 'double-secret'
const PASSWORD = 'correct horse'
const TYPES = ['keycloak', 'oidc'] as const
const START_DEADLINE_MS = 900_000
/** Until a logout that Keycloak posts has arrived. */
const LOGOUT_PATIENCE_MS = 15_000
/** A JVM that has just started, on a machine that has other work. */
const CALL_TIMEOUT_MS = 20_000
const CLIENT_REDIRECT = 'http://127.0.0.1:9/callback'

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

let keycloak: Keycloak | undefined
let port = 0

async function setStage(context: TestContext): Promise<Keycloak> {
  if (keycloak !== undefined) return keycloak
  const home = need(context, 'Keycloak', await prepareKeycloak())
  port = await freePort()
  keycloak = await startKeycloak(home, realm(`http://127.0.0.1:${port}`))
  cleanups.push(keycloak.close)
  return keycloak
}

/** One client for each way in; groups by a mapper, as the set-up says. */
function realm(issuer: string) {
  const client = (clientId: string, callbacks: readonly string[], logout?: string) => ({
    clientId,
    secret: SECRET,
    redirectUris: callbacks,
    publicClient: false,
    standardFlowEnabled: true,
    attributes:
      logout === undefined
        ? {}
        : { 'backchannel.logout.url': logout, 'backchannel.logout.session.required': 'true' },
    protocolMappers: [
      {
        name: 'groups',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-group-membership-mapper',
        config: {
          'claim.name': 'groups',
          'full.path': 'false',
          'id.token.claim': 'true',
          'userinfo.token.claim': 'true',
        },
      },
    ],
  })
  const groups = [...new Set([ADA, GRACE].flatMap((person) => person.groups))]
  return {
    realm: REALM,
    enabled: true,
    sslRequired: 'none',
    roles: {
      realm: [{ name: 'staff' }],
      client: { postern: [{ name: 'editor' }] },
    },
    groups: groups.map((name) => ({ name })),
    clients: [
      client('postern', ['http://127.0.0.1:8414/callback/it']),
      client('house', [`${issuer}/callback/keycloak`], `${issuer}/backchannel-logout/keycloak`),
    ],
    users: [ADA, GRACE].map(user),
  }
}

function user(person: Person) {
  const [firstName = '', lastName = ''] = person.name.split(' ')
  return {
    id: `00000000-0000-4000-8000-00000000${person.id}`,
    username: person.login,
    email: person.email,
    emailVerified: true,
    enabled: true,
    firstName,
    lastName,
    credentials: [{ type: 'password', value: PASSWORD }],
    groups: person.groups.map((name) => `/${name}`),
    // Without it Keycloak refuses `offline_access`, which a generic provider asks for.
    realmRoles: ['staff', 'offline_access'],
    clientRoles: { postern: ['editor'] },
  }
}

const idOf = (person: Person) => `00000000-0000-4000-8000-00000000${person.id}`

describe.each(TYPES)('Keycloak, asked as %s', (type) => {
  let provider: Provider
  let context: ProviderContext
  let ada: SignIn
  const runtime = createNodeRuntime()
  const emit = createRecordingEmit()

  async function prepare(test: TestContext): Promise<Keycloak> {
    const server = await setStage(test)
    if (provider !== undefined) return server
    const found = PROVIDER_TYPES.find((entry) => entry.type === type)
    if (found === undefined) throw new Error(type)
    const options = { issuer: `${server.url}/realms/${REALM}`, groupsClaim: 'groups' }
    // By default the generic provider asks for `offline_access`, which outlives the session there.
    const scopes = ['openid', 'profile', 'email']
    provider = found.create({ ...settings(type, { scopes }), options })
    const node = createNodeFetch()
    cleanups.push(node.close)
    const egress = createEgress({
      fetch: node.fetch,
      runtime,
      emit,
      approvedOrigins: new Set(provider.approvedOrigins),
      allowHosts: [],
      denyHosts: [],
      connectTimeoutMs: 5_000,
    })
    context = createContext(egress, runtime, CALL_TIMEOUT_MS)
    return server
  }

  /** Through the login page of Keycloak. */
  async function visit(server: Keycloak, login: string, password = PASSWORD) {
    const verifier = createVerifier(runtime)
    const nonce = createVerifier(runtime)
    const url = await provider.authorize(context, {
      state: 'the-state',
      verifierChallenge: s256(verifier, runtime),
      nonce,
    })
    const choose = { username: login, password }
    const callback = await playBrowser(url, { origin: new URL(server.url).origin, choose })
    const read = (name: string) => callback.searchParams.get(name)
    expect(read('state')).toBe('the-state')
    return { code: read('code') ?? '', iss: read('iss') ?? '', verifier, nonce }
  }
  const signIn = async (server: Keycloak, login: string) =>
    provider.exchange(context, await visit(server, login))
  const check = ({ tokens, identity }: SignIn) =>
    provider.check(context, tokens, { subject: identity.subject })
  const refresh = ({ tokens }: SignIn) =>
    provider.refresh?.(context, tokens.refreshToken ?? '', tokens)

  it('PRV-01: signs a person in at its own page, with a checked ID token', {
    timeout: START_DEADLINE_MS,
  }, async (test) => {
    const server = await prepare(test)
    ada = await signIn(server, 'ada')
    expect(ada.identity).toMatchObject({
      issuer: `${server.url}/realms/${REALM}`,
      subject: idOf(ADA),
      profile: { name: ADA.name, login: 'ada', email: ADA.email, emailVerified: true },
    })
    expect(ada.identity.groups.toSorted()).toEqual(ADA.groups.toSorted())
    expect(ada.providerSid).toBeDefined()
    if (type === 'keycloak')
      expect(ada.identity.roles).toEqual(expect.arrayContaining(['staff', 'postern:editor']))
  })

  it('PRV-01, A12: announces iss and sends the right one', async (test) => {
    const server = await prepare(test)
    expect(await provider.judgeIssuer(context, undefined)).toBe('missing')
    const { iss, ...rest } = await visit(server, 'ada')
    expect(iss).toBe(provider.issuer)
    const forged = provider.exchange(context, { ...rest, iss: 'https://evil.example' })
    await expect(forged).rejects.toMatchObject({ reason: 'provider_issuer_mismatch' })
  })

  it('PRV-01: a code is good once and with its verifier only', async (test) => {
    const server = await prepare(test)
    const first = await visit(server, 'ada')
    const wrong = provider.exchange(context, { ...first, verifier: 'x'.repeat(43) })
    await expect(wrong).rejects.toMatchObject({ reason: 'provider_invalid_grant' })
    const second = await visit(server, 'ada')
    await provider.exchange(context, second)
    await expect(provider.exchange(context, second)).rejects.toMatchObject({
      reason: 'provider_invalid_grant',
    })
  })

  it('PRV-01, PRV-03: proves a sign-in, and refreshes it', async (test) => {
    await prepare(test)
    expect(await check(ada)).toMatchObject({ outcome: 'yes' })
    const renewed = await refresh(ada)
    if (renewed?.outcome !== 'yes') throw new Error('not refreshed')
    expect(renewed.tokens.accessToken).not.toBe(ada.tokens.accessToken)
    expect(await check({ ...ada, tokens: renewed.tokens })).toMatchObject({ outcome: 'yes' })
    expect(await provider.check(context, ada.tokens, { subject: 'somebody' })).toEqual({
      outcome: 'no',
      reason: 'subject',
    })
  })

  it('PRV-01: a revoked refresh token ends the sign-in there', async (test) => {
    const server = await prepare(test)
    const grace = await signIn(server, 'grace')
    expect(await provider.revoke?.(context, grace.tokens)).toBe(true)
    expect(await refresh(grace)).toEqual({ outcome: 'no', reason: 'invalid_grant' })
    expect(await check(grace)).toMatchObject({ outcome: 'no' })
  })

  it('PRV-01: an administrator ends the session: a definite no', async (test) => {
    const server = await prepare(test)
    const grace = await signIn(server, 'grace')
    await server.administrate('POST', `/admin/realms/${REALM}/users/${idOf(GRACE)}/logout`)
    expect(await check(grace)).toEqual({ outcome: 'no', reason: 'invalid_token' })
    expect(await refresh(grace)).toEqual({ outcome: 'no', reason: 'invalid_grant' })
  })

  it('PRV-01: a refresh token that outlives the session, where offline_access is asked for', async (test) => {
    const server = await prepare(test)
    const [online, { id, callbackPath, clientId, clientSecret }] = [provider, provider]
    const found = PROVIDER_TYPES.find((entry) => entry.type === 'oidc')
    if (found === undefined || clientSecret === undefined) throw new Error('oidc')
    const house = { id, callbackPath, clientId, clientSecret }
    provider = found.create({ ...house, options: { issuer: online.issuer } })
    const url = await provider.authorize(context, {
      state: 's',
      verifierChallenge: 'c',
      nonce: 'n',
    })
    expect(url.searchParams.get('scope')).toContain('offline_access')
    const grace = await signIn(server, 'grace')
    expect(await refresh(grace)).toMatchObject({ outcome: 'yes' })
    provider = online
  })

  it('PRV-01: a wrong secret of ours says nothing about the person', async (test) => {
    await prepare(test)
    const found = PROVIDER_TYPES.find((entry) => entry.type === 'oidc')
    const stranger = found?.create({
      ...settings('oidc', { clientId: 'nobody' }),
      options: { issuer: provider.issuer },
    })
    expect(await stranger?.refresh?.(context, ada.tokens.refreshToken ?? '', ada.tokens)).toEqual({
      outcome: 'client-refused',
    })
  })
})

describe('Postern in front of an MCP server, signed in at Keycloak', () => {
  let postern: ServedPostern | undefined
  let resource = ''
  const logOf = () => postern?.lines.join('\n') ?? ''

  beforeAll(() => {
    cleanups.push(async () => postern?.close())
  })

  async function start(test: TestContext): Promise<Keycloak> {
    const server = await setStage(test)
    if (postern !== undefined) return server
    const notes = await startNotesServer()
    cleanups.push(notes.close)
    const issuer = `http://127.0.0.1:${port}`
    resource = `${issuer}/mcp/notes`
    postern = await servePostern(
      {
        issuer,
        listen: { port, metricsPort: 0 },
        databaseUrl: 'sqlite:postern.db',
        providers: [
          {
            type: 'keycloak',
            issuer: `${server.url}/realms/${REALM}`,
            clientId: 'house',
            clientSecret: 'env:KEYCLOAK_SECRET',
          },
        ],
        allow: { groups: ['maps'] },
        connectors: { notes: { url: notes.url } },
      },
      { KEYCLOAK_SECRET: SECRET },
    )
    return server
  }
  const signIn = (login: string) =>
    signInAsClient({
      resource,
      redirectUri: CLIENT_REDIRECT,
      visitor: createVisitor({
        fields: { username: login, password: PASSWORD },
        press: [/^allow/i, /^continue/i, /sign in/i],
      }),
    })
  const call = async (accessToken: string) => {
    const response = await fetch(resource, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${accessToken}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'whoami', arguments: {} },
      }),
    })
    await response.text()
    return response.status
  }

  it('PRV-01: a client discovers, a person signs in, a call arrives', {
    timeout: START_DEADLINE_MS,
  }, async (test) => {
    await start(test)
    const ada = await signIn('ada')
    expect(await call(ada.accessToken)).toBe(200)
  })

  it('PRV-01: groups of Keycloak decide who may', async (test) => {
    await start(test)
    await expect(signIn('grace')).rejects.toThrow()
  })

  it('PRV-02: a second sign-in does not end itself by revoking what it replaced', async (test) => {
    await start(test)
    const ada = await signIn('ada')
    expect(await call(ada.accessToken)).toBe(200)
    expect(logOf()).not.toContain('replaced_by_sign_in')
  })

  it('REV-10: a logout at Keycloak ends what was signed in by it', async (test) => {
    onTestFailed(() => console.error(`${logOf()}\n${keycloak?.lines.slice(-40).join('\n')}`))
    const server = await start(test)
    const logout = () =>
      server.administrate('POST', `/admin/realms/${REALM}/users/${idOf(ADA)}/logout`)
    // Of several sessions that end together Keycloak announces one; the others end by their proof.
    await logout()
    const ada = await signIn('ada')
    expect(await call(ada.accessToken)).toBe(200)
    await logout()
    await expect
      .poll(() => call(ada.accessToken), { timeout: LOGOUT_PATIENCE_MS, interval: 200 })
      .toBe(401)
    expect(logOf()).not.toContain(PASSWORD)
  })
})
