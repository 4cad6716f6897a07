import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  anyText,
  checkFamily,
  createDraw,
  errorOf,
  outcomeOf,
  SEED,
} from '../../test/kit/family.ts'
import { OAuthError } from '../errors.ts'
import { CLIENT_NAME_MAX_CHARS, judgeRegistration, REDIRECT_URIS_MAX } from './registration.ts'

const open = { redirectHosts: [] }
const redirect_uris = ['https://a.example/cb']
const judge = (body: unknown) => judgeRegistration(body, open)
const errorFor = (body: unknown) => errorOf(() => judge(body))

describe('judgeRegistration', () => {
  it('REG-24: a document with redirect URIs only gets the defaults', () => {
    expect(judge({ redirect_uris })).toEqual({
      redirectUris: redirect_uris,
      grantTypes: ['authorization_code', 'refresh_token'],
      authMethod: 'client_secret_basic',
      applicationType: 'web',
    })
  })

  it('REG-19: keeps what it knows', () => {
    const body = {
      redirect_uris: ['http://127.0.0.1:1/cb'],
      client_name: ' Claude\tCode ',
      client_uri: 'https://claude.ai',
      scope: 'mcp offline_access',
      grant_types: ['refresh_token', 'authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    }
    expect(judge(body)).toEqual({
      name: 'Claude Code',
      redirectUris: ['http://127.0.0.1:1/cb'],
      grantTypes: ['authorization_code', 'refresh_token'],
      authMethod: 'none',
      applicationType: 'native',
      clientUri: 'https://claude.ai/',
      scope: 'mcp offline_access',
    })
  })

  it('REG-20: at least one redirect URI, at most ten', () => {
    for (const value of [
      undefined,
      null,
      [],
      '',
      'https://a.example/cb',
      {},
      [1],
      [null],
      [['https://a.example/cb']],
      [''],
    ]) {
      expect(errorFor({ redirect_uris: value }), JSON.stringify(value)).toBe('invalid_redirect_uri')
    }
    const uris = (count: number) =>
      Array.from({ length: count }, (_, at) => `https://a.example/${at}`)
    expect(judge({ redirect_uris: uris(REDIRECT_URIS_MAX) }).redirectUris).toHaveLength(
      REDIRECT_URIS_MAX,
    )
    expect(errorFor({ redirect_uris: uris(REDIRECT_URIS_MAX + 1) })).toBe('invalid_redirect_uri')
    expect(errorFor({ redirect_uris: uris(REDIRECT_URIS_MAX * 100) })).toBe('invalid_redirect_uri')
  })

  it('REG-21: judges each URI of a list, as Cursor and VS Code send them', () => {
    const cursor = [
      'cursor://anysphere.cursor-mcp/oauth/callback',
      'https://www.cursor.com/agents/mcp/oauth/callback',
      'http://localhost:8787/callback',
    ]
    expect(judge({ redirect_uris: cursor }).redirectUris).toEqual(cursor)
    const vscode = [
      'https://insiders.vscode.dev/redirect',
      'https://vscode.dev/redirect',
      'http://127.0.0.1/',
      'http://127.0.0.1:33418/',
      'http://localhost/',
    ]
    expect(judge({ redirect_uris: vscode })).toMatchObject({
      redirectUris: vscode,
      applicationType: 'native',
    })
    const refusal = outcomeOf(() => judge({ redirect_uris: [...cursor, 'myapp://cb'] }))
    expect(refusal).toMatchObject({
      error: 'invalid_redirect_uri',
      status: 400,
      reason: 'redirect_uri_scheme',
    })
    expect(refusal).toMatchObject({ description: expect.stringContaining('redirect_uris[3]') })
  })

  it('REG-22: never reflects what was sent', () => {
    const canary = 'canary-4711'
    const bodies = [
      { redirect_uris: [`javascript:${canary}`] },
      { redirect_uris, scope: `"${canary}` },
      { redirect_uris, token_endpoint_auth_method: canary },
      { redirect_uris, grant_types: [canary] },
    ]
    for (const body of bodies) {
      const refusal = outcomeOf(() => judge(body))
      expect(refusal).toBeInstanceOf(OAuthError)
      if (refusal instanceof OAuthError) expect(refusal.description).not.toContain(canary)
    }
  })

  it('REG-23, A17: grant and response types beyond ours are dropped, and must leave the code flow', () => {
    expect(
      judge({ redirect_uris, grant_types: ['authorization_code', 'implicit', 'password'] })
        .grantTypes,
    ).toEqual(['authorization_code'])
    expect(judge({ redirect_uris, response_types: ['code', 'token'] })).not.toHaveProperty(
      'responseTypes',
    )
    for (const body of [
      { grant_types: ['implicit'] },
      { grant_types: [] },
      { grant_types: ['refresh_token'] },
      { grant_types: 'authorization_code' },
      { grant_types: [1] },
      { response_types: ['token'] },
      { response_types: [] },
      { response_types: 'code' },
    ]) {
      expect(errorFor({ redirect_uris, ...body }), JSON.stringify(body)).toBe(
        'invalid_client_metadata',
      )
    }
  })

  it('REG-24: takes none, basic and post, and no other method', () => {
    for (const method of ['none', 'client_secret_basic', 'client_secret_post']) {
      expect(judge({ redirect_uris, token_endpoint_auth_method: method }).authMethod).toBe(method)
    }
    for (const method of [
      'private_key_jwt',
      'client_secret_jwt',
      'tls_client_auth',
      'None',
      '',
      1,
      [],
      {},
    ]) {
      expect(errorFor({ redirect_uris, token_endpoint_auth_method: method })).toBe(
        'invalid_client_metadata',
      )
    }
  })

  it('REG-25: application_type decides about loopback', () => {
    const loopback = ['http://localhost/cb']
    expect(errorFor({ redirect_uris: loopback, application_type: 'web' })).toBe(
      'invalid_redirect_uri',
    )
    expect(judge({ redirect_uris: loopback, application_type: 'native' }).applicationType).toBe(
      'native',
    )
    expect(judge({ redirect_uris: loopback }).applicationType).toBe('native')
    expect(judge({ redirect_uris }).applicationType).toBe('web')
    for (const type of ['desktop', '', 1, []]) {
      expect(errorFor({ redirect_uris, application_type: type })).toBe('invalid_client_metadata')
    }
  })

  it('REG-27, B22: a name is bounded text without invisible characters', () => {
    const name = (client_name: string) => judge({ redirect_uris, client_name }).name
    expect(name('<b>x</b>')).toBe('<b>x</b>')
    expect(name('a\u202eb\u200bc\0d\r\ne\u2028f')).toBe('a b c d e f')
    expect(name('x'.repeat(10_000))).toHaveLength(CLIENT_NAME_MAX_CHARS)
    expect([...(name('😀'.repeat(10_000)) ?? '')]).toHaveLength(CLIENT_NAME_MAX_CHARS)
    expect(name('a\ud800b')).toBe('a\ufffdb')
    for (const empty of ['', '   ', '\u200b\u202e']) expect(name(empty)).toBeUndefined()
    expect(errorFor({ redirect_uris, client_name: 1 })).toBe('invalid_client_metadata')
  })

  it('REG-27, A5: a homepage is https or it is dropped', () => {
    for (const uri of [
      'javascript:alert(1)',
      'http://a.example',
      'data:text/html,x',
      'https://u:p@a.example/',
      'nonsense',
      '',
    ]) {
      expect(judge({ redirect_uris, client_uri: uri }), uri).not.toHaveProperty('clientUri')
    }
    expect(errorFor({ redirect_uris, client_uri: 1 })).toBe('invalid_client_metadata')
  })

  it('SEC-17: drops unknown members and takes null for absent', () => {
    const plain = judge({ redirect_uris })
    const extra = {
      client_id: 'x',
      client_secret: 'y',
      logo_uri: 'javascript:1',
      jwks_uri: 'http://10.0.0.1/',
      contacts: ['a'],
      software_statement: 'z',
      foo: { bar: 1 },
      is_admin: true,
      kind: 'static',
      fingerprint: 'f',
      secretDigest: 'd',
    }
    expect(judge({ redirect_uris, ...extra })).toEqual(plain)
    expect(
      judge({
        redirect_uris,
        client_name: null,
        scope: null,
        grant_types: null,
        response_types: null,
        application_type: null,
        client_uri: null,
        token_endpoint_auth_method: null,
      }),
    ).toEqual(plain)
  })

  it('S6: reads own members only', () => {
    expect(errorFor(Object.create({ redirect_uris }))).toBe('invalid_redirect_uri')
    const bare: unknown = Object.assign(Object.create(null), { redirect_uris })
    expect(judge(bare).redirectUris).toEqual(redirect_uris)
    expect(
      judge(
        JSON.parse('{"redirect_uris":["https://a.example/cb"],"__proto__":{"client_name":"x"}}'),
      ),
    ).not.toHaveProperty('name')
  })

  it('REG-22: B3: 300 hostile documents store no unlisted member and throw nothing but OAuthError', async () => {
    const draw = createDraw()
    const odd: readonly unknown[] = [
      null,
      0,
      -1,
      Number.NaN,
      '',
      'x',
      'https://a.example/cb',
      true,
      [],
      {},
      [[]],
      [null],
      ['code'],
      ['authorization_code'],
      { length: 1 },
      'x'.repeat(20_000),
      '\ud800',
      '\0',
      ['https://a.example/cb'],
      ['javascript:1'],
      ['http://127.0.0.1/'],
      { __proto__: null },
      () => 1,
      Symbol.iterator,
      10n,
    ]
    const members = [
      'redirect_uris',
      'client_name',
      'client_uri',
      'scope',
      'grant_types',
      'response_types',
      'token_endpoint_auth_method',
      'application_type',
      'logo_uri',
      'jwks',
      '__proto__',
      'constructor',
      'toString',
      'admin',
    ]
    const documents = Array.from({ length: 300 }, (_, index): unknown => {
      if (index < odd.length) return odd[index]
      const body: Record<string, unknown> = draw.whole(2) === 0 ? {} : { redirect_uris }
      for (let count = draw.whole(6); count > 0; count -= 1) {
        Object.defineProperty(body, draw.pick(members), {
          value: odd[draw.whole(odd.length)],
          enumerable: true,
          configurable: true,
          writable: true,
        })
      }
      return body
    })
    const listed = [
      'name',
      'redirectUris',
      'grantTypes',
      'authMethod',
      'applicationType',
      'clientUri',
      'scope',
    ]
    let kept = 0
    await checkFamily('B3', documents, (body) => {
      const outcome = outcomeOf(() => judge(body))
      if (outcome instanceof OAuthError) {
        expect(['invalid_redirect_uri', 'invalid_client_metadata']).toContain(outcome.error)
        expect(outcome.status).toBe(400)
        return
      }
      kept += 1
      for (const [name, value] of Object.entries(outcome)) {
        expect(listed).toContain(name)
        expect(value === undefined || value === null).toBe(false)
      }
      expect(outcome.redirectUris.length).toBeGreaterThan(0)
    })
    expect(kept).toBeGreaterThan(20)
  })

  it('never throws anything but OAuthError', () => {
    const text = fc.oneof(anyText, fc.constantFrom('https://a.example/cb', 'none', 'native'))
    const body = fc.record(
      {
        redirect_uris: fc.oneof(fc.array(text), fc.jsonValue()),
        client_name: text,
        client_uri: text,
        scope: text,
        application_type: fc.oneof(text, fc.constant(undefined)),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(body, fc.jsonValue()), (value) => {
        const outcome = outcomeOf(() => judge(value))
        if (!(outcome instanceof OAuthError))
          expect(
            outcome.redirectUris.every((uri) => /^(https|http|cursor|vscode|windsurf)/.test(uri)),
          ).toBe(true)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('the scope of a registration', () => {
  it('REG-24: printable, without quotes and backslashes, at most 1024 characters', () => {
    const scope = (value: unknown) => judge({ redirect_uris, scope: value }).scope
    expect([scope(undefined), scope('')]).toEqual([undefined, undefined])
    expect(scope('x'.repeat(1_024))).toHaveLength(1_024)
    for (const odd of ['x'.repeat(1_025), 'a"b', 'a\\b', 'a\tb', 'é', 7, ['mcp']])
      expect(errorFor({ redirect_uris, scope: odd }), String(odd).slice(0, 20)).toBeDefined()
  })
})

describe('lists and keys of a registration', () => {
  it('REG-24: a list holds strings only', () => {
    for (const entry of [7, null, {}, ['x'], undefined])
      for (const [name, good] of [
        ['grant_types', 'authorization_code'],
        ['response_types', 'code'],
      ] as const) {
        expect(judge({ redirect_uris, [name]: [good] })).toBeDefined()
        expect(errorFor({ redirect_uris, [name]: [good, entry] }), `${name} ${entry}`).toBeDefined()
      }
    expect(errorFor({ redirect_uris: [...redirect_uris, 7] })).toBeDefined()
  })

  it('REG-24: private_key_jwt has either jwks or jwks_uri', () => {
    const key = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' }
    const body = { redirect_uris, token_endpoint_auth_method: 'private_key_jwt' }
    const jwks = { keys: [key] }
    const jwks_uri = 'https://a.example/jwks'
    expect(judge({ ...body, jwks })).toMatchObject({ jwks })
    expect(judge({ ...body, jwks_uri })).toMatchObject({ jwksUri: jwks_uri })
    for (const odd of [
      {},
      { jwks, jwks_uri },
      { jwks: { keys: [] } },
      { jwks: 'x' },
      { jwks_uri: 'http://a.example/jwks' },
      { jwks_uri: 7 },
    ])
      expect(errorFor({ ...body, ...odd }), JSON.stringify(odd)).toBeDefined()
  })
})
