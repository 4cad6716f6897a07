/** Discovery as a client does it: the challenge, by a strict parser, then the document, then the endpoint. */
import { describe, expect, it } from 'vitest'
import { createDoors, type Doors } from '../kit/doors.ts'
import {
  authorizeUrl,
  connector,
  ISSUER,
  redeem,
  register,
  signIn,
  type Tokens,
  Visitor,
} from './sign-in-house.ts'

const ROOT = '/.well-known/oauth-protected-resource'
const get = (house: Doors, target: string, headers: Record<string, string> = {}) =>
  house.fetch(new Request(`${ISSUER}${target}`, { headers }))

/** RFC 9110 section 11.6.1 with RFC 6750 section 3: one scheme, quoted or token values, each name once. */
function parseChallenge(value: string): Readonly<Record<string, string>> {
  const scheme = /^Bearer +/.exec(value)?.[0]
  if (scheme === undefined) throw new Error(`no Bearer challenge: ${value}`)
  const found: Record<string, string> = {}
  let rest = value.slice(scheme.length)
  while (rest !== '') {
    const member =
      /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))/.exec(
        rest,
      )
    if (member === null) throw new Error(`not a challenge: ${rest}`)
    const [text, name = '', quoted, plain] = member
    if (name in found) throw new Error(`${name} came twice`)
    found[name] = quoted ?? plain ?? ''
    rest = rest.slice(text.length)
    const comma = /^ *, */.exec(rest)?.[0] ?? ''
    if (comma === '' && rest !== '') throw new Error(`no comma: ${rest}`)
    rest = rest.slice(comma.length)
  }
  return found
}

describe('resource metadata', () => {
  const RESOURCES = {
    [ROOT]: ISSUER,
    [`${ROOT}/a/mcp`]: `${ISSUER}/a/mcp`,
    [`${ROOT}/b/mcp?tenant=a`]: `${ISSUER}/b/mcp?tenant=a`,
    [`${ROOT}/b/mcp?tenant=b&x=1`]: `${ISSUER}/b/mcp?tenant=b&x=1`,
  }

  it('PR-01 PR-02 PR-04: root, path and query resources each have their document, and nothing else has', async () => {
    const house = createDoors({
      connectors: [],
      config: { resources: Object.values(RESOURCES).map((url) => ({ url })) },
    })
    for (const [target, resource] of Object.entries(RESOURCES)) {
      const document = (await (await get(house, target)).json()) as Record<string, unknown>
      expect(document).toEqual({
        resource,
        authorization_servers: [ISSUER],
        scopes_supported: ['mcp'],
        bearer_methods_supported: ['header'],
      })
    }
    for (const unknown of [
      `${ROOT}/a`,
      `${ROOT}/a/mcp/`,
      `${ROOT}/a/mcp/x`,
      `${ROOT}/A/mcp`,
      `${ROOT}/b/mcp`,
      `${ROOT}/b/mcp?tenant=c`,
      `${ROOT}/b/mcp?x=1&tenant=b`,
      `${ROOT}/mcp`,
      `/a/mcp${ROOT}`,
    ]) {
      expect([unknown, (await get(house, unknown)).status]).toEqual([unknown, 404])
    }
  })

  it('PR-03: at the root too where exactly one endpoint exists, and its resource names that endpoint', async () => {
    const one = createDoors({ connectors: [], config: { resources: [{ url: `${ISSUER}/a/mcp` }] } })
    expect(await (await get(one, ROOT)).json()).toMatchObject({ resource: `${ISSUER}/a/mcp` })
    expect(await (await get(one, ROOT)).text()).toBe(await (await get(one, `${ROOT}/a/mcp`)).text())
    const mixed = createDoors({
      connectors: ['notes'],
      config: { resources: [{ url: `${ISSUER}/a/mcp` }] },
    })
    expect((await get(mixed, ROOT)).status).toBe(404)
    const none = createDoors({ connectors: [], config: { resources: [] } })
    expect((await get(none, ROOT)).status).toBe(404)
  })

  it('PR-06: without a token, from another origin, cacheable and validated', async () => {
    const house = createDoors()
    const answer = await get(house, `${ROOT}/mcp/notes`, { origin: 'https://inspector.example' })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('cache-control')).toBe('public, max-age=3600')
    const etag = answer.headers.get('etag') ?? ''
    expect((await get(house, `${ROOT}/mcp/notes`, { 'if-none-match': etag })).status).toBe(304)
  })

  it('PR-07 PR-02: every 401 and 403 of the gateway and of protect() leads to the right document', async () => {
    const protectedResource = `${ISSUER}/app/mcp`
    const house = createDoors({
      config: {
        connectors: [
          connector(ISSUER, 'notes', { stepUp: { maxAuthAgeSeconds: 60 } }),
          connector(ISSUER, 'tasks'),
        ],
        resources: [{ url: protectedResource }],
      },
    })
    const { client_id } = await register(house)
    const tokenFor = async (resource: string) => {
      const { code = '' } = await signIn(house, new Visitor(house), client_id, { resource })
      return `Bearer ${((await (await redeem(house, client_id, code)).json()) as Tokens).access_token}`
    }
    const old = await tokenFor(`${ISSUER}/mcp/notes`)
    const own = await tokenFor(protectedResource)
    house.runtime.advanceMs(61_000)
    const of = async (authorization: string | undefined, name: string) =>
      (await house.call(authorization, name)).headers.get('www-authenticate')
    const guarded = async (authorization: string | undefined, scopes: readonly string[] = []) => {
      const answer = await house.guard.authenticate(authorization, {
        resource: protectedResource,
        scopes,
      })
      return answer.ok ? null : answer.refusal.headers['www-authenticate']
    }
    const rows: readonly (readonly [string | null | undefined, string, string | undefined])[] = [
      [await of(undefined, 'notes'), `${ISSUER}/mcp/notes`, undefined],
      [await of('Bearer x', 'tasks'), `${ISSUER}/mcp/tasks`, 'invalid_token'],
      [await of(old, 'tasks'), `${ISSUER}/mcp/tasks`, 'invalid_token'],
      [await of(old, 'notes'), `${ISSUER}/mcp/notes`, 'insufficient_user_authentication'],
      [await of('Bearer a b', 'notes'), `${ISSUER}/mcp/notes`, 'invalid_request'],
      [await guarded(undefined), protectedResource, undefined],
      [await guarded(old), protectedResource, 'invalid_token'],
      [await guarded(own, ['admin']), protectedResource, 'insufficient_scope'],
      [await guarded('Bearer'), protectedResource, 'invalid_request'],
    ]
    for (const [value, resource, error] of rows) {
      const challenge = parseChallenge(value ?? '')
      expect([value, challenge['error']]).toEqual([value, error])
      if (error !== 'invalid_request') expect(challenge['scope']).toMatch(/^mcp( |$)/)
      const url = challenge['resource_metadata'] ?? ''
      const document = await (await house.fetch(new Request(url))).json()
      expect(document).toMatchObject({ resource, authorization_servers: [ISSUER] })
    }
  })
})

describe('what leaves the house', () => {
  it('SEC-03 PR-15: no token, code, verifier or secret stands in a URL that we send anybody to', async () => {
    const house = createDoors()
    const { client_id, client_secret = 'none' } = await register(house, {
      token_endpoint_auth_method: 'client_secret_post',
    })
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id))
    const trip = await visitor.press(page, 'allow:github')
    const back = await visitor.comeBack(trip)
    const code = new URL(back.headers.get('location') ?? '').searchParams.get('code') ?? ''
    const answer = await redeem(house, client_id, code, { client_secret })
    const tokens = (await answer.json()) as Tokens
    expect(tokens.access_token).toBeDefined()
    await house.call(`Bearer ${tokens.access_token}`)
    const asked = await house.proxy(
      new Request(`${ISSUER}/mcp/notes?access_token=${tokens.access_token}`, { method: 'POST' }),
    )
    expect(asked.status).toBe(401)
    expect(house.reached).toHaveLength(1)
    const urls = [
      ...house.provider.journeys.map(String),
      ...house.reached.map(({ url }) => url),
      trip.headers.get('location') ?? '',
    ].join('\n')
    const exchange = house.provider.exchanges.at(-1)
    for (const secret of [
      tokens.access_token,
      tokens.refresh_token,
      code,
      client_secret,
      exchange?.verifier ?? 'none',
      'upstream-1001',
    ]) {
      expect(urls.includes(secret), secret.slice(0, 8)).toBe(false)
    }
    for (const { headers } of house.reached) {
      expect(JSON.stringify([...headers])).not.toContain(tokens.access_token)
    }
    // The code is in the one redirect that carries it, and no token is.
    expect(back.headers.get('location')).not.toMatch(/access_token|refresh_token|id_token/)
  })
})
