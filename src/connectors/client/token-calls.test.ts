import { beforeEach, describe, expect, it } from 'vitest'
import {
  AS,
  createClientWorld,
  json,
  RESOURCE,
  reply,
} from '../../../test/kit/authorization-server.ts'
import { UpstreamError } from '../../errors.ts'
import { FetchFailure } from '../../net/failure.ts'
import type { FetchResponse } from '../../ports.ts'
import type { OurClient } from './registration.ts'
import { createTokenCalls, type TokenCall } from './token-calls.ts'

const SECRET = 'client-secret-canary+/=%'
const REFRESH = 'refresh-token-canary'
const ACCESS = 'access-token-canary'
const CODE = 'code-canary'
const VERIFIER = 'verifier-canary'
const REDIRECT = 'https://postern.example/connect/notes/callback'
const GOOD = { access_token: ACCESS, token_type: 'bearer', expires_in: 3600 }

let world: ReturnType<typeof createClientWorld>
let gone: string[]

function client(over: Partial<OurClient> = {}): OurClient {
  const base = { clientId: 'us', how: 'static', redirectUri: REDIRECT } as const
  return { ...base, authMethod: 'client_secret_basic', secret: SECRET, ...over }
}

function calls() {
  const { egress, runtime } = world
  const sign = async (clientId: string, audience: string) => `assertion.${clientId}.${audience}`
  const endpointGone = (connector: string) => void gone.push(connector)
  const assertionKeys = { sign }
  return createTokenCalls({
    egress,
    runtime,
    assertionKeys,
    tokenCallTimeoutMs: 10_000,
    endpointGone,
  })
}

const EXCHANGE = { code: CODE, verifier: VERIFIER, redirectUri: REDIRECT, resource: RESOURCE }

function refresh(answer: FetchResponse | Error): Promise<TokenCall> {
  world.answers(() => answer)
  const input = { refreshToken: REFRESH, resource: RESOURCE }
  return calls().refresh(world.binding(), client(), input)
}

function formOf(index = 0): Record<string, string> {
  return Object.fromEntries(world.sent[index]?.form ?? [])
}

beforeEach(() => {
  gone = []
  world = createClientWorld()
  world.answers(() => json(200, GOOD))
})

describe('CLI-16: a token call', () => {
  it('CLI-16: sends the code with its verifier and the exact redirect_uri, as a form', async () => {
    const answer = await calls().exchange(world.binding(), client(), EXCHANGE)
    expect(answer).toMatchObject({ outcome: 'yes', tokens: { accessToken: ACCESS } })
    expect(world.sent).toHaveLength(1)
    expect(world.sent[0]).toMatchObject({ method: 'POST', url: `${AS}/token` })
    expect(world.sent[0]?.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${btoa(`us:${encodeURIComponent(SECRET)}`)}`,
    })
    expect(formOf()).toEqual({
      grant_type: 'authorization_code',
      code: CODE,
      redirect_uri: REDIRECT,
      code_verifier: VERIFIER,
      resource: RESOURCE,
    })
  })

  it.each<[Partial<OurClient>, Record<string, string>]>([
    [{ authMethod: 'client_secret_post' }, { client_id: 'us', client_secret: SECRET }],
    [{ authMethod: 'none' }, { client_id: 'us' }],
    [
      { authMethod: 'private_key_jwt' },
      { client_id: 'us', client_assertion: `assertion.us.${AS}` },
    ],
  ])('CLI-16: shows the client in one place only: %j', async (over, shown) => {
    await calls().exchange(world.binding(), client(over), EXCHANGE)
    expect(world.sent[0]?.headers['authorization']).toBeUndefined()
    expect(formOf()).toMatchObject(shown)
    expect('client_secret' in formOf()).toBe('client_secret' in shown)
  })

  it('CLI-15: signs for the issuer, not for the endpoint', async () => {
    const elsewhere = world.binding({ token_endpoint: 'https://token.as.example/t' })
    await calls().exchange(elsewhere, client({ authMethod: 'private_key_jwt' }), EXCHANGE)
    expect(formOf()['client_assertion']).toBe(`assertion.us.${AS}`)
  })

  it('asks for a token of its own, with the scopes and the resource', async () => {
    await calls().clientCredentials(world.binding(), client(), { scopes: ['a', 'b'] })
    await calls().clientCredentials(world.binding(), client(), { scopes: [] })
    expect(formOf()).toEqual({
      grant_type: 'client_credentials',
      scope: 'a b',
      resource: RESOURCE,
    })
    expect('scope' in formOf(1)).toBe(false)
  })
})

describe('CLI-07: the resource parameter', () => {
  it('CLI-07: goes with every call, byte for byte', async () => {
    const slashed = `${RESOURCE}/`
    const { exchange, refresh: renew, clientCredentials } = calls()
    const binding = world.binding({}, { resource: slashed })
    await exchange(binding, client(), { ...EXCHANGE, resource: slashed })
    await renew(binding, client(), { refreshToken: REFRESH, resource: slashed })
    await clientCredentials(binding, client(), { scopes: [] })
    expect(world.sent.map(({ form }) => form.getAll('resource'))).toEqual([
      [slashed],
      [slashed],
      [slashed],
    ])
  })

  it('CLI-07: is left out for a server that refuses it, by the switch of its connector', async () => {
    world = createClientWorld({ connector: { omitResource: true } })
    world.answers(({ form }) =>
      form.has('resource') ? json(400, { error: 'AADSTS901002' }) : json(200, GOOD),
    )
    const binding = world.binding()
    const { resource } = binding
    const answers = [
      await calls().exchange(binding, client(), { ...EXCHANGE, resource }),
      await calls().refresh(binding, client(), { refreshToken: REFRESH, resource }),
      await calls().clientCredentials(binding, client(), { scopes: [] }),
    ]
    expect(answers.map(({ outcome }) => outcome)).toEqual(['yes', 'yes', 'yes'])
  })
})

describe('CLI-20: what an answer to a refresh means', () => {
  it.each<[string, FetchResponse, string]>([
    ['400 invalid_grant', json(400, { error: 'invalid_grant' }), 'invalid_grant'],
    ['Atlassian: 403 invalid_grant', json(403, { error: 'invalid_grant' }), 'invalid_grant'],
    ['401 invalid_client', json(401, { error: 'invalid_client' }), 'invalid_client'],
    [
      'the official Python package: 401 unauthorized_client',
      json(401, { error: 'unauthorized_client' }),
      'invalid_client',
    ],
    ['400 unauthorized_client', json(400, { error: 'unauthorized_client' }), 'unauthorized_client'],
    ['S7: an error object with 200', json(200, { error: 'invalid_grant' }), 'invalid_grant'],
    ['GitHub: 200 bad_refresh_token', json(200, { error: 'bad_refresh_token' }), 'invalid_grant'],
    [
      'GitHub: 200 incorrect_client_credentials',
      json(200, { error: 'incorrect_client_credentials' }),
      'invalid_client',
    ],
    ['Slack: ok false', json(200, { ok: false, error: 'token_revoked' }), 'invalid_grant'],
    ['400 invalid_scope', json(400, { error: 'invalid_scope' }), 'invalid_scope'],
  ])('CLI-20: a no: %s', async (_, answer, error) => {
    expect(await refresh(answer)).toEqual({ outcome: 'no', error })
  })

  const html = { 'content-type': 'text/html' }
  it.each<[string, FetchResponse | Error]>([
    ['429', json(429, { error: 'invalid_grant' })],
    ['500', json(500, { error: 'invalid_grant' })],
    ['503 without a body', reply(503, '')],
    ['S7: a page with 200', reply(200, '<html>login</html>', html)],
    ['S7: tokens as text', reply(200, JSON.stringify(GOOD), { 'content-type': 'text/plain' })],
    ['401 without JSON', reply(401, 'who are you', html)],
    ['broken JSON', reply(200, '{"access_token":', { 'content-type': 'application/json' })],
    ['an empty object', json(200, {})],
    ['no token type', json(200, { access_token: ACCESS })],
    ['an error that is no word', json(400, { error: { code: 7 } })],
    ['temporarily_unavailable', json(400, { error: 'temporarily_unavailable' })],
    ['Slack: ratelimited', json(200, { ok: false, error: 'ratelimited' })],
    ['reset', new FetchFailure('ERR_UPSTREAM_RESET', 'reset')],
    ['too large', reply(200, 'x'.repeat(70_000), { 'content-type': 'application/json' })],
  ])('CLI-20: unknown, and nothing ends: %s', async (_, answer) => {
    const call = await refresh(answer)
    expect(call.outcome).toBe('unknown')
    expect(call).toMatchObject({ error: expect.any(UpstreamError) })
  })

  it('CLI-20: passes on how long to wait, as seconds or as a date', async () => {
    const inSeconds = await refresh(json(503, {}, { 'retry-after': '7' }))
    expect(inSeconds).toMatchObject({ outcome: 'unknown', retryAfterMs: 7_000 })
    const date = new Date(world.runtime.nowMs() + 9_000).toUTCString()
    const byDate = await refresh(json(429, {}, { 'retry-after': date }))
    expect(byDate).toMatchObject({ outcome: 'unknown', retryAfterMs: 9_000 })
  })

  it('CLI-20: is unknown when nobody answers in time', async () => {
    world.answers(() => new Promise(() => undefined))
    const input = { refreshToken: REFRESH, resource: RESOURCE }
    const call = calls().refresh(world.binding(), client(), input)
    await world.runtime.elapseMs(10_000)
    expect(await call).toMatchObject({
      outcome: 'unknown',
      error: { code: 'ERR_UPSTREAM_TIMEOUT' },
    })
  })

  it('CLI-18: R6: keeps the old refresh token when the answer has none, takes the new one', async () => {
    expect(await refresh(json(200, GOOD))).toMatchObject({ tokens: { refreshToken: REFRESH } })
    const rotated = await refresh(json(200, { ...GOOD, refresh_token: 'next' }))
    expect(rotated).toMatchObject({ tokens: { refreshToken: 'next' } })
  })

  it('CLI-21: follows no redirect with a secret in hand', async () => {
    const call = await refresh(reply(307, '', { location: 'https://evil.example/token' }))
    expect(call).toMatchObject({ outcome: 'unknown', error: { code: 'ERR_UPSTREAM_REDIRECT' } })
    expect(world.sent.map(({ url }) => url)).toEqual([`${AS}/token`])
  })

  it.each([REFRESH, 'client-secret-canary', 'constructor', '__proto__', 'toString'])(
    'I1: a word of the server that is no word of a standard goes no further: %s',
    async (error) => {
      expect(await refresh(json(400, { error }))).toEqual({ outcome: 'no', error: 'refused' })
    },
  )

  it('tells no secret, code or token in an error or an event', async () => {
    const told: string[] = []
    for (const answer of [json(400, { error: `x${ACCESS}` }), reply(500, ACCESS), json(200, {})]) {
      const call = await refresh(answer)
      if (call.outcome === 'unknown') told.push(String(call.error), JSON.stringify(call.error))
    }
    world.answers(() => new FetchFailure('ERR_UPSTREAM_CONNECT', 'refused'))
    told.push(JSON.stringify(await calls().exchange(world.binding(), client(), EXCHANGE)))
    const text = `${told.join()}${world.emit.dump()}`
    for (const secret of [SECRET, REFRESH, ACCESS, CODE, VERIFIER])
      expect(text).not.toContain(secret)
  })
})

describe('CLI-17: answers as they are really sent', () => {
  it.each<[string, object, object]>([
    ['expires_in as text', { ...GOOD, expires_in: '3600' }, { lifeMs: 3_600_000 }],
    ['no expires_in', { access_token: ACCESS, token_type: 'Bearer' }, { lifeMs: undefined }],
    ['scopes with commas', { ...GOOD, scope: 'a,b' }, { scopes: ['a', 'b'] }],
    ['token_type in capitals', { ...GOOD, token_type: 'BEARER' }, { tokenType: 'Bearer' }],
  ])('CLI-17: %s', async (_, answer, expected) => {
    const call = await refresh(json(200, answer))
    if (call.outcome !== 'yes') throw new Error(call.outcome)
    const { expiresAtMs, ...tokens } = call.tokens
    const lifeMs = expiresAtMs === undefined ? undefined : expiresAtMs - world.runtime.nowMs()
    expect({ ...tokens, lifeMs }).toMatchObject(expected)
  })

  it('CLI-17: Slack: finds the tokens of the person where Slack puts them', async () => {
    world = createClientWorld({
      connector: { preset: 'slack', client: { clientId: 'us', clientSecret: SECRET } },
    })
    const authed_user = { access_token: ACCESS, token_type: 'user', scope: 'chat:write' }
    expect(await refresh(json(200, { ok: true, authed_user }))).toMatchObject({
      outcome: 'yes',
      tokens: { accessToken: ACCESS, tokenType: 'Bearer', scopes: ['chat:write'] },
    })
  })

  it('tells whose account it is, from an ID token of this issuer for this client', async () => {
    const subjectOf = async (claims: object) => {
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      const call = await refresh(json(200, { ...GOOD, id_token: `e30.${payload}.c2ln` }))
      return call.outcome === 'yes' ? call.subject : 'refused'
    }
    expect(await subjectOf({ iss: AS, aud: 'us', sub: 'ada' })).toBe('ada')
    expect(await subjectOf({ iss: AS, aud: ['us', 'them'], sub: 'ada' })).toBe('ada')
    expect(await subjectOf({ iss: 'https://evil.example', aud: 'us', sub: 'ada' })).toBeUndefined()
    expect(await subjectOf({ iss: AS, aud: 'them', sub: 'ada' })).toBeUndefined()
    expect(await subjectOf({ iss: AS, aud: 'us', sub: 7 })).toBeUndefined()
  })
})

describe('pushed requests (RFC 9126)', () => {
  const parameters = new URLSearchParams({ client_id: 'us', state: 's', resource: RESOURCE })
  const push = (answer: FetchResponse) => {
    world.answers(() => answer)
    const binding = world.binding({ pushed_authorization_request_endpoint: `${AS}/par` })
    return calls().push(binding, client(), parameters)
  }

  it('sends the whole request with the proof of the client, and gives back the request_uri', async () => {
    const answer = await push(json(201, { request_uri: 'urn:x:1', expires_in: 60 }))
    expect(answer).toEqual({ outcome: 'yes', requestUri: 'urn:x:1' })
    expect(world.sent[0]?.url).toBe(`${AS}/par`)
    expect(world.sent[0]?.headers['authorization']).toMatch(/^Basic /)
    expect(formOf()).toEqual({ client_id: 'us', state: 's', resource: RESOURCE })
  })

  it.each<[FetchResponse, string]>([
    [json(400, { error: 'invalid_request' }), 'no'],
    [json(401, { error: 'invalid_client' }), 'no'],
    [json(201, { request_uri: 'with space' }), 'unknown'],
    [json(201, { request_uri: 7 }), 'unknown'],
    [json(500, { request_uri: 'urn:x:1' }), 'unknown'],
    [reply(201, 'urn:x:1'), 'unknown'],
  ])('judges answer %#', async (answer, outcome) => {
    expect((await push(answer)).outcome).toBe(outcome)
  })

  it('asks nobody where there is no such endpoint', async () => {
    const answer = await calls().push(world.binding(), client(), parameters)
    expect(answer).toEqual({ outcome: 'no', error: 'unsupported' })
    expect(world.sent).toEqual([])
  })
})

describe('CLI-23: revocation (RFC 7009)', () => {
  const revoke = (answer: FetchResponse | Error, listed?: readonly string[]) => {
    world.answers(() => answer)
    const binding = world.binding({
      revocation_endpoint: `${AS}/revoke`,
      ...(listed === undefined ? {} : { revocation_endpoint_auth_methods_supported: listed }),
    })
    return calls().revoke(binding, client(), REFRESH, 'refresh_token')
  }

  it('CLI-23: sends the token with its hint, as this client', async () => {
    expect(await revoke(reply(200, ''))).toBe('confirmed')
    expect(world.sent[0]?.url).toBe(`${AS}/revoke`)
    expect(formOf()).toEqual({ token: REFRESH, token_type_hint: 'refresh_token' })
  })

  it.each<[FetchResponse | Error, string]>([
    [json(400, { error: 'invalid_token' }), 'confirmed'],
    [json(400, { error: 'unsupported_token_type' }), 'unsupported'],
    [json(401, { error: 'invalid_client' }), 'unknown'],
    [json(200, { ok: false, error: 'not_authed' }), 'unknown'],
    [reply(503, ''), 'unknown'],
    [reply(404, ''), 'unknown'],
    [new FetchFailure('ERR_UPSTREAM_TIMEOUT', 'deadline'), 'unknown'],
  ])('CLI-23: judges answer %#', async (answer, outcome) => {
    expect(await revoke(answer)).toBe(outcome)
  })

  it('CLI-23: says that a server cannot, without asking anybody', async () => {
    expect(await calls().revoke(world.binding(), client(), REFRESH, 'refresh_token')).toBe(
      'unsupported',
    )
    expect(world.sent).toEqual([])
  })

  it('CLI-16: uses the way that this endpoint lists', async () => {
    await revoke(reply(200, ''), ['client_secret_post'])
    expect(formOf()).toMatchObject({ client_id: 'us', client_secret: SECRET })
    expect(world.sent[0]?.headers['authorization']).toBeUndefined()
  })
})

describe('DSC-19: an endpoint that is gone', () => {
  it.each<[number, readonly string[]]>([
    [404, ['notes', 'notes', 'notes']],
    [410, ['notes', 'notes', 'notes']],
    [400, []],
    [503, []],
  ])('DSC-19: each call that is answered %d says so, or not', async (status, told) => {
    world.answers(() => reply(status, ''))
    const binding = world.binding({
      revocation_endpoint: `${AS}/revoke`,
      pushed_authorization_request_endpoint: `${AS}/par`,
    })
    await calls().refresh(binding, client(), { refreshToken: REFRESH, resource: RESOURCE })
    await calls().push(binding, client(), new URLSearchParams())
    await calls().revoke(binding, client(), REFRESH, 'refresh_token')
    expect(gone).toEqual(told)
  })
})
