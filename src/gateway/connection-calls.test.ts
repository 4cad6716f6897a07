import { describe, expect, it } from 'vitest'
import { createKeptTokens } from '../../test/kit/kept-tokens.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { ConnectorConfig } from '../config.ts'
import type { HeldToken } from '../connectors/connections/connection-tokens.ts'
import type { Route } from '../connectors/connectors.ts'
import { heldCredential } from '../connectors/credentials.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { Answer } from './answers.ts'
import {
  createConnectionCalls,
  isRefusalOfToken,
  mayBeReturn,
  type Shown,
} from './connection-calls.ts'
import type { Forward } from './decide.ts'
import { emptyHead } from './headers.ts'

const ORIGIN = 'https://notes.example'
const MACHINE: HeldToken = {
  state: 'token',
  accessToken: 'at_machine',
  scopes: [],
  connectionId: '',
  resourceOrigin: ORIGIN,
}
const encoder = new TextEncoder()

function createWorld(auth: ConnectorConfig['auth'] = 'oauth') {
  const runtime = createTestRuntime()
  const tokens = createKeptTokens()
  const links: unknown[] = []
  const calls = createConnectionCalls({
    runtime,
    tokens,
    link: (facts) => {
      links.push(facts)
      return 'https://p.example/connect/notes?link=x'
    },
    report: () => undefined,
    sessionIds: { opensUrls: () => false },
    key: () => new Uint8Array(32),
  })
  const connector = { name: 'notes', auth, url: new URL(`${ORIGIN}/mcp`) } as ConnectorConfig
  const upstream = { name: 'notes', origin: ORIGIN, addresses: 'approved' as const }
  const to = (userId: string, accessToken = 'at_machine'): Forward => ({
    kind: 'forward',
    route: { kind: 'mcp', connector, upstream } as Route,
    path: '/mcp',
    session: { tenant: 'default', userId, clientId: 'cli_1' } as Session,
    credential: heldCredential(accessToken),
    upstreamSessionId: undefined,
    stateless: false,
    renew: false,
    inspect: false,
  })
  const shown = (body: object): Shown => ({
    head: emptyHead(),
    httpMethod: 'POST',
    body: encoder.encode(JSON.stringify(body)),
    isPartial: false,
    isGone: () => false,
  })
  return { tokens, calls, to, shown, links }
}

const CALL = { jsonrpc: '2.0', id: 5, method: 'tools/call', params: { name: 'x' } }
const answerOf = (
  outcome: Answer | { readonly body?: Uint8Array; readonly credential?: unknown },
) => {
  if (!('status' in outcome)) throw new Error('no answer')
  return { status: outcome.status, json: JSON.parse(outcome.body) }
}
const refusal = { status: 401, challenge: undefined, isSecond: false }

describe('calls that memory does not answer', () => {
  it('GW-23: a client that acts for itself has nobody who could connect: no link is made', async () => {
    const { calls, to, shown, links } = createWorld()
    const outcome = await calls.settle({ ...to('client:cli_1'), kind: 'reconnect' }, shown(CALL))
    expect(answerOf(outcome)).toMatchObject({
      status: 200,
      json: { id: 5, result: { isError: true } },
    })
    expect(links).toEqual([])
  })

  it('client_credentials: a refused token of ours is renewed once; a person is never asked', async () => {
    const { tokens, calls, to, shown, links } = createWorld('client_credentials')
    tokens.onRefused = () => ({ ...MACHINE, accessToken: 'at_next' })
    expect(await calls.refused(to('usr_a'), shown(CALL), refusal)).toEqual({
      credential: { headers: ['authorization', 'Bearer at_next'], accessToken: 'at_next' },
    })
    for (const isSecond of [true, false]) {
      tokens.onRefused = () => ({ state: 'reconnect' })
      const told = answerOf(await calls.refused(to('usr_a'), shown(CALL), { ...refusal, isSecond }))
      expect(told).toMatchObject({
        status: 502,
        json: { id: 5, error: { data: { reason: 'upstream_unauthorized' } } },
      })
    }
    const missing = answerOf(await calls.settle({ ...to('usr_a'), kind: 'reconnect' }, shown(CALL)))
    expect(missing).toMatchObject({ status: 502, json: { id: 5 } })
    tokens.onRefused = () => ({ state: 'unknown' })
    expect(answerOf(await calls.refused(to('usr_a'), shown(CALL), refusal)).status).toBe(503)
    expect(links).toEqual([])
  })

  it('GW-24: the same token once more, or one of another origin, is no other token', async () => {
    const { tokens, calls, to, shown } = createWorld()
    for (const held of [
      { ...MACHINE, accessToken: 'at_old' },
      { ...MACHINE, accessToken: 'at_new', resourceOrigin: 'https://elsewhere.example' },
    ]) {
      tokens.onRefused = () => held
      const told = answerOf(await calls.refused(to('usr_a', 'at_old'), shown(CALL), refusal))
      expect(told.json).toMatchObject({ result: { isError: true } })
    }
    tokens.refused = () => Promise.reject(new Error('store'))
    expect(answerOf(await calls.refused(to('usr_a', 'at_old'), shown(CALL), refusal)).status).toBe(
      503,
    )
  })

  it('GW-24: which refusals are of the token', () => {
    const { to } = createWorld()
    const scopes = 'Bearer error="insufficient_scope", scope="a"'
    expect(isRefusalOfToken(to('usr_a'), 401, undefined)).toBe(true)
    expect(isRefusalOfToken(to('usr_a'), 403, scopes)).toBe(true)
    expect(isRefusalOfToken(to('usr_a'), 403, 'Bearer error="invalid_token"')).toBe(false)
    expect(isRefusalOfToken(to('usr_a'), 403, undefined)).toBe(false)
    expect(isRefusalOfToken(to('usr_a'), 200, scopes)).toBe(false)
    expect(isRefusalOfToken({ ...to('usr_a'), session: undefined }, 401, undefined)).toBe(false)
    expect(isRefusalOfToken(createWorld('identity').to('usr_a'), 403, scopes)).toBe(false)
  })

  it('finds the prefix of our states anywhere in a body, and nowhere else', () => {
    for (const text of ['"prs1_', 'x"prs1_y', '""prs1_', `${'"'.repeat(900)}prs1_`]) {
      expect(mayBeReturn(encoder.encode(text)), text).toBe(true)
    }
    for (const text of ['', '"', 'prs1_', '"prs1', '"prs2_', '\\"prs', `${'"p'.repeat(900)}`]) {
      expect(mayBeReturn(encoder.encode(text)), text).toBe(false)
    }
  })
})
