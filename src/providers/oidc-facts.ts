/** What is true of any OpenID provider and which section says so (PRV-02). Printed in `docs/providers.md`. */
import type { ProviderFacts } from './provider.ts'

export const OIDC_FACTS: ProviderFacts = {
  endpoints: 'from discovery; `issuer` equal to the letter (Discovery section 4.3)',
  clientAuthentication:
    '`client_secret_basic` unless only `client_secret_post` is listed; `none` without a secret (Discovery section 3, Core section 9)',
  scopeSeparator: 'space (RFC 6749 section 3.3)',
  pkce: 'S256 always, besides `nonce` (RFC 9700 section 2.1.1)',
  tokenFormat: 'access token opaque to us; ID token checked locally (Core section 3.1.3.7)',
  accessLife: '`expires_in`; unknown when absent (RFC 6749 section 5.1)',
  refresh:
    'with `offline_access` when the provider lists it; rotating or not; `invalid_grant` is the end (RFC 6749 section 5.2, Core section 12)',
  check:
    "`userinfo` with the user's token when advertised; or `introspection` when configured; neither: the life of the access token (Core section 5.3, RFC 7662)",
  definiteNo:
    'userinfo: 401 with `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750 section 3.1); introspection: 200 with `active: false` (RFC 7662 section 2.2)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits: '403, 429 and 5xx are never a no; `Retry-After` (RFC 9110 section 10.2.3)',
  revocation:
    '`revocation_endpoint` when advertised, refresh token first; what else dies with it is not said, so a replaced token is left alone (RFC 7009 section 2.1)',
  events: 'back-channel logout by `sid` or `sub` (Back-Channel Logout section 2.5)',
}
