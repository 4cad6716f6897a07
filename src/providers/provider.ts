/**
 * What an identity provider is: data and small functions, without cache, clock or `fetch`.
 *
 * A provider is asked through the context that it is given. It never decides how long an answer is
 * believed: it says yes, no (exactly the refusal its documentation names) or unknown.
 */
import { environmentName } from '../config/fields.ts'
import type { ShownErrorCode } from '../error-codes.ts'
import { OAuthError } from '../errors.ts'
import type { Egress } from '../net/egress.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Runtime } from '../ports.ts'
import type { Profile } from '../records.ts'
import type { Secret } from '../secret.ts'
import type { JsonWebKeySet, OpenIdMetadata } from './openid-metadata.ts'

/** Who signed in: keyed by `issuer` and `subject`, never by e-mail (PRV-21). */
export interface Identity {
  readonly issuer: string
  readonly subject: string
  readonly profile: Profile
  readonly groups: readonly string[]
  /** Roles of the person in our application, where the provider knows such (Entra, Keycloak). */
  readonly roles?: readonly string[]
  /** The organisation that vouches for the account: Entra `tid`, Google `hd`. */
  readonly tenant?: string
}

export interface ProviderContext {
  readonly egress: Egress
  readonly runtime: Runtime
  /**
   * Cached discovery document. Throws UpstreamError when nothing usable is cached.
   *
   * @param documentIssuer Its `issuer` member where that is a template (Entra). Default: `issuer`.
   */
  readonly discovery: (issuer: string, documentIssuer?: string) => Promise<OpenIdMetadata>
  /** Cached key set. */
  readonly jwks: (uri: string) => Promise<JsonWebKeySet>
  /** Key set fetched anew, once for an unknown key (VAL-14); the cache limits how often. */
  readonly refreshJwks: (uri: string) => Promise<JsonWebKeySet>
  /** Our callback at this provider, exactly as registered there. */
  readonly redirectUri: string
  /** Bound of each single exchange. */
  readonly timeoutMs: number
}

export interface AuthorizeInput {
  readonly state: string
  /** S256 challenge of our verifier. */
  readonly verifierChallenge: string
  readonly nonce?: string
  /** "Use another account": the provider shows its account chooser. */
  readonly chooseAccount?: boolean
  readonly loginHint?: string
  /** Authenticated longer ago: the provider has to do it again; 0 = in any case. */
  readonly maxAgeSeconds?: number
  /** Ways of authentication that are accepted, in the provider's words. */
  readonly acrValues?: readonly string[]
  /** Asked for besides the provider's own: what our scopes need there (flows.md section 3). */
  readonly scopes?: readonly string[]
  /**
   * Of the person of this browser's session, here. `false`: the provider must be made to give one
   * again (Google, `prompt=consent`); absent: nobody is known yet.
   */
  readonly hasRefreshToken?: boolean
}

export interface ExchangeInput {
  readonly code: string
  readonly verifier: string
  /** As in `AuthorizeInput`, for providers whose token call names its scopes. */
  readonly scopes?: readonly string[]
  /** RFC 9207, as it came with the code. */
  readonly iss?: string
  readonly nonce?: string
}

export interface SignIn {
  readonly tokens: TokenSet
  readonly identity: Identity
  /** The provider's session, for back-channel logout. */
  readonly providerSid?: string
  /** When and how the person was authenticated, where the provider says so (`auth_time`, `acr`). */
  readonly authTimeSeconds?: number
  readonly acr?: string
  /** Asked for and not given (PRV-09). Absent: nothing is missing, or the provider does not say. */
  readonly missingScopes?: readonly string[]
  /** The sign-in is also the first proof. */
  readonly proof: { readonly scopes?: readonly string[]; readonly etag?: string }
}

/** What is known from the last proof, so that the next can be conditional and be compared. */
export interface ProofBasis {
  readonly etag?: string
  /** Subject of the sign-in: an answer about somebody else is a no. */
  readonly subject?: string
}

/**
 * `no` only for the refusal that the provider documents: a second opinion follows before anything
 * ends. `client-refused`: our own application is not accepted there, which says nothing about a user.
 */
export type Proof =
  | {
      readonly outcome: 'yes'
      readonly scopes?: readonly string[]
      readonly etag?: string
      readonly identity?: Identity
    }
  | { readonly outcome: 'no'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly retryAfterMs?: number }
  | { readonly outcome: 'client-refused' }

export type Refreshed =
  | { readonly outcome: 'yes'; readonly tokens: TokenSet }
  | { readonly outcome: 'no'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly retryAfterMs?: number }
  | { readonly outcome: 'client-refused' }

/** Names as the rules write them: `acme`, and `acme/reviewers` for a team. */
export interface MembershipsWanted {
  readonly organizations: readonly string[]
  readonly teams: readonly string[]
}

/**
 * Which of the wanted ones the person is in, in the spelling of the rules. `yes`: in one of them at
 * least; `no`: each was asked and denied; `unknown`: none is certain, and some were not answered (a
 * limit, a scope that is missing, an organization that does not let this application look).
 */
export interface Memberships extends MembershipsWanted {
  readonly outcome: 'yes' | 'no' | 'unknown'
  /** Names that nobody answered for: an earlier answer about them still stands. */
  readonly unanswered: readonly string[]
  /** Why the first of them was not answered. */
  readonly reason?: string
  readonly retryAfterMs?: number
}

/** A mistake in the set-up, in the words of the ten mistakes: what is wrong, what to do. */
export interface SetUpMistake {
  readonly code: Extract<ShownErrorCode, `ERR_PROVIDER_${string}`>
  readonly problem: string
  readonly fix: string
}

export interface Provider {
  readonly id: string
  readonly type: string
  /** "Continue with <title>". */
  readonly title: string
  /** Exactly the provider's issuer identifier: part of every account key, compared with `iss`. */
  readonly issuer: string
  readonly callbackPath: string
  readonly clientId: string
  readonly clientSecret?: Secret
  readonly scopes: readonly string[]
  /** Scopes that contain others there, by name: an answer may name the larger one only. */
  readonly impliedScopes?: Readonly<Record<string, readonly string[]>>
  /** Origins that stand in the configuration and so may be private or http. */
  readonly approvedOrigins: readonly string[]
  /**
   * `missing` only where the provider announces that it sends `iss` (RFC 9207 section 2.4). Asked
   * before `error` is read and before the code is used.
   */
  judgeIssuer(
    context: ProviderContext,
    iss: string | undefined,
  ): Promise<'right' | 'missing' | 'wrong'>
  authorize(context: ProviderContext, input: AuthorizeInput): Promise<URL>
  /**
   * One token call, never repeated, then the identity.
   *
   * @throws {OAuthError} `server_error` with a `reason` when the provider refuses or lies.
   * @throws {SetUpError} when our own application is set up wrong there.
   * @throws {UpstreamError} when it does not answer as it should.
   */
  exchange(context: ProviderContext, input: ExchangeInput): Promise<SignIn>
  /** One call. Never throws for what the provider does. */
  check(context: ProviderContext, tokens: TokenSet, basis?: ProofBasis): Promise<Proof>
  secondOpinion?(context: ProviderContext, tokens: TokenSet, basis?: ProofBasis): Promise<Proof>
  /** The result carries the old refresh token when the answer had none (CLI-18). */
  refresh?(context: ProviderContext, refreshToken: string, tokens: TokenSet): Promise<Refreshed>
  /** True when the provider confirmed that the token is dead. */
  revoke?(context: ProviderContext, tokens: TokenSet): Promise<boolean>
  /**
   * What `revoke` ends there. `authorization`: everything this person ever granted to our client, so
   * tokens that were merely replaced are left alone (flows.md section 5, step 8), and nothing is revoked
   * while another sign-in of theirs lives. Default `token`.
   */
  readonly revocationEnds?: 'token' | 'authorization'
  /**
   * Who it is now, with groups and roles, for rules that are asked again (PRV-22). One call at most.
   *
   * @throws {UpstreamError} when the provider does not answer; the earlier answer still stands.
   */
  identify?(context: ProviderContext, tokens: TokenSet): Promise<Identity | undefined>
  /** Arguments of `ProviderContext.discovery`: for whoever needs its keys. Absent: no OpenID provider. */
  readonly openId?: { readonly issuer: string; readonly documentIssuer?: string }
  /** `AuthorizeInput.scopes` of each sign-in, once a rule needs `memberships`. */
  readonly membershipScopes?: readonly string[]
  /** A bounded number of calls, one after another. Never throws for what the provider does. */
  memberships?(
    context: ProviderContext,
    tokens: TokenSet,
    wanted: MembershipsWanted,
  ): Promise<Memberships>
  /** Signs what the provider posts to `/webhooks/{id}`. Absent: no webhook is taken. */
  readonly webhookSecret?: Secret
  /** What an `error` word of the callback says about the set-up. */
  explain?(error: string, redirectUri: string): SetUpMistake | undefined
}

/** A provider of one's own, typed. Stands in `providers` as it is. */
export function defineProvider(provider: Provider): Provider {
  return Object.freeze({ ...provider })
}

/** What every provider takes. Credentials come from `POSTERN_<ID>_CLIENT_ID` and `_SECRET` first. */
export interface ProviderOptions {
  /** `[a-z0-9-]{1,40}`, part of the callback path and of the environment names. Default: the type, in lower case. */
  readonly id?: string
  /** "Continue with <title>". Default: the name of the product or the host of the issuer. */
  readonly title?: string
  readonly clientId?: string
  /** Or `env:NAME`, or `file:/path`. */
  readonly clientSecret?: string
  /** Asked of the provider; default: what a sign-in needs there. */
  readonly scopes?: readonly string[]
  /** Path at the issuer, exactly as registered at the provider. Default `/callback/<id>`. */
  readonly callbackPath?: string
}

/** A provider as it is written in a configuration: data, resolved by the type of this name. */
export interface ProviderInput extends ProviderOptions {
  readonly type: string
  readonly [option: string]: string | readonly string[] | undefined
}

export type ProviderEntry = ProviderInput | Provider

export function isProvider(entry: ProviderEntry): entry is Provider {
  return typeof entry['check'] === 'function'
}

/** One field of a provider type besides those of every provider. */
export interface ProviderOption {
  readonly name: string
  /** `secret`: never among the options, but in `ProviderSettings.secrets`; also from `..._FILE`. */
  readonly kind: 'url' | 'text' | 'list' | 'choice' | 'secret'
  readonly choices?: readonly string[]
  /** Of a text or url, or of each entry of a list (which reaches `create` joined with commas). */
  readonly pattern?: RegExp
  /** "must be <mustBe>", for a value that the pattern refuses. */
  readonly mustBe?: string
  readonly required?: boolean
  readonly default?: string
  /** `POSTERN_<ID>_<suffix>`; absent: the file only. */
  readonly environmentSuffix?: string
  readonly sentence: string
}

/** Everything resolved: what `create` makes a provider of. */
export interface ProviderSettings {
  readonly id: string
  readonly title?: string
  readonly clientId: string
  readonly clientSecret?: Secret
  readonly scopes?: readonly string[]
  readonly callbackPath: string
  readonly options: Readonly<Record<string, string | undefined>>
  /** Options of kind `secret`, by name. */
  readonly secrets?: Readonly<Record<string, Secret | undefined>>
}

/** What an adapter states about its provider (PRV-02). Each value names the section it follows. */
export interface ProviderFacts {
  readonly endpoints: string
  readonly clientAuthentication: string
  readonly scopeSeparator: string
  readonly pkce: string
  readonly tokenFormat: string
  readonly accessLife: string
  readonly refresh: string
  readonly check: string
  readonly definiteNo: string
  readonly secondOpinion: string
  readonly rateLimits: string
  readonly revocation: string
  readonly events: string
}

/** A kind of provider: what the configuration needs to read one, and the factory. */
export interface ProviderType {
  readonly type: string
  readonly title: string
  readonly secretRequired: boolean
  readonly options: readonly ProviderOption[]
  readonly facts: ProviderFacts
  /** What to know when setting it up, one paragraph. Printed in `docs/providers.md`. */
  readonly setUp?: string
  /** Where one gets credentials: the sentence after "Set POSTERN_..." in ERR_CONFIG_PROVIDER_CREDENTIALS. */
  credentialsHint(
    callbackUrl: string,
    options: Readonly<Record<string, string | undefined>>,
  ): string
  /** What options say together: the one that is wrong, and what it must be. */
  judge?(
    options: Readonly<Record<string, string | undefined>>,
  ): { readonly option: string; readonly mustBe: string; readonly fix: string } | undefined
  create(settings: ProviderSettings): Provider
}

/** The id where the configuration gives none: `githubApp` is `github-app`. */
export function usualId(type: string): string {
  return type.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** What `exchange` throws when a mistake in the set-up explains the refusal. */
export class SetUpError extends OAuthError {
  readonly mistake: SetUpMistake
  constructor(mistake: SetUpMistake) {
    super('server_error', `${mistake.problem} ${mistake.fix}`, { reason: mistake.code })
    this.mistake = mistake
  }
}

/** `redirect_uri` is not what the application has (api.md section 6). */
export function callbackMistake(
  title: string,
  application: string,
  redirectUri: string,
): SetUpMistake {
  return {
    code: 'ERR_PROVIDER_CALLBACK',
    problem: `${title} says redirect_uri is not associated with this application.`,
    fix: `In the ${application}, set the callback URL to ${redirectUri} (exactly, no slash at the end).`,
  }
}

/** Our own credentials are refused. */
export function clientMistake(title: string, id: string): SetUpMistake {
  const base = environmentName(id)
  return {
    code: 'ERR_PROVIDER_CLIENT',
    problem: `${title} does not accept our client id and secret.`,
    fix: `Copy both again from the application, and set ${base}_CLIENT_ID and ${base}_CLIENT_SECRET.`,
  }
}
