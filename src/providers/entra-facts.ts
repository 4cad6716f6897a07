/** What is true of Microsoft Entra ID and where Microsoft says so (PRV-02). Printed in `docs/providers.md`. */
import type { ProviderFacts } from './provider.ts'

export const ENTRA_FACTS: ProviderFacts = {
  endpoints:
    'v2.0 only, from discovery; of a shared endpoint the document says `{tenantid}`, which is the `tid` of the token and must be allowed (https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer); no RFC 8414, no registration, no `iss` in answers',
  clientAuthentication:
    '`client_secret_post` (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-access-token-with-a-client_secret)',
  scopeSeparator:
    'space; those of one resource in each token request, never `resource`; without a prefix they are of Graph (https://learn.microsoft.com/entra/identity-platform/reference-error-codes AADSTS901002, AADSTS28000, AADSTS28003, AADSTS650053)',
  pkce: 'S256 always (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-authorization-code)',
  tokenFormat:
    'Graph tokens are opaque to us; of an API of your own a JWT, checked locally: `aud`, `azp`, `tid`, issuer (https://learn.microsoft.com/entra/identity-platform/access-tokens#token-ownership)',
  accessLife:
    '60 to 90 minutes (https://learn.microsoft.com/entra/identity-platform/configurable-token-lifetimes)',
  refresh:
    'with `offline_access`: a new one at each use, the old one stays good; 90 days (https://learn.microsoft.com/entra/identity-platform/refresh-tokens)',
  check:
    'none by a call: the life of the access token, and its local check where it is a JWT for us; the bound is its life (https://learn.microsoft.com/entra/identity-platform/userinfo advises against asking)',
  definiteNo:
    'the refresh: `invalid_grant` or `interaction_required` (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors); a token of another tenant, client or API',
  secondOpinion: 'the refresh',
  rateLimits:
    '429 and 5xx are never a no; `Retry-After` (https://learn.microsoft.com/graph/throttling)',
  revocation:
    'none of a single token, only all sessions of a person by an administrator (https://learn.microsoft.com/graph/api/user-revokesigninsessions)',
  events:
    'none: front-channel logout only (https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#single-sign-out)',
}
