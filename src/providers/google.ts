/**
 * Google accounts. Refresh tokens come only with `access_type=offline`, and a second one only after
 * `prompt=consent`; the opaque access token is proved at `tokeninfo`, for this client only; revoking
 * one token ends the whole authorization (PRV-12, PRV-13).
 * @see https://developers.google.com/identity/openid-connect/openid-connect
 * @see https://developers.google.com/identity/protocols/oauth2/web-server
 */

import { readObject } from '../net/json-answer.ts'
import { FORM } from '../oauth/client-request.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { ANSWER_MAX_BYTES, text, unknown, unknownAnswer } from './answers.ts'
import { openIdType } from './oidc-adapter.ts'
import { HOST_NAME, type OpenIdProduct, type OpenIdQuirks } from './oidc-product.ts'
import type {
  Proof,
  ProviderContext,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
} from './provider.ts'

const ISSUER = 'https://accounts.google.com'
const TOKENINFO = 'https://oauth2.googleapis.com/tokeninfo'

export interface GoogleOptions extends ProviderOptions {
  /** Only accounts of this Google Workspace domain (claim `hd`). Default: any account. */
  readonly hostedDomain?: string
}

/** Google as a sign-in provider. What is not given comes from `POSTERN_GOOGLE_*`. */
export function google(options: GoogleOptions = {}): ProviderInput {
  return { ...options, type: 'google' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery of `https://accounts.google.com`; ID tokens of old say `accounts.google.com` (https://developers.google.com/identity/openid-connect/reference)',
  clientAuthentication:
    '`client_id` and `client_secret` in the form at the token endpoint; none at revocation (https://developers.google.com/identity/protocols/oauth2/web-server#exchange-authorization-code)',
  scopeSeparator:
    'space; `email` and `profile` are granted under their long names (https://developers.google.com/identity/protocols/oauth2/scopes)',
  pkce: 'S256 always (https://developers.google.com/identity/protocols/oauth2/native-app#step1-code-verifier)',
  tokenFormat:
    'access token opaque; ID token checked locally with the published keys and their `Cache-Control` (https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken)',
  accessLife:
    '`expires_in`, about 3 600 s (https://developers.google.com/identity/protocols/oauth2/web-server)',
  refresh:
    'not rotated; only with `access_type=offline`, and again only with `prompt=consent`, which is sent when none is stored; ends after six months without use, after 7 days while the app is in testing, beyond 100 per account and client (https://developers.google.com/identity/protocols/oauth2#expiration)',
  check:
    'one POST to `tokeninfo` with the access token in the header; `aud` and `azp` must be this client; scopes of the same answer (https://developers.google.com/identity/sign-in/web/backend-auth#calling-the-tokeninfo-endpoint)',
  definiteNo:
    '`tokeninfo`: 400 with JSON `error` exactly `invalid_token`; or 200 for another client or person (https://developers.google.com/identity/protocols/oauth2)',
  secondOpinion:
    'the refresh: `invalid_grant` (https://developers.google.com/identity/protocols/oauth2#expiration)',
  rateLimits:
    '403 and 429 are never a no; `Retry-After` (https://developers.google.com/identity/protocols/oauth2/policies)',
  revocation:
    '`https://oauth2.googleapis.com/revoke` ends the whole authorization of this person, so a replaced token is left alone (https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke)',
  events: 'none (https://developers.google.com/identity/protocols/risc needs a push registration)',
}

const ALIASES: Readonly<Record<string, string>> = {
  'https://www.googleapis.com/auth/userinfo.email': 'email',
  'https://www.googleapis.com/auth/userinfo.profile': 'profile',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const hostedDomain = options['hostedDomain']
  return {
    issuer: ISSUER,
    issuerAliases: ['accounts.google.com'],
    approvedOrigins: [],
    defaultScopes: ['openid', 'profile', 'email'],
    scopeAliases: ALIASES,
    authorizeParameters: {
      access_type: 'offline',
      ...(hostedDomain === undefined ? {} : { hd: hostedDomain }),
    },
    accountPrompt: 'select_account',
    consentPrompt: 'no_refresh_token',
    authMethod: 'client_secret_post',
    groupsClaim: 'groups',
    asksUserinfo: false,
    identify({ idToken }) {
      const tenant = text(idToken, 'hd')
      if (hostedDomain !== undefined && tenant !== hostedDomain) return { refused: 'hosted_domain' }
      return tenant === undefined ? {} : { tenant }
    },
    check: (context, tokens, subject) => tokenInfo(context, tokens, { clientId, subject }),
    revocation: 'anonymous',
  }
}

/** The token goes into a header: in a query it would stand in somebody's log. */
async function tokenInfo(
  context: ProviderContext,
  tokens: TokenSet,
  expected: { readonly clientId: string; readonly subject: string | undefined },
): Promise<Proof> {
  const response = await context.egress.exchange({
    operation: 'check',
    method: 'POST',
    url: TOKENINFO,
    headers: { authorization: `Bearer ${tokens.accessToken}`, 'content-type': FORM },
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
  const body = readObject(response)
  if (response.status === 400 && body?.['error'] === 'invalid_token')
    return { outcome: 'no', reason: 'invalid_token' }
  if (response.status !== 200) return unknownAnswer(response, context.runtime.nowMs())
  const audience = text(body, 'aud')
  if (audience === undefined) return unknown('body')
  const party = text(body, 'azp') ?? audience
  if (audience !== expected.clientId || party !== expected.clientId)
    return { outcome: 'no', reason: 'client' }
  const { subject } = expected
  if (subject !== undefined && text(body, 'sub') !== subject)
    return text(body, 'sub') === undefined ? unknown('body') : { outcome: 'no', reason: 'subject' }
  const scope = text(body, 'scope', ANSWER_MAX_BYTES)
  if (scope === undefined) return { outcome: 'yes' }
  return { outcome: 'yes', scopes: scope.split(' ').map((name) => ALIASES[name] ?? name) }
}

const PRODUCT: OpenIdProduct = {
  type: 'google',
  title: 'Google',
  secretRequired: true,
  options: [
    {
      name: 'hostedDomain',
      kind: 'text',
      ...HOST_NAME,
      environmentSuffix: 'HOSTED_DOMAIN',
      sentence: 'Only accounts of this Google Workspace domain (claim `hd`).',
    },
  ],
  facts: FACTS,
  setUp:
    'Make an OAuth client of type "Web application". The first sign-in brings a refresh token; where ours was lost, the next sign-in of the same browser asks for consent again and gets a new one. People may untick a scope: what was granted is what counts. Google names no groups: `allow` with `emailDomains`, or `hostedDomain`.',
  credentialsHint: (callbackUrl) =>
    `Make an OAuth client (web application) at https://console.cloud.google.com/apis/credentials with redirect URI ${callbackUrl}`,
  quirks,
}

export const GOOGLE = openIdType(PRODUCT)
