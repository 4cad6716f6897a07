/**
 * The secrets of this house: made once, sealed with the sealing key, kept in the store.
 *
 * Symmetric ones live under fixed ids and never change. Signing keys are numbered: the next one is
 * published 48 h before it signs, the old one is kept 25 h after its last token, so that a server
 * that caches our key set never meets a key it does not know. A withdrawn key ends in the commit that
 * marks it. Two nodes that start or rotate at once agree by create-if-absent. Reads are from memory
 * and never wait.
 */
import { StoreError } from '../errors.ts'
import { decodeBase64url, encodeBase64url } from '../oauth/base64url.ts'
import type { SigningKey, Step, VerifyKey } from '../ports.ts'
import { type Mark, TENANT } from '../records.ts'
import {
  type KeyEntry,
  type KeyPurpose,
  type KeyRowsDeps,
  keyStep,
  loadKeyRows,
  nextNumber,
  openSecret,
  type PublicJwk,
  type SecretPurpose,
  secretKey,
  secretOwner,
} from '../vault/key-rows.ts'

export interface Keys {
  /** Reads or makes everything; must end before the first request. @throws {ConfigError} */
  load(): Promise<void>
  /** The key that signs now. */
  current(): { readonly kid: string; readonly key: SigningKey }
  verifyKeys(): ReadonlyMap<string, VerifyKey>
  jwks(): { readonly keys: readonly PublicJwk[] }
  tagKey(): Uint8Array
  refreshTagKey(): Uint8Array
  ticketKey(): Uint8Array
  mcpSessionKey(): Uint8Array
  /** Of pairwise subjects: never rotated. */
  pairwiseKey(): Uint8Array
  /** What is published, in the order of signing. */
  list(): readonly KeyState[]
  /**
   * Publishes the next signing key. With `emergency` it signs at once, and all others (or the one of
   * `kid`) are withdrawn with their marks of kind `key` in the same commit; the caller announces them.
   */
  rotate(options?: RotateOptions): Promise<Rotated>
  /** Reads what other nodes made, every `KEYS_POLL_MS`, and rotates a key that is old enough. */
  start(): void
  /** The same once, for a platform without timers. @throws {StoreError} */
  runDue(): Promise<void>
  stop(): void
}

export interface RotateOptions {
  readonly emergency?: boolean
  /** With `emergency`: only this key. A key that does not sign is withdrawn without a new one. */
  readonly kid?: string
}
export interface Rotated {
  /** The new key; absent when none was needed. */
  readonly kid?: string
  readonly withdrawn: readonly string[]
  readonly marks: readonly Mark[]
}
export interface KeyState {
  readonly kid: string
  /** `next`: published, not signing yet. `old`: verifies until `expiresAtMs`. */
  readonly state: 'next' | 'current' | 'old'
  readonly publishedAtMs: number
  readonly activeAtMs: number
  readonly retiredAtMs?: number
  readonly expiresAtMs?: number
}

export const KEY_PUBLISHED_AHEAD_MS = 48 * 3_600_000
export const KEY_KEPT_AFTER_MS = 25 * 3_600_000
export const KEY_LIFE_MS = 90 * 86_400_000
export const KEYS_POLL_MS = 60_000
const SECRET_BYTES = 32
const CREATE_ATTEMPTS_MAX = 10
/** Keys that one commit ends; more of them are ended by further commits. */
const ENDED_PER_COMMIT_MAX = 5

type Symmetric = Exclude<SecretPurpose, KeyPurpose>
const SYMMETRIC: readonly Symmetric[] = ['tag', 'refresh-tag', 'mcp-session', 'ticket']

export interface KeysDeps extends KeyRowsDeps {
  /** Told when the poll or a rotation in the background fails. */
  readonly onFailure?: (error: unknown) => void
  /** The audit row of a rotation, written in its commit (I12). */
  readonly audit?: (detail: string) => Step
  /** Told after each rotation, also those that are due by age. */
  readonly onRotated?: (rotated: Rotated) => void
}

export function createKeys(deps: KeysDeps): Keys {
  const { runtime } = deps
  const secrets = new Map<Symmetric, Uint8Array>()
  let signing: readonly KeyEntry[] = []
  // What a request reads, good until the clock passes `view.untilMs`.
  let view: View | undefined
  let cancel: (() => void) | undefined

  const now = (): View => {
    const nowMs = runtime.nowMs()
    if (view === undefined || nowMs >= view.untilMs || nowMs < view.fromMs) {
      view = viewAt(signing, nowMs)
    }
    return view
  }
  const setSigning = (entries: readonly KeyEntry[]): void => {
    signing = entries
    view = undefined
  }
  const secret = (purpose: Symmetric): Uint8Array => {
    const value = secrets.get(purpose)
    if (value === undefined) throw new TypeError('keys are not loaded')
    return value
  }

  const load = async (): Promise<void> => {
    // At once: a store may be a network away.
    const [first] = await Promise.all([
      loadKeyRows(deps, 'signing'),
      ...SYMMETRIC.map(async (purpose) => {
        secrets.set(purpose, await loadSymmetric(deps, purpose))
      }),
    ])
    let entries = first
    for (let tries = 0; entries.length === 0 && tries < CREATE_ATTEMPTS_MAX; tries += 1) {
      const nowMs = runtime.nowMs()
      const { step } = keyStep(deps, 'signing', 1, { publishedAtMs: nowMs, activeAtMs: nowMs })
      await deps.store.commit([step])
      entries = await loadKeyRows(deps, 'signing')
    }
    setSigning(entries)
  }

  /** `undefined` when another node was first. */
  const tryRotate = async (options: RotateOptions): Promise<Rotated | undefined> => {
    const plan = planRotation(deps, await loadKeyRows(deps, 'signing'), options)
    const won = await commitRotation(deps, plan)
    setSigning(await loadKeyRows(deps, 'signing'))
    if (won) deps.onRotated?.(plan.rotated)
    return won ? plan.rotated : undefined
  }

  const rotate: Keys['rotate'] = async (options = {}) => {
    let failure: unknown
    for (let tries = 0; tries < CREATE_ATTEMPTS_MAX; tries += 1) {
      try {
        const rotated = await tryRotate(options)
        if (rotated !== undefined) return rotated
      } catch (error) {
        // A lost step of a commit with marks looks like this too: somebody else rotated first.
        if (!(error instanceof StoreError) || error.certainty !== 'not-applied') throw error
        failure = error
      }
    }
    throw failure ?? new TypeError('signing keys are being made without end')
  }

  const poll = async (): Promise<void> => {
    const entries = await loadKeyRows(deps, 'signing')
    setSigning(entries)
    const newest = entries.at(-1)
    const dueAtMs = (newest?.value.activeAtMs ?? 0) + KEY_LIFE_MS - KEY_PUBLISHED_AHEAD_MS
    if (newest !== undefined && runtime.nowMs() >= dueAtMs) await tryRotate({})
  }
  const arm = (): void => {
    cancel = runtime.after(KEYS_POLL_MS, () => {
      runtime.waitUntil(
        poll()
          .catch((error: unknown) => deps.onFailure?.(error))
          .then(() => {
            if (cancel !== undefined) arm()
          }),
      )
    })
  }

  return {
    load,
    current: () => {
      const { current } = now()
      if (current === undefined) throw new TypeError('keys are not loaded')
      return current
    },
    verifyKeys: () => now().verifyKeys,
    jwks: () => now().jwks,
    tagKey: () => secret('tag'),
    refreshTagKey: () => secret('refresh-tag'),
    ticketKey: () => secret('ticket'),
    mcpSessionKey: () => secret('mcp-session'),
    pairwiseKey: () => secret('tag'),
    list: () => listed(signing, now().current?.kid, runtime.nowMs()),
    rotate,
    start: () => {
      if (cancel === undefined) arm()
    },
    runDue: poll,
    stop: () => {
      cancel?.()
      cancel = undefined
    },
  }
}

interface View {
  readonly fromMs: number
  /** The next moment at which a key starts to sign or is forgotten. */
  readonly untilMs: number
  readonly current: { readonly kid: string; readonly key: SigningKey } | undefined
  readonly verifyKeys: ReadonlyMap<string, VerifyKey>
  readonly jwks: { readonly keys: readonly PublicJwk[] }
}

function viewAt(entries: readonly KeyEntry[], nowMs: number): View {
  const live = entries.filter((entry) => (entry.value.expiresAtMs ?? Infinity) > nowMs)
  const current = live.findLast((entry) => entry.value.activeAtMs <= nowMs) ?? live[0]
  const changes = entries
    .flatMap((entry) => [entry.value.activeAtMs, entry.value.expiresAtMs ?? Infinity])
    .filter((atMs) => atMs > nowMs)
  return {
    fromMs: nowMs,
    untilMs: Math.min(Infinity, ...changes),
    current: current === undefined ? undefined : { kid: current.kid, key: current.key },
    verifyKeys: new Map(live.map((entry) => [entry.kid, entry.verifyKey])),
    jwks: { keys: live.map((entry) => entry.jwk) },
  }
}

async function loadSymmetric(deps: KeysDeps, purpose: Symmetric): Promise<Uint8Array> {
  const { store, runtime } = deps
  const fresh = encodeBase64url(runtime.randomBytes(SECRET_BYTES))
  for (let tries = 0; tries < CREATE_ATTEMPTS_MAX; tries += 1) {
    const found = await store.get('secret', secretKey(purpose))
    if (found !== undefined) {
      const text = await openSecret(deps, purpose, found.version, found.value)
      const bytes = decodeBase64url(text)
      if (bytes?.length === SECRET_BYTES) return bytes
      throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
    }
    const nowMs = runtime.nowMs()
    await store.create('secret', secretKey(purpose), {
      purpose,
      publishedAtMs: nowMs,
      activeAtMs: nowMs,
      ...deps.sealing.seal(fresh, secretOwner(purpose, purpose)),
    })
  }
  throw new TypeError('a secret that was created is not there')
}

interface RotationPlan {
  readonly rotated: Rotated
  /** The new key and the audit row. */
  readonly first: readonly Step[]
  /** One put for each key whose end moves. */
  readonly ends: readonly Step[]
}

/** What a rotation writes, from what was read: lost when anything of it has moved. */
function planRotation(
  deps: KeysDeps,
  entries: readonly KeyEntry[],
  { emergency = false, kid: named }: RotateOptions,
): RotationPlan {
  const nowMs = Math.trunc(deps.runtime.nowMs())
  const ending = entries.filter((entry) => named === undefined || entry.kid === named)
  const signs = viewAt(entries, nowMs).current?.kid
  const needsNew = named === undefined || named === signs
  const activeAtMs = emergency ? nowMs : nowMs + KEY_PUBLISHED_AHEAD_MS
  const number = nextNumber(entries)
  const made = needsNew
    ? keyStep(deps, 'signing', number, { publishedAtMs: nowMs, activeAtMs })
    : undefined
  const expiresAtMs = emergency ? activeAtMs : activeAtMs + KEY_KEPT_AFTER_MS
  const ends = ending.flatMap((entry): Step[] => {
    if ((entry.value.expiresAtMs ?? Infinity) <= expiresAtMs) return []
    const value = { ...entry.value, retiredAtMs: activeAtMs, expiresAtMs }
    const ifVersion = entry.version
    return [{ verb: 'put', kind: 'secret', key: secretKey(entry.id), ifVersion, value }]
  })
  const withdrawn = emergency ? ending.map((entry) => entry.kid) : []
  const detail = `new ${made?.kid ?? 'none'} withdrawn ${withdrawn.join(' ') || 'none'}`
  const audit = deps.audit?.(detail)
  const first = [
    ...(made === undefined ? [] : [made.step]),
    ...(audit === undefined ? [] : [audit]),
  ]
  const rotated = {
    ...(made === undefined ? {} : { kid: made.kid }),
    withdrawn,
    marks: withdrawn.map((id) => keyMark(id, nowMs)),
  }
  return { rotated, first, ends }
}

/** Whatever the key signed or will be made to sign, for as long as anybody may remember it. */
function keyMark(id: string, nowMs: number): Mark {
  const expiresAtMs = nowMs + KEY_KEPT_AFTER_MS
  const cause = 'key_withdrawn'
  return { tenant: TENANT, kind: 'key', id, issuedBeforeMs: expiresAtMs, expiresAtMs, cause }
}

/** @returns false when another node was first: nothing was written. */
async function commitRotation(
  { store }: KeysDeps,
  { first, ends, rotated }: RotationPlan,
): Promise<boolean> {
  const { marks } = rotated
  const steps = [...first, ...ends.slice(0, ENDED_PER_COMMIT_MAX)]
  if (marks.length === 0) {
    if (steps.length > 0 && !(await store.commit(steps)).won) return false
  } else {
    await store.grants.revoke(marks.slice(0, ENDED_PER_COMMIT_MAX), steps)
  }
  for (let from = ENDED_PER_COMMIT_MAX; from < Math.max(ends.length, marks.length); ) {
    const until = from + ENDED_PER_COMMIT_MAX
    const more = marks.slice(from, until)
    const put = ends.slice(from, until)
    if (more.length > 0) await store.grants.revoke(more, put)
    else await store.commit(put)
    from = until
  }
  return true
}

function listed(
  entries: readonly KeyEntry[],
  current: string | undefined,
  nowMs: number,
): readonly KeyState[] {
  return entries.map(({ kid, value }) => ({
    kid,
    state: kid === current ? 'current' : value.activeAtMs > nowMs ? 'next' : 'old',
    publishedAtMs: value.publishedAtMs,
    activeAtMs: value.activeAtMs,
    ...(value.retiredAtMs === undefined ? {} : { retiredAtMs: value.retiredAtMs }),
    ...(value.expiresAtMs === undefined ? {} : { expiresAtMs: value.expiresAtMs }),
  }))
}
