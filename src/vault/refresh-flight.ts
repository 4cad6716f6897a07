/**
 * One refresh of one record: lease, read again, still needed, intent, call, persist first, answer,
 * release (threats.md section 6).
 *
 * The lease only keeps calls apart; the record's version decides. Whoever loses the version keeps
 * its answer as the record's sealed spare, and a spare is tried before a record is called broken.
 */
import { StoreError } from '../errors.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Lease, Runtime } from '../ports.ts'
import type { RefreshAnswer, RefresherOptions, RefreshResult } from './refresh.ts'
import type { VaultEntry, VaultRecord } from './vault.ts'

export interface FlightDeps extends RefresherOptions {
  isDue(record: VaultRecord): boolean
  countUnwritten(by: number): void
  /** Starts of this node's own calls that ended without new tokens, by record. */
  readonly over: OverCalls
}

export interface OverCalls {
  get(id: string): number | undefined
  set(id: string, startedAtMs: number): void
}

const LEASE_MS = 15_000
const LOCK_DEADLINE_MS = 300
/** Waits of one who is not the first: short as long as most calls take, then longer. */
const HELD_POLL_MS = 40
const HELD_POLL_LATE_MS = 250
const HELD_POLLS_SHORT = 25
/** Rounds of one flight: with the polls above, longer than any lease and call together. */
const ROUNDS_MAX = 240
/** An intent that is older than a call and this belongs to a call that is over. */
const INTENT_SLACK_MS = 2_000
const CALL_TIMEOUT_MS = 28_000
/** The clocks of two nodes are not further apart than this. */
const CLOCK_AHEAD_MS = 60_000
const PERSIST_ATTEMPTS_MAX = 10_000
const PERSIST_PAUSE_MS = 50
const PERSIST_PAUSE_MAX_MS = 1_000
const OVERTAKEN_ATTEMPTS_MAX = 20
/** Another person's tokens came back: no second opinion can make that right (R9). */
const SUBJECT_CHANGED = 'subject_changed'

/** `again`: somebody else moved; look at the record once more. */
type Round = RefreshResult | 'again'

interface Flight {
  readonly deps: FlightDeps
  readonly id: string
  readonly force: boolean
  /** False: a refusal is told, the record stays as it is. */
  readonly believe: boolean
  readonly requestedAtMs: number
}

export async function fly(
  deps: FlightDeps,
  id: string,
  asked: { readonly force: boolean; readonly believe: boolean },
): Promise<RefreshResult> {
  const flight: Flight = { deps, id, ...asked, requestedAtMs: deps.runtime.nowMs() }
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const taken = await deps.lock.acquire(`vault-refresh:${id}`, LEASE_MS, LOCK_DEADLINE_MS)
    if (taken.state === 'held') {
      await pause(deps.runtime, pollMs(round))
      const settled = judge(flight, await deps.vault.find(id))
      if (settled !== undefined) return settled
      continue
    }
    // A lock that errs may hold an orphan lease: go on without one, the version still decides (R2).
    const result =
      taken.state === 'acquired'
        ? await withLease(deps.runtime, taken.lease, () => attempt(flight, taken.lease))
        : await attempt(flight, undefined)
    if (result !== 'again') return result
    await pause(deps.runtime, pollMs(round))
  }
  return 'unknown'
}

function pollMs(round: number): number {
  return round < HELD_POLLS_SHORT ? HELD_POLL_MS : HELD_POLL_LATE_MS
}

/** What the record says without a call, or `undefined` when a call is needed. */
function judge(flight: Flight, entry: VaultEntry | undefined): RefreshResult | undefined {
  if (entry === undefined || entry.record.state === 'ended') return 'dead'
  const { record } = entry
  if (record.state === 'reconnect') return record.spareSealed === undefined ? 'dead' : undefined
  const refreshedAtMs = record.refreshedAtMs ?? record.createdAtMs
  // A refresh of later than now: the clock has jumped back since, and its times say nothing (K7).
  const isAhead = refreshedAtMs > flight.requestedAtMs + CLOCK_AHEAD_MS
  const isOlder = isAhead || refreshedAtMs < flight.requestedAtMs
  const needed = flight.force ? isOlder : flight.deps.isDue(record)
  if (needed) return undefined
  return refreshedAtMs >= flight.requestedAtMs && record.refreshedAtMs !== undefined
    ? 'refreshed'
    : 'current'
}

async function attempt(flight: Flight, lease: Lease | undefined): Promise<Round> {
  const { deps, id } = flight
  const entry = await deps.vault.find(id)
  const settled = judge(flight, entry)
  if (entry === undefined || settled !== undefined) return settled ?? 'dead'
  const { record, tokens } = entry
  if (record.state === 'reconnect') return trySpare(flight, entry, 'refused')
  if (tokens.refreshToken === undefined) return withoutRefreshToken(flight, entry)
  const prior = record.intent
  // Where the lease says nothing of other nodes, the fresh intent of one of them stands in for it.
  if (isBlind(deps, lease) && isElsewhere(flight, prior)) return 'again'
  const marked = await writeIntent(flight, entry, tokens.refreshToken, lease?.fence ?? 0)
  if (marked === undefined) return 'again'
  const isLate = lease !== undefined && lease.remainingMs() <= 0
  const answer = isLate ? undefined : await call(flight, marked, tokens)
  if (answer?.outcome === 'yes') return persist(flight, marked, answer.value)
  // From here on nothing of this call is under way: the next flight of this node need not wait.
  if (marked.record.intent !== undefined) deps.over.set(id, marked.record.intent.startedAtMs)
  if (answer === undefined) return 'again'
  if (answer.outcome === 'unknown') return 'unknown'
  return refused(flight, marked, prior, answer.reason)
}

function isBlind({ lock }: FlightDeps, lease: Lease | undefined): boolean {
  return lease === undefined || lock.reach === 'process'
}

/** Written by another process, whose call may still be under way. */
function isElsewhere(flight: Flight, intent: VaultRecord['intent']): boolean {
  if (intent === undefined || !isLive(flight, intent.startedAtMs)) return false
  return flight.deps.over.get(flight.id) !== intent.startedAtMs
}

async function withoutRefreshToken(flight: Flight, entry: VaultEntry): Promise<Round> {
  const { accessExpiresAtMs } = entry.record
  const alive = accessExpiresAtMs === undefined || accessExpiresAtMs > flight.deps.runtime.nowMs()
  return alive ? 'current' : markReconnect(flight, entry, 'expired')
}

function writeIntent(
  flight: Flight,
  entry: VaultEntry,
  refreshToken: string,
  fence: number,
): Promise<VaultEntry | undefined> {
  const { vault, runtime } = flight.deps
  const intent = {
    tokenDigest: vault.tokenDigest(refreshToken),
    fence,
    startedAtMs: runtime.nowMs(),
  }
  return vault.update(entry, { intent })
}

async function call(flight: Flight, entry: VaultEntry, tokens: TokenSet): Promise<RefreshAnswer> {
  try {
    return await flight.deps.call(entry.record, tokens)
  } catch (error) {
    return { outcome: 'unknown', error }
  }
}

/** Nothing comes before this: the old token is spent, the new one is nowhere else (R7). */
async function persist(flight: Flight, marked: VaultEntry, answer: TokenSet): Promise<Round> {
  const { vault, runtime, emit } = flight.deps
  // R6: no new refresh token means that the old one stays good.
  const tokens: TokenSet = {
    ...answer,
    refreshToken: answer.refreshToken ?? marked.tokens.refreshToken,
    idToken: answer.idToken ?? marked.tokens.idToken,
  }
  const scopes = answer.scopes ?? marked.record.scopes
  const change: Partial<VaultRecord> = {
    ...vault.sealTokens(flight.id, tokens),
    ...vault.describeTokens(tokens),
    scopes,
    state: 'active',
    cause: undefined,
    intent: undefined,
    spareSealed: undefined,
    refreshedAtMs: runtime.nowMs(),
  }
  const lacking = marked.record.scopes.filter((scope) => !scopes.includes(scope))
  if (lacking.length > 0) {
    const { provider, userId } = marked.record
    emit.event({
      type: 'server.warning',
      level: 'warn',
      reason: 'scopes_reduced',
      provider,
      userId,
    })
  }
  let unwritten = 0
  try {
    for (let tries = 0; tries < PERSIST_ATTEMPTS_MAX; tries += 1) {
      try {
        if ((await vault.update(marked, change)) !== undefined) return 'refreshed'
        return await overtaken(flight, marked, tokens, change)
      } catch (error) {
        if (!(error instanceof StoreError) || error.code === 'ERR_STORE_VALUE') throw error
        if (unwritten === 0) {
          unwritten = 1
          flight.deps.countUnwritten(1)
          emit.event({ type: 'server.warning', level: 'error', reason: 'refresh_unwritten' })
        }
        await pause(
          runtime,
          Math.min(PERSIST_PAUSE_MAX_MS, PERSIST_PAUSE_MS * 2 ** Math.min(tries, 8)),
        )
      }
    }
    return 'unknown'
  } finally {
    flight.deps.countUnwritten(-unwritten)
  }
}

/** The version moved under our answer: ended, refreshed by another, or written by us after all. */
async function overtaken(
  flight: Flight,
  marked: VaultEntry,
  tokens: TokenSet,
  change: Partial<VaultRecord>,
): Promise<Round> {
  const { vault, revoke, runtime } = flight.deps
  for (let tries = 0; tries < OVERTAKEN_ATTEMPTS_MAX; tries += 1) {
    const current = await vault.find(flight.id)
    if (current === undefined || current.record.state === 'ended') {
      // R8: nobody will ever use or revoke these but us. Erased: of somebody who has no name any more.
      const record = current?.record ?? { ...marked.record, userId: '' }
      if (revoke !== undefined) runtime.waitUntil(revoke(flight.id, record, tokens))
      return 'dead'
    }
    if (holds(runtime, current, tokens)) return 'refreshed'
    if (holds(runtime, current, marked.tokens) && current.record.state === 'active') {
      // Another field was written. The tokens are still those that we have just spent.
      if ((await vault.update(current, change)) !== undefined) return 'refreshed'
      continue
    }
    const spareSealed = vault.sealSpare(flight.id, tokens)
    const kept = await vault.update(current, { spareSealed })
    if (kept !== undefined) return kept.record.state === 'active' ? 'refreshed' : 'dead'
  }
  return 'unknown'
}

/** By the tokens themselves: the same ones may have been sealed again under another key (K13). */
function holds(runtime: Runtime, { tokens: held }: VaultEntry, tokens: TokenSet): boolean {
  const { accessToken, refreshToken = '' } = tokens
  return (
    runtime.equal(held.accessToken, accessToken) &&
    runtime.equal(held.refreshToken ?? '', refreshToken)
  )
}

/** R4: a refusal is judged only after another look at the record. */
async function refused(
  flight: Flight,
  marked: VaultEntry,
  prior: VaultRecord['intent'],
  reason: string,
): Promise<Round> {
  const { deps } = flight
  const current = await deps.vault.find(flight.id)
  if (current === undefined || current.record.state === 'ended') return 'dead'
  if (!holds(deps.runtime, current, marked.tokens)) return 'refreshed'
  if (reason === SUBJECT_CHANGED) return markReconnect(flight, current, reason)
  if (current.record.spareSealed !== undefined) return trySpare(flight, current, reason)
  if (current.version !== marked.version) return 'again'
  const asked = marked.record.intent?.tokenDigest ?? ''
  const sameToken = prior !== undefined && deps.runtime.equal(prior.tokenDigest, asked)
  // An earlier call with this very token may still bring its answer home: not broken yet.
  if (sameToken && isLive(flight, prior.startedAtMs)) {
    await deps.vault.update(current, { intent: prior })
    return 'unknown'
  }
  if (deps.incident?.(current.record.provider) === true) return 'unknown'
  if (!flight.believe) return forgetIntent(flight, current)
  return markReconnect(flight, current, sameToken ? 'lost_at_crash' : reason)
}

/** One try with the answer that lost its version; it becomes the record's tokens either way. */
async function trySpare(flight: Flight, entry: VaultEntry, reason: string): Promise<Round> {
  const { vault } = flight.deps
  const spare = vault.openSpare(flight.id, entry.record.spareSealed ?? '')
  if (spare?.refreshToken === undefined) return markReconnect(flight, entry, reason)
  const adopted = await vault.update(entry, {
    ...vault.sealTokens(flight.id, spare),
    ...vault.describeTokens(spare),
    spareSealed: undefined,
    state: 'active',
    cause: undefined,
    intent: {
      tokenDigest: vault.tokenDigest(spare.refreshToken),
      fence: 0,
      startedAtMs: flight.deps.runtime.nowMs(),
    },
  })
  if (adopted === undefined) return 'again'
  const answer = await call(flight, adopted, spare)
  if (answer.outcome === 'yes') return persist(flight, adopted, answer.value)
  if (answer.outcome === 'unknown') return 'unknown'
  return markReconnect(flight, adopted, reason)
}

async function markReconnect(flight: Flight, entry: VaultEntry, cause: string): Promise<Round> {
  const change = { state: 'reconnect', cause, intent: undefined, spareSealed: undefined } as const
  const marked = await flight.deps.vault.update(entry, change)
  return marked === undefined ? 'again' : 'dead'
}

/** Answered, so nothing is under way: the next question about this token is not a repetition. */
async function forgetIntent(flight: Flight, entry: VaultEntry): Promise<Round> {
  const written = await flight.deps.vault.update(entry, { intent: undefined })
  return written === undefined ? 'again' : 'dead'
}

function isLive(flight: Flight, startedAtMs: number): boolean {
  const ageMs = flight.deps.runtime.nowMs() - startedAtMs
  const liveMs = (flight.deps.callTimeoutMs ?? CALL_TIMEOUT_MS) + INTENT_SLACK_MS
  return ageMs >= 0 && ageMs < liveMs
}

/** R3: renewed every third of the lease while the work runs. */
async function withLease<T>(runtime: Runtime, lease: Lease, work: () => Promise<T>): Promise<T> {
  let cancel = (): void => undefined
  const arm = (): void => {
    cancel = runtime.after(LEASE_MS / 3, () => {
      lease.renew(LEASE_MS).then(
        (state) => {
          if (state !== 'lost' && !done) arm()
        },
        () => {
          if (!done) arm()
        },
      )
    })
  }
  let done = false
  arm()
  try {
    return await work()
  } finally {
    done = true
    cancel()
    await lease.release().catch(() => undefined)
  }
}

function pause(runtime: Runtime, ms: number): Promise<void> {
  return new Promise((resolve) => {
    runtime.after(ms, resolve)
  })
}
