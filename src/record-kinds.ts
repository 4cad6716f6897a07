/**
 * What each kind of row is for people, and by what it is found. `docs/storage.md` is generated from
 * KINDS; each entry of INDEXES becomes a real column with an index.
 */
import type { Kind, Values } from './records.ts'

/** What a row of a kind is, for people: its key, how long it lives, which fields are sealed text. */
export interface KindRow {
  readonly holds: string
  readonly key: string
  readonly life: string
  readonly sealed: readonly string[]
}
export const KINDS: { readonly [K in Kind]: KindRow } = {
  user: {
    holds: 'a person and where they signed in last',
    key: 'digest of (issuer, subject)',
    life: 'until deleted',
    sealed: [],
  },
  client: {
    holds: 'a registered client',
    key: 'client id',
    life: '`unusedRegistrationTtlSeconds` until first used',
    sealed: [],
  },
  transaction: {
    holds: 'an answered consent form',
    key: 'ticket id',
    life: '10 min, once',
    sealed: [],
  },
  pushed: {
    holds: 'a pushed authorization request',
    key: 'digest of `request_uri`',
    life: '90 s, once',
    sealed: [],
  },
  attempt: {
    holds: 'one trip to the provider',
    key: 'digest of `state`',
    life: '10 min, once',
    sealed: ['verifierSealed'],
  },
  session: {
    holds: 'a signed-in browser',
    key: 'digest of its cookie',
    life: '`sessionIdleSeconds`, at most 7 d',
    sealed: [],
  },
  approval: {
    holds: 'a remembered consent',
    key: 'digest of (user, client, redirect URI, resource)',
    life: '`approvalTtlSeconds`',
    sealed: [],
  },
  vault: {
    holds: 'upstream tokens of a sign-in or a connection',
    key: 'random id',
    life: 'until ended, then 7 d for upstream revocation',
    sealed: ['sealed', 'spareSealed'],
  },
  proof: {
    holds: 'the last good answer of a provider',
    key: 'vault id',
    life: '`upstreamProofStaleIfErrorSeconds`',
    sealed: [],
  },
  connection: {
    holds: "a person's account at a connector",
    key: 'digest of (user, connector)',
    life: 'until ended, then 7 d',
    sealed: [],
  },
  connecting: {
    holds:
      'an answer that waits until the person has said which account it is to be, or a product has confirmed its user',
    key: 'digest of a handle or confirmation',
    life: '10 min, once; 5 min for a confirmation',
    sealed: ['answerSealed'],
  },
  connectSession: {
    holds: 'a person of an embedding product, in a page of it',
    key: 'digest of its token',
    life: '15 min',
    sealed: [],
  },
  handle: {
    holds: 'which browser answered the page of an embedded trip',
    key: "the trip's id",
    life: '10 min',
    sealed: [],
  },
  registration: {
    holds: 'our client at an authorization server',
    key: 'digest of (issuer, connector)',
    life: 'until replaced',
    sealed: ['sealed'],
  },
  connector: {
    holds: "what we accepted about a connector's servers",
    key: 'connector',
    life: 'until its URL changes',
    sealed: [],
  },
  definition: {
    holds: 'a connector made by the API',
    key: 'connector',
    life: 'until removed, then 7 d for upstream revocation',
    sealed: ['sealed'],
  },
  secret: {
    holds: 'a key of this house',
    key: 'purpose, or `signing-<n>`',
    life: 'signing keys 25 h after their last token, others until deleted',
    sealed: ['sealed'],
  },
  fact: {
    holds: 'a remote document, last good copy; what a person belongs to',
    key: 'cache name and key',
    life: '`discoveryStaleIfErrorSeconds`; 1 h of a person',
    sealed: [],
  },
  spent: {
    holds: 'an identifier that was used',
    key: 'digest of purpose and `jti`',
    life: 'until what carried it ends',
    sealed: [],
  },
  duty: {
    holds: 'an upstream revocation to come',
    key: 'due time, random letters',
    life: 'until the provider confirmed it, at most 7 d',
    sealed: ['sealed'],
  },
  renewal: {
    holds: 'that upstream tokens are in use, and when to refresh them (Workers)',
    key: 'due time, vault id',
    life: 'until refreshed, or 2 h without use',
    sealed: [],
  },
  operation: {
    holds: 'work that the API was asked for',
    key: 'its id',
    life: '7 d',
    sealed: [],
  },
  webhook: {
    holds: 'a receiver of events',
    key: 'its id',
    life: 'until removed',
    sealed: ['sealed'],
  },
  delivery: {
    holds: 'an event that a receiver is still to be told',
    key: 'due time, random letters',
    life: 'until it answered 2xx, at most 3 d',
    sealed: [],
  },
  origin: {
    holds: "the provider's session of a sign-in",
    key: 'digest of our session cookie',
    life: '`refreshTokenAbsoluteSeconds`',
    sealed: [],
  },
  tombstone: {
    holds: 'that a person was deleted',
    key: 'keyed digest of (issuer, subject)',
    life: '400 d',
    sealed: [],
  },
  apiKey: {
    holds: 'a key of the REST API',
    key: 'key id',
    life: 'until ended, or as it says',
    sealed: [],
  },
  idempotency: {
    holds: 'a POST that named itself, and its answer',
    key: 'digest of (API key, idempotency key)',
    life: '24 h',
    sealed: ['answerSealed'],
  },
  audit: { holds: 'one change of state', key: 'random id', life: '`auditTtlDays`', sealed: [] },
}

/** Ages of clients that nobody used yet are told apart this finely. */
export const UNUSED_BUCKET_MS = 600_000

/** The index value of never used clients that registered in the same ten minutes. */
export function unusedBucket(createdAtMs: number): string {
  return `unused-${Math.floor(createdAtMs / UNUSED_BUCKET_MS)}`
}

/** Never used clients end in the order of this. One that is wanted comes after all that are not. */
export function unusedOrderMs(
  client: Pick<Values['client'], 'createdAtMs' | 'wantedUntilMs'>,
): number {
  return client.wantedUntilMs ?? client.createdAtMs
}

/** Searchable columns per kind; each becomes a real column with an index. */
export const INDEXES: {
  readonly [K in Kind]?: Readonly<Record<string, (value: Values[K]) => string | undefined>>
} = {
  user: { userId: (value) => value.userId },
  // A full table makes room by ending the oldest of these (issuer/registration-room.ts).
  client: {
    purpose: (client) =>
      client.usedAtMs === undefined ? unusedBucket(unusedOrderMs(client)) : undefined,
  },
  session: { userId: (value) => value.userId, purpose: (value) => value.sessionId },
  approval: { userId: (value) => value.userId, clientId: (value) => value.clientId },
  vault: { userId: (value) => value.userId },
  connection: {
    userId: (value) => value.userId,
    name: (value) => value.connector,
    purpose: (value) => value.connectionId,
  },
  // The connection to come, which an embedding product knows by its id.
  connecting: {
    purpose: ({ waitsFor, embedded }) => (waitsFor === undefined ? undefined : embedded?.attempt),
  },
  registration: { name: (value) => value.connector },
  secret: { purpose: (value) => value.purpose },
  fact: { name: (value) => value.name },
  duty: { userId: (value) => value.userId },
  delivery: { name: (value) => value.webhookId },
  operation: {
    purpose: ({ state }) => (state === 'running' ? state : undefined),
  },
  origin: { userId: (value) => value.userId, name: (value) => value.name },
  audit: { userId: (value) => value.userId },
}
