import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { scanHeaders, scanRaw } from './headers.ts'
import { createPossession } from './possession.ts'

const RESOURCE = 'https://auth.example/mcp/notes'
const TOKEN = 'an.access.token'

function open(proofsMax?: number) {
  const runtime = createTestRuntime()
  const jwk = runtime.createSigningJwk()
  const { d: _d, ...publicJwk } = jwk
  const jkt = runtime.sha256(JSON.stringify({ crv: 'P-256', kty: 'EC', x: jwk.x, y: jwk.y }))
  const possession = createPossession({
    runtime,
    nonces: () => ['n1'],
    ...(proofsMax === undefined ? {} : { proofsMax }),
  })
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const proof = (jti: string): string => {
    const iat = Math.floor(runtime.nowMs() / 1000)
    const head = { typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk }
    const ath = runtime.sha256(TOKEN)
    const body = { jti, htm: 'POST', htu: RESOURCE, iat, nonce: 'n1', ath }
    const input = `${encode(head)}.${encode(body)}`
    return `${input}.${runtime.sign(runtime.importSigningKey(jwk), input)}`
  }
  const shown = (text: string) => ({ proof: text, method: 'POST', path: '/mcp/notes' })
  const judge = (presented: ReturnType<typeof shown>) =>
    possession.judge({ jkt, digest: 'd1' }, TOKEN, RESOURCE, presented)
  return { runtime, possession, proof, shown, judge }
}

describe('possession of the key of a token', () => {
  it('EXT-05: one request may be decided twice, another one with its proof is a replay', () => {
    const { proof, shown, judge } = open()
    const presented = shown(proof('j1'))
    expect([judge(presented), judge(presented)]).toEqual([undefined, undefined])
    expect(judge(shown(presented.proof))).toBe('dpop_replayed')
  })

  it('EXT-05: a remembered proof is forgotten only when its age alone refuses it', () => {
    const { runtime, proof, shown, judge } = open()
    const text = proof('j1')
    expect(judge(shown(text))).toBeUndefined()
    runtime.advanceMs(30_000)
    expect(judge(shown(text))).toBe('dpop_replayed')
    runtime.advanceMs(10_000)
    expect(judge(shown(text))).toBe('dpop_proof')
  })

  it('EXT-05: a full memory refuses instead of forgetting, and empties with time', () => {
    const { runtime, proof, shown, judge } = open(2)
    const first = shown(proof('j1'))
    expect([judge(first), judge(shown(proof('j2')))]).toEqual([undefined, undefined])
    expect(judge(shown(proof('j3')))).toBe('dpop_busy')
    expect(judge(shown(first.proof))).toBe('dpop_replayed')
    runtime.advanceMs(40_000)
    expect(judge(shown(proof('j4')))).toBeUndefined()
  })

  it('EXT-05: a token without a key cannot be proved', () => {
    const { possession, proof, shown } = open()
    const presented = shown(proof('j1'))
    const session = { jkt: undefined, digest: 'd1' }
    expect(possession.judge(session, TOKEN, RESOURCE, presented)).toBe('token_unbound')
  })

  it('EXT-05: the proof never leaves here, and two of them are a fault', () => {
    const raw: string[] = []
    expect(scanRaw(['DPoP', 'a.b.c', 'Accept', '*/*'], raw)).toMatchObject({ dpop: 'a.b.c' })
    expect(raw).toEqual(['Accept', '*/*'])
    expect(scanRaw(['DPoP', 'a', 'dpop', 'b'], []).fault).toBe('duplicate_header')
    const joined: string[] = []
    const headers = new Headers([
      ['dpop', 'a.b.c'],
      ['dpop', 'd.e.f'],
    ])
    expect(scanHeaders(headers, joined).fault).toBe('duplicate_header')
    expect(joined).toEqual([])
  })
})
