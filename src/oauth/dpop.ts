/**
 * DPoP proofs (RFC 9449): what a proof says, and whether it fits the request that carries it. ES256
 * only. Nothing is remembered here: that a proof is used once is for who calls. Never throws.
 */
import type { Runtime } from '../ports.ts'
import { encodeBase64url } from './base64url.ts'
import { isObject, type JsonObject, readPart } from './claims.ts'
import { parseUrl } from './urls.ts'

export const DPOP_ALGORITHMS: readonly string[] = ['ES256']
export const PROOF_MAX_CHARS = 4_096
/** Oldest proof, and how far a client's clock may be ahead. */
export const PROOF_AGE_MAX_SECONDS = 30
export const PROOF_AHEAD_MAX_SECONDS = 10
const PROOF_ID_MAX_CHARS = 256
const COORDINATE = /^[A-Za-z0-9_-]{43}$/
const SIGNATURE = /^[A-Za-z0-9_-]{86}$/

export type ProofRefusal =
  | 'malformed'
  | 'typ'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'htm'
  | 'htu'
  | 'iat'
  | 'jti'
  | 'ath'
  | 'nonce'
  | 'other_key'

export interface ProofFacts {
  readonly method: string
  /** Of the request, as the client addressed it; query and fragment are not compared. */
  readonly url: string
  readonly nowSeconds: number
  /** Nonces that are good now; absent: none is asked for. */
  readonly nonces?: readonly string[] | undefined
  /** At a resource: the access token beside the proof. */
  readonly accessToken?: string
  /** The key that the token, code or refresh token is bound to. */
  readonly jkt?: string | undefined
  readonly runtime: Runtime
}

export type ProofJudgement =
  | { ok: true; jkt: string; jti: string; expiresAtSeconds: number }
  | { ok: false; reason: ProofRefusal }

/** Everything of RFC 9449 section 4.3 but the use of `jti`. Cheap checks come before the signature. */
export function judgeProof(proof: string, facts: ProofFacts): ProofJudgement {
  const parts = readParts(proof)
  if (parts === undefined) return refuse('malformed')
  const { header, payload } = parts
  if (header['typ'] !== 'dpop+jwt') return refuse('typ')
  if (header['alg'] !== 'ES256' || 'crit' in header) return refuse('algorithm')
  const key = readKey(header['jwk'])
  if (key === undefined) return refuse('key')
  const stale = judgeClaims(payload, facts)
  if (stale !== undefined) return refuse(stale)
  const jkt = facts.runtime.sha256(JSON.stringify({ crv: 'P-256', kty: 'EC', x: key.x, y: key.y }))
  if (facts.jkt !== undefined && !facts.runtime.equal(facts.jkt, jkt)) return refuse('other_key')
  if (!isSigned(proof, key, facts.runtime)) return refuse('signature')
  return {
    ok: true,
    jkt,
    jti: String(payload['jti']),
    expiresAtSeconds: Number(payload['iat']) + PROOF_AGE_MAX_SECONDS,
  }
}

/** RFC 9449 section 6.1: a SHA-256 thumbprint, as `dpop_jkt` carries it. */
export function isThumbprint(text: string): boolean {
  return COORDINATE.test(text)
}

/** Good for one to two of these. */
const NONCE_WINDOW_SECONDS = 300

/**
 * Nonces that all nodes agree on without telling each other: a keyed digest of the time. The first is
 * the one to give out; the others are still good.
 */
export function dpopNonces(
  runtime: Pick<Runtime, 'hmacSha256'>,
  key: Uint8Array,
  nowSeconds: number,
): readonly string[] {
  const window = Math.floor(nowSeconds / NONCE_WINDOW_SECONDS)
  return [window, window - 1].map((at) =>
    encodeBase64url(runtime.hmacSha256(key, `dpop-nonce.${at}`).subarray(0, 16)),
  )
}

function judgeClaims(payload: JsonObject, facts: ProofFacts): ProofRefusal | undefined {
  const { htm, htu, iat, jti, ath, nonce } = payload
  if (typeof jti !== 'string' || jti === '' || jti.length > PROOF_ID_MAX_CHARS) return 'jti'
  if (htm !== facts.method) return 'htm'
  if (typeof htu !== 'string' || !isSameTarget(htu, facts.url)) return 'htu'
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat)) return 'iat'
  if (iat < facts.nowSeconds - PROOF_AGE_MAX_SECONDS) return 'iat'
  if (iat > facts.nowSeconds + PROOF_AHEAD_MAX_SECONDS) return 'iat'
  if (facts.accessToken !== undefined) {
    const digest = facts.runtime.sha256(facts.accessToken)
    if (typeof ath !== 'string' || !facts.runtime.equal(ath, digest)) return 'ath'
  }
  // Last: a client is told to try again with our nonce only when nothing else is wrong.
  if (facts.nonces !== undefined) {
    const known = typeof nonce === 'string' && facts.nonces.includes(nonce)
    if (!known) return 'nonce'
  }
  return undefined
}

/** RFC 9449 section 4.3: compared after normalisation, without query and fragment. */
function isSameTarget(htu: string, url: string): boolean {
  const [left, right] = [parseUrl(htu), parseUrl(url)]
  if (left === undefined || right === undefined) return false
  return left.origin === right.origin && left.pathname === right.pathname
}

interface PublicKey {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
}

function readKey(jwk: unknown): PublicKey | undefined {
  if (!isObject(jwk)) return undefined
  const { kty, crv, x, y } = jwk
  // A proof that shows a private key proves nothing any more.
  if (kty !== 'EC' || crv !== 'P-256' || 'd' in jwk) return undefined
  if (typeof x !== 'string' || !COORDINATE.test(x)) return undefined
  if (typeof y !== 'string' || !COORDINATE.test(y)) return undefined
  return { kty, crv, x, y }
}

function isSigned(proof: string, key: PublicKey, runtime: Runtime): boolean {
  const last = proof.lastIndexOf('.')
  try {
    return runtime.verify(runtime.importVerifyKey(key), proof.slice(0, last), proof.slice(last + 1))
  } catch {
    // A point that is not on the curve, or an odd signature: refused all the same.
    return false
  }
}

function readParts(proof: string): { header: JsonObject; payload: JsonObject } | undefined {
  if (proof.length > PROOF_MAX_CHARS) return undefined
  const [first = '', second = '', third = '', ...more] = proof.split('.')
  if (more.length > 0 || !SIGNATURE.test(third)) return undefined
  const header = readPart(first)
  const payload = readPart(second)
  return header === undefined || payload === undefined ? undefined : { header, payload }
}

function refuse(reason: ProofRefusal): ProofJudgement {
  return { ok: false, reason }
}
