/**
 * Room in the bounded table of registrations (A16). A full table ends the oldest registrations that
 * nobody ever used before it refuses a new one, so that a flood pushes out itself and what was left
 * behind, never a client with sign-ins, and locks nobody out for a day.
 *
 * Never used clients are indexed by the ten minutes in which they registered (`records.ts`): one look
 * at the oldest bucket finds them, and where it was is remembered. Within a bucket the oldest of a
 * sample end; a client whose first sign-in is under way at a provider ends after all others. A registration's audit row lives as long as the registration while nobody uses it, so
 * that a flood of anonymous writes cannot grow the audit either.
 */
import type { Key, Versioned } from '../ports.ts'
import { UNUSED_BUCKET_MS, unusedBucket, unusedOrderMs } from '../record-kinds.ts'
import { TENANT } from '../records.ts'
import { type IssuerHouse, report } from './house.ts'
import { key } from './ids.ts'

/** The table is counted at most this often; between counts this node adds what it registered. */
const COUNT_TTL_MS = 10_000
/** Rows looked at, and rows ended, to make room once. */
const SAMPLE_MAX = 256
const ENDED_AT_ONCE_MAX = 64
/** Of a small table no more than this share at once. */
const ENDED_SHARE = 1 / 10
/** Empty buckets passed over in one search; the next goes on where it stopped. */
const BUCKETS_AT_ONCE_MAX = 300
/** Searches that one registration waits for while others take what it found. */
const ROUNDS_MAX = 8
/** Registrations past their life wait this long for the sweep. */
const SWEEP_SLACK_MS = 3_600_000

/** A person may stay at a provider this long; the first sign-in of a new client is safe meanwhile. */
const WANTED_MS = 600_000

/** Keeps a registration through the trip to a provider that somebody has just allowed. */
export async function wantRegistration(
  { store, runtime }: Pick<IssuerHouse, 'store' | 'runtime'>,
  clientId: string,
): Promise<void> {
  const row = await store.get('client', key(clientId))
  if (row === undefined || row.value.usedAtMs !== undefined) return
  // Above the bucket of now, so that a flood of today comes before it.
  const wantedUntilMs = runtime.nowMs() + WANTED_MS + UNUSED_BUCKET_MS
  await store.put('client', row.key, row.version, { ...row.value, wantedUntilMs })
}

/** Where the audit row of a dynamic registration is, until and after its first use. */
export function registrationAuditKey(clientId: string): Key {
  return key(`evt_${clientId}`)
}

export interface RegistrationRoom {
  /** Takes one place; false when the table is full of clients that are used. */
  take(): Promise<boolean>
}

export function createRegistrationRoom(house: IssuerHouse): RegistrationRoom {
  const { runtime, store, config } = house
  const { registrationMax } = config.limits
  const endAtOnce = Math.max(
    1,
    Math.min(ENDED_AT_ONCE_MAX, Math.ceil(registrationMax * ENDED_SHARE)),
  )
  let counted: { count: number; atMs: number } | undefined
  let cursorMs = 0
  let making: Promise<number> | undefined

  const makeRoom = async (): Promise<number> => {
    const nowMs = runtime.nowMs()
    const lifeMs = config.limits.unusedRegistrationTtlSeconds * 1000
    cursorMs = Math.max(cursorMs, nowMs - lifeMs - SWEEP_SLACK_MS)
    for (let look = 0; look < BUCKETS_AT_ONCE_MAX && cursorMs <= nowMs; look += 1) {
      const ended = await endOldest(house, unusedBucket(cursorMs), endAtOnce)
      if (ended > 0) return ended
      // Only this bucket can still grow.
      if (unusedBucket(cursorMs) === unusedBucket(nowMs)) break
      cursorMs += UNUSED_BUCKET_MS
    }
    return endWanted(nowMs)
  }
  /** The last resort: people who come back from the provider too late are told so. */
  const endWanted = async (nowMs: number): Promise<number> => {
    for (let aheadMs = UNUSED_BUCKET_MS; aheadMs <= 2 * WANTED_MS; aheadMs += UNUSED_BUCKET_MS) {
      const ended = await endOldest(house, unusedBucket(nowMs + aheadMs), endAtOnce)
      if (ended > 0) return ended
    }
    return 0
  }
  const room = async (): Promise<number> => {
    // One search per node; where promises are not shared each request makes its own.
    if (!runtime.sharesPromises) return makeRoom()
    making ??= makeRoom().finally(() => {
      making = undefined
    })
    return making
  }
  return {
    async take() {
      const now = runtime.monotonicMs()
      if (counted === undefined || now - counted.atMs >= COUNT_TTL_MS) {
        counted = { count: await store.count('client', TENANT), atMs: now }
      }
      for (let round = 0; counted.count >= registrationMax; round += 1) {
        if (round >= ROUNDS_MAX) return false
        const isMine = making === undefined
        const ended = await room()
        if (ended === 0) return false
        if (isMine) counted.count -= ended
      }
      counted.count += 1
      return true
    },
  }
}

/** @returns how many ended. One whose first sign-in came in between is not touched. */
async function endOldest(house: IssuerHouse, bucket: string, max: number): Promise<number> {
  const { store } = house
  const rows = await store.list(
    'client',
    TENANT,
    { name: 'purpose', value: bucket },
    { max: SAMPLE_MAX },
  )
  const oldest = rows.toSorted(
    (left, right) => unusedOrderMs(left.value) - unusedOrderMs(right.value),
  )
  // At once, so that a store which commits together what is queued waits for the disk once.
  const ends = await Promise.all(oldest.slice(0, max).map((row) => endUnused(house, row)))
  const ended = ends.filter((won) => won).length
  // One line for all: a flood must not fill the log.
  if (ended > 0) report(house, { type: 'client.ended', reason: 'registration_room', count: ended })
  return ended
}

async function endUnused({ store }: IssuerHouse, row: Versioned<'client'>): Promise<boolean> {
  const { won } = await store.commit([
    { verb: 'put', kind: 'client', key: row.key, ifVersion: row.version, value: row.value },
    { verb: 'remove', kind: 'client', key: row.key },
  ])
  // Its life ended with the client's own; a row that stays behind after a crash is swept.
  if (won) await store.remove('audit', registrationAuditKey(row.key.id))
  return won
}
