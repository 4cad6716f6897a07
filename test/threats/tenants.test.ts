/**
 * The cross-tenant matrix: whatever belongs to one house is presented at every route of another, on the
 * same host, in the same process, on the same database.
 *
 * The oracle needs no table of answers: a thing of another tenant must be answered exactly as one that
 * nobody ever issued, must change no row of its owner, and must work at home afterwards.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readJson, type SignedInClient } from '../../demo/sign-in.ts'
import type { ReadingVisitor } from '../../demo/visitor.ts'
import { callTool } from '../kit/plane.ts'
import { type ListedRoute, listRoutes } from '../kit/routes.ts'
import {
  browser,
  type HouseName,
  REDIRECT_URI,
  startTenants,
  type TenantHouses,
} from '../kit/tenants.ts'

const VERIFIER = 'v'.repeat(64)
const CHALLENGE = 'w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM'
const APP = { apps: { shop: { origins: ['https://shop.example'], confirm: 'backend' } } } as const

/** Everything that one house has given to somebody. */
interface Belongings {
  readonly client: SignedInClient
  readonly registrationToken: string
  readonly visitor: ReadingVisitor
  /** Another browser of the same person, which tries things of others and may be signed out by it. */
  readonly trying: ReadingVisitor
  readonly code: string
  readonly ticket: string
  readonly state: string
  readonly requestUri: string
  readonly connectSession: string
  readonly adminKey: string
  readonly credential: string
  readonly userId: string
  readonly grantId: string
}

let world: TenantHouses
const things = {} as Record<HouseName, Belongings>

const adminKeyOf = (house: HouseName): string => `${house}-admin-key-of-32-characters-and-more`
const credentialOf = (house: HouseName): string => `${house}-credential-of-32-characters-and-more`

beforeAll(async () => {
  world = await startTenants({
    own: (house) => ({
      ...APP,
      adminApiKey: adminKeyOf(house),
      resources: [{ url: `https://${house}.tools.example/mcp`, credential: credentialOf(house) }],
    }),
  })
  for (const house of ['default', 'acme', 'other'] as const) things[house] = await collect(house)
}, 120_000)
afterAll(() => world.close())

async function collect(house: HouseName): Promise<Belongings> {
  const issuer = world.issuer(house)
  const visitor = browser()
  const client = await world.signIn(house, visitor)
  const registered = await readJson(`${issuer}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Matrix',
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'none',
    }),
  })
  const url = authorizeUrl(house, client.clientId)
  const callback = await visitor.visit(url, REDIRECT_URI)
  const pushed = await readJson(`${issuer}/par`, {
    method: 'POST',
    body: url.searchParams,
  })
  const form = await journey(house, client.clientId)
  const { sub, gid } = claimsOf(client.accessToken)
  const owner = house === 'default' ? world.postern : world.postern.tenant(house)
  const session = await owner.createConnectSession({
    app: 'shop',
    user: 'u-1',
    origin: 'https://shop.example',
  })
  return {
    client,
    visitor: form.visitor,
    trying: visitor,
    registrationToken: String(registered['registration_access_token']),
    code: callback.searchParams.get('code') ?? '',
    ticket: form.ticket,
    state: form.state,
    requestUri: String(pushed['request_uri']),
    connectSession: session.token,
    adminKey: adminKeyOf(house),
    credential: credentialOf(house),
    userId: String(sub),
    grantId: String(gid),
  }
}

function authorizeUrl(house: HouseName, clientId: string): URL {
  const url = new URL(`${world.issuer(house)}/authorize`)
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    resource: `${world.issuer(house)}/mcp/notes`,
    state: 'client-state',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

/** A browser that is signed in, holds an open form, and has left for the provider once. */
async function journey(house: HouseName, clientId: string) {
  const visitor = browser()
  await world.signIn(house, visitor)
  const other = new URL(authorizeUrl(house, clientId))
  other.searchParams.set('prompt', 'consent')
  const shown = await visitor.read(other, { press: [] })
  const ticket = /name="ticket" value="([^"]+)"/.exec(shown.html)?.[1] ?? ''
  const fresh = browser()
  const left = await fresh.read(authorizeUrl(house, clientId), {
    press: [/^allow/i],
    isEnd: (at) => at.origin !== world.origin,
  })
  const state =
    left.url.searchParams.get('state') ?? /name="state" value="([^"]+)"/.exec(left.html)?.[1]
  return { visitor, ticket, state: state ?? '' }
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
}

/** As long, of the same letters, and never issued. */
function forge(text: string): string {
  const at = text.indexOf('.') < 0 ? text.length - 6 : text.lastIndexOf('.') - 6
  // Letters that every alphabet of ours has.
  const next = (letter: string): string => {
    if (/[a-z]/.test(letter)) return letter === 'a' ? 'b' : 'a'
    if (/[A-Z]/.test(letter)) return letter === 'A' ? 'B' : 'A'
    return letter === '0' ? '1' : '0'
  }
  return text.slice(0, at) + [...text.slice(at, at + 6)].map(next).join('') + text.slice(at + 6)
}

interface Presented {
  readonly name: string
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly json?: unknown
}

/** What somebody with the belongings of one house would try at another. */
function presentations(
  mine: Belongings,
  seen: (text: string) => string,
  from: HouseName,
  at: HouseName,
): readonly Presented[] {
  const { client } = mine
  const bearer = (name: string, token: string): Presented => ({
    name: `bearer ${name}`,
    headers: { authorization: `Bearer ${token}`, origin: 'https://shop.example' },
  })
  const secrets = {
    access: client.accessToken,
    refresh: client.refreshToken ?? '',
    registration: mine.registrationToken,
    'connect session': mine.connectSession,
    'admin key': mine.adminKey,
    credential: mine.credential,
    code: mine.code,
  }
  const cookies = mine.visitor
    .cookiesFor(new URL(world.origin))
    .split('; ')
    .map((pair) => {
      const [name = '', value = ''] = pair.split('=')
      return `${name}=${seen(value)}`
    })
    .join('; ')
  // As they are, and under the names that the other house would read.
  const renamed = cookies.replaceAll(
    /(postern_(?:form|session|txn))(?:-[a-z]+)?/g,
    at === 'default' ? '$1' : `$1-${at}`,
  )
  const sameOrigin = { origin: world.origin, 'sec-fetch-site': 'same-origin' }
  const page = { accept: 'text/html', ...sameOrigin }
  const forms: Readonly<Record<string, Record<string, string>>> = {
    code: {
      grant_type: 'authorization_code',
      code: seen(mine.code),
      redirect_uri: REDIRECT_URI,
      client_id: client.clientId,
      code_verifier: VERIFIER,
    },
    refresh: {
      grant_type: 'refresh_token',
      refresh_token: seen(client.refreshToken ?? ''),
      client_id: client.clientId,
    },
    token: { token: seen(client.accessToken), client_id: client.clientId },
    'refresh token': { token: seen(client.refreshToken ?? ''), client_id: client.clientId },
    exchange: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: seen(client.accessToken),
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      client_id: client.clientId,
    },
    ticket: { ticket: seen(mine.ticket), decision: 'allow' },
    grant: { grant: seen(mine.grantId), grantId: seen(mine.grantId), action: 'end' },
    pushed: { request_uri: seen(mine.requestUri), client_id: client.clientId },
  }
  const queries: Readonly<Record<string, Record<string, string>>> = {
    state: { state: seen(mine.state), code: 'provider-code', iss: 'https://x.example' },
    pushed: { request_uri: seen(mine.requestUri), client_id: seen(client.clientId) },
    client: Object.fromEntries(authorizeUrl(from, seen(client.clientId)).searchParams),
    ids: { user: seen(mine.userId), handle: seen(mine.connectSession), ticket: seen(mine.ticket) },
  }
  const bodies: Readonly<Record<string, unknown>> = {
    nothing: {},
    user: { user: seen(mine.userId) },
    'user and connector': { user: seen(mine.userId), connector: 'files' },
    client: { client: seen(client.clientId) },
    grant: { grant: seen(mine.grantId) },
    confirmation: { user: 'u-1', confirmation: seen(mine.connectSession) },
  }
  const own = things[at].trying.cookiesFor(new URL(world.origin))
  const administered = { authorization: `Bearer ${things[at].adminKey}` }
  return [
    ...Object.entries(secrets).map(([name, token]) => bearer(name, seen(token))),
    { name: 'cookies', headers: { cookie: cookies, ...page } },
    { name: 'cookies under their names', headers: { cookie: renamed, ...page } },
    ...Object.entries(queries).map(([name, query]) => ({
      name: `query ${name}`,
      query,
      headers: { cookie: renamed, accept: 'text/html' },
    })),
    ...Object.entries(forms).flatMap(([name, form]) => [
      { name: `form ${name}`, form, headers: { cookie: renamed, ...sameOrigin } },
      { name: `form ${name}, own browser`, form, headers: { cookie: own, ...sameOrigin } },
    ]),
    ...Object.entries(bodies).map(([name, json]) => ({
      name: `json ${name}, own admin key`,
      json,
      headers: administered,
    })),
  ]
}

/** Parameters of a path, with what belongs to somebody else where it can. */
function pathFor(route: ListedRoute, mine: Belongings, seen: (text: string) => string): string {
  const ids: readonly [RegExp, string][] = [
    [/users/, mine.userId],
    [/grants/, mine.grantId],
    [/register|clients/, mine.client.clientId],
  ]
  const id = seen(ids.find(([pattern]) => pattern.test(route.path))?.[1] ?? mine.grantId)
  return route.path
    .replace(/:connector|\{name\}/, 'notes')
    .replace(/:base\{[^}]+\}\}?/, 'x')
    .replace(/:code/, 'ERR_CONNECTION_NEEDED')
    .replace(/\{[A-Za-z]+\}|:[A-Za-z]+/g, id)
    .replace(/\*$/, 'x')
}

async function ask(house: HouseName, method: string, path: string, what: Presented) {
  const url = new URL(`${world.issuer(house)}${path}`)
  for (const [name, value] of Object.entries(what.query ?? {})) url.searchParams.set(name, value)
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const json = what.json === undefined ? undefined : JSON.stringify(what.json)
  const body = hasBody
    ? (json ?? (what.form && new URLSearchParams(what.form).toString()))
    : undefined
  const type = json === undefined ? 'application/x-www-form-urlencoded' : 'application/json'
  const answer = await world.postern.fetch(
    new Request(url, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': type }), ...what.headers },
      ...(body === undefined ? {} : { body }),
    }),
  )
  return {
    status: answer.status,
    location: plain(answer.headers.get('location') ?? ''),
    challenge: plain(answer.headers.get('www-authenticate') ?? ''),
    cookies: answer.headers
      .getSetCookie()
      .map((line) => plain(line.split('=')[0] ?? ''))
      .sort(),
    body: plain(await answer.text()),
  }
}

/** Without what is new in every answer: ids, flow ids, tickets, times. */
function plain(text: string): string {
  return text
    .replaceAll(/postern_txn(-[a-z]+)?_[a-z0-9]{6}/g, 'postern_txn$1_#')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '#')
    .replaceAll(/[A-Za-z0-9_-]{20,}(\.[A-Za-z0-9_-]+)*/g, '#')
    .replaceAll(/\bf_[0-9A-Z]{6}/g, 'f_#')
    .replaceAll(/\b1[67]\d{8,11}\b|(?<="ageSeconds":)[\d.]+/g, '#')
}

/** Rows that no clock and no background work of their own house touches. */
function lasting(house: HouseName): readonly string[] {
  return (world.rows()[house] ?? []).filter(
    (row) => !/^records .*"kind":"(fact|proof|operation|duty|audit|connector)"/.test(row),
  )
}

function running(house: HouseName): number {
  return (world.rows()[house] ?? []).filter((row) => /"kind":"operation".*"running"/.test(row))
    .length
}

/** Where two answers part. */
function unlike(told: object, expected: object): string {
  const [left, right] = [JSON.stringify(told), JSON.stringify(expected)]
  const at = [...left].findIndex((letter, index) => letter !== right[index])
  const from = Math.max(0, at - 80)
  return `${left.slice(from, at + 120)} and not ${right.slice(from, at + 120)}`
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
const ROUTES = listRoutes()

/** Routes of one path once, with all methods: a method that is refused is refused to everybody. */
function requestsOf(): readonly ListedRoute[] {
  const paths = [...new Set(ROUTES.map(({ path }) => path))]
  return paths.flatMap((path) =>
    path.startsWith('/api/')
      ? ROUTES.filter((route) => route.path === path)
      : METHODS.map((method) => ({ method, path })),
  )
}

/** What the tables say changes nothing of others, and all of one's own: asked last, and once. */
const DRASTIC = /keys\/rotate$/

describe('the cross-tenant matrix', () => {
  it('has every route: issuer, pages, connect, widget, gateway, REST API', () => {
    const paths = ROUTES.map(({ path }) => path).join('\n')
    for (const known of [
      '/authorize',
      '/consent',
      '/token',
      '/register/:clientId',
      '/revoke',
      '/introspect',
      '/par',
      '/callback/github',
      '/logout',
      '/account',
      '/connect/:connector/callback',
      '/widget/attempts',
      '/mcp/:connector',
      '/revocations',
      '/api/v1/connections/{id}',
      '/.well-known/*',
    ])
      expect(paths.split('\n')).toContain(known)
    expect(ROUTES.length).toBeGreaterThan(60)
  })

  it.each([
    ['default', 'acme'],
    ['acme', 'other'],
    ['acme', 'default'],
  ] as const)(
    'O5, O6, M1, I2: what %s gave is at %s as if nobody had ever given it',
    async (from, at) => {
      const mine = things[from]
      // What was begun there by its own administrator, when it was the other side.
      await expect.poll(() => running(from), { timeout: 20_000 }).toBe(0)
      const before = lasting(from)
      const differences: string[] = []
      let asked = 0
      for (const route of requestsOf()) {
        if (DRASTIC.test(route.path)) continue
        const real = presentations(mine, (text) => text, from, at)
        const forged = presentations(mine, forge, from, at)
        for (const [index, what] of real.entries()) {
          const never = forged[index]
          if (never === undefined) throw new TypeError('both lists are made alike')
          const path = route.path.replace('/callback/github', '/callback/openid')
          const named = { ...route, path }
          const [told, expected] = [
            await ask(
              at,
              route.method,
              pathFor(named, mine, (text) => text),
              what,
            ),
            await ask(at, route.method, pathFor(named, mine, forge), never),
          ]
          asked += 2
          if (JSON.stringify(told) !== JSON.stringify(expected))
            differences.push(`${route.method} ${path} (${what.name}): ${unlike(told, expected)}`)
        }
      }
      expect(differences.slice(0, 10)).toEqual([])
      expect(asked).toBeGreaterThan(3_000)
      // 0 rows of the owner were touched, and none of its things stand in the other's rows.
      expect(lasting(from)).toEqual(before)
      const theirs = (world.rows()[at] ?? []).join('\n')
      for (const id of [mine.userId, mine.grantId, mine.connectSession, mine.code])
        expect(theirs).not.toContain(id)
    },
    120_000,
  )

  it.each(['default', 'acme'] as const)(
    'O5: all of it is still good at %s, where it was given',
    async (house) => {
      const mine = things[house]
      const issuer = world.issuer(house)
      expect((await callTool(`${issuer}/mcp/notes`, mine.client.accessToken)).status).toBe(200)
      const bearer = (token: string): Presented => ({
        name: 'own',
        headers: { authorization: `Bearer ${token}` },
      })
      const feed = await ask(house, 'GET', '/revocations?after=0&wait=0', bearer(mine.credential))
      expect(feed.status).toBe(200)
      const listed = await ask(house, 'GET', '/api/v1/connections', bearer(mine.adminKey))
      expect(listed.status).toBe(200)
      const cookie = mine.visitor.cookiesFor(new URL(world.origin))
      const account = await ask(house, 'GET', '/account', {
        name: 'own',
        headers: { cookie, accept: 'text/html' },
      })
      expect(account.body).toMatch(/ada/i)
      const consent = await ask(house, 'POST', '/consent', {
        name: 'own',
        form: { ticket: mine.ticket, decision: 'allow' },
        headers: { cookie, origin: world.origin, 'sec-fetch-site': 'same-origin' },
      })
      expect([302, 303]).toContain(consent.status)
      const redeem = await readJson(`${issuer}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: mine.client.refreshToken ?? '',
          client_id: mine.client.clientId,
        }),
      })
      expect(typeof redeem['access_token']).toBe('string')
    },
  )
})
