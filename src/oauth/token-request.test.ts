import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, errorOf, outcomeOf, SEED } from '../../test/kit/family.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { OAuthError } from '../errors.ts'
import type { Client } from './client.ts'
import {
  authenticateClient,
  type PresentedClient,
  parseTokenRequest,
  requireGrantedResource,
  tokenResponse,
} from './token-request.ts'

const runtime = createTestRuntime()
const FORM = 'application/x-www-form-urlencoded'
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const CODE = {
  grant_type: 'authorization_code',
  code: 'ptc_x',
  code_verifier: VERIFIER,
  client_id: 'c',
}
const REFRESH = { grant_type: 'refresh_token', refresh_token: 'ptr_x', client_id: 'c' }

type Fields = Readonly<Record<string, string | undefined>>
const encode = (fields: Fields): string =>
  new URLSearchParams(
    Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined),
  ).toString()
const parse = (fields: Fields, authorization?: string, contentType: string | undefined = FORM) =>
  parseTokenRequest({ contentType, body: encode(fields), authorization })
const errorFor = (...of: Parameters<typeof parse>) => errorOf(() => parse(...of))
const formPart = (text: string): string => new URLSearchParams({ a: text }).toString().slice(2)
const basic = (id: string, secret: string): string =>
  `Basic ${btoa(`${formPart(id)}:${formPart(secret)}`)}`

describe('parseTokenRequest', () => {
  it('TOK-06: reads a code request', () => {
    expect(
      parse({ ...CODE, redirect_uri: 'https://a/cb', resource: 'https://h/mcp', foo: 'bar' }),
    ).toEqual({
      grantType: 'authorization_code',
      client: { method: 'none', clientId: 'c' },
      code: 'ptc_x',
      codeVerifier: VERIFIER,
      redirectUri: 'https://a/cb',
      resources: ['https://h/mcp'],
    })
  })

  it('TOK-07: redirect_uri may be absent', () => {
    expect(parse(CODE)).not.toHaveProperty('redirectUri')
  })

  it('TOK-18: reads a refresh request', () => {
    expect(parse({ ...REFRESH, scope: 'mcp' })).toEqual({
      grantType: 'refresh_token',
      client: { method: 'none', clientId: 'c' },
      refreshToken: 'ptr_x',
      scope: 'mcp',
      resources: [],
    })
  })

  it('TOK-01: takes a form and nothing else', () => {
    for (const type of [FORM, `${FORM};charset=UTF-8`, 'Application/X-WWW-Form-Urlencoded ; x=y']) {
      expect(errorFor(CODE, undefined, type), type).toBeUndefined()
    }
    for (const type of [
      '',
      'application/json',
      'text/plain',
      'multipart/form-data',
      `${FORM}x`,
      `text/html, ${FORM}`,
    ]) {
      expect(errorFor(CODE, undefined, type), type).toBe('invalid_request')
    }
    expect(
      errorOf(() =>
        parseTokenRequest({ contentType: undefined, body: encode(CODE), authorization: undefined }),
      ),
    ).toBe('invalid_request')
  })

  it('TOK-13: names what is missing or unknown', () => {
    expect(errorFor({ ...CODE, grant_type: undefined })).toBe('invalid_request')
    for (const type of [
      'password',
      'implicit',
      'client_credentials',
      'AUTHORIZATION_CODE',
      'urn:ietf:params:oauth:grant-type:token-exchange',
      '__proto__',
    ]) {
      expect(errorFor({ ...CODE, grant_type: type }), type).toBe('unsupported_grant_type')
    }
    for (const name of ['code', 'code_verifier'])
      expect(errorFor({ ...CODE, [name]: undefined }), name).toBe('invalid_request')
    expect(errorFor({ ...REFRESH, refresh_token: '' })).toBe('invalid_request')
  })

  it('TOK-06, B19: a verifier outside the grammar is the same as a wrong one', () => {
    for (const verifier of [
      'short',
      VERIFIER.slice(1),
      'a'.repeat(129),
      `${VERIFIER}=`,
      `${VERIFIER} `,
    ]) {
      expect(errorFor({ ...CODE, code_verifier: verifier }), verifier).toBe('invalid_grant')
    }
  })

  it('SEC-18, A20: refuses repeated parameters', () => {
    expect(
      errorOf(() =>
        parseTokenRequest({
          contentType: FORM,
          body: `${encode(CODE)}&code=b`,
          authorization: undefined,
        }),
      ),
    ).toBe('invalid_request')
  })

  it('TOK-02: decodes identifier and secret of Basic as form-encoded values', () => {
    const pairs = [
      ['c', 's'],
      ['a:b', 'c:d'],
      ['a b', 'c+d'],
      ['a%b', '%41'],
      ['ä😀', 'ß"\\'],
      ['c', ''],
      ['https://a/b', '&='],
    ] as const
    for (const [id, secret] of pairs) {
      expect(parse({ ...CODE, client_id: undefined }, basic(id, secret)).client, id).toEqual({
        method: 'client_secret_basic',
        clientId: id,
        secret,
      })
    }
    expect(parse(CODE, basic('c', 's').replace('Basic', 'bAsIc')).client.clientId).toBe('c')
    expect(parse({ ...CODE, client_secret: 's' }).client).toEqual({
      method: 'client_secret_post',
      clientId: 'c',
      secret: 's',
    })
  })

  it('TOK-02: two methods at once are invalid_request', () => {
    expect(errorFor({ ...CODE, client_secret: 's' }, basic('c', 's'))).toBe('invalid_request')
    expect(errorFor({ ...CODE, client_assertion: 'x' }, basic('c', 's'))).toBe('invalid_request')
    expect(errorFor({ ...CODE, client_assertion: 'x', client_secret: 's' })).toBe('invalid_request')
    expect(errorFor(CODE, basic('d', 's'))).toBe('invalid_request')
  })

  it('TOK-03: broken or missing authentication is 401 invalid_client, with a challenge when the header was used', async () => {
    const headers = [
      '',
      'Basic',
      'Basic ',
      'Basic !',
      'Basic YQ',
      'Basic YTpi=',
      'Basic YTpi YTpi',
      'Basic YTpi,Basic YTpi',
      'Bearer abc',
      'DPoP abc',
      `Basic ${btoa(':s')}`,
      `Basic ${btoa('%zz:s')}`,
      `Basic ${btoa('a:%')}`,
      `Basic ${btoa('a\xff:s')}`,
      `Basic ${btoa('a:%00')}`,
      `Basic ${'A'.repeat(20_000)}`,
      ' Basic YTpi',
    ]
    await checkFamily('TOK-03', headers, (header) => {
      const refusal = outcomeOf(() => parse({ ...CODE, client_id: undefined }, header))
      expect(refusal).toMatchObject({
        error: 'invalid_client',
        status: 401,
        headers: { 'www-authenticate': 'Basic realm="token"' },
      })
    })
    for (const fields of [
      { ...CODE, client_id: undefined },
      { ...CODE, client_id: undefined, client_secret: 's' },
      { ...CODE, client_assertion: 'x' },
    ]) {
      expect(outcomeOf(() => parse(fields))).toMatchObject({
        error: 'invalid_client',
        status: 401,
        headers: {},
      })
    }
  })

  it('never throws anything but OAuthError; Basic round trip', () => {
    const part = anyText.map((text) => text.toWellFormed().replaceAll('\0', '').slice(0, 60))
    fc.assert(
      fc.property(
        part.filter((id) => id !== ''),
        part,
        anyText,
        (id, secret, junk) => {
          expect(parse({ ...CODE, client_id: undefined }, basic(id, secret)).client).toMatchObject({
            clientId: id,
            secret,
          })
          outcomeOf(() =>
            parseTokenRequest({ contentType: FORM, body: junk, authorization: `Basic ${junk}` }),
          )
          outcomeOf(() =>
            parseTokenRequest({
              contentType: junk,
              body: `${encode(CODE)}&${junk}`,
              authorization: undefined,
            }),
          )
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })
})

describe('authenticateClient', () => {
  const registered = (
    authMethod: Client['authMethod'],
    kind: Client['kind'] = 'dynamic',
  ): Client => ({
    clientId: 'c',
    kind,
    redirectUris: [],
    authMethod,
    grantTypes: [],
    applicationType: 'web',
    fingerprint: 'f',
    ...(authMethod === 'none' ? {} : { secretDigest: runtime.sha256('right') }),
  })
  const refused = (
    presented: PresentedClient,
    client: Client | undefined,
  ): OAuthError | undefined => {
    const outcome = outcomeOf(() => authenticateClient(presented, client, runtime))
    return outcome instanceof OAuthError ? outcome : undefined
  }
  const METHODS = ['none', 'client_secret_basic', 'client_secret_post'] as const

  it('TOK-02, A24: the registered method and no other', () => {
    for (const mine of METHODS) {
      for (const theirs of METHODS) {
        for (const secret of [undefined, '', 'wrong', 'right']) {
          const presented = {
            method: theirs,
            clientId: 'c',
            ...(secret === undefined ? {} : { secret }),
          }
          const good = mine === theirs && (mine === 'none' || secret === 'right')
          expect(
            refused(presented, registered(mine)) === undefined,
            `${mine} ${theirs} ${secret}`,
          ).toBe(good)
        }
      }
    }
  })

  it('REG-29: a static client’s secret may be sent either way, but must be sent', () => {
    const client = registered('client_secret_basic', 'static')
    for (const method of METHODS) {
      expect(
        refused({ method, clientId: 'c', secret: 'right' }, client) === undefined,
        method,
      ).toBe(method !== 'none')
      expect(refused({ method, clientId: 'c', secret: 'wrong' }, client), method).toBeDefined()
    }
    expect(refused({ method: 'none', clientId: 'c' }, registered('none', 'static'))).toBeUndefined()
  })

  it('TOK-03, A22, I11: unknown client, wrong secret and wrong method get one and the same answer', () => {
    const answers = [
      refused({ method: 'client_secret_post', clientId: 'x', secret: 'right' }, undefined),
      refused(
        { method: 'client_secret_post', clientId: 'c', secret: 'wrong' },
        registered('client_secret_post'),
      ),
      refused({ method: 'client_secret_post', clientId: 'c', secret: 'right' }, registered('none')),
      refused({ method: 'none', clientId: 'c' }, registered('client_secret_post')),
    ]
    for (const answer of answers) {
      expect(answer).toMatchObject({
        error: 'invalid_client',
        status: 401,
        description: 'client authentication failed',
        headers: {},
      })
    }
    expect(
      refused({ method: 'client_secret_basic', clientId: 'c', secret: 'wrong' }, undefined)
        ?.headers,
    ).toEqual({ 'www-authenticate': 'Basic realm="token"' })
  })

  it('TOK-04: a record found under another identifier does not authenticate', () => {
    expect(refused({ method: 'none', clientId: 'd' }, registered('none'))).toBeDefined()
  })

  it('a public record with a digest never authenticates without its secret', () => {
    const broken: Client = { ...registered('none'), secretDigest: runtime.sha256('right') }
    expect(refused({ method: 'none', clientId: 'c' }, broken)).toBeDefined()
  })

  it('a confidential record without a digest never authenticates', () => {
    const broken: Client = { ...registered('client_secret_basic'), secretDigest: undefined }
    for (const secret of ['', 'right', 'A'.repeat(43)])
      expect(
        refused({ method: 'client_secret_basic', clientId: 'c', secret }, broken),
      ).toBeDefined()
  })
})

describe('answers', () => {
  it('TOK-10: resource must be the grant’s', () => {
    const judge = (...resources: string[]) =>
      errorOf(() => requireGrantedResource(resources, 'https://h/mcp'))
    expect(judge()).toBeUndefined()
    expect(judge('https://h/mcp', 'HTTPS://H/mcp/')).toBeUndefined()
    for (const other of ['https://h', 'https://h/mcp2', 'mcp', 'https://h/mcp#'])
      expect(judge('https://h/mcp', other), other).toBe('invalid_target')
  })

  it('TOK-12: the token response has every member a client needs and no empty one', () => {
    expect(
      tokenResponse({
        accessToken: 'a',
        expiresInSeconds: 3600,
        scopes: ['mcp', 'x'],
        refreshToken: 'r',
      }),
    ).toEqual({
      access_token: 'a',
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: 'r',
      scope: 'mcp x',
    })
    expect(
      tokenResponse({ accessToken: 'a', expiresInSeconds: 1, scopes: ['mcp'] }),
    ).not.toHaveProperty('refresh_token')
  })
})
