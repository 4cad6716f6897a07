/**
 * What makes one OpenID product different from any other: data, and a function where data cannot say
 * it. Everything that is not named here is the generic adapter's, by the standard.
 */
import type { EgressResponse } from '../net/egress.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { IdTokenClaims } from '../oauth/id-token.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Secret } from '../secret.ts'
import type { JsonWebKeySet, OpenIdMetadata } from './openid-metadata.ts'
import type { Proof, ProviderContext, ProviderSettings, ProviderType } from './provider.ts'

/** What one sign-in said about a person, each part already checked. */
export interface Said {
  readonly idToken: IdTokenClaims
  /** Absent where it was not asked. */
  readonly userinfo?: JsonObject
  /** Claims of an access token that is a JWT for this client. */
  readonly accessToken?: JsonObject
}

/** Parts of an identity that a product reads in its own way. Absent: the standard's. */
export interface IdentityParts {
  readonly issuer?: string
  readonly subject?: string
  readonly groups?: readonly string[]
  readonly roles?: readonly string[]
  readonly tenant?: string
  readonly emailVerified?: boolean
}

/** `refused`: the reason of the refusal, such as another organisation than the configured one. */
export type Identified = IdentityParts | { readonly refused: string }

export interface OpenIdQuirks {
  /** Key of discovery, `iss` of the callback, and of tokens unless `tokenIssuer` says otherwise. */
  readonly issuer: string
  /** `issuer` member of the discovery document, where it is a template. */
  readonly documentIssuer?: string
  /** Other spellings of `iss` in an ID token. */
  readonly issuerAliases?: readonly string[]
  /** `iss` that a token with these (unverified) claims must have; `undefined`: nobody we accept. */
  readonly tokenIssuer?: (claims: JsonObject) => string | undefined
  /** The keys that may sign for this `iss`. */
  readonly keysOf?: (keys: JsonWebKeySet, issuer: string) => JsonWebKeySet
  /** Origins that stand in the configuration, and so may be private or http. */
  readonly approvedOrigins: readonly string[]
  /** Asked for by default. Absent: `openid profile email`, and `offline_access` where it is listed. */
  readonly defaultScopes?: readonly string[]
  /** Longer names under which a scope is granted. */
  readonly scopeAliases?: Readonly<Record<string, string>>
  /** Further parameters of the authorization request. */
  readonly authorizeParameters?: Readonly<Record<string, string>>
  /** How the account chooser is asked for. Default `select_account`, or `login` where it is not listed. */
  readonly accountPrompt?: 'select_account' | 'login'
  /** When `prompt=consent` is sent. Default `offline_access`: with that scope (Core section 11). */
  readonly consentPrompt?: 'offline_access' | 'no_refresh_token' | 'never'
  /** Preferred way to authenticate at the token endpoint. Default `client_secret_basic`. */
  readonly authMethod?: 'client_secret_post'
  /** `scope` of each token request, from what was asked for. Absent: none is sent. */
  readonly tokenScopes?: (scopes: readonly string[]) => readonly string[]
  /** Error codes of a refresh that end the sign-in besides `invalid_grant`. */
  readonly refreshEnds?: readonly string[]
  /** Default `groups`. */
  readonly groupsClaim: string
  /** Absent: no roles. */
  readonly rolesClaim?: string
  readonly subjectOf?: (claims: JsonObject) => string | undefined
  readonly identify?: (said: Said) => Identified
  /** Groups that did not fit into the token; `undefined`: all are in it. One call at most. */
  readonly furtherGroups?: (
    context: ProviderContext,
    tokens: TokenSet,
    said: Said,
  ) => Promise<readonly string[] | undefined>
  /**
   * For access tokens that are JWTs: why this one is not for our client. Absent: opaque to us.
   */
  readonly accessToken?: (claims: JsonObject) => 'client' | 'audience' | 'use' | undefined
  /** How a sign-in is proved beyond the local check; `life`: the life of the access token. */
  readonly check:
    | 'userinfo'
    | 'introspection'
    | 'life'
    | ((context: ProviderContext, tokens: TokenSet, subject: string | undefined) => Promise<Proof>)
  /** The documented no of userinfo where it is not the standard's challenge (RFC 6750 section 3.1). */
  readonly isRefusal?: (response: EgressResponse) => boolean
  /** Asked at sign-in as well. Default true; false where the ID token says everything. */
  readonly asksUserinfo?: boolean
  /**
   * Default `any`: refresh token first. `refresh`: only refresh tokens can be revoked. `anonymous`:
   * without our credentials. `none`: nothing can be.
   */
  readonly revocation?: 'any' | 'refresh' | 'anonymous' | 'none'
  /** `token` only where the product says that nothing else dies. Default `authorization`. */
  readonly revocationEnds?: 'token' | 'authorization'
}

/** One configured provider. */
export interface OpenIdHouse {
  readonly id: string
  readonly title: string
  readonly clientId: string
  readonly clientSecret?: Secret
  /** Absent: the defaults, by what the provider offers. */
  readonly scopes?: readonly string[]
  readonly quirks: OpenIdQuirks
}

/** A product: what `ProviderType` needs, and its quirks for one configuration. */
export interface OpenIdProduct extends Omit<ProviderType, 'create'> {
  quirks(options: ProviderSettings['options'], clientId: string): OpenIdQuirks
}

export function discover(house: OpenIdHouse, context: ProviderContext): Promise<OpenIdMetadata> {
  return context.discovery(house.quirks.issuer, house.quirks.documentIssuer)
}

/** Entries of a list of strings, one string counting as a list of one; at most `max`. */
export function stringsOf(value: unknown, max: number): readonly string[] {
  const list = typeof value === 'string' ? [value] : Array.isArray(value) ? value : []
  return list
    .filter((entry): entry is string => typeof entry === 'string' && entry !== '')
    .slice(0, max)
}

export const GROUPS_MAX = 1_000

/** A host name, as it is written in an option: no scheme, no path. */
export const HOST_NAME = {
  pattern: /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/,
  mustBe: 'a host name, without https:// and without a path',
}
