/** Token exchange (RFC 8693) over the issuer in memory; hand-outs with a vault that answers. */
import { describe, expect, it } from 'vitest'
import type { Config, StaticClient } from '../../src/config.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import type { IssuerDeps } from '../../src/issuer/house.ts'
import { tombstoneStep } from '../../src/issuer/tombstones.ts'
import { createJti, signAccessToken } from '../../src/oauth/access-token.ts'
import { Secret } from '../../src/secret.ts'
import type { HandedOut } from '../../src/vault/hand-out.ts'
import {
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  register,
  type TestHouse,
  type Tokens,
  token,
  tokensFor,
} from './sign-in-house.ts'

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const SECRET = 'a-secret-of-a-server-0123456789ab'
const MAIL = `${ISSUER}/mcp/mail`
const FILES = `${ISSUER}/mcp/files`

function server(clientId: string, exchange: StaticClient['exchange']): StaticClient {
  return {
    clientId,
    redirectUris: [],
    secret: new Secret(SECRET),
    grants: ['client_credentials'],
    ...(exchange === undefined ? {} : { exchange }),
  }
}

interface Options {
  readonly policy?: Partial<NonNullable<StaticClient['exchange']>>
  readonly handOut?: IssuerDeps['handOut']
  readonly enabled?: boolean
  readonly accessTokenTtlSeconds?: number
  readonly config?: Partial<Config>
}

async function open(options: Options = {}) {
  const exchange = { resource: NOTES, resources: [MAIL], providers: [], ...options.policy }
  const house = createTestIssuer({
    connectors: ['notes', 'mail', 'files'],
    limits: { accessTokenTtlSeconds: options.accessTokenTtlSeconds ?? 3600 },
    config: {
      enable: options.enabled === false ? [] : ['token-exchange', 'client-credentials'],
      clients: [
        server('notes-server', exchange),
        server('mail-server', { resource: MAIL, resources: [FILES], providers: [] }),
        server('other-server', undefined),
      ],
      ...options.config,
    },
    deps: options.handOut === undefined ? {} : { handOut: options.handOut },
  })
  const { client_id } = await register(house)
  const person = await tokensFor(house, client_id)
  return { house, person, clientId: client_id }
}

function exchange(
  house: TestHouse,
  subjectToken: string,
  form: Record<string, string> = {},
): Promise<Response> {
  return token(house, {
    grant_type: GRANT,
    client_id: 'notes-server',
    client_secret: SECRET,
    subject_token: subjectToken,
    subject_token_type: ACCESS_TOKEN,
    resource: MAIL,
    ...form,
  })
}

async function tokens(answer: Response): Promise<Tokens & { issued_token_type: string }> {
  expect(answer.status).toBe(200)
  return (await answer.json()) as Tokens & { issued_token_type: string }
}

function authenticatorOf({ deps }: TestHouse) {
  const { runtime, emit, store, keys } = deps
  const table = new Map<string, Session>()
  return createAuthenticator({ runtime, emit, store, issuer: ISSUER, keys, table })
}

describe('token exchange', () => {
  it('EXT-07: keeps gid and sub, names who acts, and works on the hot path', async () => {
    const { house, person } = await open()
    const body = await tokens(await exchange(house, person.access_token))
    expect(body).toMatchObject({
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      scope: 'mcp',
    })
    expect(body).not.toHaveProperty('refresh_token')
    const before = claimsOf(person.access_token)
    expect(claimsOf(body.access_token)).toMatchObject({
      aud: MAIL,
      sub: before.sub,
      gid: before.gid,
      act: { sub: 'notes-server' },
    })
    const authenticator = authenticatorOf(house)
    authenticator.judge(body.access_token)
    await authenticator.load(body.access_token)
    expect(authenticator.judge(body.access_token)).toMatchObject({
      userId: before.sub,
      resource: MAIL,
      grantId: before.gid,
    })
  })

  it('EXT-07: a chain keeps the earlier actors inside, and ends after four', async () => {
    const { house, person } = await open()
    const mail = await tokens(await exchange(house, person.access_token))
    const files = await tokens(
      await exchange(house, mail.access_token, { client_id: 'mail-server', resource: FILES }),
    )
    expect(claimsOf(files.access_token).act).toEqual({
      sub: 'mail-server',
      act: { sub: 'notes-server' },
    })
    const { keys, runtime } = house.deps
    const claims = claimsOf(person.access_token)
    const { gid, exp } = claims as { gid: string; exp: number }
    const chain = { sub: 'd', act: { sub: 'c', act: { sub: 'b', act: { sub: 'a' } } } }
    const long = signAccessToken(
      {
        ...(claims as unknown as Parameters<typeof signAccessToken>[0]),
        jti: createJti(runtime, keys.tagKey(), { gid, exp }),
        act: chain,
      },
      keys.current(),
      runtime,
    )
    expect(await errorOf(await exchange(house, long))).toBe('invalid_request')
  })

  it('EXT-07: never lives longer than its subject token, nor carries more scope', async () => {
    const { house, person } = await open()
    house.runtime.advanceMs(3_000_000)
    const body = await tokens(await exchange(house, person.access_token))
    expect(claimsOf(body.access_token).exp).toBe(claimsOf(person.access_token).exp)
    expect(body.expires_in).toBe(600)
    expect(await errorOf(await exchange(house, person.access_token, { scope: 'admin' }))).toBe(
      'invalid_scope',
    )
    const narrow = await open({ policy: { scopes: ['other'] } })
    expect(await errorOf(await exchange(narrow.house, narrow.person.access_token))).toBe(
      'invalid_scope',
    )
  })

  it.each<[string, Record<string, string>, string]>([
    ['a target that its policy does not list', { resource: FILES }, 'invalid_target'],
    ['its own resource', { resource: NOTES }, 'invalid_target'],
    ['an unknown target', { resource: `${ISSUER}/mcp/none` }, 'invalid_target'],
    ['no target', { resource: '' }, 'invalid_target'],
    ['two targets', { audience: FILES }, 'invalid_target'],
    ['a provider that its policy does not list', { audience: 'github' }, 'invalid_target'],
    ['a caller without a policy', { client_id: 'other-server' }, 'unauthorized_client'],
    [
      'a caller whose resource this token is not for',
      { client_id: 'mail-server' },
      'invalid_request',
    ],
    ['a wrong secret', { client_secret: 'wrong' }, 'invalid_client'],
    [
      'an ID token as subject',
      { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
      'invalid_request',
    ],
    [
      'another kind of result',
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'invalid_request',
    ],
    [
      'a second party that acts',
      { actor_token: 'x', actor_token_type: ACCESS_TOKEN },
      'invalid_request',
    ],
    ['no subject token', { subject_token: '' }, 'invalid_request'],
    ['a subject token that is none', { subject_token: 'x.y.z' }, 'invalid_request'],
  ])('EXT-07: refuses %s', async (_, form, error) => {
    const { house, person } = await open()
    expect(await errorOf(await exchange(house, person.access_token, form))).toBe(error)
  })

  it('EXT-07: refuses a public client, whatever it presents', async () => {
    const { house, person, clientId } = await open()
    const answer = await token(house, {
      grant_type: GRANT,
      client_id: clientId,
      subject_token: person.access_token,
      subject_token_type: ACCESS_TOKEN,
      resource: MAIL,
    })
    expect(await errorOf(answer)).toBe('unauthorized_client')
  })

  it('EXT-07: a revoked, an ended and an expired subject token are refused', async () => {
    const marked = await open()
    marked.house.marks.push({
      tenant: 'default',
      kind: 'token',
      id: String(claimsOf(marked.person.access_token).jti),
      issuedBeforeMs: Number.MAX_SAFE_INTEGER,
      expiresAtMs: Number.MAX_SAFE_INTEGER,
    })
    expect(await errorOf(await exchange(marked.house, marked.person.access_token))).toBe(
      'invalid_request',
    )
    const ended = await open()
    const key = { tenant: 'default', id: String(claimsOf(ended.person.access_token).gid) }
    await ended.house.store.grants.end(key, 'test', ended.house.runtime.nowMs(), 1)
    expect(await errorOf(await exchange(ended.house, ended.person.access_token))).toBe(
      'invalid_request',
    )
    const late = await open()
    late.house.runtime.advanceMs(3_600_000)
    expect(await errorOf(await exchange(late.house, late.person.access_token))).toBe(
      'invalid_request',
    )
  })

  it('EXT-07 VAL-12: a sign-in that its provider ended is refused; one in doubt is asked again later', async () => {
    const { house, person } = await open()
    house.proofs.next = 'dead'
    expect(await errorOf(await exchange(house, person.access_token))).toBe('invalid_request')
    house.proofs.next = 'suspect'
    const answer = await exchange(house, person.access_token)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2'])
  })

  it('EXT-07: a person who was disabled meanwhile is refused', async () => {
    const { house, person } = await open()
    const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
    if (user === undefined) throw new Error('nobody signed in')
    await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    expect(await errorOf(await exchange(house, person.access_token))).toBe('invalid_request')
  })

  it('EXT-07: off until it is named', async () => {
    const { house, person } = await open({ enabled: false })
    expect(await errorOf(await exchange(house, person.access_token))).toBe('unsupported_grant_type')
  })
})

describe('a provider’s token handed out', () => {
  const found: HandedOut = {
    outcome: 'token',
    accessToken: 'gho_the-persons-own',
    expiresAtMs: undefined,
    scopes: ['repo'],
  }

  it('EXT-07: to a server whose policy names the provider, each one an audit row', async () => {
    const asked: [string, string][] = []
    const { house, person } = await open({
      policy: { providers: ['github'] },
      handOut: async (vaultId, provider) => {
        asked.push([vaultId, provider])
        return found
      },
    })
    const form = { resource: '', audience: 'github', requested_token_type: ACCESS_TOKEN }
    for (let times = 0; times < 2; times += 1) {
      const answer = await exchange(house, person.access_token, form)
      expect(await answer.json()).toEqual({
        access_token: 'gho_the-persons-own',
        token_type: 'Bearer',
        issued_token_type: ACCESS_TOKEN,
        scope: 'repo',
      })
    }
    const id = String(claimsOf(person.access_token).gid)
    const grant = await house.store.grants.find({ tenant: 'default', id })
    expect(asked).toEqual([
      [grant?.vaultId, 'github'],
      [grant?.vaultId, 'github'],
    ])
    const rows = await house.store.list('audit', 'default', undefined, { max: 100 })
    const handed = rows.filter(({ value }) => value.event === 'token.handed_out')
    expect(handed.map(({ value }) => [value.userId, value.clientId, value.detail])).toEqual([
      [grant?.userId, 'notes-server', 'github'],
      [grant?.userId, 'notes-server', 'github'],
    ])
    expect(JSON.stringify([rows, house.emit.events])).not.toContain('gho_the-persons-own')
  })

  it.each([
    ['none' as const, 400],
    ['unknown' as const, 503],
  ])(
    'EXT-07: nothing is handed out, and nothing audited, when the vault says %s',
    async (outcome, status) => {
      const { house, person } = await open({
        policy: { providers: ['github'] },
        handOut: async () => ({ outcome }),
      })
      const answer = await exchange(house, person.access_token, {
        resource: '',
        audience: 'github',
      })
      expect(answer.status).toBe(status)
      const rows = await house.store.list('audit', 'default', undefined, { max: 100 })
      expect(rows.some(({ value }) => value.event === 'token.handed_out')).toBe(false)
    },
  )

  it('EXT-07 O6 PRV-22: a token of who is gone, disabled or no longer allowed gets nothing', async () => {
    const handOut = async () => found
    const endings = {
      disabled: { state: 'disabled' },
      removed: { profile: { email: 'ada@elsewhere.example', emailVerified: true } },
      another: { userId: 'usr_another' },
      deleted: undefined,
    } as const
    for (const [name, change] of Object.entries(endings)) {
      const { house, person } = await open({
        policy: { providers: ['github'] },
        handOut,
        config: { allow: { emailDomains: ['corp.example'] } },
      })
      const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
      if (user === undefined) throw new Error('nobody signed in')
      if (change === undefined)
        await house.store.commit([await tombstoneStep(house.deps, user.key.id)])
      else await house.store.put('user', user.key, user.version, { ...user.value, ...change })
      const forms: Record<string, string>[] = [
        { resource: '', audience: 'github' },
        { resource: MAIL },
      ]
      for (const form of forms) {
        const answer = await exchange(house, person.access_token, form)
        expect([answer.status, await errorOf(answer)], name).toEqual([400, 'invalid_request'])
      }
      const rows = await house.store.list('audit', 'default', undefined, { max: 100 })
      const given = ['token.handed_out', 'token.exchanged']
      expect(rows.filter(({ value }) => given.includes(value.event))).toEqual([])
    }
  })

  it('EXT-07: a client that acts for itself has no person’s token to ask for', async () => {
    const { house } = await open({ policy: { providers: ['github'] }, handOut: async () => found })
    const own = await token(house, {
      grant_type: 'client_credentials',
      client_id: 'other-server',
      client_secret: SECRET,
      resource: NOTES,
    })
    const { access_token } = (await own.json()) as Tokens
    const form = { resource: '', audience: 'github' }
    expect(await errorOf(await exchange(house, access_token, form))).toBe('invalid_request')
    const delegated = await tokens(await exchange(house, access_token))
    expect(claimsOf(delegated.access_token)).toMatchObject({
      sub: 'client:other-server',
      act: { sub: 'notes-server' },
    })
  })
})
