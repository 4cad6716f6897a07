/**
 * What is stored, and how long it lives. Values we issue are kept as digests; values we must replay
 * are `sealed` text (vault/sealing.ts). What a row is for people, and by what it is found:
 * `record-kinds.ts`.
 */

import type { ClientKeySet } from './oauth/client-keys.ts'

/** Verified facts about a person, from the provider. Names follow OpenID Connect claims. */
export interface Profile {
  readonly name?: string
  readonly email?: string
  readonly emailVerified?: boolean
  readonly login?: string
  readonly pictureUrl?: string
}

/** A validated authorization request: what the client asked for, after every check. */
export interface AuthorizationRequest {
  readonly clientId: string
  readonly redirectUri: string
  readonly state?: string
  readonly codeChallenge: string
  readonly resource: string
  readonly scopes: readonly string[]
  readonly requestedScope?: string
  readonly prompt?: string
  readonly maxAgeSeconds?: number
  /** Of the client as the page showed it: what an approval is given to, whatever it says later. */
  readonly clientFingerprint?: string
  /** Accepted ways of authentication, in the provider's words (RFC 9470 section 4). */
  readonly acrValues?: readonly string[]
  /** The code works with this key only (`dpop_jkt`, RFC 9449 section 10). */
  readonly dpopJkt?: string
}

/** Of an embedding product: for whom a trip to a connector's authorization server is, and where it ends. */
export interface EmbeddedTrip {
  /** `widget`: a popup of the element; `start`: by the backend; `link`: by the product's own session. */
  readonly kind: 'widget' | 'start' | 'link'
  readonly app: string
  /** `con_...`: of the connection to come. */
  readonly attempt: string
  /** Of the page with the element, which chose the nonce. */
  readonly origin?: string
  readonly nonce?: string
  readonly returnUrl?: string
}

/** What is wrong with a connector, on which side, and by which rule. `text` is for people. */
export interface ConnectorProblem {
  readonly party: 'server' | 'authorization-server' | 'here'
  readonly code: string
  readonly text: string
  /** Id of spec/requirements.md, such as `DSC-07`, and the RFC section. */
  readonly requirement: string
}

export interface Values {
  /** Key: digest of (issuer, subject). `userId` is what tokens carry. */
  user: {
    userId: string
    issuer: string
    subject: string
    provider: string
    profile: Profile
    groups: readonly string[]
    /** Roles in our application, as the provider names them. */
    roles?: readonly string[]
    /** The organisation that vouches for the account (Entra `tid`, Google `hd`). */
    tenantId?: string
    state: 'active' | 'disabled'
    createdAtMs: number
    lastSignInAtMs: number
  }
  /** A registered client. Key: client id. Static clients come from the configuration instead. */
  client: {
    name?: string
    redirectUris: readonly string[]
    grantTypes: readonly string[]
    authMethod: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
    secretDigest?: string
    applicationType: 'native' | 'web'
    clientUri?: string
    scope?: string
    /** Keys of a `private_key_jwt` client, or where it publishes them. */
    jwks?: ClientKeySet
    jwksUri?: string
    /** Of the token that manages this registration (RFC 7592). */
    registrationTokenDigest?: string
    createdAtMs: number
    usedAtMs?: number
    /** A first sign-in with it is under way at a provider until then. */
    wantedUntilMs?: number
    expiresAtMs: number
  }
  /** An answered consent form. Key: the ticket's id, so that one form is answered once. */
  transaction: {
    request?: AuthorizationRequest
    returnTo?: string
    cookieDigest?: string
    step: 'allowed' | 'denied' | 'done'
    shownUserId?: string
    flowId: string
    expiresAtMs: number
  }
  /** A pushed authorization request, checked. Key: digest of its `request_uri`. */
  pushed: { clientId: string; request: AuthorizationRequest; expiresAtMs: number }
  /** One trip to the provider. Key: digest of `state`. */
  attempt: {
    transactionId: string
    provider: string
    verifierSealed: string
    issuer: string
    callbackPath: string
    expiresAtMs: number
  }
  /** A signed-in browser. Key: digest of its cookie. */
  session: {
    /** What others call it: `ses_...`. */
    sessionId?: string
    userId: string
    userKey: string
    provider: string
    issuer: string
    providerSid?: string
    vaultId: string
    authTimeSeconds: number
    acr?: string
    createdAtMs: number
    lastSeenAtMs: number
    expiresAtMs: number
  }
  /** Remembered consent. Key: digest of (user, client, redirect URI, resource). */
  approval: {
    userId: string
    clientId: string
    redirectUri: string
    resource: string
    scopes: readonly string[]
    clientFingerprint: string
    approvedAtMs: number
    expiresAtMs: number
  }
  /** Upstream tokens of a sign-in or of a connection. */
  vault: {
    userId: string
    userKey: string
    /** Provider id, or `connector:<name>`. */
    provider: string
    issuer: string
    subject: string
    tokenOrigin: string
    /** Of a connection: our client there, which alone can refresh and revoke its tokens. */
    clientId?: string
    sealed: string
    keyId: string
    scopes: readonly string[]
    state: 'active' | 'reconnect' | 'ended'
    cause?: string
    accessExpiresAtMs?: number
    hasRefreshToken: boolean
    intent?: { tokenDigest: string; fence: number; startedAtMs: number }
    spareSealed?: string
    createdAtMs: number
    refreshedAtMs?: number
    expiresAtMs?: number
  }
  /** Last good upstream proof, written behind in batches, so that a restart asks nobody. Key: vault id. */
  proof: {
    provedAtMs: number
    provider?: string
    scopes?: readonly string[]
    etag?: string
    expiresAtMs: number
  }
  /**
   * A person's account at a connector. Key: digest of (user, connector), so that there is one. Its
   * tokens are the vault record `vaultId`; that record's state `reconnect` is this one's too.
   */
  connection: {
    /** What others call it: `con_` and 128 random bits. */
    connectionId: string
    userId: string
    connector: string
    vaultId: string
    /** Authorization server that gave the tokens; they are never used with another one. */
    issuer: string
    /** What they were asked for (RFC 8707). */
    resource: string
    clientId: string
    /** As granted; and all that was ever asked for, so that a step-up asks for the union. */
    scopes: readonly string[]
    requestedScopes: readonly string[]
    /** The account at the server: its subject, and its name for people. */
    accountSubject?: string
    accountLabel?: string
    state: 'active' | 'ended'
    cause?: string
    connectedAtMs: number
    endedAtMs?: number
    /** Only of one that has ended. */
    expiresAtMs?: number
  }
  /**
   * An answer of a connector's authorization server that waits for a word: of the person, which of two
   * accounts it is to be; or of an embedding product, that its own user brought it. Key: digest of a
   * handle or confirmation.
   */
  connecting: {
    connector: string
    userId: string
    /** What the answer had to come from, and where the code went. */
    issuer: string
    tokenEndpoint: string
    resource: string
    clientId: string
    redirectUri: string
    scopes: readonly string[]
    /** The server said that it names itself in its answer (RFC 9207). */
    issRequired?: boolean
    /** Client whose call asked for it. */
    askedBy?: string
    /** A trip of an embedding product. */
    embedded?: EmbeddedTrip
    /** What it waits for; absent: which of two accounts. */
    waitsFor?: 'confirmation'
    answerSealed: string
    flowId: string
    expiresAtMs: number
  }
  /** A person of an embedding product, in a page of it. Key: digest of the session's token. */
  connectSession: {
    app: string
    userId: string
    /** Absent: every connector that is open to apps. */
    connectors?: readonly string[]
    origin: string
    returnUrl?: string
    expiresAtMs: number
  }
  /** Which browser answered the page of a trip of an embedding product. Key: the trip's id. */
  handle: { formDigest: string; decision: 'connect' | 'cancel'; expiresAtMs: number }
  /** A client that we registered at an authorization server. Key: digest of (issuer, connector). */
  registration: {
    connector: string
    issuer: string
    clientId: string
    authMethod: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
    /** Sealed client secret and registration access token. */
    sealed?: string
    keyId?: string
    redirectUri: string
    registrationUri?: string
    createdAtMs: number
    /** `client_secret_expires_at`. */
    secretExpiresAtMs?: number
    /** Registered in the place of one that was refused: the next refusal is reported, not repaired. */
    replacesRefused?: boolean
    /** Only of a connector that was removed. */
    expiresAtMs?: number
  }
  /** What we accepted about a connector's servers, and what is wrong with it. Key: connector. */
  connector: {
    connector: string
    /** Of the URL that it was accepted for: another URL starts anew. */
    url: string
    /** Digest of URL, kind of authentication, client and pins: another definition starts anew (O5). */
    definition: string
    state: 'ready' | 'degraded' | 'unreachable' | 'quarantined'
    issuer?: string
    /** Origins that secrets may go to. */
    tokenOrigin?: string
    approvedOrigins: readonly string[]
    /** Seen and not approved: what quarantined it. */
    refusedOrigin?: string
    refusedIssuer?: string
    /** Accepted by the rules of 2025-03-26, where no document names the issuer (DSC-11). */
    legacy?: true
    problems: readonly ConnectorProblem[]
    /** How the server answers: `modern` needs no `initialize`. */
    era?: 'modern' | 'legacy'
    /** An administrator asked then: older documents are asked for again, on every node. */
    askedAtMs?: number
    checkedAtMs: number
    /** Only of one that was removed. */
    expiresAtMs?: number
  }
  /**
   * A connector made by the API. Key: connector. A removed one stays until its tokens are revoked at
   * their server, which takes what it says of us as a client there.
   */
  definition: {
    connector: string
    /** As it was given, without its secrets: JSON. */
    input: string
    /** Header value and client secret. */
    sealed?: string
    keyId?: string
    createdAtMs: number
    changedAtMs: number
    /** Last change of what it is; and of who is told of people, or what: what was before is void. */
    definedAtMs?: number
    releasedAtMs?: number
    removedAtMs?: number
    /** Only of a removed one. */
    expiresAtMs?: number
  }
  /** A signing key or another secret of this house, sealed. */
  secret: {
    purpose: 'signing' | 'tag' | 'refresh-tag' | 'mcp-session' | 'ticket' | 'link' | 'assertion'
    sealed: string
    keyId: string
    publicJwk?: string
    publishedAtMs: number
    activeAtMs: number
    retiredAtMs?: number
    expiresAtMs?: number
  }
  /** A persisted remote fact (discovery, JWKS): last good copy across restarts. Key: cache name and key. */
  fact: {
    name: string
    body: string
    loadedAtMs: number
    freshSeconds?: number
    expiresAtMs: number
  }
  /** An identifier that may be used once: the `jti` of an assertion or event. Key: digest of purpose and `jti`. */
  spent: { purpose: string; expiresAtMs: number }
  /**
   * What is still to be done at a provider. Key: when it is due, then random letters, so that the
   * oldest come first. Upstream tokens are sealed to the vault record that they came from.
   */
  duty: {
    purpose: 'release' | 'survey' | 'revoke'
    vaultId?: string
    userId?: string
    provider?: string
    issuer?: string
    subject?: string
    clientId?: string
    sealed?: string
    keyId?: string
    /** Last vault record that a survey has looked at. */
    after?: string
    /** Of a survey: only connections made by then, absent: by now. Of tokens: when their record was made. */
    madeByMs?: number
    cause: string
    attempts: number
    createdAtMs: number
    dueAtMs: number
    expiresAtMs: number
  }
  /** Upstream tokens in use, to be refreshed where no timer can. Key: when, then the vault id. */
  renewal: {
    vaultId: string
    /** Known to the hour. */
    usedAtMs: number
    attempts: number
    expiresAtMs: number
  }
  /**
   * A receiver of events. Key: `whk_...`. One of the configuration file has a row only when it was
   * disabled, and that row says nothing else.
   */
  webhook: {
    url?: string
    /** Names and patterns: `connection.*`. */
    events?: readonly string[]
    sealed?: string
    keyId?: string
    state: 'active' | 'disabled'
    cause?: string
    createdAtMs: number
    disabledAtMs?: number
  }
  /** One event that one receiver is still to be told. Key: when it is due, then random letters. */
  delivery: {
    webhookId: string
    eventId: string
    type: string
    data: Readonly<Record<string, string | number | boolean>>
    /** Times that the receiver was asked and did not answer 2xx. */
    attempts: number
    createdAtMs: number
    dueAtMs: number
    /** A node is sending it until then. */
    claimedUntilMs?: number
    expiresAtMs: number
  }
  /** Work that the API was asked for, done behind its answer. Key: `opn_...`. */
  operation: {
    type: 'offboard' | 'revocation'
    /** Id of the API key that asked. */
    actor: string
    /** What it is about: whom a revocation covers, or the key of the person's row. */
    by: 'connector' | 'user' | 'client' | 'tenant' | 'issuedBefore' | 'all'
    of: string
    state: 'running' | 'done' | 'failed'
    done: number
    total: number
    result?: Readonly<Record<string, string | number | boolean>>
    attempts: number
    createdAtMs: number
    finishedAtMs?: number
    /** A node is at it until then. */
    claimedUntilMs?: number
    expiresAtMs: number
  }
  /** Which session of the provider a sign-in came from. Key: digest of our session's cookie. */
  origin: { name: string; userId: string; expiresAtMs: number }
  /** A deleted person. Key: keyed digest of (issuer, subject). */
  tombstone: { deletedAtMs: number; expiresAtMs: number }
  /** A key of the REST API. Key: its id, `key_` and 130 random bits; the key itself is never kept. */
  apiKey: {
    digest: string
    name?: string
    role: 'read' | 'connect' | 'tokens' | 'manage'
    /** It sees and makes only what belongs to this app, and to these connectors. */
    app?: string
    connectors?: readonly string[]
    createdAtMs: number
    /** Noted at most once a minute. */
    usedAtMs?: number
    expiresAtMs?: number
  }
  /** A POST that named itself, and its answer. Key: digest of (API key, idempotency key). */
  idempotency: {
    /** Of method, path, query and body. */
    requestDigest: string
    /** Sealed, because it may carry a token; absent: not answered, or nobody knows how it ended. */
    answerSealed?: string
    expiresAtMs: number
  }
  /** One change of state, kept `auditTtlDays`. */
  audit: {
    event: string
    atMs: number
    /** Who did it: id of an API key, `admin` for the key of the configuration. Absent: whom it is about. */
    actor?: string
    userId?: string
    clientId?: string
    connector?: string
    webhookId?: string
    detail: string
    expiresAtMs: number
  }
}
export type Kind = keyof Values
/** Kinds that `consume` accepts. */
export type SingleUse = 'attempt' | 'transaction' | 'pushed' | 'connecting'

/** What we issued: user x client x one resource x scopes, and its refresh-token family. */
export interface Grant {
  readonly tenant: string
  readonly id: string
  readonly userId: string
  /** Empty: a client that acts for itself; there is no user row. */
  readonly userKey: string
  readonly clientId: string
  readonly resource: string
  readonly scopes: readonly string[]
  /** Empty: no sign-in at a provider stands behind it, so nothing has to be proved. */
  readonly vaultId: string
  readonly sessionId?: string
  readonly state: 'pending' | 'active' | 'ended'
  readonly cause?: string
  readonly redirectUri: string
  readonly codeChallenge: string
  readonly codeDigest: string
  readonly codeExpiresAtMs: number
  readonly refreshCurrent?: string
  readonly refreshPrevious?: string
  readonly refreshSuccessor?: string
  readonly refreshGeneration: number
  readonly refreshGraceUntilMs?: number
  readonly authTimeSeconds: number
  /** How the person was authenticated, in the provider's words (RFC 9470). */
  readonly acr?: string
  /** Its tokens carry `auth_time` and `acr`: the request asked, or the resource has a policy. */
  readonly tellsAuthentication?: boolean
  /** Thumbprint of the key that tokens of this grant are bound to (RFC 9449); absent: Bearer. */
  readonly jkt?: string
  readonly createdAtMs: number
  readonly absoluteExpiresAtMs: number
  /** Idle end; a pending grant's is its code's. */
  readonly expiresAtMs: number
  readonly version: number
}

export {
  MARK_KEPT_PAST_LIFE_MS,
  MARK_KINDS,
  type Mark,
  type MarkKind,
  type RevocationRow,
} from './marks.ts'

/** The one tenant of a self-hosted house; every key names its tenant all the same. */
export const TENANT = 'default'
