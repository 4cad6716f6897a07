import { describe, expect, it } from 'vitest'
import { judgeRegistrationAnswer } from './registration-answer.ts'

const ASKED = {
  redirectUri: 'https://us.example/cb',
  authMethod: 'client_secret_basic',
  endpoint: 'https://as.example/register',
} as const
const GOOD = { client_id: 'c1', client_secret: 's1' }

describe('RFC 7591 section 3.2.1: what a server made of our registration', () => {
  it.each<[string, object, object]>([
    ['its secret', {}, { clientId: 'c1', authMethod: 'client_secret_basic', secret: 's1' }],
    [
      'its method, not ours',
      { token_endpoint_auth_method: 'client_secret_post' },
      { authMethod: 'client_secret_post' },
    ],
    [
      'no secret for a public client',
      { token_endpoint_auth_method: 'none' },
      { secret: undefined },
    ],
    ['zero as never', { client_secret_expires_at: 0 }, { secretExpiresAtMs: undefined }],
    [
      'an end that is no time as never',
      { client_secret_expires_at: '1' },
      { secretExpiresAtMs: undefined },
    ],
    [
      'an end',
      { client_secret_expires_at: 1_800_000_000 },
      { secretExpiresAtMs: 1_800_000_000_000 },
    ],
    [
      'null as absent',
      { redirect_uris: null, token_endpoint_auth_method: null },
      { clientId: 'c1' },
    ],
    ['our callback among others', { redirect_uris: ['x', ASKED.redirectUri] }, { clientId: 'c1' }],
  ])('takes %s', (_, over, expected) => {
    const judged = judgeRegistrationAnswer({ ...GOOD, ...over }, ASKED)
    if (!judged.ok) throw new Error(judged.reason)
    const seen = { secret: undefined, secretExpiresAtMs: undefined, ...judged.client }
    expect(seen).toMatchObject(expected)
  })

  it.each<[object, string]>([
    [{ client_id: undefined }, 'client_id'],
    [{ client_id: 7 }, 'client_id'],
    [{ client_id: 'a\nb' }, 'client_id'],
    [{ client_id: 'x'.repeat(2_049) }, 'client_id'],
    [{ redirect_uris: [`${ASKED.redirectUri}/`] }, 'redirect_uris'],
    [{ redirect_uris: ASKED.redirectUri }, 'redirect_uris'],
    [{ token_endpoint_auth_method: 'tls_client_auth' }, 'auth_method'],
    [{ token_endpoint_auth_method: ['none'] }, 'auth_method'],
    [{ client_secret: '' }, 'client_secret'],
    [{ client_secret: 'a\u0000' }, 'client_secret'],
  ])('refuses %j', (over, reason) => {
    expect(judgeRegistrationAnswer({ ...GOOD, ...over }, ASKED)).toEqual({ ok: false, reason })
  })

  it.each<[object, boolean]>([
    [{ registration_client_uri: 'https://as.example/r/1', registration_access_token: 't' }, true],
    [{ registration_client_uri: 'https://as.example/r/1' }, false],
    [{ registration_client_uri: 'https://evil.example/r', registration_access_token: 't' }, false],
    [{ registration_client_uri: 'http://as.example/r/1', registration_access_token: 't' }, false],
    [{ registration_client_uri: 'https://as.example/r#x', registration_access_token: 't' }, false],
    [{ registration_client_uri: 'https://as.example/r', registration_access_token: 'a b' }, false],
  ])('keeps the management of RFC 7592 only on the origin that registers: %j', (over, kept) => {
    const judged = judgeRegistrationAnswer({ ...GOOD, ...over }, ASKED)
    expect(judged.ok && judged.client.management !== undefined).toBe(kept)
  })
})
