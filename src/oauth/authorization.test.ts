import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, errorOf, outcomeOf, SEED } from '../../test/kit/family.ts'
import type { AuthorizationRequest, Values } from '../records.ts'
import {
  authorizationResponse,
  judgeAuthorization,
  mayBeSilent,
  mayRedirectError,
  type ResourceHouse,
  type SilenceFacts,
  STATE_MAX_CHARS,
} from './authorization.ts'
import type { Client } from './client.ts'
import { Parameters } from './parameters.ts'

const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
const redirectUri = 'https://a.example/cb'
const client: Client = {
  clientId: 'c',
  kind: 'dynamic',
  redirectUris: [redirectUri],
  authMethod: 'none',
  grantTypes: ['authorization_code', 'refresh_token'],
  applicationType: 'web',
  fingerprint: 'f1',
}
const staticClient: Client = { ...client, kind: 'static' }
const notes = { resource: 'https://h/mcp/notes', scopes: ['mcp', 'notes:read'] }
const files = { resource: 'https://h/mcp/files', scopes: ['files'] }
const house = { resources: [notes], scopeAliases: {} }

const GOOD = {
  response_type: 'code',
  client_id: 'c',
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
}
type Changes = Readonly<Record<string, string | undefined>>
function query(changes: Changes = {}): Parameters {
  const all = Object.entries({ ...GOOD, ...changes }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return Parameters.parse(new URLSearchParams(all).toString())
}
const judge = (changes: Changes = {}, at: ResourceHouse = house) =>
  judgeAuthorization(query(changes), client, redirectUri, at)
const errorFor = (changes: Changes, at: ResourceHouse = house) => errorOf(() => judge(changes, at))

describe('judgeAuthorization', () => {
  it('AZ-01: a good request', () => {
    expect(judge({ state: 's', scope: 'mcp', resource: notes.resource, foo: 'bar' })).toEqual({
      clientId: 'c',
      clientFingerprint: 'f1',
      redirectUri,
      state: 's',
      codeChallenge: CHALLENGE,
      resource: notes.resource,
      scopes: ['mcp'],
      requestedScope: 'mcp',
    })
  })

  it('AZ-01: code and nothing else', () => {
    expect(errorFor({ response_type: undefined })).toBe('invalid_request')
    for (const type of [
      'token',
      'id_token',
      'none',
      'CODE',
      'code token',
      'code id_token',
      'code code',
      ' code',
    ]) {
      expect(errorFor({ response_type: type }), type).toBe('unsupported_response_type')
    }
  })

  it('A25: query and nothing else, 40 combinations', async () => {
    const types = ['code', 'token', 'id_token', 'code token', 'password']
    const modes = [
      'query',
      'fragment',
      'form_post',
      'web_message',
      'query.jwt',
      'jwt',
      'QUERY',
      'query query',
    ]
    const combinations = types.flatMap((type) => modes.map((mode) => [type, mode] as const))
    expect(combinations).toHaveLength(40)
    await checkFamily('A25', combinations, ([response_type, response_mode]) => {
      const good = response_type === 'code' && response_mode === 'query'
      expect(errorFor({ response_type, response_mode }) === undefined).toBe(good)
    })
  })

  it('AZ-05, A6: S256 challenge needed', () => {
    const bad: readonly Changes[] = [
      { code_challenge: undefined },
      { code_challenge: undefined, code_challenge_method: undefined },
      { code_challenge_method: undefined },
      { code_challenge_method: 'plain' },
      { code_challenge_method: 's256' },
      { code_challenge: CHALLENGE.slice(1) },
      { code_challenge: 'a'.repeat(129) },
      { code_challenge: `${CHALLENGE}=` },
    ]
    for (const changes of bad)
      expect(errorFor(changes), JSON.stringify(changes)).toBe('invalid_request')
  })

  it('AZ-07: keeps state as it is, up to its limit', () => {
    const state = 'a b+c%20é"\\&=#'
    expect(judge({ state }).state).toBe(state)
    expect(judge({})).not.toHaveProperty('state')
    expect(judge({ state: 'x'.repeat(STATE_MAX_CHARS) }).state).toHaveLength(STATE_MAX_CHARS)
    expect(errorFor({ state: 'x'.repeat(STATE_MAX_CHARS + 1) })).toBe('invalid_request')
  })

  it('AZ-10: resource is one that is protected here', () => {
    for (const resource of [
      'https://h',
      'https://h/mcp',
      'https://h/mcp/notes2',
      'https://h/mcp/notes/x',
      'https://h/mcp/notes?x',
      'https://h/mcp/notes#',
      '/mcp/notes',
      'notes',
      'https://h:443/mcp/notes',
      'http://h/mcp/notes',
      'https://h/mcp/Notes',
      'https://h/mcp//notes',
      'https://u@h/mcp/notes',
      'https://h/./mcp/notes',
      'https://h/mcp/%6eotes',
    ]) {
      expect(errorFor({ resource }), resource).toBe('invalid_target')
    }
  })

  it('AZ-11: any case of scheme and host and one slash give the published form', () => {
    for (const resource of ['HTTPS://H/mcp/notes', 'https://h/mcp/notes/', 'https://h/mcp/notes']) {
      expect(judge({ resource }).resource).toBe('https://h/mcp/notes')
    }
    const root = { resources: [{ resource: 'https://h', scopes: ['mcp'] }], scopeAliases: {} }
    expect(judge({ resource: 'https://h/' }, root).resource).toBe('https://h')
  })

  it('AZ-12: absent resource is the only one, else the default, else invalid_target', () => {
    const two = { resources: [notes, files], scopeAliases: {} }
    expect(judge({}).resource).toBe(notes.resource)
    expect(errorFor({}, two)).toBe('invalid_target')
    expect(judge({}, { ...two, defaultResource: 'https://h/mcp/files/' }).resource).toBe(
      files.resource,
    )
    expect(errorFor({}, { ...two, defaultResource: 'https://h/mcp/other' })).toBe('invalid_target')
    expect(outcomeOf(() => judge({}, two))).toMatchObject({
      description: expect.stringContaining('defaultResource'),
    })
    expect(errorFor({}, { resources: [], scopeAliases: {} })).toBe('invalid_target')
  })

  it('TOK-10: one grant has one resource, which may be repeated', () => {
    const two = { resources: [notes, files], scopeAliases: {} }
    const ask = (...resources: string[]) => {
      const text = new URLSearchParams([
        ...Object.entries(GOOD),
        ...resources.map((resource) => ['resource', resource]),
      ])
      return errorOf(() =>
        judgeAuthorization(Parameters.parse(text.toString()), client, redirectUri, two),
      )
    }
    expect(ask(notes.resource, `${notes.resource}/`, '')).toBeUndefined()
    expect(ask(notes.resource, files.resource)).toBe('invalid_target')
    expect(ask(notes.resource, 'https://h/unknown')).toBe('invalid_target')
  })

  it('AZ-13: scopes of that resource, defaults when none is asked for', () => {
    expect(judge({}).scopes).toEqual(['mcp'])
    expect(judge({}, { resources: [files], scopeAliases: {} }).scopes).toEqual(['files'])
    expect(judge({ scope: 'notes:read unknown' })).toMatchObject({
      scopes: ['notes:read'],
      requestedScope: 'notes:read unknown',
    })
    expect(errorFor({ scope: 'files' })).toBe('invalid_scope')
  })

  it('AZ-14: offline_access changes nothing', () => {
    expect(judge({ scope: 'offline_access' }).scopes).toEqual(judge({}).scopes)
  })

  it('AZ-18: reads prompt and max_age', () => {
    expect(judge({ prompt: 'login consent', max_age: '0' })).toMatchObject({
      prompt: 'login consent',
      maxAgeSeconds: 0,
    })
    expect(judge({ prompt: 'none' }).prompt).toBe('none')
    expect(judge({ prompt: 'create' })).not.toHaveProperty('prompt')
    for (const changes of [
      { prompt: 'none login' },
      { prompt: 'none none' },
      { max_age: '-1' },
      { max_age: '1.5' },
      { max_age: '1e3' },
      { max_age: '9999999999' },
      { max_age: ' 1' },
    ]) {
      expect(errorFor(changes), JSON.stringify(changes)).toBe('invalid_request')
    }
  })

  it('AZ-19: request objects are not supported, whatever else is wrong', () => {
    expect(errorFor({ request: 'x' })).toBe('request_not_supported')
    expect(errorFor({ request_uri: 'https://evil.example/', response_type: 'token' })).toBe(
      'request_uri_not_supported',
    )
  })

  it('refuses a client that may not use codes', () => {
    const other = { ...client, grantTypes: ['refresh_token'] }
    expect(errorOf(() => judgeAuthorization(query(), other, redirectUri, house))).toBe(
      'unauthorized_client',
    )
  })

  it('never throws anything but OAuthError', () => {
    const names = fc.constantFrom(
      'response_type',
      'state',
      'scope',
      'resource',
      'prompt',
      'max_age',
      'code_challenge',
      'request',
    )
    fc.assert(
      fc.property(
        fc.dictionary(
          names,
          anyText.map((text) => text.toWellFormed()),
        ),
        (changes) => {
          outcomeOf(() => judge(changes))
        },
      ),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('mayRedirectError', () => {
  it('AZ-15: static https, an approval, or a pressed button; else a page', () => {
    const facts = { client, redirectUri, approved: false, answered: false }
    expect(mayRedirectError(facts)).toBe(false)
    expect(mayRedirectError({ ...facts, client: staticClient })).toBe(true)
    expect(mayRedirectError({ ...facts, approved: true })).toBe(true)
    expect(mayRedirectError({ ...facts, answered: true })).toBe(true)
    for (const uri of ['http://localhost/cb', 'cursor://x/cb', 'httpsx://x/cb']) {
      expect(mayRedirectError({ ...facts, client: staticClient, redirectUri: uri }), uri).toBe(
        false,
      )
    }
  })
})

describe('authorizationResponse', () => {
  const iss = 'https://h'
  it('AZ-07, AZ-08: code, state and iss, each once', () => {
    const url = new URL(
      authorizationResponse(redirectUri, { code: 'ptc_1' }, { state: 'a b', iss }),
    )
    expect([...url.searchParams]).toEqual([
      ['code', 'ptc_1'],
      ['state', 'a b'],
      ['iss', iss],
    ])
  })

  it('AZ-08: errors carry iss, and state only when it was sent', () => {
    for (const error of ['access_denied', 'invalid_scope', 'server_error']) {
      const url = new URL(authorizationResponse(redirectUri, { error }, { iss }))
      expect([...url.searchParams]).toEqual([
        ['error', error],
        ['iss', iss],
      ])
    }
    const told = new URL(
      authorizationResponse(redirectUri, { error: 'e', description: 'a "b"\n<c>' }, { iss }),
    )
    expect(told.searchParams.get('error_description')).toBe("a 'b'?<c>")
  })

  it('AZ-09: keeps the query of the redirect URI byte by byte', () => {
    const answer = (uri: string) => authorizationResponse(uri, { code: '1' }, { iss: 'i' })
    expect(answer('https://a/cb?x=1')).toBe('https://a/cb?x=1&code=1&iss=i')
    expect(answer('https://a/cb?x=%7E+a&y')).toBe('https://a/cb?x=%7E+a&y&code=1&iss=i')
    expect(answer('https://a/cb?')).toBe('https://a/cb?code=1&iss=i')
    expect(answer('cursor://x/cb')).toBe('cursor://x/cb?code=1&iss=i')
    expect(answer('https://a/cb?code=evil&x=1&%63ode=evil&iss=evil')).toBe(
      'https://a/cb?x=1&code=1&iss=i',
    )
  })

  it('AZ-07: any state comes back as it was', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const state = text.toWellFormed()
        const url = authorizationResponse('https://a/cb?x=1', { code: 'c' }, { state, iss })
        expect(url).toMatch(/^[\x21-\x7e]+$/)
        const sent = Parameters.parse(url.slice(url.indexOf('?') + 1).replaceAll('%00', ''))
        expect(sent.get('state') ?? '').toBe(state.replaceAll('\0', ''))
      }),
      { seed: SEED, numRuns: 300 },
    )
  })
})

describe('mayBeSilent', () => {
  const request: AuthorizationRequest = {
    clientId: 'c',
    redirectUri,
    codeChallenge: CHALLENGE,
    resource: notes.resource,
    scopes: ['mcp'],
  }
  const approval: Values['approval'] = {
    userId: 'u',
    clientId: 'c',
    redirectUri,
    resource: notes.resource,
    scopes: ['mcp', 'notes:read'],
    clientFingerprint: 'f1',
    approvedAtMs: 1_000,
    expiresAtMs: 2_000,
  }
  const facts: SilenceFacts = {
    client: staticClient,
    request,
    approval,
    nowMs: 1_500,
    isTopLevelNavigation: true,
  }

  it('flows 5: a covered request of an assured client shows no page', () => {
    expect(mayBeSilent(facts)).toBe(true)
    expect(mayBeSilent({ ...facts, request: { ...request, prompt: 'none' } })).toBe(true)
  })

  it('AZ-17: a dynamic client, loopback and private-use redirects always show the page', () => {
    expect(mayBeSilent({ ...facts, client })).toBe(false)
    for (const uri of ['http://127.0.0.1/cb', 'http://localhost/cb', 'cursor://x/cb']) {
      expect(
        mayBeSilent({
          ...facts,
          request: { ...request, redirectUri: uri },
          approval: { ...approval, redirectUri: uri },
        }),
        uri,
      ).toBe(false)
    }
  })

  it('A2, CON-02, CON-10, CON-12: any change asks again', () => {
    const changed: readonly Partial<SilenceFacts>[] = [
      { approval: undefined },
      { isTopLevelNavigation: false },
      { nowMs: 2_000 },
      { nowMs: 999 },
      { client: { ...staticClient, fingerprint: 'f2' } },
      { client: { ...staticClient, clientId: 'd' } },
      { request: { ...request, redirectUri: `${redirectUri}/` } },
      { request: { ...request, resource: files.resource } },
      { request: { ...request, scopes: ['mcp', 'notes:write'] } },
      { request: { ...request, prompt: 'consent' } },
      { request: { ...request, prompt: 'login' } },
      { request: { ...request, prompt: 'select_account' } },
      { request: { ...request, prompt: 'login consent' } },
    ]
    for (const change of changed)
      expect(mayBeSilent({ ...facts, ...change }), JSON.stringify(change)).toBe(false)
  })
})
