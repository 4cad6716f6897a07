/** A client's key and its DPoP proofs (RFC 9449), made by `jose` as clients make them. */
import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'

export interface Prover {
  readonly jkt: string
  /** @param accessToken Of a call to a resource: its digest becomes `ath`. */
  prove(
    method: string,
    url: string,
    rest?: { readonly accessToken?: string; readonly claims?: JWTPayload },
  ): Promise<string>
  /** What the server gave last; goes into every further proof. */
  nonce: string | undefined
}

export async function createProver(nowMs: () => number): Promise<Prover> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const prover: Prover = {
    jkt: await calculateJwkThumbprint(jwk),
    nonce: undefined,
    prove: (method, url, { accessToken, claims = {} } = {}) =>
      new SignJWT({
        htm: method,
        htu: url,
        iat: Math.floor(nowMs() / 1000),
        jti: randomUUID(),
        ...(prover.nonce === undefined ? {} : { nonce: prover.nonce }),
        ...(accessToken === undefined
          ? {}
          : { ath: createHash('sha256').update(accessToken).digest('base64url') }),
        ...claims,
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(privateKey),
  }
  return prover
}
