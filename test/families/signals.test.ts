/** Bad input from other servers that call us: logout tokens and security events (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import { refresh } from '../flow/sign-in-house.ts'
import { checkFamily, countOf } from '../kit/family.ts'
import { type FamilyHouse, openFamilyHouse, SIGNALS_AUDIENCE } from '../kit/family-house.ts'
import { OPENID, UPSTREAM_CLIENT } from '../kit/family-world.ts'
import { hostileJson } from '../kit/hostile.ts'
import { checkClockDoor, checkTokenDoor, type TokenDoor } from '../kit/hostile-tokens.ts'

const LOGOUT_EVENT = { 'http://schemas.openid.net/event/backchannel-logout': {} }
const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const EVENT_TYPE = { 'content-type': 'application/secevent+jwt' }
/** About nobody who is here: a good one ends nothing, so that the doors stay open for all. */
const NOBODY = 'nobody-of-ours'

const secondsOf = ({ runtime }: FamilyHouse): number => Math.floor(runtime.nowMs() / 1000)
const newId = (): string => crypto.randomUUID()

const WRONG_CLAIMS: readonly Readonly<Record<string, unknown>>[] = [
  ...[undefined, null, 1, '', [], [''], `${UPSTREAM_CLIENT}x`, { a: UPSTREAM_CLIENT }].map(
    (aud) => ({ aud }),
  ),
  ...[
    undefined,
    null,
    1,
    '',
    [OPENID],
    `${OPENID}/`,
    'https://evil.example',
    'http://id.example',
  ].map((iss) => ({ iss })),
  ...[undefined, null, 1, '', [], {}].map((jti) => ({ jti })),
  ...[undefined, null, 'now', [], 1e20].map((iat) => ({ iat })),
]

function logoutToken(house: FamilyHouse): TokenDoor {
  const sign: TokenDoor['sign'] = (changes, header) => {
    const iat = secondsOf(house)
    const good = { iss: OPENID, aud: UPSTREAM_CLIENT, sub: NOBODY, events: LOGOUT_EVENT }
    const rest = { jti: newId(), iat, exp: iat + 120 }
    return house.world.sign({ ...good, ...rest, ...changes }, { typ: 'logout+jwt', ...header })
  }
  return {
    name: 'logout token',
    good: () => sign({}),
    sign,
    jwk: house.world.jwk,
    wrongClaims: [
      ...WRONG_CLAIMS,
      ...[undefined, null, 1, '', [], {}, { other: {} }, [REVOKED]].map((events) => ({ events })),
      { nonce: 'n' },
      { sub: undefined },
      { sub: 1 },
      { sub: { toString: 'ada' } },
    ],
    wrongHeaders: [{ typ: 'at+jwt' }, { typ: 'secevent+jwt' }, { typ: 'dpop+jwt' }, { kid: 'x' }],
    async present(logout_token) {
      house.plant(logout_token)
      const seen = await house.form('/backchannel-logout/openid', { logout_token })
      if (seen.status !== 200) expect([400, 413]).toContain(seen.status)
      if (seen.status !== 200) expect(seen.error).toBe('invalid_request')
      return seen.status === 200
    },
  }
}

function securityEvent(house: FamilyHouse): TokenDoor {
  const sign: TokenDoor['sign'] = (changes, header) => {
    const sub_id = { format: 'iss_sub', iss: OPENID, sub: NOBODY }
    const good = { iss: OPENID, aud: SIGNALS_AUDIENCE, jti: newId(), iat: secondsOf(house), sub_id }
    const events = { [REVOKED]: { event_timestamp: secondsOf(house) } }
    return house.world.sign({ ...good, events, ...changes }, { typ: 'secevent+jwt', ...header })
  }
  return {
    name: 'security event',
    good: () => sign({}),
    sign,
    jwk: house.world.jwk,
    wrongClaims: [
      ...WRONG_CLAIMS,
      ...[undefined, null, 1, '', [], {}, [REVOKED]].map((events) => ({ events })),
    ],
    wrongHeaders: [{ typ: 'JWT' }, { typ: undefined }, { typ: 'at+jwt' }, { kid: 'x' }],
    async present(token) {
      house.plant(token)
      const seen = await house.post('/events/okta', token, EVENT_TYPE)
      if (seen.status === 202) return true
      expect([400, 413]).toContain(seen.status)
      const known = ['invalid_request', 'invalid_key', 'invalid_issuer', 'invalid_audience']
      expect(known).toContain(seen.json()['err'])
      return false
    },
    // White space around a body is not part of a token.
    carries: (token) => token.trim() === token,
  }
}

describe.each([
  ['a logout token', logoutToken, ['exp', 'iat', 'nbf']],
  ['a security event', securityEvent, ['iat', 'exp', 'nbf']],
] as const)('%s', (name, open, times) => {
  it(`J1 J2 J3 B11: no hostile token is believed as ${name}, and nobody is signed out`, async () => {
    const house = await openFamilyHouse()
    const ada = await house.tokens()
    await checkTokenDoor(open(house))
    const again = await refresh(house.kit, ada.clientId, ada.refresh_token)
    expect(again.status).toBe(200)
    await house.finish()
  })

  it(`J4 B23: odd times in ${name}`, async () => {
    const house = await openFamilyHouse()
    await checkClockDoor(open(house), () => secondsOf(house), times)
    await house.finish()
  })
})

it('S6 B9: signed nonsense in the claims of an event ends nothing', async () => {
  const house = await openFamilyHouse()
  const ada = await house.tokens()
  const door = securityEvent(house)
  const subject = { format: 'iss_sub', iss: OPENID, sub: 'ada' }
  const documents = hostileJson(subject, countOf(300)).flatMap((bytes) => {
    try {
      const value = JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown
      // Those too long for a token go in as bodies, below.
      return bytes.length < 8_000 ? [value] : []
    } catch {
      return []
    }
  })
  const isAda = (value: unknown): boolean => JSON.stringify(value)?.includes('"ada"') === true
  await checkFamily(
    'B9 sub_id',
    documents.filter((value) => !isAda(value)),
    async (sub_id) => {
      await door.present(await door.sign({ sub_id }))
      await door.present(await door.sign({ events: { [REVOKED]: sub_id } }))
    },
  )
  const bodies = hostileJson(subject, countOf(300))
  await checkFamily('B9 body', bodies, async (bytes) => {
    const seen = await house.post('/events/okta', new Uint8Array(bytes), EVENT_TYPE)
    expect([400, 413]).toContain(seen.status)
    const form = await house.post('/backchannel-logout/openid', new Uint8Array(bytes), {
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect([400, 413]).toContain(form.status)
  })
  expect((await refresh(house.kit, ada.clientId, ada.refresh_token)).status).toBe(200)
  await house.finish()
})
