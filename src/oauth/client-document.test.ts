import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, SEED } from '../../test/kit/family.ts'
import {
  type DocumentUrlRefusal,
  isDocumentUrl,
  judgeClientDocument,
  refuseDocumentUrl,
} from './client-document.ts'

const CLIENT_ID = 'https://app.example/oauth/client.json'
const GOOD = {
  client_id: CLIENT_ID,
  client_name: 'App',
  redirect_uris: ['https://app.example/cb'],
}
const policy = { redirectHosts: [] }
const judge = (body: unknown, clientId = CLIENT_ID) => judgeClientDocument(body, clientId, policy)
const reasonFor = (body: unknown, clientId = CLIENT_ID) => {
  const judged = judge(body, clientId)
  return judged.ok ? 'accepted' : judged.reason
}

describe('refuseDocumentUrl', () => {
  it.each([
    'https://app.example/client',
    'https://app.example/a/b/c.json',
    'https://app.example:8443/client',
    'https://app.example/%41',
    'https://xn--bcher-kva.example/c',
  ])('REG-02: takes %s', (clientId) => {
    expect(refuseDocumentUrl(clientId, [])).toBeUndefined()
  })

  const BAD: readonly (readonly [string, DocumentUrlRefusal])[] = [
    ['http://app.example/client', 'url_malformed'],
    ['https://', 'url_malformed'],
    ['https://app.example/\\evil', 'url_malformed'],
    ['https://app.example/a b', 'url_malformed'],
    [`https://app.example/${'a'.repeat(2_048)}`, 'url_malformed'],
    ['https://app.example', 'url_path'],
    ['https://app.example/', 'url_path'],
    ['https://app.example/c#x', 'url_fragment'],
    ['https://app.example/c#', 'url_fragment'],
    ['https://app.example/c?x=1', 'url_query'],
    ['https://app.example/c?', 'url_query'],
    ['https://u@app.example/c', 'url_not_normal'],
    ['https://u:p@app.example/c', 'url_not_normal'],
    ['https://@app.example/c', 'url_not_normal'],
    ['https://app.example/a/./c', 'url_not_normal'],
    ['https://app.example/a/../c', 'url_not_normal'],
    ['https://app.example/a/%2e%2E/c', 'url_not_normal'],
    ['https://App.example/c', 'url_not_normal'],
    ['HTTPS://app.example/c', 'url_not_normal'],
    ['https://app.example:443/c', 'url_not_normal'],
    ['https:app.example/c', 'url_not_normal'],
    ['https://bücher.example/c', 'url_not_normal'],
    ['https://app.example./c', 'url_host'],
  ]
  it.each(BAD)('REG-02: refuses %s as %s', (clientId, reason) => {
    expect(refuseDocumentUrl(clientId, [])).toBe(reason)
  })

  it('REG-18: a list of hosts is all there is; an origin names its port', () => {
    const hosts = ['app.example', '*.corp.example', 'https://127.0.0.1:8443']
    const accepted = (url: string) => refuseDocumentUrl(url, hosts) === undefined
    expect(accepted('https://app.example/c')).toBe(true)
    expect(accepted('https://a.b.corp.example/c')).toBe(true)
    expect(accepted('https://127.0.0.1:8443/c')).toBe(true)
    for (const host of [
      'evil.example',
      'xapp.example',
      'app.example.evil.example',
      'corp.example',
      'app.example:8443',
      'a.corp.example:8443',
      '127.0.0.1:8444',
      '127.0.0.1',
    ]) {
      expect(refuseDocumentUrl(`https://${host}/c`, hosts), host).toBe('url_host')
    }
  })

  it('REG-02: any text is judged without a throw, and what is taken is one plain https URL', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          fc.webUrl(),
          anyText.map((text) => `https://${text}`),
        ),
        (text) => {
          if (refuseDocumentUrl(text, []) !== undefined) return
          expect(isDocumentUrl(text)).toBe(true)
          expect(new URL(text).href).toBe(text)
          expect(text).not.toMatch(/[?#@\\]|\/\.{1,2}(\/|$)/)
        },
      ),
      { seed: SEED },
    )
  })
})

describe('judgeClientDocument', () => {
  it('REG-06: a complete document is kept, as a public client unless it says otherwise', () => {
    expect(judge({ ...GOOD, extra: 1, logo_uri: 'https://app.example/l.png' })).toEqual({
      ok: true,
      document: {
        name: 'App',
        redirectUris: ['https://app.example/cb'],
        grantTypes: ['authorization_code', 'refresh_token'],
        authMethod: 'none',
        applicationType: 'web',
        logoUri: 'https://app.example/l.png',
      },
    })
  })

  it.each(['client_id', 'client_name', 'redirect_uris'])(
    'REG-06: refuses one without %s',
    (name) => {
      for (const value of [undefined, null, 1, '', []]) {
        expect(judge({ ...GOOD, [name]: value }).ok, String(value)).toBe(false)
      }
    },
  )

  it('REG-06: refuses what is no object, and a name of nothing visible', () => {
    for (const body of [null, [], 'x', 1, true]) expect(reasonFor(body)).toBe('document_not_object')
    expect(reasonFor({ ...GOOD, client_name: '\u200b\u202e ' })).toBe('document_client_name')
  })

  it('REG-07 A18: client_id is the URL to the letter', () => {
    for (const client_id of [
      `${CLIENT_ID}/`,
      CLIENT_ID.toUpperCase(),
      'https://App.example/oauth/client.json',
      'https://app.example:443/oauth/client.json',
      `${CLIENT_ID}#`,
      ` ${CLIENT_ID}`,
      'https://evil.example/client.json',
      [CLIENT_ID],
    ]) {
      expect(reasonFor({ ...GOOD, client_id }), String(client_id)).toBe('document_client_id')
    }
  })

  it('REG-08: nothing that rests on a shared secret', () => {
    expect(reasonFor({ ...GOOD, client_secret: 'x' })).toBe('document_client_secret')
    expect(reasonFor({ ...GOOD, client_secret: null })).toBe('document_client_secret')
    expect(reasonFor({ ...GOOD, client_secret_expires_at: 0 })).toBe(
      'document_client_secret_expires_at',
    )
    for (const method of [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'tls',
    ]) {
      expect(reasonFor({ ...GOOD, token_endpoint_auth_method: method })).toBe(
        'document_auth_method',
      )
    }
  })

  it('REG-09: private_key_jwt needs keys that can be used', () => {
    const keyed = { ...GOOD, token_endpoint_auth_method: 'private_key_jwt' }
    expect(reasonFor(keyed)).toBe('document_jwks_missing')
    expect(judge({ ...keyed, jwks_uri: 'https://app.example/jwks' })).toMatchObject({
      document: { authMethod: 'private_key_jwt', jwksUri: 'https://app.example/jwks' },
    })
    for (const jwks_uri of ['http://app.example/j', 'file:///j', 'https://u:p@app.example/j', 1]) {
      expect(reasonFor({ ...keyed, jwks_uri }), String(jwks_uri)).toBe('document_jwks_refused')
    }
  })

  it('REG-09: that a signing client also offers none is kept, and takes nothing away', () => {
    const keyed = {
      ...GOOD,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: 'https://app.example/jwks',
    }
    const offering = (offered: unknown) =>
      judge({ ...keyed, token_endpoint_auth_methods_supported: offered })
    expect(offering(['none', 'private_key_jwt'])).toMatchObject({
      document: { authMethod: 'private_key_jwt', offersNone: true },
    })
    for (const offered of [['private_key_jwt'], 'none', null, undefined, {}, [['none']]]) {
      const judged = offering(offered)
      expect(judged.ok && 'offersNone' in judged.document, String(offered)).toBe(false)
    }
  })

  it('REG-21 A18: redirect URIs are held to the same forms as at registration', () => {
    for (const uri of ['javascript:alert(1)', 'http://evil.example/cb', 'https://a.example/cb#x']) {
      expect(judge({ ...GOOD, redirect_uris: [uri] }).ok, uri).toBe(false)
    }
  })

  it('the documents of Claude Code and VS Code are accepted as they stand', () => {
    const claude = 'https://claude.ai/oauth/claude-code-client-metadata'
    const portless = ['http://localhost/callback', 'http://127.0.0.1/callback']
    expect(
      judge(
        {
          client_id: claude,
          client_name: 'Claude Code',
          client_uri: 'https://claude.ai',
          redirect_uris: portless,
          grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'],
          token_endpoint_auth_method: 'none',
        },
        claude,
      ),
    ).toMatchObject({ ok: true, document: { redirectUris: portless, applicationType: 'native' } })
    const code = 'https://vscode.dev/oauth/client-metadata.json'
    const uris = ['http://127.0.0.1/', 'http://127.0.0.1:33418/', 'https://vscode.dev/redirect']
    expect(
      judge(
        {
          client_id: code,
          client_name: 'Visual Studio Code',
          redirect_uris: uris,
          grant_types: [
            'authorization_code',
            'refresh_token',
            'urn:ietf:params:oauth:grant-type:device_code',
          ],
          response_types: ['code'],
          token_endpoint_auth_method: 'none',
          application_type: 'native',
        },
        code,
      ),
    ).toMatchObject({ ok: true, document: { redirectUris: uris } })
  })
})
