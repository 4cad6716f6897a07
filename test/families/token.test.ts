/** Bad tokens at the token endpoint: assertions, subject tokens, proofs (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import { answerOf, register, VERIFIER, Visitor, WEB_REDIRECT } from '../flow/sign-in-house.ts'
import {
  type FamilyHouse,
  ISSUER,
  KEYED,
  MACHINE,
  NOTES,
  openFamilyHouse,
  PROTECTED,
} from '../kit/family-house.ts'
import { OPENID } from '../kit/family-world.ts'
import { checkClockDoor, checkTokenDoor, type TokenDoor } from '../kit/hostile-tokens.ts'
import { createProver } from '../kit/prover.ts'

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const SECRET = { client_id: MACHINE.clientId, client_secret: MACHINE.secret }
const LOOK_ALIKES = [`${ISSUER}/`, `${ISSUER}/token`, 'https://AUTH.example', 'http://auth.example']

const secondsOf = ({ runtime }: FamilyHouse): number => Math.floor(runtime.nowMs() / 1000)
const newId = (): string => crypto.randomUUID()

/** What both kinds of assertion must not say. */
const WRONG_CLAIMS: readonly Readonly<Record<string, unknown>>[] = [
  ...[undefined, null, 1, '', [], [ISSUER, 'https://evil.example'], ...LOOK_ALIKES].map((aud) => ({
    aud,
  })),
  ...[undefined, null, 1, '', ['x'], 'https://evil.example', 'other'].flatMap((value) => [
    { iss: value },
    { sub: value === 'other' ? null : value === 'https://evil.example' ? {} : value },
  ]),
  ...[undefined, null, '', 1, [], {}, 'x'.repeat(5_000)].map((jti) => ({ jti })),
  ...[undefined, null, 'soon', 1, -1, 1e20, true, {}].map((exp) => ({ exp })),
]

function clientAssertion(house: FamilyHouse): TokenDoor {
  const sign: TokenDoor['sign'] = (changes, header) => {
    const iat = secondsOf(house)
    const good = { iss: KEYED, sub: KEYED, aud: ISSUER, jti: newId(), iat, exp: iat + 60 }
    return house.world.sign({ ...good, ...changes }, header)
  }
  return {
    name: 'client_assertion',
    good: () => sign({}),
    sign,
    jwk: house.world.jwk,
    wrongClaims: [...WRONG_CLAIMS, { exp: secondsOf(house) + 4_000 }, { iss: OPENID }],
    wrongHeaders: [{ typ: 'at+jwt' }, { typ: 'logout+jwt' }, { kid: 'other' }, { kid: 1 }],
    async present(client_assertion) {
      house.plant(client_assertion)
      const seen = await house.form('/token', {
        grant_type: 'client_credentials',
        resource: NOTES,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion,
      })
      if (seen.status !== 200) expect(['invalid_client', 'invalid_request']).toContain(seen.error)
      return seen.status === 200
    },
  }
}

function identityAssertion(house: FamilyHouse): TokenDoor {
  const sign: TokenDoor['sign'] = (changes, header) => {
    const iat = secondsOf(house)
    const who = { iss: OPENID, sub: 'ada', aud: ISSUER, client_id: MACHINE.clientId }
    const what = { jti: newId(), iat, exp: iat + 60, resource: NOTES, scope: 'mcp' }
    return house.world.sign({ ...who, ...what, ...changes }, { typ: 'oauth-id-jag+jwt', ...header })
  }
  return {
    name: 'ID-JAG',
    good: () => sign({}),
    sign,
    jwk: house.world.jwk,
    wrongClaims: [
      ...WRONG_CLAIMS,
      ...[undefined, '', 'other', [MACHINE.clientId], `${MACHINE.clientId} `].map((client_id) => ({
        client_id,
      })),
      ...['https://evil.example/mcp', `${NOTES}/x`, 1, {}].map((resource) => ({ resource })),
    ],
    wrongHeaders: [{ typ: 'JWT' }, { typ: undefined }, { typ: 'at+jwt' }, { kid: 'other' }],
    async present(assertion) {
      house.plant(assertion)
      const seen = await house.form('/token', { ...SECRET, grant_type: JWT_BEARER, assertion })
      if (seen.status !== 200)
        expect(['invalid_grant', 'invalid_request', 'invalid_target']).toContain(seen.error)
      return seen.status === 200
    },
  }
}

describe.each([
  ['client_assertion', clientAssertion],
  ['ID-JAG', identityAssertion],
] as const)('%s', (name, open) => {
  it(`A23 J1 J2 J3 B11: no hostile token is believed as ${name}`, async () => {
    const house = await openFamilyHouse()
    await checkTokenDoor(open(house))
    await house.finish()
  })

  it(`J4 B23: odd times in ${name}`, async () => {
    const house = await openFamilyHouse()
    await checkClockDoor(open(house), () => secondsOf(house), ['exp', 'iat', 'nbf'])
    await house.finish()
  })
})

it('J1 B11: no hostile subject token is exchanged', async () => {
  const house = await openFamilyHouse()
  const { access_token } = await house.tokens()
  await checkTokenDoor({
    name: 'subject_token',
    good: async () => access_token,
    // Signed by our own key, which is no test's; test/threats/tokens.test.ts has it.
    sign: async () => '',
    jwk: house.world.jwk,
    wrongClaims: [],
    wrongHeaders: [],
    async present(subject_token) {
      const seen = await house.form('/token', {
        ...SECRET,
        grant_type: EXCHANGE,
        subject_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        resource: PROTECTED,
      })
      if (seen.status !== 200) expect(['invalid_grant', 'invalid_request']).toContain(seen.error)
      return seen.status === 200
    },
  })
  await house.finish()
})

it('B11 B23: no hostile proof of possession (DPoP) refreshes a bound token or opens the gateway', async () => {
  const house = await openFamilyHouse()
  const prover = await createProver(() => house.runtime.nowMs())
  const tokenUrl = `${ISSUER}/token`
  const { client_id } = await register(house.kit)
  const redeemWith = async (): Promise<Response> => {
    const { code = '' } = answerOf(await house.arrive(new Visitor(house.kit), client_id))
    const dpop = await prover.prove('POST', tokenUrl)
    const form = {
      grant_type: 'authorization_code',
      client_id,
      code,
      code_verifier: VERIFIER,
      redirect_uri: WEB_REDIRECT,
    }
    const body = new URLSearchParams(form)
    return house.fetch(new Request(tokenUrl, { method: 'POST', body, headers: { dpop } }))
  }
  prover.nonce = (await redeemWith()).headers.get('dpop-nonce') ?? ''
  const bound = (await (await redeemWith()).json()) as Record<string, string>
  expect(bound['token_type']).toBe('DPoP')
  const accessToken = bound['access_token'] ?? ''
  const doorOf = (
    name: string,
    prove: TokenDoor['sign'],
    present: TokenDoor['present'],
  ): TokenDoor => ({
    name,
    good: () => prove({}),
    sign: prove,
    jwk: house.world.jwk,
    wrongClaims: [
      ...[undefined, '', 1, 'GET', 'post', ['POST']].map((htm) => ({ htm })),
      ...[undefined, '', 1, ISSUER, `${ISSUER}/revoke`, 'https://evil.example/token'].map(
        (htu) => ({
          htu,
        }),
      ),
      ...[undefined, '', 1, {}, 'x'.repeat(5_000)].map((jti) => ({ jti })),
      ...[undefined, 'now', 1, 1e20, null].map((iat) => ({ iat })),
      ...[undefined, '', 'other', 1].map((nonce) => ({ nonce })),
    ],
    wrongHeaders: [],
    present,
    // What a header cannot hold, and what leaves it trimmed, is for the form doors.
    carries: (proof) => /^[\x21-\x7e]+$/.test(proof) && proof.length < 10_000,
  })
  const asRefresh = doorOf(
    'DPoP at /token',
    (claims) => prover.prove('POST', tokenUrl, { claims: claims as never }),
    async (dpop) => {
      const form = {
        grant_type: 'refresh_token',
        client_id,
        refresh_token: bound['refresh_token'] ?? '',
      }
      const seen = await (async () => {
        const body = new URLSearchParams(form)
        const request = new Request(tokenUrl, { method: 'POST', body, headers: { dpop } })
        return house.fetch(request)
      })()
      expect(seen.status).toBeLessThan(500)
      const body = (await seen.json()) as Record<string, string>
      if (seen.status === 200) bound['refresh_token'] = body['refresh_token'] ?? ''
      else expect(['invalid_dpop_proof', 'use_dpop_nonce']).toContain(body['error'])
      return seen.status === 200
    },
  )
  const atGateway = doorOf(
    'DPoP at the gateway',
    (claims) => prover.prove('POST', NOTES, { accessToken, claims: claims as never }),
    async (dpop) => {
      const headers = {
        authorization: `DPoP ${accessToken}`,
        dpop,
        'content-type': 'application/json',
      }
      const seen = await house.post(
        '/mcp/notes',
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
        headers,
      )
      if (seen.status !== 200) expect([400, 401]).toContain(seen.status)
      return seen.status === 200
    },
  )
  for (const door of [asRefresh, atGateway]) {
    await checkTokenDoor(door)
    await checkClockDoor(door, () => secondsOf(house), ['iat'])
  }
  await house.finish()
})
