/** B10: metadata that lies is refused with a named reason. B24: challenges are read by grammar. */
import { describe, it } from 'vitest'
import {
  noDocument,
  resourceRefusal,
  serverRefusal,
} from '../../src/connectors/discovery/discovery-problems.ts'
import { SHOWN_ERRORS } from '../../src/error-codes.ts'
import { parseJson } from '../../src/net/json.ts'
import { judgeResourceMetadata } from '../../src/oauth/resource-metadata.ts'
import { judgeServerMetadata } from '../../src/oauth/server-metadata.ts'
import { parseChallenges } from '../../src/oauth/www-authenticate.ts'
import type { ConnectorProblem } from '../../src/records.ts'
import { checkFamily, countOf, createDraw, type Draw, sample } from '../kit/family.ts'

const ISSUER = 'https://auth.notes.example/tenant'
const SERVER = new URL('https://notes.example/mcp')
const AT = new URL('https://auth.notes.example/.well-known/oauth-authorization-server/tenant')

type Json = Record<string, unknown>
const GOOD_SERVER: Json = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  registration_endpoint: `${ISSUER}/register`,
  revocation_endpoint: `${ISSUER}/revoke`,
  jwks_uri: `${ISSUER}/jwks`,
  response_types_supported: ['code'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
  code_challenge_methods_supported: ['S256'],
  token_endpoint_auth_methods_supported: ['none', 'client_secret_basic'],
  scopes_supported: ['notes:read'],
  authorization_response_iss_parameter_supported: true,
}
const GOOD_RESOURCE: Json = {
  resource: SERVER.href,
  authorization_servers: [ISSUER],
  scopes_supported: ['notes:read'],
  resource_name: 'Notes',
}

/** A document as text, and which of the two it pretends to be. */
interface Lie {
  readonly kind: 'server' | 'resource'
  readonly text: string
}

const OTHER_ISSUERS = [
  `${ISSUER}/`,
  'https://auth.notes.example',
  'https://AUTH.notes.example/tenant',
  'http://auth.notes.example/tenant',
  'https://auth.notes.example:443/tenant',
  'https://auth.notes.example/tenant/../tenant',
  'https://auth.notes.example/%74enant',
  'https://auth.notes.example.evil.example/tenant',
  'https://evil.example/tenant',
  'https://auth.notes.example/tenant?x',
  'https://auth.notes.example/tenant#x',
  ' https://auth.notes.example/tenant',
  'https://аuth.notes.example/tenant',
  '',
]
const OTHER_RESOURCES = [
  'https://evil.example/mcp',
  'http://notes.example/mcp',
  'https://notes.example/mc',
  'https://notes.example/mcp/deeper',
  'https://notes.example/MCP',
  'https://notes.example:8443/mcp',
  'https://notes.example/mcp#x',
  'https://notes.example/mcp?x=1',
  'https://notes.example.evil.example/mcp',
  'https://user@notes.example/mcp',
  'https://notes.example\\@evil.example/mcp',
  'notes.example/mcp',
  'urn:notes',
  '',
]
const BAD_URLS = [
  'http://auth.notes.example/x',
  'javascript:alert(1)',
  'data:text/html,x',
  'file:///etc/passwd',
  'vbscript:x',
  '//auth.notes.example/x',
  '/token',
  'https://user:password@auth.notes.example/x',
  'https://auth.notes.example/x#fragment',
  'https://auth.notes.example/x\r\nSet-Cookie: a=b',
  'https://auth.notes.example/x\tb',
  'https://[::1',
  'https://',
  'ftp://auth.notes.example/x',
  '-oProxyCommand=x',
  'https://auth.notes.example/\\evil.example',
  `https://auth.notes.example/${'x'.repeat(3_000)}`,
]
const WRONG_TYPES: readonly unknown[] = [0, true, {}, [], [1], '', 'x\r\ny', { a: 'https://x' }]
const ENDPOINTS = [
  'authorization_endpoint',
  'token_endpoint',
  'registration_endpoint',
  'revocation_endpoint',
  'jwks_uri',
]
const LISTS = [
  'response_types_supported',
  'grant_types_supported',
  'code_challenge_methods_supported',
  'token_endpoint_auth_methods_supported',
  'scopes_supported',
]
const BAD_LISTS: readonly unknown[] = [
  'code',
  { 0: 'code' },
  [1],
  [null],
  [['code']],
  ['a\r\nb'],
  ['a"b'],
  ['a\u0000b'],
  Array.from({ length: 300 }, () => 'x'),
  true,
]
const NO_DOCUMENTS = [
  '<!doctype html><title>Sign in</title>',
  '{"error":"not_found","error_description":"no such page"}',
  '{"error":{"code":500}}',
  'null',
  '[]',
  '"https://auth.notes.example"',
  '42',
  '{',
  '{}',
  '{"issuer":"a","issuer":"b"}',
  '{"issuer":"a"} {"issuer":"b"}',
  `${'['.repeat(40)}${']'.repeat(40)}`,
  `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`,
  '{"issuer":"\\ud800"}',
  '{"issuer":"\\u0000"}',
  '\ufeff{}',
  "{'issuer':'x'}",
  '{"issuer":NaN}',
]

function lies(): readonly Lie[] {
  const server = (edit: Json): Lie => ({
    kind: 'server',
    text: JSON.stringify({ ...GOOD_SERVER, ...edit }),
  })
  const resource = (edit: Json): Lie => ({
    kind: 'resource',
    text: JSON.stringify({ ...GOOD_RESOURCE, ...edit }),
  })
  return [
    ...OTHER_ISSUERS.map((issuer) => server({ issuer })),
    ...ENDPOINTS.flatMap((name) => BAD_URLS.map((url) => server({ [name]: url }))),
    ...ENDPOINTS.flatMap((name) => WRONG_TYPES.map((value) => server({ [name]: value }))),
    ...LISTS.flatMap((name) => BAD_LISTS.map((value) => server({ [name]: value }))),
    ...['issuer', ...ENDPOINTS.slice(0, 2), 'response_types_supported', LISTS[2] ?? ''].flatMap(
      (name) => [server({ [name]: undefined }), server({ [name]: null })],
    ),
    ...['service_documentation', 'op_policy_uri', 'x-own'].flatMap((name) =>
      ['a\r\nb', 'a\nb', 'a\u0000b', ['a', 'b\rc'], 'a\u2028b', 'a\u0085b'].flatMap((value) => [
        server({ [name]: value }),
        resource({ [name]: value }),
      ]),
    ),
    server({ response_types_supported: ['token'] }),
    server({ response_types_supported: ['code token'] }),
    server({ response_types_supported: ['CODE'] }),
    server({ code_challenge_methods_supported: ['plain'] }),
    server({ code_challenge_methods_supported: ['s256'] }),
    server({ code_challenge_methods_supported: [] }),
    server({ authorization_response_iss_parameter_supported: 'true' }),
    server({ require_pushed_authorization_requests: 1 }),
    ...OTHER_RESOURCES.map((other) => resource({ resource: other })),
    ...WRONG_TYPES.map((value) => resource({ resource: value })),
    ...BAD_LISTS.map((value) => resource({ scopes_supported: value })),
    ...BAD_LISTS.map((value) => resource({ authorization_servers: value })),
    ...['javascript:alert(1)', 'https://a?b', 'https://a#b', 'https://u@a', 'a', 'file:///x'].map(
      (issuer) => resource({ authorization_servers: [issuer] }),
    ),
    resource({ authorization_servers: undefined }),
    resource({ authorization_servers: [] }),
    resource({ authorization_servers: null }),
    resource({ resource_name: 'a\r\nb' }),
    resource({ resource_name: 7 }),
    ...NO_DOCUMENTS.flatMap((text): Lie[] => [
      { kind: 'server', text },
      { kind: 'resource', text },
    ]),
  ]
}

/** The problem that an administrator reads; `undefined`: believed. */
function problemOf({ kind, text }: Lie): ConnectorProblem | undefined {
  let body: unknown
  try {
    body = parseJson(text)
  } catch {
    return noDocument('server', SERVER, 'no JSON').problem
  }
  if (kind === 'resource') {
    const judged = judgeResourceMetadata(body, SERVER, { strict: false, atRoot: false })
    return judged.ok ? undefined : resourceRefusal(judged, SERVER, SERVER).problem
  }
  const judged = judgeServerMetadata(body, { issuers: [ISSUER], approvedOrigins: new Set() })
  return judged.ok ? undefined : serverRefusal(judged, AT, ISSUER).problem
}

describe('B10', () => {
  it('B10, S8, S11: metadata that lies is refused with a named reason', async () => {
    const good: Lie[] = [
      { kind: 'server', text: JSON.stringify(GOOD_SERVER) },
      { kind: 'resource', text: JSON.stringify(GOOD_RESOURCE) },
    ]
    for (const document of good) {
      const problem = problemOf(document)
      if (problem !== undefined) throw new Error(`a right document is refused: ${problem.text}`)
    }
    await checkFamily('B10', sample(lies(), countOf(200)), (lie) => {
      const problem = problemOf(lie)
      if (problem === undefined) return false
      const isNamed =
        Object.hasOwn(SHOWN_ERRORS, problem.code) &&
        problem.requirement !== '' &&
        /^[\x20-\x7e]+$/.test(problem.text) &&
        problem.text.length < 700
      if (!isNamed) throw new Error(JSON.stringify(problem))
      return true
    })
  })
})

/** A field made of known challenges, in one of many spellings. */
interface Spelled {
  readonly fields: readonly string[]
  readonly expected: unknown
}

const VALUES = [
  'a',
  'a b',
  'a, b',
  'Basic x="y"',
  'a"b',
  'a\\b',
  '',
  'https://h/m?x=1,2',
  'é',
  '=',
  ',',
]
const NAMES = ['realm', 'scope', 'resource_metadata', 'error', 'a-b', 'x*']
const TOKENS68 = ['YWJj', 'YWJj==', 'a.b-c_d~e+f/g=']

function anyCase(draw: Draw, text: string): string {
  return [...text].map((it) => (draw.whole(2) === 0 ? it.toUpperCase() : it)).join('')
}

function spell(draw: Draw): Spelled {
  const space = () => draw.pick(['', ' ', '\t', '  '])
  const comma = () => `${space()},${draw.pick(['', ' ', ', ,', '\t'])}`
  const challenges = Array.from({ length: 1 + draw.whole(4) }, () => {
    const scheme = draw.pick(['basic', 'bearer', 'dpop', 'negotiate', 'x-own'])
    const kind = draw.whole(6)
    if (kind === 0) return { text: anyCase(draw, scheme), expected: { scheme, parameters: [] } }
    if (kind === 1) {
      const token68 = draw.pick(TOKENS68)
      const text = `${anyCase(draw, scheme)} ${token68}`
      return { text, expected: { scheme, token68, parameters: [] } }
    }
    const names = sample(NAMES, 1 + draw.whole(4))
    const parameters = names.map((name) => [name, draw.pick(VALUES)] as const)
    const written = parameters.map(([name, value]) => {
      const isToken = /^[a-z]+$/.test(value) && draw.whole(2) === 0
      const quoted = `"${value.replace(/["\\]/g, '\\$&')}"`
      return `${anyCase(draw, name)}${space()}=${space()}${isToken ? value : quoted}`
    })
    const text = `${anyCase(draw, scheme)}${' '.repeat(1 + draw.whole(3))}${written.reduce((all, it) => all + comma() + it)}`
    return { text, expected: { scheme, parameters } }
  })
  const cut = draw.whole(challenges.length)
  const texts = challenges.map(({ text }) => text)
  const join = (part: readonly string[]): string => part.reduce((all, it) => all + comma() + it)
  const fields = cut === 0 ? [join(texts)] : [join(texts.slice(0, cut)), join(texts.slice(cut))]
  return { fields, expected: challenges.map(({ expected }) => expected) }
}

const MALFORMED = [
  'Bearer a="b',
  'Bearer a="b\\',
  'Bearer a="b" junk',
  'Bearer a="b"c="d"',
  'Bearer a==b',
  'Bearer a"b"',
  'Bearer a b=c',
  'Bearer a=b c=d',
  'Bearer a=b; c=d',
  'Bearer a=b, a=c',
  'Bearer a=b, c=d, A="e"',
  'Bearer (a=b',
  'Be(arer a=b',
  '"Bearer" a=b',
  'Bearer\ta=b',
  'Bearer a="\u0000"',
  'Bearer a="\u0007"',
  'Bearer a="b\r\nSet-Cookie: x=y"',
  'Bearer a=\u007f',
  'Bearer a=, b=c',
  'Bearer a="\u0100"',
  'Bearer YWJj== x',
  'Bearer YW=Jj=',
  '{"scheme":"Bearer"}',
  'Bearer a=b/c',
  'Bearer a=[b]',
  '=',
  '"',
] as const

/** Right challenges, and one among them that breaks the grammar. */
function broken(draw: Draw): Spelled {
  const { fields } = spell(draw)
  const parts = [draw.pick(MALFORMED), ...fields]
  return { fields: draw.whole(2) === 0 ? parts.reverse() : parts, expected: undefined }
}

describe('B24', () => {
  it('B24: challenges are read by grammar, in every spelling, and what breaks it is not believed', async () => {
    const draw = createDraw()
    const cases = Array.from({ length: 120 }, (_, index) =>
      index % 3 === 2 ? broken(draw) : spell(draw),
    )
    await checkFamily('B24', cases.slice(0, countOf(120)), ({ fields, expected }) => {
      const found = parseChallenges(fields)?.map(({ scheme, token68, parameters }) => ({
        scheme,
        ...(token68 === undefined ? {} : { token68 }),
        parameters: [...parameters],
      }))
      if (JSON.stringify(found) !== JSON.stringify(expected)) {
        throw new Error(`read ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`)
      }
    })
  })
})
