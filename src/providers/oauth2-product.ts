/**
 * What one product with plain OAuth is: data, and the few functions that its quirks need. The engine
 * in `oauth2-engine.ts` makes a provider of it. What a product does not document is not used: no PKCE,
 * no rotation grace, an opaque token that is checked there (PRV-02).
 */
import type { OAuthError } from '../errors.ts'
import type { EgressResponse, Operation } from '../net/egress.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type {
  AuthorizeInput,
  Identity,
  Memberships,
  MembershipsWanted,
  Proof,
  ProofBasis,
  ProviderContext,
} from './provider.ts'

/** How we say who we are: in the header or in the body; without a secret always there, by name only. */
export type ClientAuthentication = 'basic' | 'post'

export interface ProductRequest {
  readonly operation: Operation
  readonly url: string
  /** Default `GET`, and `POST` for the application. */
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
}

export interface UserRequest extends ProductRequest {
  /** Sent as JSON. */
  readonly json?: JsonObject
}

export interface ClientRequest extends ProductRequest {
  readonly parameters: Readonly<Record<string, string | undefined>>
  /** Where an endpoint differs from the token endpoint. */
  readonly authentication?: ClientAuthentication
  readonly body?: 'form' | 'json'
}

/** What the functions of a product are given. Each call is one exchange with its own deadline. */
export interface ProductCalls {
  readonly context: ProviderContext
  readonly clientId: string
  /** With the person's access token. */
  user(tokens: TokenSet, request: UserRequest): Promise<EgressResponse>
  /** As the application, authenticated as at the token endpoint. */
  client(request: ClientRequest): Promise<EgressResponse>
  /** A sign-in that ends here: constant text, and the reason for log and page. */
  refuse(reason: string): OAuthError
  /** What is neither a yes nor the documented no, with the waiting time that it states. */
  unknown(response: EgressResponse): Extract<Proof, { outcome: 'unknown' }>
}

export interface Person {
  readonly identity: Identity
  /** Granted, where the product says so outside of the token answer. */
  readonly scopes?: readonly string[]
  readonly etag?: string
}

export interface OAuthProduct {
  readonly type: string
  readonly title: string
  /** What its console calls what we are there: "OAuth app". */
  readonly application: string
  readonly issuer: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  /** All that a program asks; those that are not the product's own stand in the configuration. */
  readonly origins: readonly string[]
  readonly publicOrigins: readonly string[]
  /** Asked for when the configuration names none. */
  readonly scopes: readonly string[]
  /** Default `scope`; `none`: what is granted is decided elsewhere. */
  readonly scopeParameter?: string
  readonly scopeSeparator: ' ' | ','
  readonly impliedScopes?: Readonly<Record<string, readonly string[]>>
  readonly pkce: boolean
  readonly authentication: ClientAuthentication
  readonly body: 'form' | 'json'
  /** Sent with every call by which we authenticate ourselves. */
  readonly headers?: Readonly<Record<string, string>>
  /** Sent with a refresh besides the usual. */
  refreshParameters?(context: ProviderContext): Readonly<Record<string, string>>
  authorizationParameters?(input: AuthorizeInput): Readonly<Record<string, string | undefined>>
  /** A token answer as RFC 6749 section 5.1 would write it. */
  readTokens?(body: JsonObject | undefined): JsonObject | undefined
  /** Error words of the token endpoint and of the callback. */
  readonly words: ProductWords
  /** A limit that is not told by status and `Retry-After` alone. */
  limited?(
    response: EgressResponse,
    nowMs: number,
  ): Extract<Proof, { outcome: 'unknown' }> | undefined
  /** Who signed in, by as few calls as it takes. `body` is the answer that the tokens came in. */
  identify(calls: ProductCalls, tokens: TokenSet, body: JsonObject): Promise<Person>
  /** One call. */
  check(calls: ProductCalls, tokens: TokenSet, basis: ProofBasis): Promise<Proof>
  secondOpinion?(calls: ProductCalls, tokens: TokenSet, basis: ProofBasis): Promise<Proof>
  revoke?(calls: ProductCalls, tokens: TokenSet): Promise<boolean>
  /** `authorization` where revoking one token ends all of them. Default `token`. */
  readonly revocationEnds?: 'token' | 'authorization'
  readonly membershipScopes?: readonly string[]
  memberships?(
    calls: ProductCalls,
    tokens: TokenSet,
    wanted: MembershipsWanted,
  ): Promise<Memberships>
}

export interface ProductWords {
  /** `redirect_uri` is not what the application has there. */
  readonly callback: readonly string[]
  /** Our own credentials are refused. */
  readonly client: readonly string[]
  /** The end of a refresh token. */
  readonly ended: readonly string[]
  /** Come with status 200 and only mean "not now". */
  readonly transient?: readonly string[]
  /** After "<title>", by reason: why a sign-in ended. */
  readonly refusals?: Readonly<Record<string, string>>
}
