/**
 * Deletes a person: disabled, marked and buried in one commit; then sessions, upstream revocation,
 * vault records, approvals and the row itself (flows.md section 11). Each step can be repeated: a run
 * that was cut off is finished by the next one. The answer says what was done and what is pending.
 */
import { StoreError } from '../errors.ts'
import type { Runtime, Step, Versioned } from '../ports.ts'
import { TENANT } from '../records.ts'
import { auditStep } from './audit.ts'
import type { EndingHouse } from './endings.ts'
import { report } from './house.ts'
import { key } from './ids.ts'
import { removeRowsOf, type Signals } from './signals.ts'
import { pseudonymOf, tombstoneStep } from './tombstones.ts'

export interface OffboardHouse extends EndingHouse {
  readonly runtime: Runtime
  readonly keys: { tagKey(): Uint8Array }
  readonly signals: Pick<Signals, 'endUser'>
}

/** What an operator may keep as a proof. Names nobody. */
export interface OffboardProof {
  readonly userId: string
  /** What stands in audit rows from now on. */
  readonly pseudonym: string
  readonly deletedAt: string
  readonly done: {
    readonly grants: 'all'
    readonly sessions: number
    readonly vaultRecords: number
    /** Accounts at connectors. */
    readonly connections: number
    readonly approvals: number
    readonly auditRows: number
    readonly identity: true
  }
  /** Upstream revocations that the provider has not confirmed yet; retried for 7 days. */
  readonly pending: { readonly upstreamRevocations: number }
}

const CAUSE = 'user_deleted'
const ATTEMPTS_MAX = 20
const PAGE_ROWS = 200
const PAGES_MAX = 10_000

/** @throws {StoreError} when the store fails; what is written stays, and the command may be repeated. */
export async function offboard(
  house: OffboardHouse,
  person: Versioned<'user'>,
): Promise<OffboardProof> {
  const { userId } = person.value
  const pseudonym = pseudonymOf(house, userId)
  const ended = await disable(house, person)
  const vaultRecords = await removeRowsOf(house, 'vault', userId)
  const connections = await removeRowsOf(house, 'connection', userId)
  const approvals = await removeRowsOf(house, 'approval', userId)
  const upstreamRevocations = await renameDuties(house, userId, pseudonym)
  const auditRows = await renameAudit(house, userId, pseudonym)
  await erase(house, person, pseudonym)
  report(house, { type: 'user.offboarded', userId: pseudonym, reason: CAUSE })
  return {
    userId,
    pseudonym,
    deletedAt: new Date(house.runtime.nowMs()).toISOString(),
    done: {
      grants: 'all',
      sessions: ended.sessions,
      vaultRecords,
      connections,
      approvals,
      auditRows,
      identity: true,
    },
    pending: { upstreamRevocations },
  }
}

/** The row, the mark and the tombstone in one commit: from here on nothing of the person works. */
async function disable(house: OffboardHouse, person: Versioned<'user'>) {
  let failure: unknown
  for (let tries = 0; tries < ATTEMPTS_MAX; tries += 1) {
    const user = await house.store.get('user', person.key)
    const disabled: Step[] =
      user === undefined
        ? []
        : [
            {
              verb: 'put',
              kind: 'user',
              key: user.key,
              ifVersion: user.version,
              value: { ...user.value, state: 'disabled' },
            },
          ]
    const also = [...disabled, await tombstoneStep(house, person.key.id)]
    try {
      return await house.signals.endUser(person.value.userId, CAUSE, {
        revoke: true,
        also,
        connections: true,
      })
    } catch (error) {
      // A sign-in wrote the row at this moment: look again.
      if (!(error instanceof StoreError) || error.certainty !== 'not-applied') throw error
      failure = error
    }
  }
  throw failure
}

/** Tokens that wait for their revocation wait on, without a name. */
async function renameDuties(
  { store }: OffboardHouse,
  userId: string,
  pseudonym: string,
): Promise<number> {
  let waiting = 0
  const index = { name: 'userId', value: userId }
  for (let tries = 0; tries < ATTEMPTS_MAX; tries += 1) {
    const rows = await store.list('duty', TENANT, index, { max: PAGE_ROWS })
    const revocations = rows.filter(({ value }) => value.purpose === 'revoke')
    if (revocations.length === 0) break
    for (const { key: at, version, value } of revocations) {
      // Lost to the one who is doing it right now: looked at again.
      if ((await store.put('duty', at, version, { ...value, userId: pseudonym })).won) waiting += 1
    }
  }
  return waiting
}

async function renameAudit(
  { store }: OffboardHouse,
  userId: string,
  pseudonym: string,
): Promise<number> {
  let renamed = 0
  const index = { name: 'userId', value: userId }
  for (let page = 0; page < PAGES_MAX; page += 1) {
    // A renamed row leaves the index, so that each page is the first one.
    const rows = await store.list('audit', TENANT, index, { max: PAGE_ROWS })
    for (const row of rows) {
      await store.put('audit', row.key, row.version, { ...row.value, userId: pseudonym })
    }
    renamed += rows.length
    if (rows.length < PAGE_ROWS) break
  }
  return renamed
}

async function erase(
  house: OffboardHouse,
  person: Versioned<'user'>,
  pseudonym: string,
): Promise<void> {
  const { won } = await house.store.commit([
    { verb: 'remove', kind: 'user', key: key(person.key.id) },
    auditStep(house, 'user.offboarded', { userId: pseudonym, detail: CAUSE }),
  ])
  // Gone already: another run of this command was faster, and has told it.
  if (!won && (await house.store.get('user', person.key)) !== undefined)
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
}
