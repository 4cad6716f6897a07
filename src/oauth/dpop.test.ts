import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { EcJwk } from '../ports.ts'
import {
  dpopNonces,
  isThumbprint,
  judgeProof,
  PROOF_AGE_MAX_SECONDS,
  PROOF_AHEAD_MAX_SECONDS,
  PROOF_MAX_CHARS,
  type ProofFacts,
} from './dpop.ts'

const runtime = createTestRuntime()
const NOW = Math.floor(runtime.nowMs() / 1000)
const URL_OF_CALL = 'https://auth.example/mcp/notes'
const TOKEN = 'an.access.token'
const privateJwk = runtime.createSigningJwk()
const { d: _d, ...publicJwk } = privateJwk
const JKT = runtime.sha256(
  JSON.stringify({ crv: 'P-256', kty: 'EC', x: publicJwk.x, y: publicJwk.y }),
)

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function proof(
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  signer: EcJwk = privateJwk,
): string {
  const head = { typ: 'dpop+jwt', alg: 'ES256', jwk: publicJwk, ...header }
  const body = { jti: 'j1', htm: 'POST', htu: URL_OF_CALL, iat: NOW, nonce: 'n1', ...claims }
  const input = `${encode(head)}.${encode(body)}`
  return `${input}.${runtime.sign(runtime.importSigningKey(signer), input)}`
}

const FACTS: ProofFacts = {
  method: 'POST',
  url: URL_OF_CALL,
  nowSeconds: NOW,
  nonces: ['n1', 'n0'],
  runtime,
}

function reason(text: string, facts: Partial<ProofFacts> = {}): string {
  const judged = judgeProof(text, { ...FACTS, ...facts })
  return judged.ok ? 'ok' : judged.reason
}

describe('a DPoP proof (RFC 9449 section 4.3)', () => {
  it('EXT-05: fits its request, and names the key by its thumbprint (RFC 7638)', () => {
    expect(judgeProof(proof(), FACTS)).toEqual({
      ok: true,
      jkt: JKT,
      jti: 'j1',
      expiresAtSeconds: NOW + PROOF_AGE_MAX_SECONDS,
    })
    expect(reason(proof({ nonce: 'n0' }))).toBe('ok')
    expect(isThumbprint(JKT)).toBe(true)
    expect(isThumbprint(`${JKT}=`)).toBe(false)
  })

  it('EXT-05: query, fragment, port 443 and letter case of the host are not compared, all else is', () => {
    for (const htu of [
      `${URL_OF_CALL}?x=1`,
      `${URL_OF_CALL}#f`,
      'HTTPS://AUTH.example:443/mcp/notes',
    ]) {
      expect(reason(proof({ htu })), htu).toBe('ok')
    }
    for (const htu of [
      'http://auth.example/mcp/notes',
      'https://auth.example:8443/mcp/notes',
      'https://other.example/mcp/notes',
      'https://auth.example/mcp/notes/',
      'https://auth.example/token',
      '/mcp/notes',
      '',
      7,
      undefined,
    ]) {
      expect(reason(proof({ htu })), String(htu)).toBe('htu')
    }
  })

  it.each<[string, string, string]>([
    ['typ', 'typ', proof({}, { typ: 'JWT' })],
    ['typ absent', 'typ', proof({}, { typ: undefined })],
    ['alg none', 'algorithm', proof({}, { alg: 'none' })],
    ['alg HS256', 'algorithm', proof({}, { alg: 'HS256' })],
    ['crit', 'algorithm', proof({}, { crit: ['b64'] })],
    ['no key', 'key', proof({}, { jwk: undefined })],
    ['private key', 'key', proof({}, { jwk: privateJwk })],
    ['symmetric key', 'key', proof({}, { jwk: { kty: 'oct', k: 'AAAA' } })],
    ['other curve', 'key', proof({}, { jwk: { ...publicJwk, crv: 'P-384' } })],
    ['signed by another key', 'signature', proof({}, {}, runtime.createSigningJwk())],
    [
      'a point that is not on the curve',
      'signature',
      proof({}, { jwk: { ...publicJwk, y: publicJwk.x } }),
    ],
    ['method', 'htm', proof({ htm: 'GET' })],
    ['method in lower case', 'htm', proof({ htm: 'post' })],
    ['too old', 'iat', proof({ iat: NOW - PROOF_AGE_MAX_SECONDS - 1 })],
    ['ahead', 'iat', proof({ iat: NOW + PROOF_AHEAD_MAX_SECONDS + 1 })],
    ['iat absent', 'iat', proof({ iat: undefined })],
    ['iat as text', 'iat', proof({ iat: String(NOW) })],
    ['jti absent', 'jti', proof({ jti: undefined })],
    ['jti empty', 'jti', proof({ jti: '' })],
    ['jti too long', 'jti', proof({ jti: 'j'.repeat(257) })],
    ['nonce absent', 'nonce', proof({ nonce: undefined })],
    ['nonce of another time', 'nonce', proof({ nonce: 'n9' })],
    ['two parts', 'malformed', proof().split('.').slice(0, 2).join('.')],
    ['four parts', 'malformed', `${proof()}.x`],
    ['not JSON', 'malformed', `bm90IGpzb24.${proof().split('.').slice(1).join('.')}`],
    ['too long', 'malformed', proof({ x: 'y'.repeat(PROOF_MAX_CHARS) })],
    ['empty', 'malformed', ''],
  ])('EXT-05: refuses %s', (_, expected, text) => {
    expect(reason(text)).toBe(expected)
  })

  it('EXT-05: at a resource, ath is the digest of the token beside it', () => {
    const facts = { accessToken: TOKEN, jkt: JKT }
    expect(reason(proof({ ath: runtime.sha256(TOKEN) }), facts)).toBe('ok')
    expect(reason(proof({ ath: runtime.sha256('other') }), facts)).toBe('ath')
    expect(reason(proof(), facts)).toBe('ath')
  })

  it('EXT-05: a proof of another key than the bound one is refused, however good', () => {
    expect(reason(proof(), { jkt: runtime.sha256('another key') })).toBe('other_key')
  })

  it('EXT-05: nonces follow from time and key alone, and live for one to two windows', () => {
    const key = new Uint8Array(32).fill(1)
    const [now = '', before = ''] = dpopNonces(runtime, key, 3_000)
    expect(dpopNonces(runtime, key, 3_299)).toEqual([now, before])
    expect(dpopNonces(runtime, key, 3_300)[1]).toBe(now)
    expect(dpopNonces(runtime, key, 3_600)).not.toContain(now)
    expect(dpopNonces(runtime, new Uint8Array(32).fill(2), 3_000)).not.toContain(now)
  })
})

describe('the time of a DPoP proof', () => {
  it('EXT-05: is a whole number of seconds', () => {
    for (const iat of [undefined, null, String(NOW), NOW + 0.5, [NOW], {}])
      expect(reason(proof({ iat })), String(iat)).toBe('iat')
    expect(reason(proof({ iat: NOW }))).toBe('ok')
  })
})
