/**
 * API keys: `ptk_`, an id and 256 random bits, kept as digest. Any number may live at once, so that one
 * is changed for another without a gap.
 *
 * A key is remembered for `KEY_REMEMBERED_MS`, so that a warm call reads no row: ended, it is refused on
 * this node at once and on every other one within 5 s. The key of the configuration has no row.
 */
import { LRUCache } from 'lru-cache'
import { ConfigError, StoreError } from '../errors.ts'
import { auditStep } from '../issuer/audit.ts'
import { createId, createSecret, key } from '../issuer/ids.ts'
import type { Step, Versioned } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import type { ApiCaller, ApiHouse, Role } from './route.ts'

export type KeysHouse = Pick<ApiHouse, 'store' | 'runtime' | 'config'>
export type ApiKeyRow = Versioned<'apiKey'>

export interface NewApiKey {
  /** For people. */
  readonly name?: string
  readonly role: Role
  readonly app?: string
  readonly connectors?: readonly string[]
  /** Default: it lives until it is ended. */
  readonly expiresAtMs?: number
}

/** Keys of one house at once. */
export const API_KEYS_MAX = 1_000
/** Longest life of a key after it was ended on another node. */
export const KEY_REMEMBERED_MS = 5_000
const REMEMBERED_KEYS_MAX = 1_000
const USE_NOTED_EVERY_MS = 60_000
const KEY = /^ptk_([0-9a-hjkmnp-tv-z]{26})_[A-Za-z0-9_-]{43}$/
const BEARER = /^Bearer +([\x21-\x7e]{1,600})$/i
/** What calls itself so is the key of the configuration. */
export const ADMIN_KEY_ID = 'admin'

export interface ApiKeys {
  /**
   * @param beforeUnknown Called for what is not remembered, before anything is read; may throw.
   * @returns `undefined`: no key, unknown, ended: nobody is told which (I11). @throws {StoreError}
   */
  authenticate(
    authorization: string | null,
    beforeUnknown?: () => void,
  ): Promise<ApiCaller | undefined>
  /** It was ended: not remembered any more. By the mark of `KEY_CACHE`, on every node. */
  forget(id: string): void
}

interface Remembered {
  readonly caller: ApiCaller
  readonly readAtMs: number
  readonly expiresAtMs: number | undefined
}

export function createApiKeys(house: KeysHouse): ApiKeys {
  const { store, runtime, config } = house
  const remembered = new LRUCache<string, Remembered>({ max: REMEMBERED_KEYS_MAX })
  const digests = new Map<string, string>()
  let ended = 0
  const adminDigest = config.adminApiKey && runtime.sha256(config.adminApiKey.reveal())
  const read = async (id: string, digest: string): Promise<ApiCaller | undefined> => {
    const readAtMs = runtime.monotonicMs()
    const endedBefore = ended
    const row = await store.get('apiKey', key(id))
    const { digest: expected = NO_DIGEST, expiresAtMs } = row?.value ?? {}
    const isRight = runtime.equal(expected, digest)
    if (row === undefined || !isRight || hasEnded(expiresAtMs, runtime.nowMs())) {
      remembered.delete(digest)
      return undefined
    }
    const caller = callerOf(row)
    // It may be the one that was ended while it was read: asked again next time.
    if (ended !== endedBefore) return caller
    remembered.set(digest, { caller, readAtMs, expiresAtMs })
    digests.set(id, digest)
    if (digests.size > REMEMBERED_KEYS_MAX) digests.clear()
    noteUse(house, row)
    return caller
  }
  return {
    async authenticate(authorization, beforeUnknown = () => undefined) {
      const presented = BEARER.exec(authorization ?? '')?.[1] ?? ''
      const digest = runtime.sha256(presented)
      if (adminDigest !== undefined && runtime.equal(adminDigest, digest))
        return { keyId: ADMIN_KEY_ID, role: 'manage' }
      const known = remembered.get(digest)
      if (known === undefined) beforeUnknown()
      const id = KEY.exec(presented)?.[1]
      if (id === undefined) return undefined
      const isFresh =
        known !== undefined && runtime.monotonicMs() - known.readAtMs < KEY_REMEMBERED_MS
      if (!isFresh) return read(`key_${id}`, digest)
      return hasEnded(known.expiresAtMs, runtime.nowMs()) ? undefined : known.caller
    },
    forget(id) {
      ended += 1
      const digest = digests.get(id)
      if (digest !== undefined) remembered.delete(digest)
      else remembered.clear()
    },
  }
}

/** Of no key: compared all the same, so that an unknown id takes as long as a wrong secret. */
const NO_DIGEST = '0'.repeat(43)

function hasEnded(expiresAtMs: number | undefined, nowMs: number): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= nowMs
}

function callerOf({ key: { id }, value: { role, app, connectors } }: ApiKeyRow): ApiCaller {
  return {
    keyId: id,
    role,
    ...(app === undefined ? {} : { app }),
    ...(connectors === undefined ? {} : { connectors }),
  }
}

/** Behind the answer; lost when the row was changed meanwhile, and nobody minds. */
function noteUse({ store, runtime }: KeysHouse, { key: at, version, value }: ApiKeyRow): void {
  const nowMs = runtime.nowMs()
  if (nowMs - (value.usedAtMs ?? 0) < USE_NOTED_EVERY_MS) return
  runtime.waitUntil(store.put('apiKey', at, version, { ...value, usedAtMs: Math.trunc(nowMs) }))
}

/**
 * @param by Who makes it: a key id, or `cli`.
 * @param maker The key that makes it, as it was read: changed or ended since, and nothing is made.
 * @returns `secret` is shown once and kept nowhere.
 * @throws {ConfigError} when there are `API_KEYS_MAX` already. @throws {StoreError}
 */
export async function createApiKey(
  house: KeysHouse,
  input: NewApiKey,
  by: string,
  maker?: ApiKeyRow,
): Promise<{ readonly id: string; readonly secret: string; readonly value: Values['apiKey'] }> {
  const { store, runtime } = house
  if ((await store.count('apiKey', TENANT)) >= API_KEYS_MAX) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      `there are ${API_KEYS_MAX} API keys already.`,
      'End those that nobody uses.',
    )
  }
  const id = createId(runtime, 'key')
  const secret = `ptk_${id.slice('key_'.length)}_${createSecret(runtime)}`
  const value: Values['apiKey'] = {
    ...input,
    digest: runtime.sha256(secret),
    createdAtMs: Math.trunc(runtime.nowMs()),
  }
  const { won } = await store.commit([
    ...(maker === undefined ? [] : [unchanged(maker)]),
    { verb: 'create', kind: 'apiKey', key: key(id), value },
    auditStep(house, 'api_key.created', { actor: by, detail: `${id} ${input.role}` }),
  ])
  if (!won) throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
  return { id, secret, value }
}

/** The commit is lost when somebody has changed or ended this key. */
function unchanged({ key: at, version, value }: ApiKeyRow): Step {
  return { verb: 'put', kind: 'apiKey', key: at, ifVersion: version, value }
}

/** In order of id; fewer than `max` is the end. @throws {StoreError} */
export function listApiKeys(
  { store }: Pick<KeysHouse, 'store'>,
  page: { readonly after?: string; readonly max: number },
): Promise<readonly ApiKeyRow[]> {
  return store.list('apiKey', TENANT, undefined, page)
}

/** @throws {StoreError} */
export function findApiKey(
  { store }: Pick<KeysHouse, 'store'>,
  id: string,
): Promise<ApiKeyRow | undefined> {
  return store.get('apiKey', key(id))
}

/**
 * Ends a key. In a running house call `forget` of its `ApiKeys` next.
 *
 * Without `adminApiKey` the last key of the role `manage` stays: another living one is written in the same
 * commit, so that two keys that end each other at once do not both succeed (M2).
 *
 * @throws {StoreError}
 */
export async function endApiKey(
  house: KeysHouse,
  id: string,
  by: string,
): Promise<'ended' | 'unknown' | 'last'> {
  for (let tries = 0; tries < END_TRIES_MAX; tries += 1) {
    const row = await findApiKey(house, id)
    if (row === undefined) return 'unknown'
    const isGuarded = row.value.role === 'manage' && house.config.adminApiKey === undefined
    const other = isGuarded ? await otherManager(house, id) : undefined
    if (isGuarded && other === undefined) return 'last'
    const { won } = await house.store.commit([
      unchanged(row),
      { verb: 'remove', kind: 'apiKey', key: row.key },
      ...(other === undefined ? [] : [unchanged(other)]),
      auditStep(house, 'api_key.ended', { actor: by, detail: id }),
    ])
    if (won) return 'ended'
  }
  throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
}

/** Without restrictions, and alive for good if there is such a one. */
async function otherManager(house: KeysHouse, id: string): Promise<ApiKeyRow | undefined> {
  const nowMs = house.runtime.nowMs()
  let mortal: ApiKeyRow | undefined
  let after: string | undefined
  for (let read = 0; read < API_KEYS_MAX; read += PAGE_ROWS) {
    const rows = await listApiKeys(house, { max: PAGE_ROWS, ...(after && { after }) })
    for (const row of rows) {
      const { role, app, connectors, expiresAtMs } = row.value
      const isWhole = role === 'manage' && app === undefined && connectors === undefined
      if (!isWhole || row.key.id === id || hasEnded(expiresAtMs, nowMs)) continue
      if (expiresAtMs === undefined) return row
      mortal ??= row
    }
    if (rows.length < PAGE_ROWS) break
    after = rows.at(-1)?.key.id
  }
  return mortal
}

const PAGE_ROWS = 200
const END_TRIES_MAX = 20

/** The same for a command. */
export interface ApiKeyAdministration {
  create(input: NewApiKey, by: string): ReturnType<typeof createApiKey>
  list(): Promise<readonly ApiKeyRow[]>
  end(id: string, by: string): ReturnType<typeof endApiKey>
}

export function administerApiKeys(house: KeysHouse): ApiKeyAdministration {
  return {
    create: (input, by) => createApiKey(house, input, by),
    async list() {
      const all: ApiKeyRow[] = []
      for (let after: string | undefined; all.length < API_KEYS_MAX; ) {
        const rows = await listApiKeys(house, { max: PAGE_ROWS, ...(after && { after }) })
        all.push(...rows)
        if (rows.length < PAGE_ROWS) break
        after = rows.at(-1)?.key.id
      }
      return all
    },
    end: (id, by) => endApiKey(house, id, by),
  }
}
