/**
 * Amazon Cognito user pools. Access tokens have `client_id` and `token_use` in the place of `aud`; a
 * revoked one still verifies locally, so a call asks as well and the cache period is the bound (PRV-19).
 * @see https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
 */
import type { EgressResponse } from '../net/egress.ts'
import type { JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { isAudience } from './oidc-access-token.ts'
import { openIdType } from './oidc-adapter.ts'
import type { Identified, OpenIdProduct, OpenIdQuirks, Said } from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface CognitoOptions extends ProviderOptions {
  /** Such as `eu-central-1`. Default: what stands before `_` in the pool's id. */
  readonly region?: string
  /** Such as `eu-central-1_AbCdEfGhI`. */
  readonly userPoolId?: string
}

/** A Cognito user pool as a sign-in provider. What is not given comes from `POSTERN_COGNITO_*`. */
export function cognito(options: CognitoOptions = {}): ProviderInput {
  return { ...options, type: 'cognito' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery of `https://cognito-idp.<region>.amazonaws.com/<userPoolId>`; the OpenID document only, no registration (https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html)',
  clientAuthentication:
    '`client_secret_basic`; `none` for an app client without a secret (https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html)',
  scopeSeparator:
    'space (https://docs.aws.amazon.com/cognito/latest/developerguide/authorization-endpoint.html)',
  pkce: 'S256 always (https://docs.aws.amazon.com/cognito/latest/developerguide/using-pkce-in-authorization-code.html)',
  tokenFormat:
    'JWT, checked locally by `client_id` and `token_use`; with resource binding also `aud` (https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html)',
  accessLife:
    '5 minutes to 24 hours, default 1 hour (https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html)',
  refresh:
    'always, without `offline_access`; rotation is a setting with a grace of 0 to 60 s (https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-refresh-token.html)',
  check:
    'the local check, then `userInfo`; a revoked token still verifies locally, so the period of the proof bounds revocation: `upstreamProofStaleSeconds`, 300 s (https://docs.aws.amazon.com/cognito/latest/developerguide/token-revocation.html)',
  definiteNo:
    'a token of another client or use; userInfo: 401 with `error="invalid_token"` in `WWW-Authenticate` (https://docs.aws.amazon.com/cognito/latest/developerguide/userinfo-endpoint.html)',
  secondOpinion: 'the refresh: `invalid_grant`',
  rateLimits:
    '429 is never a no (https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html)',
  revocation:
    'refresh tokens only; with them the access tokens that came from them (https://docs.aws.amazon.com/cognito/latest/developerguide/revocation-endpoint.html)',
  events: 'none',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const pool = options['userPoolId'] ?? ''
  const region = options['region'] ?? pool.split('_')[0]
  return {
    issuer: `https://cognito-idp.${region}.amazonaws.com/${pool}`,
    approvedOrigins: [],
    defaultScopes: ['openid', 'profile', 'email'],
    accountPrompt: 'login',
    consentPrompt: 'never',
    groupsClaim: 'cognito:groups',
    rolesClaim: 'cognito:roles',
    identify,
    accessToken: (claims) => judge(claims, clientId),
    check: 'userinfo',
    isRefusal,
    revocation: 'refresh',
    revocationEnds: 'token',
  }
}

/** userInfo endpoint, "Example - positive response": `email_verified` is text there, and only there. */
function identify({ idToken, userinfo }: Said): Identified {
  if (text(idToken, 'token_use') !== 'id') return { refused: 'id_token_use' }
  const { email_verified: verified } = { ...idToken, ...userinfo }
  return { emailVerified: verified === true || userinfo?.['email_verified'] === 'true' }
}

/** userInfo endpoint, "Sample negative responses": the challenge has no scheme before its parameters. */
function isRefusal({ status, headers }: EgressResponse): boolean {
  const challenge = headers.get('www-authenticate') ?? ''
  return status === 401 && /(?:^|[\s,])error="invalid_token"/.test(challenge)
}

function judge(claims: JsonObject, clientId: string): 'client' | 'use' | undefined {
  if (text(claims, 'token_use') !== 'access') return 'use'
  const client = text(claims, 'client_id')
  return client === clientId || (client === undefined && isAudience(claims, clientId))
    ? undefined
    : 'client'
}

const PRODUCT: OpenIdProduct = {
  type: 'cognito',
  title: 'Amazon Cognito',
  secretRequired: false,
  options: [
    {
      name: 'userPoolId',
      kind: 'text',
      required: true,
      pattern: /^[a-z]{2}(?:-[a-z]+)+-\d_[A-Za-z0-9]{1,55}$/,
      mustBe: 'the id of a user pool, such as eu-central-1_AbCdEfGhI',
      environmentSuffix: 'USER_POOL_ID',
      sentence: 'Id of the user pool, such as `eu-central-1_AbCdEfGhI`.',
    },
    {
      name: 'region',
      kind: 'text',
      pattern: /^[a-z]{2}(?:-[a-z]+)+-\d$/,
      mustBe: 'a region, such as eu-central-1',
      environmentSuffix: 'REGION',
      sentence: "Region of the pool; by default the first part of the pool's id.",
    },
  ],
  facts: FACTS,
  setUp:
    'The user pool needs a domain, and an app client with the authorization code grant and the scopes openid, profile and email. Groups are those of the pool (`cognito:groups`), roles are IAM roles (`cognito:roles`).',
  credentialsHint: (callbackUrl) =>
    `Make an app client of the user pool (authorization code grant) with callback URL ${callbackUrl}`,
  quirks,
}

export const COGNITO = openIdType(PRODUCT)
