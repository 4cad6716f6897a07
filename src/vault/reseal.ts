/**
 * Seals again, under the first key, what an older key has sealed, so that the older one may be dropped.
 *
 * While everything runs: old rows are read with any key, new ones are sealed with the first (K13).
 * Each row is one compare-and-set, so a kill in the middle leaves nothing half done, and the next run
 * goes on with what is left. A row that no key opens is counted and left as it is.
 */
import type { Key, Runtime, Store, Versioned } from '../ports.ts'
import { type Kind, TENANT, type Values } from '../records.ts'
import { type Sealing, sealedOwner } from './sealing.ts'
import { spareOwner, tokenOwner } from './vault.ts'

export interface Resealed {
  /** Rows that an older key had sealed, and the first has now. */
  readonly resealed: number
  /** In use at this moment, or overtaken again and again: the next run. */
  readonly left: number
  /** Sealed with a key that is not configured, or damaged. */
  readonly unreadable: number
}

export interface ResealDeps {
  readonly store: Store
  readonly sealing: Sealing
  readonly runtime: Pick<Runtime, 'nowMs'>
  /** Between two pages, so that requests are not kept waiting for the writer. Default: none. */
  readonly pause?: () => Promise<void>
}

/** Kinds whose columns are sealed with the sealing keys. Others are sealed with a `secret` of those. */
export const RESEALED_KINDS = [
  'secret',
  'vault',
  'registration',
  'definition',
  'duty',
  'webhook',
] as const
type ResealedKind = (typeof RESEALED_KINDS)[number]

const PAGE_ROWS = 100
const PAGES_MAX = 1_000_000
const PASSES_MAX = 5
/** An intent as young as this belongs to a refresh that may be under way. */
const INTENT_LIVE_MS = 60_000

type Outcome = 'current' | 'resealed' | 'left' | 'unreadable'

/** @param onProgress Told of the rows that were sealed again so far. */
export async function reseal(
  deps: ResealDeps,
  onProgress: (resealed: number) => void = () => undefined,
): Promise<Resealed> {
  let resealed = 0
  for (let pass = 1; ; pass += 1) {
    const counts = { current: 0, resealed: 0, left: 0, unreadable: 0 }
    for (const kind of RESEALED_KINDS) {
      for await (const outcome of resealKind(deps, kind)) {
        counts[outcome] += 1
        if (outcome === 'resealed') {
          resealed += 1
          if (resealed % PAGE_ROWS === 0) onProgress(resealed)
        }
      }
    }
    const { left, unreadable } = counts
    if (left === 0 || pass >= PASSES_MAX) return { resealed, left, unreadable }
  }
}

async function* resealKind<K extends ResealedKind>(
  deps: ResealDeps,
  kind: K,
): AsyncGenerator<Outcome> {
  const { store } = deps
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const rows = await store.list(kind, TENANT, undefined, at)
    for (const row of rows) yield await resealRow(deps, kind, row)
    if (rows.length < PAGE_ROWS) return
    after = rows.at(-1)?.key.id
    await deps.pause?.()
  }
}

async function resealRow<K extends ResealedKind>(
  { store, sealing, runtime }: ResealDeps,
  kind: K,
  row: Versioned<K>,
): Promise<Outcome> {
  const columns = columnsOf(kind, row)
  if (columns.every(({ keyId }) => keyId === sealing.primaryKeyId)) return 'current'
  if (isInUse(kind, row.value, runtime.nowMs())) return 'left'
  let value = row.value
  for (const { keyId, sealed, owner, write } of columns) {
    if (keyId === sealing.primaryKeyId) continue
    const text = sealing.open(sealed, keyId, owner)
    if (text === undefined) return 'unreadable'
    value = { ...value, ...write(sealing.seal(text, owner)) }
  }
  return (await store.put(kind, row.key, row.version, value)).won ? 'resealed' : 'left'
}

/** A refresh holds what it has read; its answer is worth more than our haste. */
function isInUse(kind: ResealedKind, value: Values[ResealedKind], nowMs: number): boolean {
  if (kind !== 'vault' || !('intent' in value) || value.intent === undefined) return false
  return Math.abs(nowMs - value.intent.startedAtMs) < INTENT_LIVE_MS
}

interface SealedColumn {
  readonly keyId: string
  readonly sealed: string
  readonly owner: string
  write(fresh: { readonly sealed: string; readonly keyId: string }): object
}

const COLUMNS: {
  readonly [K in ResealedKind]: (id: string, value: Values[K]) => readonly SealedColumn[]
} = {
  secret: (id, value) => [plain(value, placeOf('secret', id, value.purpose))],
  vault: (id, value) => [
    plain(value, tokenOwner(id)),
    ...(value.spareSealed === undefined ? [] : [spare(id, value.spareSealed)]),
  ],
  registration: (id, value) => optional(value, registrationOwner(id)),
  webhook: (id, value) => optional(value, webhookOwner(id)),
  definition: (id, value) => optional(value, definitionOwner(id)),
  // Sealed to the vault record that they came from.
  duty: (_id, value) => optional(value, tokenOwner(value.vaultId ?? '')),
}

function columnsOf<K extends ResealedKind>(
  kind: K,
  { key, value }: { readonly key: Key; readonly value: Values[K] },
): readonly SealedColumn[] {
  return COLUMNS[kind](key.id, value)
}

function plain(
  { sealed, keyId }: { readonly sealed: string; readonly keyId: string },
  owner: string,
): SealedColumn {
  return { sealed, keyId, owner, write: (fresh) => fresh }
}

function optional(
  { sealed, keyId }: { readonly sealed?: string; readonly keyId?: string },
  owner: string,
): readonly SealedColumn[] {
  return sealed === undefined || keyId === undefined ? [] : [plain({ sealed, keyId }, owner)]
}

function spare(id: string, spareSealed: string): SealedColumn {
  const [keyId = '', sealed = ''] = spareSealed.split('.', 2)
  return {
    keyId,
    sealed,
    owner: spareOwner(id),
    write: (fresh) => ({ spareSealed: `${fresh.keyId}.${fresh.sealed}` }),
  }
}

/** Where the secrets of a client that we registered elsewhere are sealed to. */
export function registrationOwner(id: string): string {
  return placeOf('registration', id, 'client')
}

/** Where the secret of a webhook is sealed to. */
export function webhookOwner(id: string): string {
  return placeOf('webhook', id, 'secret')
}

/** Where the secrets of a connector that the API made are sealed to. */
export function definitionOwner(id: string): string {
  return placeOf('definition', id, 'connector')
}

function placeOf(kind: Kind, id: string, purpose: string): string {
  return sealedOwner({ tenant: TENANT, kind, id, column: 'sealed', purpose })
}
