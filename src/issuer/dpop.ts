/**
 * DPoP at the token endpoint and at `/par` (RFC 9449 sections 5, 8, 10): one proof, our nonce, and a
 * `jti` that is used once by one conditional write. Without `dpop` in `enable` the header is nothing.
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import { dpopNonces, judgeProof } from '../oauth/dpop.ts'
import type { Grant } from '../records.ts'
import type { IssuerHouse } from './house.ts'
import { spend } from './spent.ts'

export interface ProvedKey {
  readonly jkt: string
  /**
   * Uses the proof up, by one conditional write: after every other check, so that a request that would
   * be refused anyway writes nothing.
   *
   * @throws {OAuthError} `invalid_dpop_proof` when it was used before.
   */
  spend(): Promise<void>
}

/**
 * @returns `undefined` when the request carries no proof, or proofs are not taken here.
 * @throws {OAuthError} `invalid_dpop_proof`, `use_dpop_nonce` (400, with `DPoP-Nonce`).
 */
export function proveKey(house: IssuerHouse, http: Request, path: string): ProvedKey | undefined {
  const { runtime, keys, config } = house
  const proof = config.enable.includes('dpop') ? http.headers.get('dpop') : null
  if (proof === null) return undefined
  const nowSeconds = Math.floor(runtime.nowMs() / 1000)
  const nonces = dpopNonces(runtime, keys.tagKey(), nowSeconds)
  const judged = judgeProof(proof, {
    method: http.method,
    // The published address: what a proxy makes of it is not what the client signed.
    url: house.issuerUrl.origin + path,
    nowSeconds,
    nonces,
    runtime,
  })
  if (!judged.ok) throw refusedProof(judged.reason, nonces[0])
  const { jkt, jti, expiresAtSeconds } = judged
  return {
    jkt,
    async spend() {
      const isFirst = await spend(house, ['dpop', jkt, jti], expiresAtSeconds * 1000)
      if (!isFirst) throw refusedProof('replayed', nonces[0])
    },
  }
}

/** So that the next request of this client needs no second try. */
export function nonceHeader(
  house: IssuerHouse,
  proved: ProvedKey | undefined,
): Readonly<Record<string, string>> {
  if (proved === undefined) return {}
  const { runtime, keys } = house
  const [nonce = ''] = dpopNonces(runtime, keys.tagKey(), Math.floor(runtime.nowMs() / 1000))
  return { 'dpop-nonce': nonce }
}

/**
 * A bound refresh token works with its key only; for a client with a credential of its own any key
 * will do, but never none (RFC 9449 section 5).
 *
 * @throws {OAuthError} `invalid_dpop_proof`
 */
export function requireBoundKey(grant: Grant, client: Client, proved: ProvedKey | undefined): void {
  if (grant.jkt === undefined) return
  if (proved === undefined) throw refusedProof('absent', undefined)
  if (client.authMethod === 'none' && proved.jkt !== grant.jkt) {
    throw refusedProof('other_key', undefined)
  }
}

export function refusedProof(reason: string, nonce: string | undefined): OAuthError {
  const headers: Record<string, string> = nonce === undefined ? {} : { 'dpop-nonce': nonce }
  return reason === 'nonce'
    ? new OAuthError('use_dpop_nonce', 'use the nonce of this answer in the proof', {
        reason: 'dpop_nonce',
        headers,
      })
    : new OAuthError('invalid_dpop_proof', 'the DPoP proof does not fit this request', {
        reason: `dpop_${reason}`,
        headers,
      })
}
