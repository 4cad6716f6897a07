/** Bad answers of identity providers, up to what our own callback answers (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import { oauth2 } from '../../src/providers/index.ts'
import {
  answerOf,
  claimsOf,
  redeem,
  register,
  type Tokens,
  Visitor,
} from '../flow/sign-in-house.ts'
import { checkFamily, countOf, sample } from '../kit/family.ts'
import { type FamilyHouse, NOTES, openFamilyHouse } from '../kit/family-house.ts'
import {
  discoveryDocument,
  OPENID,
  PLAIN,
  UPSTREAM_CLIENT,
  type WorldAnswer,
} from '../kit/family-world.ts'
import { hostileJson, ODD_VALUES, oddTimes } from '../kit/hostile.ts'
import { hostileTokenAt, isWrongTime } from '../kit/hostile-tokens.ts'
import { oddAddresses } from '../kit/odd-addresses.ts'

type Kind = 'openid' | 'plain'

/** A sign-in of a new browser: the code it ends with, or nothing. Pages of failure may be 502 and 503. */
async function codeOf(
  house: FamilyHouse,
  clientId: string,
  provider: Kind = 'openid',
): Promise<string | undefined> {
  const answer = await house.arrive(new Visitor(house.kit), clientId, provider)
  expect([200, 303, 302, 400, 403, 502, 503]).toContain(answer.status)
  const text = await answer.text()
  expect(text).not.toMatch(/upstream-(?:access|refresh)-/)
  return answer.headers.get('location') === null ? undefined : answerOf(answer)['code']
}

async function setUp(options: Parameters<typeof openFamilyHouse>[0] = {}) {
  const house = await openFamilyHouse(options)
  const { client_id: clientId } = await register(house.kit)
  const tokens = async (code: string): Promise<Tokens> =>
    (await (await redeem(house.kit, clientId, code)).json()) as Tokens
  return { house, clientId, tokens }
}

const json =
  (body: unknown): (() => WorldAnswer) =>
  () => ({ body })
const secondsOf = ({ runtime }: FamilyHouse): number => Math.floor(runtime.nowMs() / 1000)

describe('B6: who a provider says somebody is', () => {
  const allow = {
    emails: ['kelvin@corp.example', 'a@corp.example'],
    emailDomains: ['corp.example'],
    users: ['openid:1001', 'plain:1001'],
  }

  it.each(['openid', 'plain'] as const)(
    'A28 B6: no odd address, doubtful word or subject of %s gets in by a rule',
    async (kind) => {
      const { house, clientId } = await setUp({ allow })
      const words = [undefined, null, false, 'true', 'TRUE', 1, 'yes', [true], { true: true }]
      const addresses = oddAddresses().map((email) => ({
        email: email.toWellFormed(),
        email_verified: true,
      }))
      const people = [
        ...words.map((email_verified) => ({ email: 'a@corp.example', email_verified })),
        ...[['a@corp.example'], { toString: 'a@corp.example' }, 1, null].map((email) => ({
          email,
          email_verified: true,
        })),
        { name: 'a@corp.example', preferred_username: 'a@corp.example', email_verified: true },
        { upn: 'a@corp.example', emails: ['a@corp.example'], email_verified: true },
        { Email: 'a@corp.example', EMAIL: 'a@corp.example', email_verified: true },
      ]
      await checkFamily(
        `B6 ${kind}`,
        [...people, ...sample(addresses, countOf(150))],
        async (person) => {
          house.world.person = person
          expect(await codeOf(house, clientId, kind)).toBeUndefined()
        },
      )
      house.world.person = { email: 'b@corp.example', email_verified: true }
      expect(await codeOf(house, clientId, kind)).toBeDefined()
      house.world.person = {}
      const subjects = [
        '1001 ',
        ' 1001',
        '01001',
        '1001\0',
        '\uff11001',
        '1001,1002',
        'plain:1001',
        '1001\n',
        '10010',
      ]
      await checkFamily(`B6 subjects of ${kind}`, subjects, async (subject) => {
        house.world.subject = subject
        expect(await codeOf(house, clientId, kind)).toBeUndefined()
      })
      house.world.subject = '1001'
      expect(await codeOf(house, clientId, kind)).toBeDefined()
      Object.assign(house.world, { subject: 'ada' })
      house.world.person = { email: 'b@corp.example', email_verified: true }
    },
  )

  it('I10 B6 B22: subjects that look alike are different people, and what is no subject is nobody', async () => {
    const { house, clientId, tokens } = await setUp()
    const ada = claimsOf((await tokens((await codeOf(house, clientId)) ?? '')).access_token)['sub']
    const alike = [
      'ADA',
      'Ada',
      'ada ',
      'a\u0301da',
      '\u0430da',
      'ad\u200ba',
      'ada\u202e',
      'ada\u0000',
      'ada:',
      '',
      ' ',
    ]
    const none: readonly unknown[] = [
      null,
      1,
      true,
      [],
      ['ada'],
      {},
      { toString: 'ada' },
      'x'.repeat(5_000),
    ]
    await checkFamily('B6 subjects', [...alike, ...none], async (sub) => {
      for (const kind of ['openid', 'plain'] as const) {
        house.world.subject = typeof sub === 'string' ? sub : 'odd'
        house.world.claims = { sub }
        house.world.answers.set(`${OPENID}/userinfo`, json({ sub }))
        house.world.answers.set(`${PLAIN}/userinfo`, json({ sub }))
        const code = await codeOf(house, clientId, kind)
        if (code === undefined) continue
        expect(typeof sub).toBe('string')
        expect(claimsOf((await tokens(code)).access_token)['sub']).not.toBe(ada)
      }
    })
    await house.finish()
  })
})

describe('B9: answers that are no JSON, or another one', () => {
  it.each([
    ['the token endpoint', 'openid', `${OPENID}/token`],
    ['the token endpoint', 'plain', `${PLAIN}/token`],
    ['userinfo', 'openid', `${OPENID}/userinfo`],
    ['userinfo', 'plain', `${PLAIN}/userinfo`],
  ] as const)(
    'S6 S7 B9: %s of %s',
    async (_, kind, url) => {
      const { house, clientId } = await setUp()
      const isToken = url.endsWith('/token')
      const count = countOf(300)
      const marker = {
        access_token: 'upstream-access-of-b9-0123456789',
        token_type: 'Bearer',
        expires_in: 3600,
        id_token: '@',
        scope: 'openid',
      }
      house.plant(marker.access_token)
      const documents = hostileJson(
        isToken ? marker : { sub: 'ada', email: 'a@b.example', email_verified: true },
        count,
      )
      await checkFamily(`B9 ${url}`, documents, async (bytes) => {
        house.world.subject = 'ada'
        let text = Buffer.from(bytes)
        house.world.answers.set(url, async () => {
          const idToken = await house.world.idToken()
          text = Buffer.from(text.toString('latin1').replaceAll('"@"', `"${idToken}"`), 'latin1')
          return { body: new Uint8Array(text) }
        })
        const code = await codeOf(house, clientId, kind)
        house.world.answers.delete(url)
        if (code !== undefined) {
          // Believed: then it was one whole document with what is needed, and said nothing else.
          const body = JSON.parse(new TextDecoder().decode(text)) as Record<string, unknown>
          expect(body['error']).toBeUndefined()
          const member = isToken ? 'access_token' : 'sub'
          expect(text.toString('latin1').split(`"${member}":`), 'told twice').toHaveLength(2)
          expect(typeof (isToken ? body['access_token'] : body['sub'])).toBe('string')
          if (!isToken && kind === 'openid') expect(body['sub']).toBe('ada')
        }
        // The house is not marked by it: the next person signs in.
        expect(await codeOf(house, clientId, kind)).toBeDefined()
        await house.elapse(2_000, 2_000)
      })
      await house.finish()
    },
    240_000,
  )

  it.each([
    ['discovery', `${OPENID}/.well-known/openid-configuration`],
    ['the key set', `${OPENID}/jwks`],
  ])(
    'S6 B9 B11: %s that lies or is broken leads nobody anywhere else',
    async (name, url) => {
      const houses = countOf(300)
      const probe = await openFamilyHouse()
      const good = name === 'discovery' ? discoveryDocument() : { keys: [probe.world.jwk] }
      const hostile = hostileJson(good, houses)
      const moved = [
        'issuer',
        'authorization_endpoint',
        'token_endpoint',
        'userinfo_endpoint',
        'jwks_uri',
      ].flatMap((member) =>
        [
          'https://evil.example/x',
          'http://id.example/x',
          'https://id.example@evil.example/',
          'javascript:alert(1)',
          '//evil.example/x',
        ].map((value) => Buffer.from(JSON.stringify({ ...good, [member]: value }))),
      )
      const documents =
        name === 'discovery'
          ? [...moved, ...hostile].slice(0, Math.max(houses, moved.length))
          : hostile
      await checkFamily(`B9 ${name}`, documents, async (bytes) => {
        const text = Buffer.from(bytes).toString('latin1')
        const house = await openFamilyHouse({ databaseUrl: 'memory:' }, ({ answers, jwk }) => {
          const whole = text.replaceAll(JSON.stringify(probe.world.jwk), JSON.stringify(jwk))
          answers.set(url, json(new Uint8Array(Buffer.from(whole, 'latin1'))))
        })
        const { client_id: clientId } = await register(house.kit)
        const visitor = new Visitor(house.kit)
        const answer = await house.arrive(visitor, clientId).catch((error: unknown) => error)
        if (answer instanceof Error)
          expect(answer.message).toMatch(/no redirect|no form|Invalid URL|nothing/)
        // The issuer's own document may name other origins of it; none of them is in clear or has a user.
        for (const asked of house.world.asked)
          expect(asked).toMatch(/^(?:GET|POST) https:\/\/[^/@]+\//)
        if (text.includes('"issuer":"') && !text.includes(`"issuer":"${OPENID}"`))
          expect(house.world.asked).not.toContain(`POST ${OPENID}/token`)
        await house.close()
      })
      await probe.finish()
    },
    240_000,
  )
})

describe('B11: ID tokens', () => {
  it('J1 J2 J3 B11: none of the hostile ID tokens signs anybody in', async () => {
    const { house, clientId } = await setUp()
    const wrongClaims = [
      ...[undefined, null, 1, '', [], [OPENID], `${OPENID}/`, 'https://evil.example'].map(
        (iss) => ({ iss }),
      ),
      ...[undefined, null, 1, '', [], ['other'], `${UPSTREAM_CLIENT}x`, {}].map((aud) => ({ aud })),
      ...[undefined, null, 1, '', 'other', [], {}].map((nonce) => ({ nonce })),
      ...[undefined, null, 1, '', [], {}].map((sub) => ({ sub })),
      ...[undefined, null, 'soon', 1, 1e20, true].map((exp) => ({ exp })),
      { aud: [UPSTREAM_CLIENT, 'other'], azp: 'other' },
      { aud: UPSTREAM_CLIENT, azp: 'other' },
      { events: {} },
    ]
    const wrongHeaders = [
      { typ: 'at+jwt' },
      { typ: 'logout+jwt' },
      { kid: 'other' },
      { typ: 'secevent+jwt' },
    ]
    const cases = Array.from({ length: countOf(500) }, (_, index) => index)
    await checkFamily('B11 ID token', cases, async (index) => {
      let presented = ''
      house.world.answers.set(`${OPENID}/token`, async () => {
        const { jwk, idToken } = house.world
        const forge = { good: () => idToken(), sign: idToken, jwk, wrongClaims, wrongHeaders }
        presented = await hostileTokenAt(forge, index)
        if (presented === (await idToken())) presented = ''
        house.plant(presented)
        const access_token = `upstream-access-b11-${index}-0123456789abcdef`
        house.plant(access_token)
        return { body: { access_token, token_type: 'Bearer', id_token: presented } }
      })
      const code = await codeOf(house, clientId)
      if (code !== undefined) throw new Error(`believed: ${presented.slice(0, 400)}`)
      if (index % 10 !== 0) return
      house.world.answers.clear()
      expect(await codeOf(house, clientId)).toBeDefined()
    })
    await house.finish()
  }, 240_000)
})

describe('B23: times', () => {
  it('J4 B23: odd times in ID tokens', async () => {
    const { house, clientId } = await setUp()
    const names = ['exp', 'iat', 'nbf']
    const all = names.flatMap((name) =>
      oddTimes(secondsOf(house)).map((value) => ({ name, value })),
    )
    await checkFamily('B23 ID token', all, async ({ name, value }) => {
      house.world.claims = { [name]: value }
      const code = await codeOf(house, clientId)
      house.world.claims = {}
      if (code !== undefined) expect(isWrongTime(name, value, secondsOf(house))).toBe(false)
      expect(await codeOf(house, clientId)).toBeDefined()
    })
    await house.finish()
  })

  it.each(['openid', 'plain'] as const)(
    'B23: odd times in token answers and facts of %s never become odd times of ours',
    async (kind) => {
      const { house, clientId, tokens } = await setUp()
      const origin = kind === 'openid' ? OPENID : PLAIN
      const names = ['expires_in', 'refresh_token_expires_in', 'auth_time', 'updated_at']
      const all = names.flatMap((name) =>
        [...oddTimes(secondsOf(house)), '3600', 3600.5, '0'].map((value) => ({ name, value })),
      )
      await checkFamily(`B23 ${kind}`, sample(all, countOf(100)), async ({ name, value }) => {
        house.world.claims = { [name]: value }
        house.world.answers.set(`${origin}/token`, async () => {
          const access_token = `upstream-access-b23-${crypto.randomUUID()}`
          house.plant(access_token)
          const id_token = await house.world.idToken()
          return {
            body: {
              access_token,
              token_type: 'Bearer',
              expires_in: 3600,
              id_token,
              [name]: value,
            },
          }
        })
        const code = await codeOf(house, clientId, kind)
        house.world.answers.clear()
        if (code === undefined) return
        const answer = await redeem(house.kit, clientId, code)
        expect([200, 400]).toContain(answer.status)
        if (answer.status !== 200) return
        const ours = (await answer.json()) as Tokens
        expect(Number.isInteger(ours.expires_in) && ours.expires_in > 0).toBe(true)
        expect(ours.expires_in).toBeLessThanOrEqual(3_600)
        const claims = claimsOf(ours.access_token)
        expect(Number(claims['exp']) - secondsOf(house)).toBe(ours.expires_in)
        for (const time of ['auth_time', 'iat'])
          if (claims[time] !== undefined)
            expect(Math.abs(Number(claims[time]) - secondsOf(house))).toBeLessThan(120)
        const headers = {
          authorization: `Bearer ${ours.access_token}`,
          'content-type': 'application/json',
        }
        const url = new URL(NOTES).pathname
        const call = await house.post(url, '{"jsonrpc":"2.0","id":1,"method":"ping"}', headers)
        expect([200, 401]).toContain(call.status)
      })
      house.world.claims = {}
      expect(await tokens((await codeOf(house, clientId, kind)) ?? '')).toHaveProperty(
        'access_token',
      )
      await house.finish()
    },
  )
})

it('B25: who is not literally active at the introspection endpoint does not sign in', async () => {
  const { house, clientId } = await setUp({
    providers: [
      oauth2({
        id: 'plain',
        issuer: PLAIN,
        authorizationUrl: `${PLAIN}/authorize`,
        tokenUrl: `${PLAIN}/token`,
        introspectionUrl: `${PLAIN}/introspect`,
        clientId: UPSTREAM_CLIENT,
        clientSecret: 'another-secret-at-the-provider-012',
      }),
    ],
  })
  const url = `${PLAIN}/introspect`
  const values = [
    ...ODD_VALUES.filter((value) => value !== true),
    'true',
    'TRUE',
    'yes',
    '1',
    1,
    [true],
    { active: true },
    'active',
    'false',
    -0,
  ]
  const bodies: readonly unknown[] = [
    ...values.map((active) => ({ active, sub: 'ada' })),
    ...values.map((active) => ({ active, sub: 'ada', username: 'ada', scope: 'all', exp: 4e9 })),
    { sub: 'ada' },
    { Active: true, sub: 'ada' },
    { active_: true, sub: 'ada' },
    [{ active: true, sub: 'ada' }],
    'true',
    '{"active":true,"sub":"ada"',
    '{"active":false,"active":true,"sub":"ada"}',
    '{"active":true,"active":false,"sub":"ada"}',
    '{"__proto__":{"active":true,"sub":"ada"}}',
    ...ODD_VALUES.filter(
      (value) => typeof value !== 'string' || value === '' || value === '\0',
    ).map((sub) => ({ active: true, sub })),
    { active: true },
    { active: true, username: 'ada' },
    { active: true, sub: 'ada', error: 'invalid_token' },
    ...hostileJson({ active: true, sub: 'ada' }, 60).filter((bytes) => {
      try {
        const { active, sub } = JSON.parse(new TextDecoder().decode(bytes)) as Record<
          string,
          unknown
        >
        return active !== true || typeof sub !== 'string' || sub === ''
      } catch {
        return true
      }
    }),
  ]
  await checkFamily('B25', sample(bodies, countOf(120)), async (body) => {
    house.world.answers.set(url, json(body))
    const code = await codeOf(house, clientId, 'plain')
    house.world.answers.delete(url)
    if (code !== undefined) throw new Error('signed in')
    expect(await codeOf(house, clientId, 'plain')).toBeDefined()
    await house.elapse(2_000, 2_000)
  })
  for (const status of [201, 204, 301, 400, 401, 403, 404, 429, 500]) {
    const body = status === 204 ? '' : { active: true, sub: 'ada' }
    house.world.answers.set(url, () => ({ status, body }))
    expect([status, await codeOf(house, clientId, 'plain')]).toEqual([status, undefined])
    house.world.answers.delete(url)
    await house.elapse(120_000, 20_000)
    expect(await codeOf(house, clientId, 'plain')).toBeDefined()
  }
}, 60_000)
