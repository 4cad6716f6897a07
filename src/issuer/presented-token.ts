/**
 * An access token of ours that is shown to an endpoint instead of being used for a call: introspection,
 * revocation, token exchange. Judged from the text each time and never remembered, so that whatever
 * ended it meanwhile counts at once.
 */
import {
  type AccessTokenClaims,
  type AccessTokenJudgement,
  judgeAccessToken,
} from '../oauth/access-token.ts'
import { TENANT } from '../records.ts'
import type { IssuerHouse } from './house.ts'

/** Signature, times and our own tag; whom it is for is the caller's question. */
export function judgePresented(
  { runtime, keys, config }: Pick<IssuerHouse, 'runtime' | 'keys' | 'config'>,
  token: string,
): AccessTokenJudgement {
  return judgeAccessToken(token, {
    keys: keys.verifyKeys(),
    tagKey: keys.tagKey(),
    issuer: config.issuer,
    nowSeconds: Math.floor(runtime.nowMs() / 1000),
    runtime,
  })
}

/** Is the token, or anything that it belongs to, revoked? The same marks as on a call. */
export function markedPresented(
  { runtime, revocation }: Pick<IssuerHouse, 'runtime' | 'revocation'>,
  token: string,
  { claims, keyId }: { readonly claims: AccessTokenClaims; readonly keyId: string },
): boolean | 'view-too-old' {
  return revocation.marked({
    tenant: TENANT,
    userId: claims.sub,
    clientId: claims.client_id,
    grantId: claims.gid,
    resource: claims.aud,
    keyId,
    jti: claims.jti,
    digest: runtime.sha256(token),
    issuedAtMs: claims.iat * 1000,
  })
}
