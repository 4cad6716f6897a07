/** Who may ask, from where, under which name: origins, hosts, proxies' headers, shortcuts (W8, A19, G3, G7, G8). */
import { describe, expect, it, onTestFinished } from 'vitest'
import { StoreError } from '../../src/errors.ts'
import {
  connector,
  ISSUER,
  redeem,
  register,
  signIn,
  type Tokens,
  Visitor,
} from '../flow/sign-in-house.ts'
import { callRequest, createDoors, type Doors, PROTECTED } from '../kit/doors.ts'
import { startGateway } from '../kit/gateway.ts'
import { raw, request } from '../kit/http.ts'

const AT_NOTES = '/mcp/notes'
const PUBLIC_DOCUMENTS = [
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/.well-known/jwks.json',
  '/.well-known/oauth-protected-resource',
  '/.well-known/oauth-protected-resource/mcp/notes',
]
const PROTOCOL = ['/token', '/register', '/revoke']
const PAGES = [
  '/',
  '/authorize',
  '/consent',
  '/callback/github',
  '/callback/okta',
  '/logout',
  '/account',
  '/mcp.json',
  '/errors/ERR_CONFIG_VALUE',
  '/api/v1/users',
  '/nowhere',
]

async function bearerOf(house: Doors): Promise<string> {
  const { client_id } = await register(house)
  const { code = '' } = await signIn(house, new Visitor(house), client_id)
  return `Bearer ${((await (await redeem(house, client_id, code)).json()) as Tokens).access_token}`
}

/** Every way to write an origin that is not ours, or is ours to a careless reader. */
const ORIGINS: readonly string[] = [
  'https://evil.example',
  'http://evil.example',
  'https://evil.example:443',
  'https://evil.example/',
  'https://auth.example.evil.example',
  'https://evil-auth.example',
  'https://evilauth.example',
  'https://auth.example.',
  'https://auth.example:8443',
  'https://auth.example:443',
  'https://auth.example/',
  'https://auth.example/x',
  'https://auth.example,https://evil.example',
  'https://auth.example https://evil.example',
  'https://evil.example#https://auth.example',
  'https://evil.example?https://auth.example',
  'https://auth.example@evil.example',
  'https://user@auth.example',
  'http://auth.example',
  'HTTPS://auth.example',
  'https://AUTH.example',
  'https://auth%2eexample',
  'https://sub.auth.example',
  'https://example',
  'https://*',
  '*',
  'null',
  'file://',
  'about:blank',
  'data:text/html,x',
  'blob:https://auth.example/x',
  'chrome-extension://abcdef',
  'app://auth.example',
  'https://127.0.0.1',
  'http://localhost',
  'http://localhost:3000',
  'http://[::1]',
  'https://github.example',
  'https://client.example',
  'https://xn--auth-example',
  'auth.example',
]

describe('W8: cross-origin reads', () => {
  it('W8 SEC-14: 40 origins at every route: public ones open and without credentials, all others closed', async () => {
    expect(ORIGINS.length).toBeGreaterThanOrEqual(40)
    const house = createDoors()
    for (const origin of ORIGINS) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const headers = {
          origin,
          cookie: '__Host-postern_session=x',
          'access-control-request-method': 'POST',
        }
        for (const path of [...PUBLIC_DOCUMENTS, ...PROTOCOL, ...PAGES]) {
          const answer = await house.fetch(new Request(`${ISSUER}${path}`, { method, headers }))
          const allowed = answer.headers.get('access-control-allow-origin')
          const isOpen = PUBLIC_DOCUMENTS.includes(path) || PROTOCOL.includes(path)
          // A document is not there for POST; then nothing is said about origins.
          expect([path, allowed], `${method} ${origin}`).toEqual([
            path,
            isOpen ? (allowed === null && method === 'POST' ? null : '*') : null,
          ])
          expect(answer.headers.get('access-control-allow-credentials'), path).toBeNull()
        }
      }
    }
  })

  it('W8 G8 SEC-15: at the MCP endpoint no other origin is let in, answered or reflected', async () => {
    const house = createDoors()
    const bearer = await bearerOf(house)
    for (const origin of ORIGINS) {
      for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS']) {
        const headers = { origin, authorization: bearer, 'access-control-request-method': 'POST' }
        const answer = await house.proxy(new Request(`${ISSUER}${AT_NOTES}`, { method, headers }))
        expect([origin, method, answer.status]).toEqual([
          origin,
          method,
          origin.includes(',') ? 400 : 403,
        ])
        expect(answer.headers.get('access-control-allow-origin')).toBeNull()
        expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
      }
    }
    expect(house.reached).toHaveLength(0)
    const own = await house.proxy(
      callRequest(`${ISSUER}${AT_NOTES}`, undefined, { origin: ISSUER }),
    )
    expect(own.status).toBe(401)
    expect(own.headers.get('access-control-allow-origin')).toBe(ISSUER)
    expect(own.headers.get('access-control-allow-credentials')).toBeNull()
    const exposed = own.headers.get('access-control-expose-headers') ?? ''
    for (const name of [
      'WWW-Authenticate',
      'MCP-Protocol-Version',
      'Mcp-Session-Id',
      'Retry-After',
    ])
      expect(exposed.split(', ')).toContain(name)
  })
})

describe.each(['node', 'fetch'] as const)(
  'W8: refusals of a broken request, carrier %s',
  (carrier) => {
    it('W8: a page of another origin reads none of them, whatever was wrong first', async () => {
      const house = await startGateway({
        carrier,
        // Nothing listens there.
        connectors: [
          {
            name: 'c1',
            url: 'http://127.0.0.1:9/mcp',
            routes: { protected: [], public: ['/health'] },
          },
        ],
      })
      onTestFinished(() => house.close())
      const ask = (method: string, target: string, lines: readonly string[]) =>
        raw(
          house.port,
          request(method, target, [house.host, ...lines], method === 'POST' ? '{}' : ''),
        )
      const broken: readonly (readonly [string, string, readonly string[], number])[] = [
        ['POST', '/mcp/c1', ['Mcp-Name: a', 'Mcp-Name: b, c'], 400],
        ['POST', '/mcp/c1', ['Content-Type: a/b', 'Content-Type: c/d, e'], 400],
        ['GET', '/mcp/c1', ['Connection: Upgrade', 'Upgrade: websocket'], 400],
        ['GET', '/health', [], 502],
        ['TRACE', '/health', [], 405],
      ]
      for (const [method, target, lines, status] of broken) {
        if (carrier === 'fetch' && method === 'TRACE') continue
        const foreign = await ask(method, target, ['Origin: https://evil.example', ...lines])
        expect([target, lines, foreign.status]).toEqual([target, lines, status])
        expect(foreign.headers['access-control-allow-origin']).toBeUndefined()
        const own = await ask(method, target, [`Origin: ${house.issuer}`, ...lines])
        expect(own.headers['access-control-allow-origin']).toBe(house.issuer)
      }
    })
  },
)

describe('A19: the name under which we are asked', () => {
  const HOSTS = [
    'evil.example',
    'auth.example.evil.example',
    'evil-auth.example',
    'sub.auth.example',
    'auth.example.',
    'auth.example:8443',
    'auth.example:80',
    'auth',
    'example',
    'localhost',
    'localhost:443',
    '127.0.0.1',
    '[::1]',
    '10.0.0.1',
    '169.254.169.254',
    '0.0.0.0',
    'github.example',
    'app.example',
    'xn--auth-9za.example',
  ]
  const FORWARDED: readonly Readonly<Record<string, string>>[] = [
    { 'x-forwarded-host': 'evil.example' },
    { 'x-forwarded-proto': 'http' },
    { 'x-forwarded-port': '8080' },
    { 'x-forwarded-prefix': '/evil' },
    { 'x-forwarded-server': 'evil.example' },
    { 'x-forwarded-for': '203.0.113.9' },
    { 'x-original-host': 'evil.example' },
    { 'x-original-url': '/evil' },
    { 'x-rewrite-url': '/evil' },
    { 'x-host': 'evil.example' },
    { forwarded: 'for=1.2.3.4;host=evil.example;proto=http' },
    { forwarded: 'host="evil.example"' },
    {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'http',
      forwarded: 'host=evil.example',
    },
  ]

  it('A19 PR-02: 32 variants: documents and challenge are the same to the byte, or refused', async () => {
    expect(HOSTS.length + FORWARDED.length).toBeGreaterThanOrEqual(30)
    const house = createDoors()
    for (const path of PUBLIC_DOCUMENTS) {
      const plain = await (await house.fetch(new Request(`${ISSUER}${path}`))).text()
      for (const host of HOSTS) {
        for (const name of ['x-plain', 'x-forwarded-host', 'host']) {
          const more = { [name]: 'auth.example' }
          const answer = await house.fetch(new Request(`https://${host}${path}`, { headers: more }))
          expect([host, answer.status]).toEqual([host, 421])
        }
      }
      for (const headers of FORWARDED) {
        const answer = await house.fetch(new Request(`${ISSUER}${path}`, { headers }))
        expect([path, await answer.text()]).toEqual([path, plain])
      }
    }
    const challenge = (await house.call(undefined)).headers.get('www-authenticate')
    for (const headers of FORWARDED) {
      const answer = await house.call(undefined, 'notes', headers)
      expect(answer.headers.get('www-authenticate')).toBe(challenge)
    }
    for (const host of HOSTS) {
      const answer = await house.proxy(callRequest(`https://${host}${AT_NOTES}`, undefined))
      expect([host, answer.status, answer.headers.get('www-authenticate')]).toEqual([
        host,
        421,
        null,
      ])
    }
  })
})

describe('headers that other systems believe', () => {
  it('G3: 60 combinations of forwarding headers never change what a path needs, or reach the server behind', async () => {
    const house = createDoors({
      config: {
        connectors: [
          connector(ISSUER, 'notes', { routes: { protected: ['/api/*'], public: ['/health'] } }),
        ],
      },
    })
    const bearer = await bearerOf(house)
    const names = [
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-forwarded-uri',
      'x-forwarded-path',
      'x-original-url',
      'x-rewrite-url',
      'x-forwarded-prefix',
      'forwarded',
      'x-real-ip',
      'true-client-ip',
      'x-forwarded-method',
    ]
    const values = [
      '/health',
      '127.0.0.1',
      'host=auth.example;for=127.0.0.1',
      'GET',
      '/api/../health',
    ]
    expect(names.length * values.length).toBe(60)
    for (const name of names) {
      for (const value of values) {
        const headers = { [name]: value }
        expect((await house.call(undefined, 'notes', headers)).status, `${name}: ${value}`).toBe(
          401,
        )
        const api = new Request(`${ISSUER}/api/x`, { headers })
        expect((await house.proxy(api)).status, `${name}: ${value}`).toBe(401)
        const before = house.reached.length
        expect((await house.call(bearer, 'notes', headers)).status).toBe(200)
        expect(house.reached[before]?.headers.has(name), name).toBe(false)
      }
    }
  })

  it('G7: no header, cookie, query or fixed key stands for a sign-in', async () => {
    const house = createDoors()
    const probes: readonly Readonly<Record<string, string>>[] = [
      { 'x-postern-user': 'usr_1' },
      { 'x-postern-internal': '1' },
      { 'x-postern-token': 'x' },
      { 'x-internal': 'true' },
      { 'x-internal-auth': 'postern' },
      { 'x-user-id': 'usr_1' },
      { 'x-remote-user': 'ada' },
      { 'remote-user': 'ada' },
      { 'x-auth-request-user': 'ada' },
      { 'x-authenticated-user': 'ada' },
      { 'x-api-key': 'postern' },
      { 'x-admin': '1' },
      { 'x-debug': '1' },
      { 'x-health-check': '1' },
      { 'x-amzn-oidc-data': 'x' },
      { 'x-middleware-subrequest': 'middleware' },
      { 'cf-access-jwt-assertion': 'x' },
      { 'user-agent': 'kube-probe/1.30' },
      { cookie: '__Host-postern_session=x; access_token=x' },
      { authorization: 'Bearer postern' },
      { authorization: 'Bearer null' },
      { authorization: 'Bearer undefined' },
      { authorization: 'Basic cG9zdGVybjpwb3N0ZXJu' },
      { 'proxy-authorization': 'Bearer x' },
      { 'mcp-session-id': 'x' },
    ]
    for (const headers of probes) {
      const { authorization, ...more } = headers
      const { status } = await house.call(authorization, 'notes', more)
      expect([headers, status]).toEqual([headers, 401])
      expect(await house.protectedStatus(authorization)).toBe(401)
    }
    for (const query of ['access_token=x', 'token=x', 'debug=1', 'user=ada', 'internal=1']) {
      const answer = await house.proxy(callRequest(`${ISSUER}${AT_NOTES}?${query}`, undefined))
      expect([query, answer.status]).toEqual([query, 401])
    }
    expect(house.reached).toHaveLength(0)
  })
})

describe('fail closed', () => {
  it('PR-16 VAL-01: with a broken store no unknown token gets in at either door, and none is called wrong', async () => {
    const house = createDoors()
    const bearer = await bearerOf(house)
    const fresh = await bearerOf(house)
    expect((await house.call(bearer)).status).toBe(200)
    const before = house.reached.length
    const broken = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
    Object.assign(house.store, { get: broken, list: broken, commit: broken })
    Object.assign(house.store.grants, { find: broken })
    const answer = await house.call(fresh)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('2')
    expect(answer.headers.get('www-authenticate')).toBeNull()
    expect(await house.protectedStatus(fresh)).toBe(503)
    expect(house.reached.length).toBe(before)
    // What this node has verified stays good: a valid local decision exists.
    expect((await house.call(bearer)).status).toBe(200)
  })
})

describe('protect() as a resource server', () => {
  const refusal = async (
    house: Doors,
    authorization: string | undefined,
    scopes?: readonly string[],
  ) => {
    const answer = await house.guard.authenticate(authorization, {
      resource: PROTECTED,
      ...(scopes === undefined ? {} : { scopes }),
    })
    if (answer.ok) throw new Error('let in')
    return answer.refusal
  }
  const protectedBearer = async (house: Doors) => {
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, new Visitor(house), client_id, {
      resource: PROTECTED,
    })
    const tokens = (await (await redeem(house, client_id, code)).json()) as Tokens
    return tokens.access_token
  }

  it('PR-07 PR-08 SEC-03: without credentials: where the document is, which scope, and no error', async () => {
    const house = createDoors()
    for (const absent of [undefined, '', 'Basic YTpi']) {
      const { status, headers } = await refusal(house, absent)
      expect(status).toBe(401)
      expect(headers['www-authenticate']).toBe(
        'Bearer resource_metadata="https://app.example/.well-known/oauth-protected-resource/mcp", scope="mcp"',
      )
    }
    const bad = await refusal(house, 'Bearer wrong')
    expect(bad.headers['www-authenticate']).toContain('error="invalid_token"')
    expect(bad.headers['www-authenticate']).toContain('scope="mcp"')
  })

  it('PR-12 PR-13: two credentials or none by grammar are 400; the scheme has any letter case', async () => {
    const house = createDoors()
    const bearer = await protectedBearer(house)
    for (const wrong of [
      'Bearer',
      'Bearer ',
      `Bearer ${bearer} ${bearer}`,
      `Bearer ${bearer}, Bearer ${bearer}`,
      `Bearer ${bearer},`,
      `Bearer "${bearer}"`,
      `Bearer\t${bearer}`,
      `Bearer token=${bearer}?`,
    ]) {
      const { status, headers } = await refusal(house, wrong)
      expect([wrong.slice(0, 24), status]).toEqual([wrong.slice(0, 24), 400])
      expect(headers['www-authenticate']).toContain('error="invalid_request"')
    }
    for (const scheme of ['bearer', 'BEARER', 'bEaReR', 'Bearer ']) {
      expect(await house.protectedStatus(`${scheme} ${bearer}`)).toBe(200)
    }
  })

  it('PR-10 VAL-07: the scopes of the call are asked each time, in one challenge', async () => {
    const house = createDoors()
    const bearer = `Bearer ${await protectedBearer(house)}`
    for (let round = 0; round < 2; round += 1) {
      expect(await house.protectedStatus(bearer)).toBe(200)
      const { status, headers } = await refusal(house, bearer, ['mcp', 'admin', 'audit'])
      expect(status).toBe(403)
      expect(headers['www-authenticate']).toBe(
        'Bearer resource_metadata="https://app.example/.well-known/oauth-protected-resource/mcp", ' +
          'scope="mcp admin audit", error="insufficient_scope"',
      )
    }
  })
})
