/** Answers of connectors' token endpoints, on the whole way of a refresh (threats.md section 4). */
import { expect, it } from 'vitest'
import { createRegistrations } from '../../src/connectors/client/registration.ts'
import { createTokenCalls } from '../../src/connectors/client/token-calls.ts'
import { createConnectionRefresh } from '../../src/connectors/connections/connection-refresh.ts'
import type { TokenSet } from '../../src/oauth/token-answer.ts'
import { TENANT } from '../../src/records.ts'
import { connectionKey } from '../../src/vault/connection-rows.ts'
import { createRefresher } from '../../src/vault/refresh.ts'
import { createVault } from '../../src/vault/vault.ts'
import { AS, createClientWorld, RESOURCE, reply } from '../kit/authorization-server.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'

const OLD_ACCESS = 'old-access-token'
const OLD_REFRESH = 'old-refresh-token'
const NEW_ACCESS = 'new-access-token'
const NEW_REFRESH = 'new-refresh-token'
const TEN_YEARS_MS = 10 * 365 * 86_400_000
const WAIT_MS = 60_000
const LIFE_MS = 1_000
const ABSENT = undefined
const LONG = 'x'.repeat(20_000)

/** What a server answers, and whether it is a good one, by how it was made. */
interface Case {
  readonly status: number
  readonly type: string
  readonly text: string
  readonly meant: 'tokens' | 'end' | 'nothing'
  /** The refresh token that must stand afterwards. */
  readonly refreshToken: string
}

const BAD_TOKENS = [ABSENT, null, 7, '', ' ', 'a b', 'é', 'a\nb', [], {}, true, LONG, '\u2028']
const GOOD_TYPES = ['bearer', 'Bearer', 'BEARER']
const BAD_TYPES = [ABSENT, null, '', 'mac', 'DPoP', 7, [], ['bearer'], 'bearer ']
const ODD_LIVES = [
  ...[ABSENT, null, 3600, '3600', '3600.5', 0, -1, 1.5, 0.1, 9e15, '9'.repeat(17), 'soon', '', []],
  ...[{}, true, '0x10', '1e3', ' 60', Number.MAX_SAFE_INTEGER],
]
const ODD_SCOPES = [
  ...[ABSENT, null, '', 'a b', 'a,b', ' a  b ', ['a', 'b'], [7], 7, {}, 'a"b', LONG, 'é', ',,,'],
  Array.from({ length: 400 }, (_, index) => `s${index}`).join(' '),
]
const EXTRAS: readonly object[] = [
  {},
  { id_token: 7 },
  { id_token: 'a.b.c' },
  { id_token: `${LONG}.x.y` },
  { error: null },
  { ok: true },
  { constructor: { prototype: 1 }, toString: 'x' },
  { refresh_token_expires_in: 'never' },
  { authed_user: { access_token: 'somebody-else', token_type: 'user' } },
  { access_Token: 'x', 'access_token ': 'y' },
  { nested: { a: [{ b: [{}] }] } },
]
/** Refusals in words that are not the end of anything. */
const OTHER_ERRORS = [
  ...['invalid_client', 'invalid_scope', 'server_error', 'temporarily_unavailable', 'x y', ''],
  ...[7, {}, [], true, 'invalid_grant ', 'Invalid_Grant', LONG],
]
const JSON_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/vnd.x+json',
]
const OTHER_TYPES = ['', 'text/html', 'text/plain', 'application/x-www-form-urlencoded', 'json']
const TROUBLE = [429, 500, 502, 503, 504]

/** Also a value that is left out. */
function oneOf(values: readonly unknown[], draw: Draw): unknown {
  return values[draw.whole(values.length)]
}

function broken(good: string, draw: Draw): string {
  return draw.pick([
    '',
    ' ',
    'null',
    '[]',
    `[${good}]`,
    '"access_token"',
    '{}',
    good.slice(0, -1),
    good.slice(0, 20),
    `${good}${good}`,
    good.replace('{', '{"access_token":"first",'),
    good.replace('{', '{"expires_in":1e400,'),
    `<html>${good}</html>`,
    `access_token=${NEW_ACCESS}&token_type=bearer`,
    '{"a":'.repeat(40) + good + '}'.repeat(40),
    good.replaceAll('"', "'"),
  ])
}

function goodBody(draw: Draw): Readonly<Record<string, unknown>> {
  return {
    access_token: NEW_ACCESS,
    token_type: draw.pick(GOOD_TYPES),
    expires_in: oneOf(ODD_LIVES, draw),
    scope: oneOf(ODD_SCOPES, draw),
    ...draw.pick(EXTRAS),
  }
}

const KINDS: readonly ((draw: Draw) => Case)[] = [
  // A new refresh token, or one that is none.
  (draw) => {
    const rotated = oneOf([NEW_REFRESH, ...BAD_TOKENS], draw)
    const refreshToken = rotated === NEW_REFRESH ? NEW_REFRESH : OLD_REFRESH
    return tokens({ ...goodBody(draw), refresh_token: rotated }, draw, refreshToken)
  },
  (draw) => tokens(goodBody(draw), draw, OLD_REFRESH),
  (draw) => nothing({ ...goodBody(draw), access_token: oneOf(BAD_TOKENS, draw) }, draw),
  (draw) => nothing({ ...goodBody(draw), token_type: oneOf(BAD_TYPES, draw) }, draw),
  (draw) => nothing({ ...goodBody(draw), error: draw.pick(OTHER_ERRORS) }, draw),
  (draw) => nothing({ error: draw.pick(OTHER_ERRORS), error_description: NEW_ACCESS }, draw),
  (draw) => ({
    ...nothing(goodBody(draw), draw),
    type: draw.pick(OTHER_TYPES),
  }),
  (draw) => ({ ...nothing({}, draw), text: broken(JSON.stringify(goodBody(draw)), draw) }),
  (draw) => ({ ...nothing({ error: 'invalid_grant' }, draw), status: draw.pick(TROUBLE) }),
  (draw) => ({ ...nothing(goodBody(draw), draw), status: draw.pick([301, 302, 307, 308]) }),
  (draw) => ({
    ...nothing({ error: 'invalid_grant', ...draw.pick(EXTRAS.slice(1, 4)) }, draw),
    status: draw.pick([200, 400, 401, 403]),
    meant: 'end',
  }),
]

function tokens(body: object, draw: Draw, refreshToken: string): Case {
  return {
    status: draw.pick([200, 201]),
    type: draw.pick(JSON_TYPES),
    text: JSON.stringify(body),
    meant: 'tokens',
    refreshToken,
  }
}

function nothing(body: object, draw: Draw): Case {
  return {
    status: draw.pick([200, 400, 401]),
    type: draw.pick(JSON_TYPES),
    text: JSON.stringify(body),
    meant: 'nothing',
    refreshToken: OLD_REFRESH,
  }
}

/** One connection that is due, and the rooms that refresh it. */
async function openConnection() {
  const world = createClientWorld({
    connector: { client: { clientId: 'us', clientSecret: 'client-secret' } },
  })
  const { runtime, store, lock, emit, egress, sealing } = world
  const vault = createVault({ store, sealing, runtime })
  const old: TokenSet = {
    accessToken: OLD_ACCESS,
    tokenType: 'Bearer',
    refreshToken: OLD_REFRESH,
    expiresAtMs: runtime.nowMs() + LIFE_MS,
    scopes: ['a', 'b'],
  }
  const owner = { userId: 'usr', userKey: 'key', issuer: AS, subject: '', tokenOrigin: AS }
  const { id } = await vault.save({ ...owner, provider: 'connector:notes' }, old)
  await store.create('connection', connectionKey(runtime, 'usr', 'notes'), {
    connectionId: 'con_1',
    userId: 'usr',
    connector: 'notes',
    vaultId: id,
    issuer: AS,
    resource: RESOURCE,
    clientId: 'us',
    scopes: ['a', 'b'],
    requestedScopes: ['a', 'b'],
    state: 'active',
    connectedAtMs: runtime.nowMs(),
  })
  const side = createConnectionRefresh({
    store,
    runtime,
    emit,
    lifecycle: { binding: () => world.binding(), report: () => undefined },
    registrations: createRegistrations(world),
    tokenCalls: createTokenCalls({
      egress,
      runtime,
      assertionKeys: { sign: () => Promise.reject(new Error('this client has a secret')) },
      tokenCallTimeoutMs: 10_000,
    }),
  })
  const call = side.refresh
  const refresher = createRefresher({ vault, lock, runtime, emit, call })
  return { ...world, vault, refresher, id, old }
}

async function expectCorrect(answer: Case): Promise<void> {
  const house = await openConnection()
  const { runtime, vault, refresher, id, old, sent } = house
  house.answers(() => reply(answer.status, answer.text, { 'content-type': answer.type }))
  runtime.advanceMs(LIFE_MS)
  const refreshing = refresher.refresh(id, WAIT_MS)
  await runtime.elapseMs(WAIT_MS)
  const result = await refreshing
  const entry = await vault.load(id)
  expect(result, `meant ${answer.meant}`).toBe(
    { tokens: 'refreshed', end: 'dead', nothing: 'unknown' }[answer.meant],
  )
  expect(entry.record.state).toBe(answer.meant === 'end' ? 'reconnect' : 'active')
  expect(sent.length).toBe(1)
  expect(entry.tokens.refreshToken).toBe(answer.refreshToken)
  if (answer.meant === 'tokens') expectSound(entry.tokens, runtime.nowMs())
  else expect(entry.tokens).toEqual(old)
  const rows = JSON.stringify(await house.store.list('vault', TENANT, undefined, { max: 2 }))
  for (const secret of [OLD_ACCESS, OLD_REFRESH, NEW_ACCESS, NEW_REFRESH])
    expect(`${rows}${house.emit.dump()}`).not.toContain(secret)
}

/** Whatever was odd about the rest: a token for headers, a life within ten years, scopes that are words. */
function expectSound({ accessToken, expiresAtMs, scopes = [] }: TokenSet, nowMs: number): void {
  expect(accessToken).toBe(NEW_ACCESS)
  expect(scopes.every((scope) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope))).toBe(true)
  if (expiresAtMs === undefined) return
  expect(Number.isSafeInteger(expiresAtMs)).toBe(true)
  expect(expiresAtMs).toBeGreaterThan(nowMs - WAIT_MS)
  expect(expiresAtMs).toBeLessThanOrEqual(nowMs + TEN_YEARS_MS)
}

it('B18, S7, R6: whatever a token endpoint answers, the grant stays correct, and no new refresh token keeps the old one', async () => {
  const draw = createDraw()
  const cases = Array.from({ length: countOf(200) }, (_, index) => {
    const make = KINDS[index % KINDS.length]
    if (make === undefined) throw new TypeError('no kind')
    return make(draw)
  })
  await checkFamily('B18', cases, expectCorrect)
}, 120_000)
