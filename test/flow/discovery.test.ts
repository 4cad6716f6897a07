/** Order, comparison and required members of a discovery, against a real remote server. */
import { afterEach, describe, expect, it } from 'vitest'
import type { RemoteServerOptions } from '../../demo/doubles/remote-server.ts'
import { until } from '../kit/http.ts'
import { type DiscoveryHouse, openHouse, targetOf } from './discovery-house.ts'

let house: DiscoveryHouse
afterEach(() => house.close())
const open = async (options?: RemoteServerOptions): Promise<DiscoveryHouse> => {
  house = await openHouse(options)
  return house
}

const POST = 'POST /mcp'
const PATH = 'GET /.well-known/oauth-protected-resource/mcp'
const ROOT = 'GET /.well-known/oauth-protected-resource'
const SERVER = 'GET /.well-known/oauth-authorization-server'
const JSON_TYPE = { 'content-type': 'application/json' }

describe('where metadata is looked for', () => {
  it('DSC-01: asks the URL of the challenge, and nothing else', async () => {
    const { remote, read, exchanges } = await open()
    expect(await read()).toMatchObject({
      source: 'challenge',
      state: 'fresh',
      resource: { resource: remote.url },
      authorizationServer: { issuer: remote.issuer, token_endpoint: `${remote.issuer}/token` },
    })
    expect(exchanges()).toEqual({ [POST]: 1, [PATH]: 1, [SERVER]: 1 })
  })

  it('DSC-01: without a challenge asks the path, and the root only when nothing is there', async () => {
    const { remote, read, exchanges, engine, target } = await open({
      settings: { challenge: false },
    })
    expect((await read()).source).toBe('path')
    expect(exchanges()).toEqual({ [POST]: 1, [PATH]: 1, [SERVER]: 1 })
    remote.settings.resourceMetadata = 'root'
    await engine.drop(target)
    expect((await read()).source).toBe('root')
    expect(exchanges()).toEqual({ [POST]: 1, [PATH]: 1, [ROOT]: 1, [SERVER]: 1 })
  })

  it('DSC-01: a login wall before a metadata URL counts as not there (Appendix E)', async () => {
    const { remote, read } = await open({
      settings: { challenge: false, resourceMetadata: 'root' },
    })
    remote.answerWith(PATH, { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } })
    expect((await read()).source).toBe('root')
  })

  it('DSC-02: reads the Bearer challenge behind another one, with its scopes', async () => {
    const { remote, read } = await open()
    remote.answerWith(POST, {
      status: 401,
      headers: {
        'www-authenticate': `Basic realm="a, Bearer resource_metadata=\\"x\\"", bearer SCOPE="notes:read notes:write" , Resource_Metadata="${remote.origin}/.well-known/oauth-protected-resource/mcp"`,
      },
    })
    expect(await read()).toMatchObject({
      source: 'challenge',
      challengeScopes: ['notes:read', 'notes:write'],
    })
  })

  it.each(['http://127.0.0.1:9/meta', 'https://evil.example/meta', 'javascript:alert(1)'])(
    'O9: a challenge that points elsewhere (%s) is refused, and nobody there is asked',
    async (elsewhere) => {
      const { remote, refusal, exchanges } = await open()
      remote.answerWith(POST, {
        status: 401,
        headers: { 'www-authenticate': `Bearer resource_metadata="${elsewhere}"` },
      })
      expect(await refusal()).toMatchObject({ party: 'server', code: 'ERR_DISCOVERY_CHALLENGE' })
      expect(exchanges()).toEqual({ [POST]: 1 })
    },
  )

  it.each([
    [
      '/tenant',
      [
        'GET /.well-known/oauth-authorization-server/tenant',
        'GET /.well-known/openid-configuration/tenant',
        'GET /tenant/.well-known/openid-configuration',
      ],
    ],
    ['', [SERVER, 'GET /.well-known/openid-configuration']],
  ])('DSC-06: the locations of an issuer with path "%s", in order', async (issuerPath, places) => {
    const { remote, refusal, read, exchanges } = await open({ issuerPath })
    const document = {
      issuer: remote.issuer,
      authorization_endpoint: `${remote.issuer}/authorize`,
      token_endpoint: `${remote.issuer}/token`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
    }
    for (const place of places) remote.answerWith(place, { status: 404 })
    expect(await refusal()).toMatchObject({
      party: 'authorization-server',
      code: 'ERR_DISCOVERY_ABSENT',
    })
    const asked = Object.keys(exchanges()).filter((it) => it !== POST && it !== PATH)
    expect(asked).toEqual(places)
    for (const [index, place] of [...places.entries()].reverse()) {
      remote.answerWith(place, { status: 200, headers: JSON_TYPE, body: JSON.stringify(document) })
      await house.engine.drop(house.target)
      expect((await read()).authorizationServer.issuer).toBe(remote.issuer)
      const places2 = Object.keys(exchanges()).filter((it) => it !== POST && it !== PATH)
      expect(places2).toEqual(places.slice(0, index + 1))
    }
  })

  it('DSC-12: says its version, and asks once more without it when that is refused', async () => {
    const { remote, read, exchanges } = await open()
    await read()
    expect(remote.lastHeaders(PATH)).toMatchObject({
      'mcp-protocol-version': '2026-07-28',
      accept: 'application/json',
    })
    exchanges()
    let refused = 0
    remote.settings.answerHeaders = (headers) => {
      if (headers['mcp-protocol-version'] === undefined) return undefined
      refused += 1
      return { status: 400 }
    }
    await house.engine.drop(house.target)
    expect((await read()).source).toBe('challenge')
    expect(refused).toBe(2)
    expect(exchanges()).toEqual({ [POST]: 1, [PATH]: 2, [SERVER]: 2 })
  })
})

describe('what a document must say', () => {
  it('DSC-03, DSC-04: another resource is refused; the origin is accepted unless strict', async () => {
    const { remote, read, refusal, engine } = await open()
    const strict = targetOf(remote.url, { strictResource: true })
    const publish = (resource: string): void => {
      remote.settings.editResource = (document) => ({ ...document, resource })
    }
    expect((await read({ target: strict })).resource.resource).toBe(remote.url)
    publish(remote.origin)
    expect((await read()).resource.resource).toBe(remote.origin)
    await engine.drop(strict)
    expect(await refusal({ target: strict })).toMatchObject({
      party: 'server',
      code: 'ERR_DISCOVERY_RESOURCE',
    })
    for (const other of [`${remote.origin}/mc`, 'https://evil.example/mcp', `${remote.url}/more`]) {
      publish(other)
      await engine.drop(house.target)
      expect(await refusal(), other).toMatchObject({ code: 'ERR_DISCOVERY_RESOURCE' })
    }
  })

  it('DSC-05: of two authorization servers the pinned one, else the first; a known one stays', async () => {
    const { remote, read } = await open({ issuerPath: '/b' })
    const other = `${remote.origin}/a`
    remote.settings.editResource = (document) => ({
      ...document,
      authorization_servers: [other, remote.issuer],
    })
    remote.answerWith('GET /.well-known/oauth-authorization-server/a', {
      status: 200,
      headers: JSON_TYPE,
      body: JSON.stringify({
        issuer: other,
        authorization_endpoint: `${other}/authorize`,
        token_endpoint: `${other}/token`,
        response_types_supported: ['code'],
        code_challenge_methods_supported: ['S256'],
      }),
    })
    expect((await read()).authorizationServer.issuer).toBe(other)
    const pinned = targetOf(remote.url, { pinnedIssuer: remote.issuer })
    expect((await read({ target: pinned })).authorizationServer.issuer).toBe(remote.issuer)
    remote.settings.editResource = (document) => ({
      ...document,
      authorization_servers: [remote.issuer, other],
    })
    house.runtime.advanceMs(3_700_000)
    await until(() => house.engine.peek(house.target)?.state === 'fresh')
    expect((await read()).authorizationServer.issuer).toBe(other)
  })

  it('DSC-07, DSC-08: another issuer is refused unless this connector pins it', async () => {
    const { remote, read, refusal } = await open()
    const wrong = `${remote.issuer}/`
    remote.settings.editServer = (document) => ({ ...document, issuer: wrong })
    const problem = await refusal()
    expect(problem).toMatchObject({ party: 'authorization-server', code: 'ERR_DISCOVERY_ISSUER' })
    expect(problem.text).toContain(`says issuer "${wrong}"`)
    expect(problem.requirement).toContain('DSC-07')
    const pinned = targetOf(remote.url, { pinnedIssuer: wrong }, { connector: 'pinned' })
    expect((await read({ target: pinned })).authorizationServer.issuer).toBe(wrong)
    expect(await refusal()).toMatchObject({ code: 'ERR_DISCOVERY_ISSUER' })
  })

  it('DSC-08: static endpoints ask nobody', async () => {
    const { remote, read, engine, exchanges } = await open()
    const endpoints = {
      authorization: 'https://a.example/authorize',
      token: 'https://a.example/token',
    }
    const target = targetOf(remote.url, { endpoints, pinnedIssuer: 'https://a.example/tenant' })
    expect(engine.peek(target)).toMatchObject({ source: 'configuration' })
    expect(await read({ target })).toMatchObject({
      source: 'configuration',
      resource: { resource: remote.url },
      authorizationServer: {
        issuer: 'https://a.example/tenant',
        token_endpoint: endpoints.token,
        code_challenge_methods_supported: ['S256'],
      },
    })
    expect(exchanges()).toEqual({})
  })

  it.each([
    ['authorization_endpoint', 'ERR_DISCOVERY_MEMBER'],
    ['token_endpoint', 'ERR_DISCOVERY_MEMBER'],
    ['response_types_supported', 'ERR_DISCOVERY_MEMBER'],
    ['code_challenge_methods_supported', 'ERR_DISCOVERY_PKCE'],
  ])('DSC-09: refuses a document without %s', async (member, code) => {
    const { remote, refusal } = await open()
    remote.settings.editServer = ({ [member]: _, ...rest }) => rest
    const problem = await refusal()
    expect(problem).toMatchObject({ party: 'authorization-server', code })
    expect(problem.text).toContain(member)
  })

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    'vbscript:x',
    'http://h.example/a',
  ])('NET-08, O11: an authorization endpoint like %s is refused at discovery', async (endpoint) => {
    const { remote, refusal } = await open()
    remote.settings.editServer = (document) => ({ ...document, authorization_endpoint: endpoint })
    expect(await refusal()).toMatchObject({ code: 'ERR_DISCOVERY_ENDPOINT' })
  })
})

describe('servers of 2025-03-26', () => {
  const legacy = { settings: { resourceMetadata: 'none' } } as const

  it('DSC-11: takes the metadata at the origin, else the three paths; off by a setting', async () => {
    const { remote, read, refusal, exchanges } = await open(legacy)
    expect(await read()).toMatchObject({
      source: 'legacy-metadata',
      resource: { resource: remote.url },
      authorizationServer: { issuer: remote.origin },
    })
    expect(exchanges()).toEqual({ [POST]: 1, [PATH]: 1, [ROOT]: 1, [SERVER]: 1 })
    remote.answerWith(SERVER, { status: 404 })
    await house.engine.drop(house.target)
    expect(await read()).toMatchObject({
      source: 'legacy-endpoints',
      authorizationServer: {
        authorization_endpoint: `${remote.origin}/authorize`,
        token_endpoint: `${remote.origin}/token`,
        registration_endpoint: `${remote.origin}/register`,
      },
    })
    const off = targetOf(remote.url, { legacyDiscovery: false })
    expect(await refusal({ target: off })).toMatchObject({ code: 'ERR_DISCOVERY_ABSENT' })
  })

  it('DSC-10: stored credentials close the legacy way, in memory and when asked', async () => {
    const { remote, read, refusal, engine } = await open(legacy)
    const stored = targetOf(remote.url, {}, { hasCredentials: true })
    expect(await refusal({ target: stored })).toMatchObject({ code: 'ERR_DISCOVERY_LEGACY' })
    expect((await read()).source).toBe('legacy-metadata')
    expect(engine.peek(stored)).toBeUndefined()
    expect(remote.tokenCalls).toEqual([])
  })

  it('DSC-10: a server that turns its metadata off keeps what it published before', async () => {
    const { remote, read, engine, target, runtime } = await open()
    await read()
    remote.settings.resourceMetadata = 'none'
    runtime.advanceMs(3_700_000)
    await until(() => engine.peek(target)?.problem !== undefined)
    expect(await read()).toMatchObject({
      source: 'challenge',
      state: 'stale',
      problem: { code: 'ERR_DISCOVERY_LEGACY' },
    })
  })
})

describe('what is not followed', () => {
  it('NET-03: a redirect of a document is refused, and followed only where the connector says so', async () => {
    const { remote, read, refusal, exchanges } = await open()
    remote.answerWith(PATH, { status: 302, headers: { location: '/moved' } })
    remote.answerWith('GET /moved', {
      status: 200,
      headers: JSON_TYPE,
      body: JSON.stringify({ resource: remote.url, authorization_servers: [remote.issuer] }),
    })
    expect(await refusal()).toMatchObject({ code: 'ERR_DISCOVERY_REDIRECT', requirement: 'NET-03' })
    expect(exchanges()['GET /moved']).toBeUndefined()
    const target = targetOf(remote.url, { followMetadataRedirects: true })
    expect((await read({ target })).source).toBe('challenge')
  })

  it('NET-03: each hop is judged as a new URL, and three are the most', async () => {
    const { remote, refusal, exchanges } = await open()
    const target = targetOf(remote.url, { followMetadataRedirects: true })
    remote.answerWith(PATH, { status: 307, headers: { location: 'http://169.254.169.254/latest' } })
    expect(await refusal({ target })).toMatchObject({ code: 'ERR_DISCOVERY_ADDRESS' })
    remote.answerWith(PATH, { status: 307, headers: { location: PATH.slice(4) } })
    exchanges()
    expect(await refusal({ target, retry: true })).toMatchObject({ code: 'ERR_DISCOVERY_REDIRECT' })
    expect(exchanges()[PATH]).toBe(4)
  })

  it('NET-01: a server that nobody approved is asked as a stranger, whatever the file approves', async () => {
    const { remote, refusal, exchanges } = await open()
    const target = targetOf(remote.url, {}, { approved: false })
    expect(await refusal({ target })).toMatchObject({ code: 'ERR_DISCOVERY_ADDRESS' })
    expect(exchanges()).toEqual({})
  })

  it('NET-05: sends no cookie and no credentials', async () => {
    const { remote, read } = await open()
    await read()
    for (const endpoint of [POST, PATH, SERVER]) {
      const headers = remote.lastHeaders(endpoint) ?? {}
      expect(Object.keys(headers)).not.toContain('authorization')
      expect(Object.keys(headers)).not.toContain('cookie')
    }
  })
})

describe('the era of a server', () => {
  const answer = (body: unknown, status = 200) => ({
    status,
    headers: JSON_TYPE,
    body: JSON.stringify(body),
  })
  it.each([
    ['modern', answer({ jsonrpc: '2.0', id: 1, result: { supportedVersions: ['2026-07-28'] } })],
    ['modern', answer({ jsonrpc: '2.0', id: 1, error: { code: -32022, message: 'x' } }, 400)],
    ['legacy', answer({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'x' } })],
    ['legacy', { status: 400, body: 'Bad Request: no session' }],
  ] as const)('DSC-21: %s is remembered per server and looked at again', async (era, said) => {
    const { remote, read, engine, target, exchanges } = await open()
    remote.answerWith(POST, said)
    expect((await read()).era).toBe(era)
    exchanges()
    expect(engine.peek(target)?.era).toBe(era)
    expect(exchanges()).toEqual({})
    remote.answerWith(POST, answer({ jsonrpc: '2.0', id: 1, result: {} }))
    house.runtime.advanceMs(1_000)
    engine.revalidate(target)
    await until(() => engine.peek(target)?.state === 'fresh')
    expect(engine.peek(target)?.era).toBe('modern')
    expect(exchanges()[POST]).toBe(1)
  })

  it.each([500, 503, 429])('DSC-21: a server in trouble (%d) has not shown it', async (status) => {
    const { remote, read } = await open()
    remote.answerWith(POST, answer({ error: 'later' }, status))
    expect((await read()).era).toBeUndefined()
  })

  it('DSC-21: a server that asks for a token first has not shown it', async () => {
    const { read } = await open()
    expect((await read()).era).toBeUndefined()
  })
})
