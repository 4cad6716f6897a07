/**
 * Upstream tokens of sign-ins, sealed to their row. Every write is a compare-and-set on the version
 * that was read: the loser reads again before it judges (I4).
 *
 * Plaintext tokens leave this room only as `TokenSet` values in memory.
 */
import { StoreError } from '../errors.ts'
import { encodeBase64url } from '../oauth/base64url.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Key, Runtime, Store } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { type Sealing, sealedOwner } from './sealing.ts'

export type VaultRecord = Values['vault']
export interface VaultEntry {
  readonly id: string
  readonly version: number
  readonly record: VaultRecord
  readonly tokens: TokenSet
}
/** What a sign-in knows about its tokens. */
export type VaultOwner = Pick<
  VaultRecord,
  'userId' | 'userKey' | 'provider' | 'issuer' | 'subject' | 'tokenOrigin'
>

export interface Vault {
  /** For a vault record that is created in a larger commit. */
  sealTokens(id: string, tokens: TokenSet): { sealed: string; keyId: string }
  /** Tokens that were sealed to this record, also when it holds others by now. */
  openTokens(id: string, sealed: string, keyId: string): TokenSet | undefined
  /** Record fields that follow from a token set. */
  describeTokens(tokens: TokenSet): Pick<VaultRecord, 'accessExpiresAtMs' | 'hasRefreshToken'>
  sealSpare(id: string, tokens: TokenSet): string
  openSpare(id: string, spareSealed: string): TokenSet | undefined
  /** Keyed digest of an upstream token: names it in an intent without keeping it. */
  tokenDigest(token: string): string
  /** Saves the tokens of a new sign-in under a new id. */
  save(owner: VaultOwner, tokens: TokenSet): Promise<VaultEntry>
  /** `undefined` when there is no such record. @throws {StoreError} when it cannot be opened. */
  find(id: string): Promise<VaultEntry | undefined>
  /** As `find`; a missing record is an error. */
  load(id: string): Promise<VaultEntry>
  /** Compare-and-set on the entry's version; `undefined` when somebody else wrote first. */
  update(entry: VaultEntry, change: Partial<VaultRecord>): Promise<VaultEntry | undefined>
  /**
   * Ends a record; its tokens stay sealed for `ENDED_KEPT_MS` so that they can be revoked upstream.
   * Returns what was there, or `undefined` when it was ended or gone already.
   */
  end(id: string, cause: string): Promise<VaultEntry | undefined>
}

/** flows.md section 11: at most 7 days of upstream retries. */
export const ENDED_KEPT_MS = 7 * 86_400_000
const ID_BYTES = 16
const END_ATTEMPTS_MAX = 20

export function createVault(deps: { store: Store; sealing: Sealing; runtime: Runtime }): Vault {
  const { store, sealing, runtime } = deps

  const openTokens: Vault['openTokens'] = (id, sealed, keyId) => {
    const text = sealing.open(sealed, keyId, tokenOwner(id))
    return text === undefined ? undefined : parseTokens(text)
  }
  const open = (id: string, record: VaultRecord): TokenSet => {
    const tokens = openTokens(id, record.sealed, record.keyId)
    if (tokens === undefined) throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
    return tokens
  }
  const sealTokens: Vault['sealTokens'] = (id, tokens) =>
    sealing.seal(JSON.stringify(tokens), tokenOwner(id))

  const find: Vault['find'] = async (id) => {
    const found = await store.get('vault', key(id))
    if (found === undefined) return undefined
    const { version, value: record } = found
    return { id, version, record, tokens: open(id, record) }
  }
  const update: Vault['update'] = async (entry, change) => {
    const record: VaultRecord = { ...entry.record, ...change }
    const result = await store.put('vault', key(entry.id), entry.version, record)
    if (!result.won) return undefined
    const tokens = record.sealed === entry.record.sealed ? entry.tokens : open(entry.id, record)
    return { id: entry.id, version: result.version, record, tokens }
  }

  return {
    sealTokens,
    openTokens,
    describeTokens,
    sealSpare(id, tokens) {
      const { sealed, keyId } = sealing.seal(JSON.stringify(tokens), spareOwner(id))
      return `${keyId}.${sealed}`
    },
    openSpare(id, spareSealed) {
      const [keyId = '', sealed = ''] = spareSealed.split('.', 2)
      const text = sealing.open(sealed, keyId, spareOwner(id))
      return text === undefined ? undefined : parseTokens(text)
    },
    tokenDigest: (token) => sealing.digest(token, 'upstream-token'),
    async save(owner, tokens) {
      const id = encodeBase64url(runtime.randomBytes(ID_BYTES))
      const record: VaultRecord = {
        ...owner,
        ...sealTokens(id, tokens),
        ...describeTokens(tokens),
        scopes: tokens.scopes ?? [],
        state: 'active',
        createdAtMs: runtime.nowMs(),
      }
      const { won } = await store.create('vault', key(id), record)
      if (!won) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
      return { id, version: 1, record, tokens }
    },
    find,
    async load(id) {
      const entry = await find(id)
      if (entry === undefined) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
      return entry
    },
    update,
    async end(id, cause) {
      for (let attempt = 0; attempt < END_ATTEMPTS_MAX; attempt += 1) {
        const entry = await find(id)
        if (entry === undefined || entry.record.state === 'ended') return undefined
        const expiresAtMs = runtime.nowMs() + ENDED_KEPT_MS
        const change = { state: 'ended', cause, intent: undefined, expiresAtMs } as const
        if ((await update(entry, change)) !== undefined) return entry
      }
      throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
    },
  }
}

function describeTokens(
  tokens: TokenSet,
): Pick<VaultRecord, 'accessExpiresAtMs' | 'hasRefreshToken'> {
  return {
    accessExpiresAtMs: tokens.expiresAtMs,
    hasRefreshToken: tokens.refreshToken !== undefined,
  }
}

function key(id: string): Key {
  return { tenant: TENANT, id }
}

/** Where the tokens of a record are sealed to. */
export function tokenOwner(id: string): string {
  return sealedOwner({
    tenant: TENANT,
    kind: 'vault',
    id,
    column: 'sealed',
    purpose: 'upstream-tokens',
  })
}
export function spareOwner(id: string): string {
  return sealedOwner({
    tenant: TENANT,
    kind: 'vault',
    id,
    column: 'spareSealed',
    purpose: 'upstream-tokens',
  })
}

/** What we sealed ourselves, authenticated by the seal: only the shape of its core is looked at. */
function parseTokens(text: string): TokenSet | undefined {
  const value: unknown = JSON.parse(text)
  return isTokenSet(value) ? value : undefined
}

function isTokenSet(value: unknown): value is TokenSet {
  return (
    typeof value === 'object' &&
    value !== null &&
    'accessToken' in value &&
    typeof value.accessToken === 'string' &&
    'tokenType' in value &&
    typeof value.tokenType === 'string'
  )
}
