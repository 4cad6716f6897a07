/** Rules of the pages at their very edges, each where a small change of it went unnoticed before. */
import { describe, expect, it } from 'vitest'
import { endByMark } from '../../src/issuer/endings.ts'
import { pseudonymOf } from '../../src/issuer/tombstones.ts'
import { TENANT } from '../../src/records.ts'
import { Secret } from '../../src/secret.ts'
import {
  authorizeUrl,
  createTestIssuer,
  GRACE,
  type HouseOptions,
  ISSUER,
  LOOPBACK_REDIRECT,
  locationOf,
  NOTES,
  refresh,
  register,
  signIn,
  type TestHouse,
  token,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const HOUR_MS = 3_600_000
const SECRET = 'a-secret-of-a-machine-0123456789'

const lastReason = (house: TestHouse) => house.emit.eventsOf('signin.refused').at(-1)?.reason

describe('the account page', () => {
  it('CON-11: this browser first, then the one that was here last', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitors = [new Visitor(house), new Visitor(house), new Visitor(house)] as const
    for (const visitor of visitors) {
      await signIn(house, visitor, client_id)
      house.runtime.advanceMs(HOUR_MS)
    }
    const [first, second] = visitors
    await second.get('/')
    await house.runtime.settle()
    const page = await (await first.get('/account')).text()
    const handles = [...page.matchAll(/name="end" value="session:([^"]*)"/g)].map(([, id]) => id)
    expect(page.indexOf('This browser')).toBeLessThan(page.indexOf('session:'))
    expect(new Set(handles).size).toBe(handles.length)
    const other = await (await second.get('/account')).text()
    const seen = [...other.matchAll(/name="end" value="session:([^"]*)"/g)].map(([, id]) => id)
    expect(seen.length).toBe(handles.length)
    // The last visitor was here after the first one, whoever looks.
    const third = seen.find((id) => handles.includes(id))
    expect(seen.indexOf(third)).toBe(0)
  })

  it('W7: a form of another type is none', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    await signIn(house, visitor, (await register(house)).client_id)
    const answer = await visitor.post('/account', {}, { 'content-type': 'text/plain' })
    expect([answer.status, lastReason(house)]).toEqual([400, 'account_form'])
  })
})

describe('a remembered consent', () => {
  it('CON-02: counts at any port of the loopback, as a name and as either address', async () => {
    for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
      const house = createTestIssuer({
        config: {
          clients: [{ clientId: 'app', redirectUris: [`http://${host}/cb`, LOOPBACK_REDIRECT] }],
        },
      })
      const visitor = new Visitor(house)
      const at = (port: number) => ({ redirect_uri: `http://${host}:${port}/cb` })
      const first = await visitor.get(authorizeUrl(house, 'app', at(40_001)))
      if (first.status !== 200) continue
      await visitor.comeBack(await visitor.press(first, 'allow:github'))
      const [row] = await house.store.list('approval', TENANT, undefined, { max: 2 })
      const again = await visitor.get(authorizeUrl(house, 'app', at(40_002)))
      await visitor.press(again, 'allow')
      const rows = await house.store.list('approval', TENANT, undefined, { max: 5 })
      expect([host, rows.length, row?.value.redirectUri]).toEqual([
        host,
        1,
        `http://${host}:40001/cb`,
      ])
    }
  })
})

describe('a trip to the provider', () => {
  it('AZ-22: ends after ten minutes to the millisecond', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    for (const [ms, status] of [
      [599_999, 303],
      [600_000, 400],
    ] as const) {
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, client_id))
      const journey = await visitor.press(page, 'allow:github')
      house.runtime.advanceMs(ms)
      expect((await visitor.comeBack(journey)).status, `${ms} ms`).toBe(status)
    }
    expect(lastReason(house)).toBe('state_unknown')
  })

  it('EXT-09: a sign-in may be older than max_age by the skew of clocks, and no second more', async () => {
    const config = { clients: [{ clientId: 'app', redirectUris: [WEB_REDIRECT] }] }
    for (const [skewSeconds, isGood] of [
      [60, true],
      [61, false],
    ] as const) {
      const house = createTestIssuer({ config })
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, 'app', { max_age: '600' }))
      const journey = await visitor.press(page, 'allow:github')
      const nowSeconds = Math.floor(house.runtime.nowMs() / 1_000)
      const authTimeSeconds = nowSeconds - 600 - skewSeconds
      house.provider.says = { idToken: 'id', authTimeSeconds }
      const back = new URL(locationOf(await visitor.comeBack(journey))).searchParams
      expect([skewSeconds, back.has('code')]).toEqual([skewSeconds, isGood])
    }
  })

  it('leads home when the person says no to a sign-in that no app asked for', async () => {
    const house = createTestIssuer()
    for (const decision of ['deny', 'allow']) {
      for (const path of ['/', '/account']) {
        const visitor = new Visitor(house)
        const answer = await visitor.press(await visitor.get(path), decision)
        expect([decision, path, locationOf(answer)]).toEqual([decision, path, path])
      }
    }
  })

  it('an Allow after the session has ended is asked again', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    await signIn(house, visitor, client_id)
    const page = await visitor.get(authorizeUrl(house, client_id, { prompt: 'consent' }))
    const text = await page.text()
    for (const row of await house.store.list('session', TENANT, undefined, { max: 9 }))
      await house.store.remove('session', row.key)
    const answer = await visitor.press(text, 'allow')
    expect([answer.status, lastReason(house)]).toEqual([400, 'session_changed'])
    expect(await answer.text()).toContain('You are no longer signed in as that account')
  })

  it('who may not sign in here is told so, and may take another account', async () => {
    const house = createTestIssuer({ config: { allow: { users: ['github:somebody-else'] } } })
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const journey = await visitor.press(
      await visitor.get(authorizeUrl(house, client_id)),
      'allow:github',
    )
    const answer = await visitor.comeBack(journey)
    expect([answer.status, lastReason(house)]).toEqual([403, 'not_allowed'])
    const text = await answer.text()
    for (const words of [
      'This account may not sign in here',
      'You are signed in to GitHub, but this server is not open to that account.',
    ])
      expect(text).toContain(words)
    const home = new Visitor(house)
    const refused = await home.comeBack(
      await home.press(await home.get('/account'), 'allow:github'),
    )
    expect(refused.status).toBe(403)
  })

  it('who may not sign in here may take another account, and arrives where they wanted', async () => {
    const house = createTestIssuer({ config: { allow: { users: ['github:1002'] } } })
    const visitor = new Visitor(house)
    const journey = await visitor.press(await visitor.get('/account'), 'allow:github')
    const refused = await visitor.comeBack(journey)
    expect(refused.status).toBe(403)
    house.provider.person = GRACE
    const text = await refused.text()
    const decision = /value="((?:allow|switch):github)"/.exec(text)?.[1] ?? ''
    const back = await visitor.comeBack(await visitor.press(text, decision))
    expect([back.status, locationOf(back)]).toEqual([303, '/account'])
  })

  it('a network that visits too often waits, and is told', async () => {
    const house = createTestIssuer({ address: '203.0.113.9' })
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    let answer = await visitor.get(authorizeUrl(house, client_id))
    for (let visits = 1; visits < 121; visits += 1)
      answer = await visitor.get(authorizeUrl(house, client_id))
    expect([answer.status, lastReason(house)]).toEqual([429, 'authorize_rate'])
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  })
})

describe('programs', () => {
  const ROBOT: HouseOptions = {
    config: {
      enable: ['client-credentials', 'pushed-requests', 'dpop'],
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
  const robot = { client_id: 'robot', client_secret: SECRET }
  const introspect = async (house: TestHouse, text: string) => {
    const body = new URLSearchParams({ ...robot, token: text })
    const request = new Request(`${ISSUER}/introspect`, { method: 'POST', body })
    return ((await (await house.fetch(request)).json()) as { active: boolean }).active
  }

  it('REV-07: a token of a machine is active while its grant is; nothing stands behind it', async () => {
    const house = createTestIssuer(ROBOT)
    const form = { grant_type: 'client_credentials', ...robot, resource: NOTES }
    const answer = (await (await token(house, form)).json()) as { access_token: string }
    expect(await introspect(house, answer.access_token)).toBe(true)
    house.proofs.next = 'dead'
    expect(await introspect(house, answer.access_token)).toBe(true)
  })

  it('REV-07: a refresh token is active for its own client while its grant and sign-in are', async () => {
    const house = createTestIssuer(ROBOT)
    const { code = '' } = await signIn(house, new Visitor(house), 'robot')
    const redeemed = await token(house, {
      grant_type: 'authorization_code',
      ...robot,
      code,
      code_verifier: 'v'.repeat(43),
      redirect_uri: WEB_REDIRECT,
    })
    const { refresh_token } = (await redeemed.json()) as { refresh_token: string }
    expect(await introspect(house, refresh_token)).toBe(true)
    house.proofs.next = 'dead'
    expect(await introspect(house, refresh_token)).toBe(false)
    house.proofs.next = 'fresh'
    const [user] = await house.store.list('user', TENANT, undefined, { max: 2 })
    if (user === undefined) throw new Error('nobody')
    await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    expect(await introspect(house, refresh_token)).toBe(false)
  })

  it('a refresh token of another database is invalid_grant, not a fault', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const { refresh_token } = await tokensFor(house, client_id)
    const other = createTestIssuer({ deps: { keys: house.deps.keys } })
    const { client_id: id } = await register(other)
    const answer = await refresh(other, id, refresh_token)
    expect([answer.status, other.emit.eventsOf('token.refused').at(-1)?.reason]).toEqual([
      400,
      'grant_ended',
    ])
  })

  it('I12: an audit row of many endings names what ended', async () => {
    const house = createTestIssuer()
    const details: unknown[] = []
    for (const thing of [
      { kind: 'connector', id: NOTES },
      { kind: 'client', id: 'cli_1' },
      { kind: 'user', id: 'usr_1' },
      { kind: 'tenant', id: TENANT },
    ] as const) {
      await endByMark({ ...house.deps }, thing, 'why')
      const rows = await house.store.list('audit', TENANT, undefined, { max: 9 })
      details.push(...rows.map(({ value }) => [value.userId, value.clientId, value.detail]))
      for (const { key } of rows) await house.store.remove('audit', key)
    }
    expect(details).toEqual([
      [undefined, undefined, `connector ${NOTES}: why`],
      [undefined, 'cli_1', 'client: why'],
      ['usr_1', undefined, 'user: why'],
      [undefined, undefined, 'tenant: why'],
    ])
  })

  it('every deleted person has a pseudonym of their own', () => {
    const { deps } = createTestIssuer()
    const names = ['usr_1', 'usr_2'].map((id) => pseudonymOf(deps, id))
    expect(new Set(names).size).toBe(2)
    expect(pseudonymOf(deps, 'usr_1')).toBe(names[0])
    for (const name of names) expect(name).toMatch(/^psn_[\w-]{26}$/)
  })
})
