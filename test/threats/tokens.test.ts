/** What a token is good for: at its own door only (A11, J3, J4, J5, C1, C2, C7, PR-09, VAL-01, VAL-16). */
import { describe, expect, it } from 'vitest'
import { createMemoryBus } from '../../src/adapters/memory.ts'
import { createTokenTable } from '../../src/cache/token-table.ts'
import { admit } from '../../src/gateway/decide.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import { createRevocationView } from '../../src/issuer/revocation.ts'
import {
  authorizeUrl,
  connector,
  ISSUER,
  redeem,
  refresh,
  register,
  signIn,
  type Tokens,
  ticketOf,
  token,
  Visitor,
} from '../flow/sign-in-house.ts'
import { createDoors, type Doors, PROTECTED } from '../kit/doors.ts'

async function signedIn(house: Doors, resource = `${ISSUER}/mcp/notes`) {
  const { client_id } = await register(house)
  const visitor = new Visitor(house)
  const { code = '' } = await signIn(house, visitor, client_id, { resource })
  const tokens = (await (await redeem(house, client_id, code)).json()) as Tokens
  return { clientId: client_id, visitor, code, tokens }
}

const claimsOf = (jwt: string) =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >

/** Every kind of credential that this house makes, keeps or hands on, from real flows. */
async function everyKind(house: Doors) {
  const person = await signedIn(house)
  const elsewhere = await signedIn(house, PROTECTED)
  const confidential = await register(house, { token_endpoint_auth_method: 'client_secret_basic' })
  const answer = await house.call(`Bearer ${person.tokens.access_token}`)
  const page = await person.visitor.get(authorizeUrl(house, person.clientId))
  const { gid, sub, client_id } = claimsOf(person.tokens.access_token)
  const cookies = [...person.visitor.cookies]
  const cookie = (name: string) => cookies.find(([key]) => key.includes(name))?.[1] ?? ''
  // The last trip to the provider, not finished: its `state` is live.
  const trip = await new Visitor(house).press(
    await new Visitor(house).get(authorizeUrl(house, person.clientId)),
    'allow:github',
  )
  expect(trip.status).toBeLessThan(500)
  const own = { gid, sub, client_id }
  return {
    'access token': person.tokens.access_token,
    'access token of another resource': elsewhere.tokens.access_token,
    'refresh token': person.tokens.refresh_token,
    'used code': person.code,
    'identity JWT for the server behind':
      house.reached.at(-1)?.headers.get('authorization')?.slice(7) ?? '',
    'MCP session id': answer.headers.get('mcp-session-id') ?? '',
    'session cookie': cookie('session'),
    'form cookie': cookie('form'),
    'consent ticket': ticketOf(await page.text()),
    'client secret': confidential.client_secret ?? '',
    'client id': person.clientId,
    'upstream token': 'upstream-1001',
    'provider state': house.provider.journeys.at(-1)?.searchParams.get('state') ?? '',
    // Signed by our own key, with a good tag, about a living grant: only their type is wrong.
    'ID token of our key': house.forge({ ...own, aud: client_id, nonce: 'n' }, { typ: 'JWT' }),
    'ID token of our key for this resource': house.forge(own, { typ: 'JWT' }),
    'token without a type': house.forge(own, { typ: undefined }),
    'logout token of our key': house.forge(
      { ...own, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
      { typ: 'logout+jwt' },
    ),
    'security event of our key': house.forge({ ...own, events: {} }, { typ: 'secevent+jwt' }),
    'ID-JAG of our key': house.forge(own, { typ: 'oauth-id-jag+jwt' }),
    'client assertion of our key': house.forge(
      { ...own, aud: ISSUER },
      { typ: 'client-authentication+jwt' },
    ),
    'DPoP proof of our key': house.forge(own, { typ: 'dpop+jwt' }),
  }
}

describe('every kind of token at every door', () => {
  it('J3 VAL-01 PR-09: each opens its own door and no other', async () => {
    const house = createDoors()
    const kinds = await everyKind(house)
    for (const [kind, value] of Object.entries(kinds)) {
      expect(value, kind).not.toBe('')
      const before = house.reached.length
      const status = (await house.call(`Bearer ${value}`)).status
      const isGood = kind === 'access token'
      expect([kind, status]).toEqual([kind, isGood ? 200 : status === 400 ? 400 : 401])
      expect(house.reached.length - before, kind).toBe(isGood ? 1 : 0)
      const protectedStatus = await house.protectedStatus(`Bearer ${value}`)
      const isGoodThere = kind === 'access token of another resource'
      expect([kind, protectedStatus]).toEqual([
        kind,
        isGoodThere ? 200 : protectedStatus === 400 ? 400 : 401,
      ])
    }
  })

  it('J3: none but a refresh token refreshes, none but a fresh code is redeemed', async () => {
    const house = createDoors()
    const kinds = await everyKind(house)
    const clientId = kinds['client id']
    for (const [kind, value] of Object.entries(kinds)) {
      if (kind === 'refresh token') continue
      const refreshed = await refresh(house, clientId, value)
      expect([kind, refreshed.status]).toEqual([kind, 400])
      if (kind === 'used code') continue
      expect([kind, (await redeem(house, clientId, value)).status]).toEqual([kind, 400])
    }
    expect((await refresh(house, clientId, kinds['refresh token'])).status).toBe(200)
    // A code in a second hand is a replay: it ends what it gave (TOK-09), so it comes last.
    expect((await redeem(house, clientId, kinds['used code'])).status).toBe(400)
  })

  it('J3: none but its cookie is a signed-in browser, none but a ticket is a form, none but a state a callback', async () => {
    const house = createDoors()
    const kinds = await everyKind(house)
    const clientId = kinds['client id']
    for (const [kind, value] of Object.entries(kinds)) {
      const visitor = new Visitor(house)
      visitor.cookies.set('__Host-postern_session', value)
      visitor.cookies.set('__Host-postern_form', value)
      const page = await (await visitor.get(authorizeUrl(house, clientId))).text()
      expect([kind, page.includes('Ada Lovelace')]).toEqual([kind, kind === 'session cookie'])
      visitor.cookies.set('__Host-postern_form', value)
      const posted = await visitor.post('/consent', { ticket: value, decision: 'allow:github' })
      expect([kind, posted.status >= 400]).toEqual([kind, true])
      const back = await visitor.get(`/callback/github?code=x&state=${encodeURIComponent(value)}`)
      expect([kind, back.status >= 400]).toEqual([kind, true])
      const asSecret = await token(house, {
        grant_type: 'refresh_token',
        refresh_token: kinds['refresh token'],
        client_id: clientId,
        client_secret: value,
      })
      expect([kind, asSecret.status]).not.toEqual([kind, 200])
    }
  })
})

describe('audience', () => {
  const NAMES = ['notes', 'note', 'notes2', 'tasks'] as const
  const AT: Readonly<Record<string, string>> = {
    protect: PROTECTED,
    also: 'https://app.example/mcp/two',
  }

  it('A11 PR-15 C2: a token of A at B is 401, every pair of 4 connectors and 2 protected servers', async () => {
    const house = createDoors({
      connectors: NAMES,
      config: { resources: Object.values(AT).map((url) => ({ url })) },
    })
    const tokens: Record<string, string> = {}
    for (const name of NAMES) {
      tokens[name] = (await signedIn(house, `${ISSUER}/mcp/${name}`)).tokens.access_token
    }
    for (const [name, url] of Object.entries(AT)) {
      tokens[name] = (await signedIn(house, url)).tokens.access_token
    }
    // Twice: the second round meets remembered tokens.
    for (let round = 0; round < 2; round += 1) {
      for (const [of, bearer] of Object.entries(tokens)) {
        for (const at of NAMES) {
          const { status } = await house.call(`Bearer ${bearer}`, at)
          expect([of, at, status]).toEqual([of, at, of === at ? 200 : 401])
        }
        for (const [at, url] of Object.entries(AT)) {
          const status = await house.protectedStatus(`Bearer ${bearer}`, url)
          expect([of, at, status]).toEqual([of, at, of === at ? 200 : 401])
        }
      }
    }
    expect(house.reached).toHaveLength(2 * NAMES.length)
  })

  it('J5: 30 audiences and issuers that look right are refused, though our key signed them', async () => {
    const house = createDoors()
    const { tokens } = await signedIn(house)
    const { gid, sub, client_id } = claimsOf(tokens.access_token)
    const good = `${ISSUER}/mcp/notes`
    const audiences: readonly unknown[] = [
      [good],
      [good, PROTECTED],
      [PROTECTED, good],
      { aud: good },
      `${good}/`,
      `${good}/x`,
      `${good}?`,
      `${good}#`,
      `${good}?x=1`,
      good.slice(0, -1),
      `${good} `,
      ` ${good}`,
      good.toUpperCase(),
      good.replace('/mcp', '//mcp'),
      good.replace('https:', 'http:'),
      good.replace('https:', 'HTTPS:'),
      good.replace('.example', '.example:443'),
      good.replace('.example', '.example.'),
      good.replace('notes', 'not%65s'),
      good.replace('notes', 'x/../notes'),
      `${ISSUER}/mcp`,
      ISSUER,
      '*',
      '',
      client_id,
      null,
    ]
    const issuers: readonly unknown[] = [
      `${ISSUER}/`,
      `${ISSUER}.evil.example`,
      ISSUER.replace('https:', 'http:'),
      ISSUER.replace('auth', 'AUTH'),
      `${ISSUER}:443`,
      [ISSUER],
      'https://evil.example',
      '',
    ]
    const forged = [...audiences.map((aud) => ({ aud })), ...issuers.map((iss) => ({ iss }))]
    expect(forged.length).toBeGreaterThanOrEqual(30)
    for (const changes of forged) {
      const bearer = `Bearer ${house.forge({ gid, sub, client_id, ...changes })}`
      expect([changes, (await house.call(bearer)).status]).toEqual([changes, 401])
      expect([changes, await house.protectedStatus(bearer)]).toEqual([changes, 401])
    }
    expect(house.reached).toHaveLength(0)
    expect((await house.call(`Bearer ${house.forge({ gid, sub, client_id })}`)).status).toBe(200)
  })

  it('J4: 40 times that are missing, no numbers, past or far away are refused at both doors', async () => {
    const house = createDoors()
    const { tokens } = await signedIn(house)
    const { gid, sub, client_id } = claimsOf(tokens.access_token)
    const now = Math.floor(house.runtime.nowMs() / 1000)
    const odd: readonly unknown[] = [
      undefined,
      null,
      String(now + 300),
      'Infinity',
      'NaN',
      '',
      true,
      false,
      [now + 300],
      {},
      now + 300.5,
      -1,
    ]
    const rows: readonly Readonly<Record<string, unknown>>[] = [
      ...odd.map((exp) => ({ exp })),
      ...odd.map((iat) => ({ iat })),
      // `nbf` may be absent; nothing else may stand for a number.
      ...odd.slice(1, -1).map((nbf) => ({ nbf })),
      ...[now - 61, now - 3_600, 0, 1, now + 86_401, now + 1e12, 2 ** 53, 1e300].map((exp) => ({
        exp,
      })),
      ...[now + 61, now + 3_600, 2 ** 53, 1e300].map((iat) => ({ iat })),
      ...[now + 61, now + 3_600, 2 ** 53].map((nbf) => ({ nbf })),
    ]
    expect(rows.length).toBeGreaterThanOrEqual(40)
    for (const changes of rows) {
      const bearer = `Bearer ${house.forge({ gid, sub, client_id, ...changes })}`
      expect([changes, (await house.call(bearer)).status]).toEqual([changes, 401])
      expect([changes, await house.protectedStatus(bearer)]).toEqual([changes, 401])
    }
    expect(house.reached).toHaveLength(0)
  })
})

describe('what is remembered', () => {
  it('C1: 10^6 pairs of tokens that are equal in their first 20 to 4,096 characters never meet', () => {
    const { runtime } = createDoors()
    const table = createTokenTable<{ expiresAtMs: number; owner: number }>({
      max: 10_000,
      runtime,
      shared: [],
      plainMax: 200,
    })
    const tokens: string[] = []
    // 24 prefixes x 60 endings: 1,440 tokens, 1,036,080 pairs; half of them as long as a token can be.
    for (let prefix = 0; prefix < 24; prefix += 1) {
      const front = 'e'.repeat(20 + Math.round((prefix * (4_096 - 20)) / 23))
      for (let end = 0; end < 60; end += 1) tokens.push(`${front}${prefix}-${end}`)
    }
    expect((tokens.length * (tokens.length - 1)) / 2).toBeGreaterThan(1e6)
    const expiresAtMs = runtime.nowMs() + 600_000
    for (const [owner, text] of tokens.entries()) {
      table.set(runtime.sha256(text), { expiresAtMs, owner })
    }
    for (const [owner, text] of tokens.entries()) {
      expect(table.get(runtime.sha256(text))?.owner).toBe(owner)
      expect(table.get(runtime.sha256(text.slice(0, -1)))?.owner).not.toBe(owner)
      expect(table.get(text)).toBeUndefined()
    }
    expect(new Set(tokens.map((text) => runtime.sha256(text))).size).toBe(tokens.length)
  })

  it('C2 VAL-06: users x clients x connectors x scopes, mixed: each token is only itself, everywhere', async () => {
    const house = createDoors({ connectors: ['notes', 'tasks'] })
    const tokens: { bearer: string; user: string; connector: string }[] = []
    for (const login of ['ada', 'grace']) {
      house.provider.person = { subject: login, profile: { login } }
      for (const name of ['notes', 'tasks']) {
        for (let client = 0; client < 2; client += 1) {
          const person = await signedIn(house, `${ISSUER}/mcp/${name}`)
          const { sub } = claimsOf(person.tokens.access_token)
          tokens.push({
            bearer: person.tokens.access_token,
            user: String(sub),
            connector: name,
          })
        }
      }
    }
    expect(new Set(tokens.map(({ user }) => user)).size).toBe(2)
    for (let round = 0; round < 3; round += 1) {
      for (const { bearer, user, connector: own } of tokens) {
        for (const at of ['notes', 'tasks']) {
          const before = house.reached.length
          const { status } = await house.call(`Bearer ${bearer}`, at)
          expect(status).toBe(at === own ? 200 : 401)
          if (at !== own) continue
          const seen = house.reached[before]
          expect(seen?.url).toContain(own)
          const jwt = seen?.headers.get('authorization')?.slice(7) ?? ''
          expect(claimsOf(jwt)).toMatchObject({ sub: user })
        }
      }
    }
    expect(house.table.size).toBe(tokens.length)
  })

  it('VAL-04 C6: a token with 5 s to live is refused after 5 s, also where a wall clock goes back', async () => {
    const house = createDoors({ limits: { accessTokenTtlSeconds: 60 } })
    const { tokens } = await signedIn(house)
    expect((await house.call(`Bearer ${tokens.access_token}`)).status).toBe(200)
    house.runtime.advanceMs(55_000)
    expect((await house.call(`Bearer ${tokens.access_token}`)).status).toBe(200)
    house.runtime.advanceMs(5_000)
    expect((await house.call(`Bearer ${tokens.access_token}`)).status).toBe(401)
    expect(await house.protectedStatus(`Bearer ${tokens.access_token}`)).toBe(401)
  })

  it('VAL-16 C7: a flood of random and of good tokens stays within its bound; a revoked one stays refused', async () => {
    const house = createDoors()
    const { runtime, emit, store, deps } = house
    const { tokens } = await signedIn(house)
    const max = 200
    const table = createTokenTable<Session>({ max, runtime, shared: [], plainMax: 50 })
    const authenticator = createAuthenticator({
      runtime,
      emit,
      store,
      issuer: ISSUER,
      keys: deps.keys,
      table,
    })
    const revocation = createRevocationView({
      store,
      bus: createMemoryBus(),
      runtime,
      emit,
      maxAgeSeconds: 30,
    })
    const view = {
      nowMs: () => runtime.nowMs(),
      allowed: () => true,
      marked: (session: Session) => revocation.marked(session),
      proof: () => 'fresh' as const,
    }
    const notes = connector(ISSUER, 'notes')
    const ask = async (bearer: string): Promise<string> => {
      if (authenticator.judge(bearer) === 'cold') await authenticator.load(bearer)
      const judged = authenticator.judge(bearer)
      return typeof judged === 'string' ? judged : admit(judged, `${ISSUER}/mcp/notes`, notes, view)
    }
    await revocation.load()
    const { gid, sub, client_id } = claimsOf(tokens.access_token)
    expect(await ask(tokens.access_token)).toBe('admitted')
    await store.grants.revoke({
      tenant: 'default',
      kind: 'token',
      id: String(claimsOf(tokens.access_token)['jti']),
      issuedBeforeMs: runtime.nowMs() + 1_000,
      expiresAtMs: runtime.nowMs() + 3_600_000,
    })
    await revocation.load()
    expect(await ask(tokens.access_token)).toBe('token_revoked')
    for (let count = 0; count < 20_000; count += 1) {
      const random = [36, 200, 86].map((bytes) =>
        Buffer.from(runtime.randomBytes(bytes)).toString('base64url'),
      )
      const judged = authenticator.judge(random.join('.'))
      if (judged !== 'token' && judged !== 'shape') throw new Error(`a random token is ${judged}`)
    }
    // Not one of them was remembered, and nobody was forgotten for them.
    expect(table.size()).toBe(1)
    expect(authenticator.remembered(tokens.access_token)).toBeDefined()
    for (let count = 0; count < 5 * max; count += 1) {
      expect(await ask(house.forge({ gid, sub, client_id, count }))).toBe('admitted')
    }
    expect(table.size()).toBeLessThanOrEqual(max)
    expect(await ask(tokens.access_token)).toBe('token_revoked')
  })
})
