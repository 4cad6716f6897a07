import { describe, expect, it } from 'vitest'
import { createConnectHouse } from '../../../test/flow/connect-house.ts'
import type { CookieJar } from '../../issuer/cookies.ts'
import {
  type Attempt,
  burnAttempt,
  findAttempt,
  isAttemptSpent,
  isOurState,
  keepAttempt,
  secretsOf,
  spendAttempt,
  verifierOf,
} from './connect-attempt.ts'
import { refusedStep } from './connect-refusals.ts'

const ATTEMPT: Attempt = {
  connector: 'notes',
  userId: 'usr_ada',
  issuer: 'https://login.example',
  tokenEndpoint: 'https://login.example/token',
  resource: 'https://notes.example/mcp',
  clientId: 'client',
  redirectUri: 'https://auth.example/connect/notes/callback',
  scopes: ['read'],
  flowId: 'f_1',
  expiresAtMs: 1_000_000,
}

const jarOf = (lines: readonly string[]): CookieJar => ({
  secure: true,
  values: new Map(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(';', 1)[0]?.split('=') ?? []
      return [name, value]
    }),
  ),
})

function start() {
  const house = createConnectHouse().deps
  const keep = (ticket: string, attempt = ATTEMPT, jar: CookieJar = jarOf([])) => {
    const secrets = secretsOf(house, ticket)
    const lines = keepAttempt(house, jar, secrets.stateDigest, attempt)
    return { ...secrets, lines: lines ?? [], isKept: lines !== undefined }
  }
  return { house, keep }
}

describe('one trip to a server', () => {
  it('CLI-06: one form gives one state and one verifier, another form others', () => {
    const { house } = start()
    const [one, again, other] = ['tkt_1', 'tkt_1', 'tkt_2'].map((id) => secretsOf(house, id))
    expect(again).toEqual(one)
    expect(other?.state).not.toBe(one?.state)
    expect(other?.verifier).not.toBe(one?.verifier)
    expect(one?.verifier).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(verifierOf(house, one?.state ?? '')).toBe(one?.verifier)
  })

  it('CLI-06 A1: a state that we did not make is none of ours, however alike', () => {
    const { house } = start()
    const { state } = secretsOf(house, 'tkt_1')
    expect(isOurState(house, state)).toBe(true)
    const other = secretsOf(createConnectHouse().deps, 'tkt_1').state
    const [name = '', tag = ''] = state.split('.')
    const { state: second } = secretsOf(house, 'tkt_2')
    for (const odd of [
      '',
      '.',
      name,
      `${name}.`,
      `.${tag}`,
      `${tag}.${name}`,
      `${state}.`,
      state.slice(1),
    ])
      expect(isOurState(house, odd), odd).toBe(false)
    expect(isOurState(house, `${name}.${second.split('.')[1]}`)).toBe(false)
    if (other !== state) expect(isOurState(house, other)).toBe(false)
  })

  it('CLI-06 CLI-12: what is kept opens in its browser, for its state, and nowhere else', () => {
    const { house, keep } = start()
    const first = keep('tkt_1')
    expect(findAttempt(house, jarOf(first.lines), first.stateDigest)).toEqual(ATTEMPT)
    expect(findAttempt(house, jarOf([]), first.stateDigest)).toBe('missing')
    const second = secretsOf(house, 'tkt_2')
    const moved = new Map([
      [
        `__Host-postern_txn_${second.stateDigest.slice(-6)}`,
        [...jarOf(first.lines).values.values()][0] ?? '',
      ],
    ])
    expect(findAttempt(house, { secure: true, values: moved }, second.stateDigest)).toBe('foreign')
    expect(first.lines.join()).not.toMatch(/notes|usr_ada|login/)
  })

  it('I3: is spent once, by the answer or by a refusal, whichever comes first', async () => {
    const { house, keep } = start()
    const { stateDigest } = keep('tkt_1')
    const refused = refusedStep(house, { connector: 'notes' }, 'browser_cookie_missing')
    const spent = await Promise.all([
      ...Array.from({ length: 8 }, () => spendAttempt(house, stateDigest)),
      ...Array.from({ length: 8 }, () => burnAttempt(house, stateDigest, refused)),
    ])
    expect(spent.filter((won) => won)).toHaveLength(1)
    expect(await isAttemptSpent(house, stateDigest)).toBe(true)
    expect(await isAttemptSpent(house, secretsOf(house, 'tkt_2').stateDigest)).toBe(false)
  })

  it('I9: cookies of trips stay under what a request may carry; the oldest go first', () => {
    const { keep } = start()
    const large = { ...ATTEMPT, scopes: [Array.from({ length: 1_400 }, () => 's').join('')] }
    const seen = new Map<string, string>()
    for (let n = 0; n < 12; n++) {
      const { lines, isKept } = keep(`tkt_${n}`, large, { secure: true, values: seen })
      expect(isKept).toBe(true)
      for (const line of lines) {
        const [name = '', value = ''] = line.split(';', 1)[0]?.split('=') ?? []
        if (line.includes('Max-Age=0')) seen.delete(name)
        else seen.set(name, value)
      }
      const held = [...seen.values()].reduce((sum, value) => sum + value.length, 0)
      expect(held).toBeLessThanOrEqual(6_000)
    }
    expect(seen.size).toBe(2)
  })

  it('I9: more than a cookie holds is not kept', () => {
    const { keep } = start()
    expect(keep('tkt_1', { ...ATTEMPT, scopes: ['s'.repeat(4_000)] }).isKept).toBe(false)
  })
})
