/**
 * The suite that every provider passes over its double, through the real egress: sign-in, proof,
 * refresh, revocation, and each failure that a remote party can have.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { OAuthError, UpstreamError } from '../../src/errors.ts'
import type { SignIn } from '../../src/providers/provider.ts'
import type { Profile } from '../../src/records.ts'
import { type House, REDIRECT_URI } from './provider-house.ts'

const FULL_PROFILE: Profile = {
  name: 'Ada Lovelace',
  login: 'ada',
  email: 'ada@example.com',
  emailVerified: true,
}

export interface ProviderSuite {
  readonly name: string
  start(): Promise<House>
  /** Ada's subject there. */
  readonly subject: string
  /** What is known of Ada. Default: name, login and verified e-mail. */
  readonly profile?: Profile
  /** False: the provider documents no PKCE, and gets none. Default true. */
  readonly pkce?: boolean
  /** False: its answer to a check names nobody. Default true. */
  readonly subjectAtCheck?: boolean
  /** False: it is proved here, by the life of its access token. Default true. */
  readonly remoteCheck?: boolean
  /** False: a refresh token can be used again. Default true. */
  readonly rotates?: boolean
  /** False: it revokes nothing for a client. Default true. */
  readonly revokes?: boolean
}

export function describeProvider(options: ProviderSuite): void {
  describe(options.name, () => suite(options))
}

function suite({ start, subject, profile = FULL_PROFILE, ...knows }: ProviderSuite): void {
  let house: House
  let ada: SignIn
  const check = () =>
    house.provider.check(house.context, ada.tokens, { subject: ada.identity.subject })

  beforeAll(async () => {
    house = await start()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  describe('signs in', () => {
    it('CLI-06, PRV-09: with state, S256 challenge and the exact redirect URI', async () => {
      const { authorizationUrl, verifier } = await house.visit()
      expect(Object.fromEntries(authorizationUrl.searchParams)).toMatchObject({
        client_id: 'postern',
        redirect_uri: REDIRECT_URI,
        state: 'the-state',
        ...(knows.pkce === false
          ? {}
          : {
              code_challenge: house.runtime.sha256(verifier),
              code_challenge_method: 'S256',
            }),
      })
      expect(authorizationUrl.searchParams.has('code_challenge')).toBe(knows.pkce !== false)
    })

    it('PRV-21: as issuer and subject, with what is known of the person', () => {
      expect(ada.identity).toMatchObject({ issuer: house.provider.issuer, subject, profile })
    })

    it('PRV-21: one e-mail at two people is two accounts', async () => {
      const grace = await house.signIn('grace')
      expect(grace.identity.subject).not.toBe(ada.identity.subject)
    })

    it('RFC 6749 section 4.1.2: a code twice is refused, and asked once', async () => {
      const visit = await house.visit()
      await house.provider.exchange(house.context, visit)
      house.double.forget()
      const again = house.provider.exchange(house.context, visit)
      await expect(again).rejects.toMatchObject({ name: 'OAuthError', error: 'server_error' })
      expect(house.double.total()).toBe(1)
    })

    if (knows.pkce !== false) {
      it('RFC 7636 section 4.6: another verifier is refused', async () => {
        const visit = { ...(await house.visit()), verifier: 'x'.repeat(43) }
        const outcome = house.provider.exchange(house.context, visit)
        await expect(outcome).rejects.toBeInstanceOf(OAuthError)
      })
    }

    it('A12: another iss is refused before the code is used', async () => {
      const visit = { ...(await house.visit()), iss: 'https://evil.example' }
      house.double.forget()
      await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
        reason: 'provider_issuer_mismatch',
      })
      expect(house.double.total()).toBe(0)
    })

    it('A12: iss is compared to the letter', async () => {
      const { issuer } = house.provider
      const judge = (iss: string | undefined) => house.provider.judgeIssuer(house.context, iss)
      expect(await judge(issuer)).toBe('right')
      for (const wrong of [`${issuer}/`, issuer.toUpperCase(), 'https://evil.example', '']) {
        expect(await judge(wrong)).toBe('wrong')
      }
    })

    it.each([500, 503, 429])(
      'F3, F4: status %s at the token endpoint is an UpstreamError',
      async (status) => {
        const visit = await house.visit()
        house.double.fail(status, { 'retry-after': '7' })
        await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
          name: 'UpstreamError',
          status,
          retryAfterMs: 7_000,
        })
      },
    )

    it('F2: a provider that hangs ends by the deadline', async () => {
      const visit = await house.visit()
      house.double.hang()
      await expect(
        house.pastDeadline(house.provider.exchange(house.context, visit)),
      ).rejects.toMatchObject({
        code: 'ERR_UPSTREAM_TIMEOUT',
      })
    })

    it.each(TOKEN_ANSWERS)('F5, S7, CLI-17: %s is no sign-in', async (_what, answer) => {
      const visit = await house.visit()
      house.double.answerWith(house.tokenEndpoint, { headers: JSON_TYPE, ...answer })
      const outcome = await house.provider
        .exchange(house.context, visit)
        .catch((error: unknown) => error)
      expect(outcome instanceof OAuthError || outcome instanceof UpstreamError).toBe(true)
    })
  })

  describe('proves a sign-in', () => {
    it('PRV-03, PRV-05: with exactly one exchange, or none where the token says it', async () => {
      house.double.forget()
      expect(await check()).toMatchObject({ outcome: 'yes' })
      const calls = knows.remoteCheck === false ? {} : { [house.checkEndpoint]: 1 }
      expect(house.double.exchanges()).toEqual(calls)
    })
    if (knows.remoteCheck === false) return

    if (knows.subjectAtCheck !== false) {
      it('R9: no, when the answer is about somebody else', async () => {
        const proof = await house.provider.check(house.context, ada.tokens, { subject: 'somebody' })
        expect(proof).toEqual({ outcome: 'no', reason: 'subject' })
      })
    }

    it.each(['accept', 'headers', 'body'] as const)(
      'F2: unknown, when it hangs after %s',
      async (after) => {
        house.double.hang(after)
        expect(await house.pastDeadline(check())).toEqual({
          outcome: 'unknown',
          reason: 'ERR_UPSTREAM_TIMEOUT',
        })
      },
    )

    it.each([500, 502, 503, 404, 400, 418])('F3: unknown, for status %s', async (status) => {
      house.double.fail(status)
      expect(await check()).toMatchObject({ outcome: 'unknown', reason: `status_${status}` })
    })

    it('PRV-07: unknown, for 403 and 429, whatever they say', async () => {
      for (const status of [403, 429]) {
        house.double.fail(status)
        expect(await check()).toMatchObject({ outcome: 'unknown' })
      }
    })

    it('F4: waits as long as it is told, absurd values capped', async () => {
      const soonMs = house.runtime.nowMs() + 200_000
      for (const [retryAfter, expectedMs] of [
        ['120', 120_000],
        [new Date(soonMs).toUTCString(), 200_000],
        ['999999999', 300_000],
      ] as const) {
        house.double.fail(429, { 'retry-after': retryAfter })
        const proof = await check()
        if (proof.outcome !== 'unknown') throw new Error(proof.outcome)
        expect(Math.abs((proof.retryAfterMs ?? 0) - expectedMs)).toBeLessThan(1_001)
      }
    })

    it.each(CHECK_ANSWERS)('F5: unknown, for %s', async (_what, answer) => {
      house.double.answerWith(house.checkEndpoint, answer)
      expect(await check()).toMatchObject({ outcome: 'unknown' })
    })

    it('F6: unknown, when killed or reset; yes again, when revived', async () => {
      await house.double.kill()
      expect(await check()).toMatchObject({ outcome: 'unknown' })
      await house.double.revive()
      house.double.reset()
      expect(await check()).toMatchObject({ outcome: 'unknown', reason: 'ERR_UPSTREAM_RESET' })
      await house.double.revive()
      expect(await check()).toMatchObject({ outcome: 'yes' })
    })

    it('NET-03: unknown, for a redirect, and the token goes nowhere else', async () => {
      house.double.answerWith(house.checkEndpoint, {
        status: 302,
        headers: { location: house.double.origin },
      })
      house.double.forget()
      expect(await check()).toMatchObject({ outcome: 'unknown', reason: 'ERR_UPSTREAM_REDIRECT' })
      expect(house.double.total()).toBe(1)
    })

    it('F10: no, once the person has revoked it', async () => {
      const grace = await house.signIn('grace')
      house.double.revoke('grace')
      expect(await house.provider.check(house.context, grace.tokens)).toMatchObject({
        outcome: 'no',
      })
      expect(await check()).toMatchObject({ outcome: 'yes' })
    })
  })

  describe('refreshes', () => {
    const refresh = (signIn: SignIn) =>
      house.provider.refresh?.(house.context, signIn.tokens.refreshToken ?? '', signIn.tokens)

    it('CLI-19: with one call, into tokens that work', async () => {
      const signIn = await house.signIn('grace')
      house.double.forget()
      const renewed = await refresh(signIn)
      expect(house.double.total(house.tokenEndpoint)).toBe(1)
      if (renewed?.outcome !== 'yes') throw new Error('not refreshed')
      expect(renewed.tokens.accessToken).not.toBe(signIn.tokens.accessToken)
      const proof = await house.provider.check(house.context, renewed.tokens, {
        subject: signIn.identity.subject,
      })
      expect(proof).toMatchObject({ outcome: 'yes' })
    })

    const again = knows.rotates === false ? 'yes' : 'no'
    it(`CLI-20: ${again}, for a refresh token that was used`, async () => {
      const signIn = await house.signIn('grace')
      await refresh(signIn)
      expect(await refresh(signIn)).toMatchObject({ outcome: again })
    })

    it('CLI-18: keeps the old refresh token when the answer has none', async () => {
      house.double.answerWith(house.tokenEndpoint, {
        status: 200,
        headers: JSON_TYPE,
        body: '{"access_token":"new","token_type":"bearer","expires_in":"60"}',
      })
      expect(await refresh(ada)).toMatchObject({
        outcome: 'yes',
        tokens: {
          accessToken: 'new',
          refreshToken: ada.tokens.refreshToken,
          ...(ada.tokens.scopes === undefined ? {} : { scopes: ada.tokens.scopes }),
        },
      })
    })

    it('CLI-20: unknown, for 429, 500, a hang and a dead provider', async () => {
      for (const status of [429, 500, 503]) {
        house.double.fail(status, { 'retry-after': '90' })
        expect(await refresh(ada)).toMatchObject({ outcome: 'unknown', retryAfterMs: 90_000 })
      }
      await house.double.revive()
      house.double.hang()
      expect(await house.pastDeadline(Promise.resolve(refresh(ada)))).toMatchObject({
        outcome: 'unknown',
      })
      await house.double.kill()
      expect(await refresh(ada)).toMatchObject({ outcome: 'unknown' })
    })
  })

  if (knows.revokes === false) {
    it('CLI-23: never says that it revoked', async () => {
      expect((await house.provider.revoke?.(house.context, ada.tokens)) ?? false).toBe(false)
    })
  } else {
    it('CLI-23: revokes, and says false when nobody confirmed it', async () => {
      const signIn = await house.signIn('grace')
      house.double.fail(500)
      expect(await house.provider.revoke?.(house.context, signIn.tokens)).toBe(false)
      await house.double.revive()
      expect(await house.provider.revoke?.(house.context, signIn.tokens)).toBe(true)
      expect(await house.provider.check(house.context, signIn.tokens)).toMatchObject({
        outcome: 'no',
      })
    })
  }

  it('V5: no token, code or secret is in events or errors', async () => {
    const visit = await house.visit()
    house.double.answerWith(house.tokenEndpoint, {
      status: 400,
      headers: JSON_TYPE,
      body: `{"error":"${visit.code} leaks","error_description":"${visit.code}"}`,
    })
    const error = await house.provider
      .exchange(house.context, visit)
      .catch((thrown: unknown) => thrown)
    const told = `${house.emit.dump()} ${String(error)} ${JSON.stringify(error)}`
    const secrets = [
      visit.code,
      visit.verifier,
      ada.tokens.accessToken,
      ada.tokens.refreshToken,
      'double-secret',
    ]
    for (const secret of secrets) expect(told).not.toContain(secret)
  })
}

export const JSON_TYPE = { 'content-type': 'application/json' }
const HTML_TYPE = { 'content-type': 'text/html' }

const TOKEN_ANSWERS = [
  ['an error object with status 200', { status: 200, body: '{"error":"temporarily_unavailable"}' }],
  [
    'an error beside a token',
    { status: 200, body: '{"error":"x","access_token":"a","token_type":"bearer"}' },
  ],
  ['HTML with status 200', { status: 200, headers: HTML_TYPE, body: '<h1>Hello</h1>' }],
  [
    'a form in the place of JSON',
    {
      status: 200,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'access_token=a&token_type=bearer',
    },
  ],
  ['an empty body', { status: 200, body: '' }],
  ['half a body', { status: 200, body: '{"access_token":"a"' }],
  [
    'a token that is not a string',
    { status: 200, body: '{"access_token":7,"token_type":"bearer"}' },
  ],
  ['another token type', { status: 200, body: '{"access_token":"a","token_type":"mac"}' }],
  ['a list', { status: 200, body: '[]' }],
  [
    'a duplicate member',
    { status: 200, body: '{"access_token":"a","access_token":"b","token_type":"bearer"}' },
  ],
] as const

const CHECK_ANSWERS = [
  ['an empty body', { status: 200, headers: JSON_TYPE, body: '' }],
  ['half a body', { status: 200, headers: JSON_TYPE, body: '{"id":1001,"sub":"ada","act' }],
  [
    'HTML with status 200',
    { status: 200, headers: HTML_TYPE, body: '<h1>Sign in to the hotel network</h1>' },
  ],
  [
    'an error object with status 200',
    { status: 200, headers: JSON_TYPE, body: '{"error":"oops"}' },
  ],
  [
    'the wrong types',
    { status: 200, headers: JSON_TYPE, body: '{"id":"1001","login":"ada","sub":7,"active":"yes"}' },
  ],
  ['an array', { status: 200, headers: JSON_TYPE, body: '[]' }],
  ['a refusal in HTML', { status: 403, headers: HTML_TYPE, body: 'Bad credentials' }],
  [
    'a refusal of a proxy between',
    { status: 407, headers: { 'proxy-authenticate': 'Basic' }, body: '' },
  ],
] as const
