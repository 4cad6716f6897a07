/** Rules of the issuer at their very edges, each where a small change of it went unnoticed before. */
import { describe, expect, it } from 'vitest'
import { OAuthError } from '../../src/errors.ts'
import { TENANT, type Values } from '../../src/records.ts'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  errorOf,
  GRACE,
  type HouseOptions,
  ISSUER,
  locationOf,
  NOTES,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const DAY_MS = 86_400_000
const SECRET = 'a-secret-of-a-machine-0123456789'
const ROBOT: HouseOptions = {
  config: {
    enable: ['client-credentials'],
    clients: [
      {
        clientId: 'robot',
        redirectUris: [WEB_REDIRECT],
        secret: new Secret(SECRET),
        grants: ['client_credentials', 'authorization_code', 'refresh_token'],
      },
    ],
  },
}

async function only<K extends keyof Values & ('user' | 'vault' | 'client')>(
  house: TestHouse,
  kind: K,
) {
  const [row] = await house.store.list(kind, TENANT, undefined, { max: 1 })
  if (row === undefined) throw new Error(`no ${kind}`)
  return row
}

const lastReason = (house: TestHouse, type: 'token.refused' | 'signin.refused') =>
  house.emit.eventsOf(type).at(-1)?.reason

describe('a client with a secret', () => {
  it('TOK-02: is refused without it, at every grant', async () => {
    const house = createTestIssuer(ROBOT)
    const { code = '' } = await signIn(house, new Visitor(house), 'robot')
    const machine = { grant_type: 'client_credentials', client_id: 'robot', resource: NOTES }
    for (const answer of [await token(house, machine), await redeem(house, 'robot', code)])
      expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_client'])
    expect((await redeem(house, 'robot', code, { client_secret: SECRET })).status).toBe(200)
  })
})

describe('a registered client', () => {
  it('REG-26: in use it lives 90 days from a day on that is not written again', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const first = (await only(house, 'client')).value.expiresAtMs
    await tokensFor(house, client_id)
    await house.runtime.settle()
    const used = (await only(house, 'client')).value
    const startMs = house.runtime.nowMs()
    expect(used.expiresAtMs).toBe(startMs + 90 * DAY_MS)
    expect(used.expiresAtMs).toBeGreaterThan(first)
    house.runtime.advanceMs(DAY_MS - 1)
    await tokensFor(house, client_id)
    await house.runtime.settle()
    expect((await only(house, 'client')).value).toEqual(used)
    house.runtime.advanceMs(1)
    await tokensFor(house, client_id)
    await house.runtime.settle()
    expect((await only(house, 'client')).value).toMatchObject({
      usedAtMs: startMs + DAY_MS,
      expiresAtMs: startMs + 91 * DAY_MS,
    })
  })

  it('REG-19: a body that is no JSON is told as such', async () => {
    const house = createTestIssuer()
    const headers = { 'content-type': 'application/json' }
    const request = new Request(`${ISSUER}/register`, { method: 'POST', headers, body: '{' })
    const answer = await house.fetch(request)
    expect([answer.status, await errorOf(answer)]).toEqual([400, 'invalid_client_metadata'])
    expect(lastReason(house, 'token.refused')).toBe('registration_json')
  })

  it('is managed with its token alone, written as it was given', async () => {
    const house = createTestIssuer()
    const made = (await register(house)) as { client_id: string } & Record<string, string>
    const right = made['registration_access_token'] ?? ''
    const ask = async (authorization: string, id = made.client_id) => {
      const request = new Request(`${ISSUER}/register/${id}`, { headers: { authorization } })
      return (await house.fetch(request)).status
    }
    expect(await ask(`Bearer ${right}`)).toBe(200)
    expect(await ask(`bearer   ${right}`)).toBe(200)
    for (const odd of [
      right,
      `Bearer ${right} x`,
      `Bearer ${right},`,
      `x Bearer ${right}`,
      `Bearer x${right}`,
      `Basic ${right}`,
      'Bearer',
      '',
    ])
      expect(await ask(odd), odd.replace(right, '...')).toBe(401)
    expect(await ask(`Bearer ${right}`, `x${made.client_id}`)).toBe(401)
  })
})

describe('a sign-in', () => {
  it('a provider that refuses to be asked is told as such; nothing is shared', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    Object.assign(house.provider.provider, {
      authorize: () => Promise.reject(new OAuthError('server_error', 'no', { reason: 'x' })),
    })
    const page = await visitor.get(authorizeUrl(house, client_id))
    const failed = await visitor.press(page, 'allow:github')
    expect([failed.status, lastReason(house, 'signin.refused')]).toEqual([503, 'provider_refused'])
    expect(await failed.text()).toContain('GitHub does not answer')
  })

  it('"Try again" after a silent provider leads where the first try would have', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const journey = await visitor.press(await visitor.get('/account'), 'allow:github')
    house.provider.behaviour = 'fails'
    const failed = await visitor.comeBack(journey)
    house.provider.behaviour = 'answers'
    const again = await visitor.press(failed, 'allow:github')
    const back = await visitor.comeBack(again)
    expect([back.status, locationOf(back)]).toEqual([303, '/account'])
  })

  it('A27: another account than the page had shown is asked with the whole request, and no more', async () => {
    const house = createTestIssuer(ROBOT)
    for (const [wish, expected] of [
      [{ scope: undefined, state: undefined }, {}],
      [
        { acr_values: 'phr mfa', max_age: '600', scope: 'mcp' },
        { acr_values: 'phr mfa', scope: 'mcp', state: 'client-state', max_age: '600' },
      ],
    ] as const) {
      house.provider.person = {}
      const visitor = new Visitor(house)
      await signIn(house, visitor, 'robot')
      house.provider.person = GRACE
      const authTimeSeconds = house.runtime.nowMs() / 1_000
      house.provider.says = { idToken: 'id', authTimeSeconds, acr: 'mfa' }
      const url = authorizeUrl(house, 'robot', { prompt: 'consent', ...wish })
      const back = await visitor.comeBack(
        await visitor.press(await visitor.get(url), 'switch:github'),
      )
      const asked = new URL(locationOf(back), ISSUER)
      expect(asked.pathname).toBe('/authorize')
      expect(Object.fromEntries(asked.searchParams)).toMatchObject({
        response_type: 'code',
        client_id: 'robot',
        redirect_uri: WEB_REDIRECT,
        code_challenge_method: 'S256',
        resource: NOTES,
        ...expected,
      })
      expect(asked.searchParams.has('scope')).toBe('scope' in expected)
      expect(asked.searchParams.has('acr_values')).toBe('acr_values' in expected)
    }
  })

  it('shows a home page where nobody can sign in', async () => {
    const house = createTestIssuer({ deps: { providers: [] } })
    const page = await new Visitor(house).get('/')
    expect(page.status).toBe(200)
    expect(await page.text()).toContain('Postern')
  })
})

describe('a refresh token', () => {
  async function open() {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const tokens = await tokensFor(house, client_id)
    const again = (rest = {}) => refresh(house, client_id, tokens.refresh_token, rest)
    return { house, again, tokens }
  }

  it('a busy store is 503 and a grant that ended meanwhile invalid_grant', async () => {
    const { house, again } = await open()
    const { rotate } = house.store.grants
    house.store.grants.rotate = async () => ({ outcome: 'busy' })
    const busy = await again()
    expect([busy.status, await errorOf(busy)]).toEqual([503, 'temporarily_unavailable'])
    house.store.grants.rotate = async () => ({ outcome: 'ended' }) as never
    const ended = await again()
    expect([ended.status, await errorOf(ended)]).toEqual([400, 'invalid_grant'])
    expect(lastReason(house, 'token.refused')).toBe('grant_ended')
    house.store.grants.rotate = rotate
    expect((await again()).status).toBe(200)
  })

  it('K16: a damaged user row that names somebody else gets no token', async () => {
    const { house, again } = await open()
    const user = await only(house, 'user')
    const damaged = { ...user.value, userId: 'usr_somebody_else' }
    await house.store.put('user', user.key, user.version, damaged)
    expect((await again()).status).toBe(400)
    expect(lastReason(house, 'token.refused')).toBe('user_changed')
  })

  it('VAL-03: what is known of the sign-in decides: dead ends, suspect waits, cold is renewed', async () => {
    const { house, again } = await open()
    const [vault] = await house.store.list('vault', TENANT, undefined, { max: 1 })
    const id = vault?.key.id
    house.proofs.renewed.length = 0
    expect([(await again()).status, house.proofs.renewed]).toEqual([200, []])
    for (const state of ['stale', 'cold'] as const) {
      const fresh = await open()
      fresh.house.proofs.next = state as never
      expect((await fresh.again()).status, state).toBe(200)
      expect(fresh.house.proofs.renewed).toHaveLength(1)
    }
    const suspect = await open()
    suspect.house.proofs.next = 'suspect'
    const answer = await suspect.again()
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(lastReason(suspect.house, 'token.refused')).toBe('proof_suspect')
    const dead = await open()
    dead.house.proofs.next = 'dead'
    expect((await dead.again()).status).toBe(400)
    expect(dead.house.emit.eventsOf('grant.ended').at(-1)?.reason).toBe('upstream_dead')
    expect(id).toMatch(/^vlt_/)
  })

  it('a new token each time until the absolute end, never past it', async () => {
    const { house } = await open()
    const { client_id } = await register(house)
    let { refresh_token } = await tokensFor(house, client_id)
    const { refreshTokenAbsoluteSeconds } = house.deps.config.limits
    const endMs = house.runtime.nowMs() + refreshTokenAbsoluteSeconds * 1_000
    let turns = 0
    for (; turns < 60; turns += 1) {
      house.runtime.advanceMs(5 * DAY_MS)
      const answer = await refresh(house, client_id, refresh_token)
      if (answer.status !== 200) break
      refresh_token = ((await answer.json()) as Tokens).refresh_token
      expect(house.runtime.nowMs()).toBeLessThan(endMs)
    }
    expect(house.runtime.nowMs()).toBeGreaterThanOrEqual(endMs)
    expect(turns).toBeGreaterThan(1)
  })
})

describe('the answer of an authorization', () => {
  it('a client that sends no state gets none', async () => {
    const house = createTestIssuer(ROBOT)
    const url = authorizeUrl(house, 'robot', { state: undefined })
    const visitor = new Visitor(house)
    const back = await visitor.comeBack(await visitor.press(await visitor.get(url), 'allow:github'))
    expect(Object.keys(answerOf(back)).toSorted()).toEqual(['code', 'iss'])
  })
})

describe('endpoints', () => {
  const ask = (house: TestHouse, path: string, init: RequestInit = {}) =>
    house.fetch(new Request(`${ISSUER}${path}`, init))

  it('TOK-01: a form over 64 KiB is 413', async () => {
    const house = createTestIssuer()
    const answer = await token(house, { grant_type: 'x'.repeat(65_537) })
    expect([answer.status, await errorOf(answer)]).toEqual([413, 'invalid_request'])
    expect(lastReason(house, 'token.refused')).toBe('body_too_large')
  })

  it('a wrong method is 405 with the right one', async () => {
    const house = createTestIssuer()
    for (const [path, allow] of [
      ['/authorize', 'GET'],
      ['/callback/github', 'GET'],
      ['/consent', 'POST'],
      ['/logout', 'POST'],
      ['/account', 'GET, POST'],
      ['/introspect', 'POST'],
      ['/token', 'POST, OPTIONS'],
    ] as const) {
      const answer = await ask(house, path, { method: 'PATCH' })
      expect([path, answer.status, answer.headers.get('allow')]).toEqual([path, 405, allow])
    }
  })

  it('an error code is explained to a program as well', async () => {
    const house = createTestIssuer()
    const headers = { accept: 'application/json' }
    const known = await ask(house, '/errors/ERR_CLIENT_UNKNOWN', { headers })
    expect(await known.json()).toMatchObject({
      type: `${ISSUER}/errors/ERR_CLIENT_UNKNOWN`,
      code: 'ERR_CLIENT_UNKNOWN',
      title: expect.stringMatching(/./),
    })
    const unknown = await ask(house, '/errors/ERR_NONE', { headers })
    expect([unknown.status, await unknown.json()]).toEqual([404, { error: 'not_found' }])
  })

  it('I7: a connector that is switched off is no resource and on no page', async () => {
    const house = createTestIssuer({ connectors: ['notes', 'tasks'] })
    const tasks = house.deps.config.connectors.find(({ name }) => name === 'tasks')
    const connectors = house.deps.config.connectors.map((entry) =>
      entry === tasks ? { ...entry, enabled: false } : { ...entry, description: 'Write notes' },
    )
    const off = createTestIssuer({ config: { connectors } })
    const visitor = new Visitor(off)
    await signIn(off, visitor, (await register(off)).client_id)
    const page = await (await visitor.get('/')).text()
    expect(page).toContain('Write notes')
    expect(page).not.toContain('/mcp/tasks')
    const { client_id } = await register(off)
    const wrong = await visitor.get(
      authorizeUrl(off, client_id, { resource: `${ISSUER}/mcp/tasks` }),
    )
    expect(wrong.status).toBe(400)
    expect(lastReason(off, 'signin.refused')).toMatch(/resource/)
  })
})
