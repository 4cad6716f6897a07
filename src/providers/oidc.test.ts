import { generateKeyPairSync } from 'node:crypto'
import { exportJWK, type JWTHeaderParameters, SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { OpenIdDouble } from '../../demo/doubles/openid.ts'
import {
  CLIENT,
  type House,
  openIdHouse,
  REDIRECT_URI,
} from '../../test/contract/provider-house.ts'
import { Secret } from '../secret.ts'
import { createOidc, oidc } from './oidc.ts'
import type { ProviderContext, SignIn } from './provider.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const json = (body: unknown, status = 200) => ({
  status,
  headers: JSON_TYPE,
  body: JSON.stringify(body),
})

describe('OpenID Connect', () => {
  let house: House<OpenIdDouble>
  let ada: SignIn
  const check = (signIn = ada) =>
    house.provider.check(house.context, signIn.tokens, { subject: signIn.identity.subject })
  const refresh = (signIn: SignIn) =>
    house.provider.refresh?.(house.context, signIn.tokens.refreshToken ?? '', signIn.tokens)

  beforeAll(async () => {
    house = await openIdHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  /** The provider's next answers carry an ID token of the test's own making. */
  async function exchangeWith(
    forge: (facts: { nonce: string; nowSeconds: number }) => Readonly<Record<string, unknown>>,
    options: { header?: JWTHeaderParameters; signWith?: 'other'; kid?: string } = {},
  ): Promise<SignIn> {
    const visit = await house.visit()
    const [key, other] = [keyPair(), keyPair()]
    const jwk = {
      ...(await exportJWK(key.publicKey)),
      kid: options.kid ?? 'k1',
      alg: 'ES256',
      use: 'sig',
    }
    const claims = forge({
      nonce: visit.nonce,
      nowSeconds: Math.floor(house.runtime.nowMs() / 1_000),
    })
    const idToken = await new SignJWT({ ...claims })
      .setProtectedHeader(options.header ?? { alg: 'ES256', kid: 'k1' })
      .sign(options.signWith === 'other' ? other.privateKey : key.privateKey)
    house.double.answerWith('GET /jwks', json({ keys: [jwk] }))
    house.double.answerWith(
      'POST /token',
      json({ access_token: 'at', token_type: 'Bearer', id_token: idToken }),
    )
    house.double.answerWith('GET /me', json({ sub: 'ada', name: 'Ada' }))
    return await house.provider.exchange(
      { ...house.context, jwks: house.context.refreshJwks },
      visit,
    )
  }
  const good = ({ nonce, nowSeconds }: { nonce: string; nowSeconds: number }) => ({
    iss: house.provider.issuer,
    sub: 'ada',
    aud: 'postern',
    nonce,
    iat: nowSeconds,
    exp: nowSeconds + 300,
  })

  describe('ID token (CLI-22)', () => {
    it('is taken when everything is right, and brings sid and groups', async () => {
      const signIn = await exchangeWith((facts) => ({
        ...good(facts),
        sid: 'session-7',
        groups: ['maps', 7, ''],
      }))
      expect(signIn).toMatchObject({
        providerSid: 'session-7',
        identity: { subject: 'ada', groups: ['maps'] },
      })
    })

    it.each([
      ['another issuer', { iss: 'https://evil.example' }, 'issuer'],
      ['another audience', { aud: 'somebody-else' }, 'audience'],
      ['several audiences without azp', { aud: ['postern', 'other'] }, 'authorized_party'],
      ['another azp', { azp: 'other' }, 'authorized_party'],
      ['another nonce', { nonce: 'n' }, 'nonce'],
      ['no nonce', { nonce: undefined }, 'nonce'],
      ['no subject', { sub: '' }, 'claims'],
      ['an end long ago', { exp: 1_000_000_000 }, 'expired'],
      ['no end', { exp: undefined }, 'claims'],
      ['a beginning far ahead', { iat: 4_000_000_000, exp: 4_000_000_300 }, 'not_yet'],
    ])('is refused with %s', async (_what, wrong, reason) => {
      await expect(exchangeWith((facts) => ({ ...good(facts), ...wrong }))).rejects.toMatchObject({
        name: 'OAuthError',
        reason: `id_token_${reason}`,
      })
    })

    it('is refused when another key signed it', async () => {
      await expect(exchangeWith(good, { signWith: 'other' })).rejects.toMatchObject({
        reason: 'id_token_signature',
      })
    })

    it('is refused with an algorithm that the provider does not announce', async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const idToken = await new SignJWT({ sub: 'ada' })
        .setProtectedHeader({ alg: 'RS256' })
        .sign(privateKey)
      const visit = await house.visit()
      house.double.answerWith(
        'POST /token',
        json({ access_token: 'at', token_type: 'Bearer', id_token: idToken }),
      )
      await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
        reason: 'id_token_algorithm',
      })
    })

    it('is required', async () => {
      const visit = await house.visit()
      house.double.answerWith('POST /token', json({ access_token: 'at', token_type: 'Bearer' }))
      await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
        reason: 'id_token_missing',
      })
    })

    it('VAL-14: fetches the keys once for an unknown one, and no more', async () => {
      house.double.forget()
      await expect(exchangeWith(good, { kid: 'k2' })).rejects.toMatchObject({
        reason: 'id_token_unknown_key',
      })
      // One by the context of this test, which remembers nothing, and one because the key is unknown.
      expect(house.double.total('GET /jwks')).toBe(2)
    })

    it('F7: survives a rotation of the keys with one fetch', async () => {
      const visit = await house.visit()
      house.double.rotateKeys()
      house.double.forget()
      expect(await house.provider.exchange(house.context, visit)).toMatchObject({
        identity: { subject: 'ada' },
      })
      expect(house.double.total('GET /jwks')).toBe(1)
    })
  })

  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)(
    'PRV-01: signs in with %s',
    async (signingAlgorithm) => {
      const other = await openIdHouse({ signingAlgorithm })
      try {
        expect((await other.signIn('grace')).identity).toMatchObject({
          subject: 'grace',
          groups: ['engineering', 'routing'],
        })
      } finally {
        await other.close()
      }
    },
  )

  it('PRV-01: authenticates as the provider lists it, special characters included (CLI-16)', async () => {
    for (const authMethod of ['client_secret_basic', 'client_secret_post'] as const) {
      const clientSecret = 'p+l:u%s & =?'
      const other = await openIdHouse({
        clients: [{ ...CLIENT, clientSecret, authMethod }],
        clientSecret: new Secret(clientSecret),
      })
      try {
        const metadata = await other.context.discovery(other.provider.issuer)
        const context: ProviderContext = {
          ...other.context,
          discovery: async () => ({ ...metadata, tokenAuthMethods: [authMethod] }),
        }
        const signIn = await other.provider.exchange(context, await other.visit())
        expect(signIn.identity.subject).toBe('ada')
        expect('authorization' in (other.double.lastHeaders('POST /token') ?? {})).toBe(
          authMethod === 'client_secret_basic',
        )
      } finally {
        await other.close()
      }
    }
  })

  it('asks for offline_access where it is offered, with consent, in the query', async () => {
    const { authorizationUrl } = await house.visit()
    expect(Object.fromEntries(authorizationUrl.searchParams)).toMatchObject({
      response_type: 'code',
      response_mode: 'query',
      scope: 'openid profile email offline_access',
      prompt: 'consent',
      redirect_uri: REDIRECT_URI,
    })
    expect(ada.tokens.refreshToken).toBeDefined()
  })

  it('asks for an account chooser when told so', async () => {
    const url = await house.provider.authorize(house.context, {
      state: 's',
      verifierChallenge: 'c',
      nonce: 'n',
      chooseAccount: true,
    })
    expect(url.searchParams.get('prompt')).toBe('select_account consent')
    expect(
      (await house.double.playSignIn(withChallenge(url), 'grace')).searchParams.get('code'),
    ).not.toBeNull()
  })

  it('never forgets openid, and asks for nothing else than configured', async () => {
    const provider = createOidc({
      id: 'oidc',
      clientId: 'postern',
      callbackPath: '/callback/oidc',
      scopes: ['email'],
      options: { issuer: house.provider.issuer },
    })
    const url = await provider.authorize(house.context, {
      state: 's',
      verifierChallenge: 'c',
      nonce: 'n',
    })
    expect(url.searchParams.get('scope')).toBe('openid email')
    expect(url.searchParams.has('prompt')).toBe(false)
  })

  it('A12: iss must come where it is announced, and need not where it is not', async () => {
    expect(await house.provider.judgeIssuer(house.context, undefined)).toBe('missing')
    const metadata = await house.context.discovery(house.provider.issuer)
    const silent = { ...house.context, discovery: async () => ({ ...metadata, sendsIss: false }) }
    expect(await house.provider.judgeIssuer(silent, undefined)).toBe('right')
    expect(await house.provider.judgeIssuer(silent, 'https://evil.example')).toBe('wrong')
  })

  it('A12: the code of one provider is not sent to another', async () => {
    const other = await openIdHouse()
    try {
      other.double.forget()
      await expect(
        other.provider.exchange(other.context, await house.visit()),
      ).rejects.toMatchObject({
        reason: 'provider_issuer_mismatch',
      })
      expect(other.double.total('POST /token')).toBe(0)
    } finally {
      await other.close()
    }
  })

  it('Core section 5.3.2: userinfo about somebody else is no sign-in', async () => {
    const visit = await house.visit()
    house.double.answerWith('GET /me', json({ sub: 'grace' }))
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      reason: 'userinfo_subject',
    })
  })

  describe('proof', () => {
    it.each([
      ['quoted', 'Bearer realm="x", error="invalid_token", error_description="gone"', 'no'],
      ['unquoted', 'bearer error=invalid_token', 'no'],
      ['first of two challenges', 'Bearer error="invalid_token", Basic realm="x"', 'no'],
      ['without an error', 'Bearer realm="x"', 'unknown'],
      ['of another kind', 'Bearer error="insufficient_scope"', 'unknown'],
      ['that only looks like it', 'Bearer error="invalid_token_type"', 'unknown'],
      ['in a description', 'Bearer error_description="error is invalid_token"', 'unknown'],
      ['of another scheme', 'Basic error="invalid_token"', 'unknown'],
    ])('RFC 6750 section 3: a 401 with a challenge %s', async (_what, challenge, outcome) => {
      house.double.answerWith('GET /me', {
        status: 401,
        headers: { 'www-authenticate': challenge },
      })
      expect(await check()).toMatchObject({ outcome })
    })

    it('is not asked for after the agreed end of the access token', async () => {
      const expired = { ...ada.tokens, expiresAtMs: house.runtime.nowMs() - 1 }
      house.double.forget()
      expect(await house.provider.check(house.context, expired)).toEqual({
        outcome: 'unknown',
        reason: 'access_token_expired',
      })
      const single = { ...expired, refreshToken: undefined }
      expect(await house.provider.check(house.context, single)).toEqual({
        outcome: 'no',
        reason: 'access_token_expired',
      })
      expect(house.double.total()).toBe(0)
    })

    it('is the life of the access token where nobody can be asked', async () => {
      const other = await openIdHouse({ without: ['userinfo', 'introspection'] })
      try {
        const signIn = await other.signIn('ada')
        other.double.forget()
        expect(await other.provider.check(other.context, signIn.tokens)).toEqual({ outcome: 'yes' })
        const endless = { ...signIn.tokens, expiresAtMs: undefined }
        expect(await other.provider.check(other.context, endless)).toMatchObject({
          outcome: 'unknown',
        })
        expect(other.double.total()).toBe(0)
      } finally {
        await other.close()
      }
    })

    it('F11: by introspection says that our own client is refused', async () => {
      const other = await openIdHouse({ options: { check: 'introspection' } })
      try {
        const signIn = await other.signIn('ada')
        other.double.removeClient('postern')
        expect(await other.provider.check(other.context, signIn.tokens)).toEqual({
          outcome: 'client-refused',
        })
        const refreshed = await other.provider.refresh?.(
          other.context,
          signIn.tokens.refreshToken ?? '',
          signIn.tokens,
        )
        expect(refreshed).toEqual({ outcome: 'client-refused' })
      } finally {
        await other.close()
      }
    })
  })

  describe('refresh', () => {
    it('R9: another subject is refused', async () => {
      const signIn = await house.signIn('ada')
      const grace = await house.signIn('grace')
      const body = {
        access_token: 'x',
        token_type: 'Bearer',
        refresh_token: 'r2',
        id_token: grace.tokens.idToken,
      }
      house.double.answerWith('POST /token', json(body))
      expect(await refresh(signIn)).toEqual({ outcome: 'no', reason: 'subject' })
    })

    it('keeps what was rotated when the new ID token cannot be verified', async () => {
      const signIn = await house.signIn('ada')
      const body = {
        access_token: 'x',
        token_type: 'Bearer',
        refresh_token: 'r2',
        id_token: 'not.a.token',
      }
      house.double.answerWith('POST /token', json(body))
      expect(await refresh(signIn)).toMatchObject({
        outcome: 'yes',
        tokens: { accessToken: 'x', refreshToken: 'r2', idToken: signIn.tokens.idToken },
      })
    })

    it('is unknown while the provider takes none of our ways to authenticate', async () => {
      const metadata = await house.context.discovery(house.provider.issuer)
      const context: ProviderContext = {
        ...house.context,
        discovery: async () => ({ ...metadata, tokenAuthMethods: ['private_key_jwt'] }),
      }
      const answer = house.provider.refresh?.(context, ada.tokens.refreshToken ?? '', ada.tokens)
      expect(await answer).toEqual({ outcome: 'unknown', reason: 'provider_auth_method' })
      expect(await house.provider.revoke?.(context, ada.tokens)).toBe(false)
    })

    it('CLI-20: a refusal with another status is recognised by its word', async () => {
      for (const status of [200, 400, 401, 403]) {
        house.double.answerWith('POST /token', json({ error: 'invalid_grant' }, status))
        expect(await refresh(ada)).toEqual({ outcome: 'no', reason: 'invalid_grant' })
      }
      for (const status of [429, 500, 503]) {
        const headers = { 'content-type': 'application/json', 'retry-after': '7' }
        const body = '{"error":"invalid_grant"}'
        house.double.answerWith('POST /token', { status, headers, body })
        expect(await refresh(ada), String(status)).toMatchObject({
          outcome: 'unknown',
          retryAfterMs: 7_000,
        })
      }
    })
  })

  it('A28: an e-mail is verified only when the provider says the boolean true', async () => {
    for (const [said, emailVerified] of [
      [true, true],
      ['true', false],
      [false, false],
      [undefined, false],
      ['yes', false],
      [1, false],
    ]) {
      const visit = await house.visit()
      house.double.answerWith(
        'GET /me',
        json({ sub: 'ada', email: 'ada@corp.example', email_verified: said }),
      )
      const { identity } = await house.provider.exchange(house.context, visit)
      expect(identity.profile).toMatchObject({ email: 'ada@corp.example', emailVerified })
    }
  })

  it('explains a refused client and callback', () => {
    expect(house.provider.explain?.('invalid_client', REDIRECT_URI)?.code).toBe(
      'ERR_PROVIDER_CLIENT',
    )
    expect(house.provider.explain?.('redirect_uri_mismatch', REDIRECT_URI)?.code).toBe(
      'ERR_PROVIDER_CALLBACK',
    )
    expect(house.provider.explain?.('access_denied', REDIRECT_URI)).toBeUndefined()
  })

  it('stands in a configuration as data', () => {
    expect(oidc({ issuer: 'https://id.example' })).toEqual({
      type: 'oidc',
      issuer: 'https://id.example',
    })
  })
})

function keyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** `oidc-provider` wants a challenge of the right length. */
function withChallenge(url: URL): URL {
  url.searchParams.set('code_challenge', 'c'.repeat(43))
  return url
}
