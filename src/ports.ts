/**
 * What the core needs from the outside, named by what each port guarantees.
 *
 * Everything above these interfaces is pure or waits on them; everything below is one product
 * per file in `adapters/`, `node/` and `workers/`. Times are milliseconds, sizes bytes.
 */
import type { Grant, Kind, Mark, RevocationRow, SingleUse, Values } from './records.ts'

/** An ES256 key pair half, opaque to the core: only the runtime that made it can use it. */
export interface SigningKey {
  readonly signingKey: unique symbol
}
export interface VerifyKey {
  readonly verifyKey: unique symbol
}

/** A public or private EC P-256 key as JSON Web Key members (RFC 7518 section 6.2). */
export interface EcJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly d?: string
}

/**
 * Clock, randomness and synchronous cryptography of one platform. Digests, signatures and sealed
 * values are base64url text, so that they can be map keys and row columns as they are.
 */
export interface Runtime {
  /** False where a promise made in one request may not be awaited in another (Workers). */
  readonly sharesPromises: boolean
  /** Wall clock, for what is written down or signed. */
  nowMs(): number
  /** Monotonic clock, for ages, deadlines and leases. */
  monotonicMs(): number
  /** In [0, 1), for jitter only, never for a secret. */
  random(): number
  randomBytes(lengthBytes: number): Uint8Array
  sha256(data: string | Uint8Array): string
  hmacSha256(key: Uint8Array, data: string | Uint8Array): Uint8Array
  hkdfSha256(secret: Uint8Array, info: string, lengthBytes: number): Uint8Array
  /** Constant time for equal lengths; different lengths are unequal. */
  equal(left: string | Uint8Array, right: string | Uint8Array): boolean
  /** AES-256-GCM with a random 96-bit nonce: base64url of nonce, ciphertext, tag. */
  seal(key: Uint8Array, plaintext: string, associatedData: string): string
  /** `undefined` for anything that was not sealed with this key and associated data. */
  open(key: Uint8Array, sealed: string, associatedData: string): string | undefined
  createSigningJwk(): EcJwk
  importSigningKey(privateJwk: EcJwk): SigningKey
  importVerifyKey(publicJwk: EcJwk): VerifyKey
  /** ES256 (RFC 7518 section 3.4): the 64-byte signature as base64url. */
  sign(key: SigningKey, data: string): string
  verify(key: VerifyKey, data: string, signature: string): boolean
  /** Calls back once after `delayMs`; the returned function cancels. Never keeps a process alive. */
  after(delayMs: number, callback: () => void): () => void
  /** Work that goes on after an answer has been sent. A rejection is reported, never thrown. */
  waitUntil(work: Promise<unknown>): void
}

/** One HTTP exchange as the Fetch port sees it. Redirects are never followed. */
export interface FetchRequest {
  readonly method: 'GET' | 'POST' | 'DELETE' | 'HEAD' | 'PUT' | 'PATCH'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
  readonly connectTimeoutMs: number
  /** `public`: every address is checked at connect. `approved`: this exact origin is in the configuration file. */
  readonly addresses: 'public' | 'approved'
}
export interface FetchResponse {
  readonly status: number
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | null
}
/** One exchange, abortable, no redirects, address checked at connect. Called only by `net/egress.ts`. */
export type Fetch = (request: FetchRequest) => Promise<FetchResponse>

export interface Key {
  readonly tenant: string
  readonly id: string
}
export interface Versioned<K extends Kind> {
  readonly key: Key
  readonly version: number
  readonly value: Values[K]
}

/** One guarded statement of a `commit`. A step that touches no row loses the whole commit. */
export type Step =
  | { [K in Kind]: { verb: 'create'; kind: K; key: Key; value: Values[K] } }[Kind]
  | { [K in Kind]: { verb: 'put'; kind: K; key: Key; ifVersion: number; value: Values[K] } }[Kind]
  | { verb: 'consume'; kind: SingleUse; key: Key; attempt: string; nowMs: number }
  | { verb: 'remove'; kind: Kind; key: Key }
  | { verb: 'createGrant'; grant: Grant }

/**
 * Durable, atomic, read-your-writes. Every method rejects with `StoreError` when the engine fails;
 * "not there" is `undefined`, "lost" is an answer.
 */
export interface Store {
  get<K extends Kind>(kind: K, key: Key): Promise<Versioned<K> | undefined>
  /** `won: false` when the key exists. A value's `expiresAtMs` is its life; the sweep deletes it 10 min later. */
  create<K extends Kind>(kind: K, key: Key, value: Values[K]): Promise<{ won: boolean }>
  put<K extends Kind>(
    kind: K,
    key: Key,
    ifVersion: number,
    value: Values[K],
  ): Promise<{ won: true; version: number } | { won: false }>
  /**
   * Single use. The same `attempt` may ask again and wins again (a lost answer); any other attempt
   * gets `'replayed'`; an unknown or expired value gives `undefined`.
   */
  consume<K extends SingleUse>(
    kind: K,
    key: Key,
    attempt: string,
    nowMs: number,
  ): Promise<Values[K] | 'replayed' | undefined>
  remove(kind: Kind, key: Key): Promise<void>
  /**
   * Rows whose declared index (`record-kinds.ts` INDEXES) equals `value`, in key order; fewer than `max` is
   * the end. A row that was damaged is left out here and told; `get` of it rejects (K16).
   */
  list<K extends Kind>(
    kind: K,
    tenant: string,
    index: { name: string; value: string } | undefined,
    page: { after?: string; max: number },
  ): Promise<readonly Versioned<K>[]>
  /** Rows of a kind in one tenant. */
  count(kind: Kind, tenant: string): Promise<number>
  /** All or nothing. The first step writes the row that the others depend on. */
  commit(steps: readonly Step[]): Promise<{ won: boolean }>
  /** Deletes what died more than 10 minutes ago, marks after 25 hours, at most `max` rows. */
  sweep(nowMs: number, max: number): Promise<{ removed: number; more: boolean }>
  readonly grants: GrantStore
  close(): Promise<void>
}

/** What a rotation writes: made once by the caller, outside its retry loop. */
export interface RefreshCandidate {
  readonly digest: string
  /** The successor token sealed under a key derived from the presented token. */
  readonly sealedSuccessor: string
  /** Binds the grant to this key from now on (RFC 9449). */
  readonly jkt?: string
}

/** Grants and revocation marks. A grant is one row; redeem, rotate and end are one UPDATE each. */
export interface GrantStore {
  find(key: Key): Promise<Grant | undefined>
  list(
    tenant: string,
    index: { name: 'userId' | 'clientId' | 'vaultId' | 'sessionId'; value: string },
    page: { after?: string; max: number },
  ): Promise<readonly Grant[]>
  /**
   * pending -> active by code digest, once; `reused` when this digest was redeemed before. With the
   * same `refreshDigest` the same caller may ask again and wins again (a lost answer). `jkt` binds the
   * grant to a key in the same write.
   */
  redeem(
    key: Key,
    codeDigest: string,
    refreshDigest: string | undefined,
    nowMs: number,
    idleExpiresAtMs: number,
    jkt?: string,
  ): Promise<'active' | 'dead' | 'reused'>
  /**
   * `reused` has ended the grant and written its mark (until `markExpiresAtMs`) before it answers.
   * `dead`: nothing was written. `busy`: others won three times in a row; the caller may ask again.
   */
  rotate(
    key: Key,
    presentedDigest: string,
    candidate: RefreshCandidate,
    at: {
      nowMs: number
      graceMs: number
      idleExpiresAtMs: number
      markExpiresAtMs: number
      /** Written in the same commit when a replay ends the grant: its audit row. */
      alsoWhenReused?: readonly Step[]
    },
  ): Promise<
    | { outcome: 'rotated'; generation: number }
    | { outcome: 'replayed'; sealedSuccessor: string; generation: number }
    | { outcome: 'reused' | 'dead' | 'busy' }
  >
  /**
   * Ends one grant and writes its mark in one commit; false when it was ended already. The mark
   * covers every token of the grant, whenever issued. `also` (audit rows) is part of the commit.
   */
  end(
    key: Key,
    cause: string,
    nowMs: number,
    markExpiresAtMs: number,
    also?: readonly Step[],
  ): Promise<boolean>
  /**
   * One mark for everything it selects; ends the grants it names that were created by then (a
   * connector is named by its resource). Returns the clock's step. `also` is part of the commit, and
   * so are several marks.
   */
  revoke(marks: Mark | readonly Mark[], also?: readonly Step[]): Promise<{ sequence: number }>
  /** Rows after `sequence` on the revocation clock. `epoch` changes when the store was restored. */
  revocationsSince(
    sequence: number,
    max: number,
  ): Promise<{ sequence: number; epoch: number; rows: readonly RevocationRow[] }>
}

/**
 * At most one holder per key per lease. The fence is for logs and intents, and may start again when
 * the lock store restarts; correctness is always the conditional write behind it. `error` is
 * ambiguous: the lease may be held.
 */
export interface Lock {
  /**
   * `process`: holders in other processes on the same store are not seen, so that a lease proves
   * nothing about them. Absent: every process that shares the store shares the lock.
   */
  readonly reach?: 'process'
  acquire(
    key: string,
    leaseMs: number,
    deadlineMs: number,
  ): Promise<
    | { state: 'acquired'; lease: Lease }
    | { state: 'held'; retryAfterMs?: number }
    | { state: 'error'; maybeHeld: boolean; cause: unknown }
  >
  /**
   * Resolves when the lease of this key ends, or after `waitMs`, or sooner; never rejects. Absent: who
   * finds it held looks again by itself.
   */
  wait?(key: string, waitMs: number): Promise<void>
}
export interface Lease {
  readonly fence: number
  remainingMs(): number
  renew(leaseMs: number): Promise<'acquired' | 'lost' | 'error'>
  release(): Promise<void>
}

/** Tells other nodes to poll now; carries nothing and may lose messages, so everybody also polls. */
export interface Bus {
  publish(): Promise<void>
  subscribe(onPoke: () => void, onReconnect: () => void): Promise<() => void>
}

/** The names of api.md section 7, and what this process says of itself. */
export type EventType =
  | 'signin.started'
  | 'signin.completed'
  | 'signin.refused'
  | 'consent.given'
  | 'consent.denied'
  | 'token.issued'
  | 'token.refused'
  | 'token.replayed'
  | 'grant.ended'
  | 'client.registered'
  | 'client.ended'
  | 'connector.created'
  | 'connector.discovered'
  | 'connector.degraded'
  | 'connector.recovered'
  | 'connector.quarantined'
  | 'connection.started'
  | 'connection.active'
  | 'connection.confirmed'
  | 'connection.refused'
  | 'connection.refreshed'
  | 'connection.reconnect'
  | 'connection.ended'
  | 'provider.unreachable'
  | 'provider.recovered'
  | 'provider.incident'
  | 'breaker.opened'
  | 'breaker.closed'
  | 'revocation.requested'
  | 'revocation.confirmed'
  | 'revocation.failed'
  | 'key.rotated'
  | 'signal.received'
  | 'user.offboarded'
  | 'api.called'
  | 'webhook.disabled'
  | 'webhook.test'
  | 'call.forwarded'
  | 'call.refused'
  | 'remote.called'
  | 'server.warning'
  | 'server.failed'

/** One thing that happened. Never a token, secret, cookie, query string or upstream body. */
export interface PosternEvent {
  readonly type: EventType
  readonly level?: 'debug' | 'info' | 'warn' | 'error'
  readonly tenant?: string
  readonly userId?: string
  readonly clientId?: string
  readonly connector?: string
  readonly connectionId?: string
  readonly grantId?: string
  readonly provider?: string
  readonly flowId?: string
  readonly requestId?: string
  readonly reason?: string
  readonly status?: number
  readonly durationMs?: number
  readonly [detail: string]: string | number | boolean | undefined
}

/** Log, metrics and the call stream. Never throws, never blocks, bounded. */
export interface Emit {
  event(event: PosternEvent): void
  /** Adds to a counter named in `api.md` section 7; labels are bounded words. */
  count(metric: string, labels?: Readonly<Record<string, string>>, by?: number): void
  observe(metric: string, value: number, labels?: Readonly<Record<string, string>>): void
  gauge(metric: string, value: number, labels?: Readonly<Record<string, string>>): void
  /** Takes `log` and `onEvent` of the configuration, once they are parsed. */
  configure?(log: LogSettings, onEvent: ((event: PosternEvent) => void) | undefined): void
}

export interface LogSettings {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  readonly format: 'auto' | 'text' | 'json'
}

/**
 * Remembers text for others and for later, and may forget any of it: never the only place of anything.
 * What was written is read elsewhere after at most `stalenessSeconds`. Rejects when the product fails;
 * callers go on without.
 */
export interface Cache {
  readonly stalenessSeconds: number
  get(key: string): Promise<string | undefined>
  /** `ttlSeconds`: forgotten after that, or sooner. */
  set(key: string, value: string, ttlSeconds: number): Promise<void>
  delete(key: string): Promise<void>
}

/** What the Request-to-Response carrier sends to a server behind. Redirects are the client's to follow. */
export interface ProxiedRequest {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null
  readonly redirect: 'manual'
  readonly signal: AbortSignal
}
/** One proxied exchange. Rejects when there is no answer; `ERR_UPSTREAM_CONNECT`: nothing was sent. */
export type Send = (request: ProxiedRequest) => Promise<Response>

/** Settings of the Fetch port, from `egress` of the configuration. */
export interface FetchSettings {
  readonly proxyUrl?: string
  readonly extraCaFile?: string
}

/** Everything one platform gives the core. Made by `node()` and `workers()`. */
export interface Platform {
  readonly name: 'node' | 'workers' | 'test'
  readonly runtime: Runtime
  readonly emit: Emit
  readonly lock: Lock
  /** Shared with other nodes, beside the store; what is read there is believed only sealed. */
  readonly cache?: Cache
  /** What `POSTERN_*` names and `env:` references are read from. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Reads a `file:` reference or a `*_FILE` secret; absent where there is no file system. */
  readonly readFile?: (path: string) => string
  openFetch(settings: FetchSettings): { fetch: Fetch; send: Send; close(): Promise<void> }
  /** Opens what `databaseUrl` names. @throws {StoreError} when it cannot be opened. */
  openStore(databaseUrl: string): Promise<{ store: Store; bus: Bus }>
  /** Reads the sealing key of a loopback issuer that names none, or makes it (mode 0600). */
  developmentSealingKey(databaseUrl: string): Promise<Uint8Array>
}
