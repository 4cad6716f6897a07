import { describe, expect, it } from 'vitest'
import { judgeServerMetadata, serverMetadataUrls } from './server-metadata.ts'

const ISSUER = 'https://a.example'
const DOCUMENT = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  response_types_supported: ['code'],
  code_challenge_methods_supported: ['plain', 'S256'],
}
const judge = (edit: Readonly<Record<string, unknown>> = {}, approved: readonly string[] = []) =>
  judgeServerMetadata(
    { ...DOCUMENT, ...edit },
    { issuers: [ISSUER], approvedOrigins: new Set(approved) },
  )

describe('serverMetadataUrls', () => {
  it.each([
    [
      'https://a.example/p',
      [
        '/.well-known/oauth-authorization-server/p',
        '/.well-known/openid-configuration/p',
        '/p/.well-known/openid-configuration',
      ],
    ],
    [
      'https://a.example',
      ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'],
    ],
    [
      'https://a.example/',
      ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'],
    ],
  ])('DSC-06: of %s, in order', (issuer, paths) => {
    expect(serverMetadataUrls(issuer).map(({ href }) => href)).toEqual(
      paths.map((path) => `https://a.example${path}`),
    )
  })
})

describe('judgeServerMetadata', () => {
  it('keeps what it does not know, and leaves out what says null', () => {
    const judged = judge({ 'x-own': { a: 1 }, registration_endpoint: null })
    expect(judged).toMatchObject({ ok: true, document: { 'x-own': { a: 1 } } })
    expect(judged.ok && 'registration_endpoint' in judged.document).toBe(false)
  })

  it.each([`${ISSUER}/`, 'https://A.example', 'http://a.example', 'https://a.example:443'])(
    'DSC-07: %s is another issuer',
    (issuer) => {
      expect(judge({ issuer })).toEqual({ ok: false, reason: 'issuer', found: issuer })
    },
  )

  it.each(['\r\nSet-Cookie: a=b', '\n', '\r', '\u0000', '\u0085', '\u2028'])(
    'S11: %j in any member, known or not, alone or in a list, refuses the document',
    (end) => {
      for (const name of [...Object.keys(DOCUMENT), 'service_documentation', 'x-own']) {
        expect(judge({ [name]: `${ISSUER}/a${end}` }).ok, name).toBe(false)
        expect(judge({ [name]: ['code', 'S256', `a${end}`] }).ok, name).toBe(false)
      }
    },
  )

  it('NET-08: http counts only at an origin that the configuration file names', () => {
    const local = { token_endpoint: 'http://127.0.0.1:9/token' }
    expect(judge(local)).toEqual({ ok: false, reason: 'endpoint', member: 'token_endpoint' })
    expect(judge(local, ['http://127.0.0.1:9']).ok).toBe(true)
    expect(judge({ authorization_endpoint: 'javascript:alert(1)' }, ['null']).ok).toBe(false)
  })
})
