/**
 * A believed event about somebody ends what they have here: grants by one mark, sessions, vault records
 * and with them their background refresh, remembered proofs (flows.md sections 10 and 11).
 *
 * Whether an event is to be believed is judged before: by a signature (back-channel logout, shared
 * signals, webhooks) or by a confirmed refusal (issuer/proof.ts). Doing it twice is harmless.
 */
import type { Step } from '../ports.ts'
import { type Grant, TENANT } from '../records.ts'
import { connectorOf } from '../vault/connection-rows.ts'
import { userKeyOf } from './admission.ts'
import { type EndingHouse, endByMark, endGrant } from './endings.ts'
import { key } from './ids.ts'
import type { EndedVault, EndOptions } from './upstream-revocation.ts'

export interface SignalsDeps extends EndingHouse {
  endVault(vaultId: string, cause: string, options: EndOptions): Promise<EndedVault>
}

/** What an event ended. Nothing at all is an answer too: it was about nobody here. */
export interface Ended {
  readonly users: number
  readonly sessions: number
  readonly grants: number
  readonly vaults: number
}

export interface Signals {
  /**
   * Ends everything of this person at this provider, known by issuer and subject.
   *
   * @param options `revoke`: also at the provider, because tokens may be alive there.
   */
  endSubject(
    person: { readonly issuer: string; readonly subject: string },
    cause: string,
    options: { readonly revoke: boolean },
  ): Promise<Ended>
  /** @param options `also`: written in the commit that ends everything. */
  endUser(
    userId: string,
    cause: string,
    options: {
      readonly revoke: boolean
      readonly also?: readonly Step[]
      /** Their accounts at connectors too: the person is deleted. Default false. */
      readonly connections?: boolean
    },
  ): Promise<Ended>
  /** Ends the sessions that came from one session of the provider, and the grants born in them. */
  endProviderSession(
    session: { readonly issuer: string; readonly sid: string; readonly subject?: string },
    cause: string,
  ): Promise<Ended>
  /** Ends one vault record and every grant that depends on it. */
  endSignIn(vaultId: string, cause: string, options: EndOptions): Promise<EndedVault>
}

const PAGE_ROWS = 200
const PAGES_MAX = 10_000
export const NOTHING_ENDED: Ended = { users: 0, sessions: 0, grants: 0, vaults: 0 }

export function createSignals(deps: SignalsDeps): Signals {
  const { store, runtime } = deps
  const endUser: Signals['endUser'] = async (userId, cause, options) => {
    const { revoke, also, connections = false } = options
    // The mark first: it ends every grant and token at once, whatever comes after it fails.
    await endByMark(deps, { kind: 'user', id: userId }, cause, also)
    const sessions = await removeRowsOf(deps, 'session', userId)
    await removeRowsOf(deps, 'origin', userId)
    const vaults = await endVaults(deps, userId, cause, { revoke, connections })
    return { ...NOTHING_ENDED, users: 1, sessions, vaults }
  }
  return {
    endUser,
    async endSubject(person, cause, options) {
      const user = await store.get('user', key(userKeyOf(runtime, person)))
      return user === undefined ? NOTHING_ENDED : endUser(user.value.userId, cause, options)
    },
    endProviderSession: (session, cause) => endProviderSession(deps, session, cause),
    async endSignIn(vaultId, cause, options) {
      const ended = await deps.endVault(vaultId, cause, options)
      if (ended !== 'newer') await endGrants(deps, { name: 'vaultId', value: vaultId }, cause)
      return ended
    },
  }
}

/** The name by which sign-ins of one session at a provider are found. */
export function originName(
  runtime: { sha256(text: string): string },
  issuer: string,
  sid: string,
): string {
  return runtime.sha256(JSON.stringify(['provider-session', issuer, sid]))
}

async function endProviderSession(
  deps: SignalsDeps,
  { issuer, sid, subject }: { issuer: string; sid: string; subject?: string },
  cause: string,
): Promise<Ended> {
  const { store, runtime } = deps
  const named = { name: 'name', value: originName(runtime, issuer, sid) }
  const user =
    subject === undefined
      ? undefined
      : await store.get('user', key(userKeyOf(runtime, { issuer, subject })))
  let sessions = 0
  let grants = 0
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const rows = await store.list('origin', TENANT, named, { max: PAGE_ROWS })
    // Both named: the session must be one of that very person.
    const meant = rows.filter(
      ({ value }) => subject === undefined || value.userId === user?.value.userId,
    )
    for (const { key: origin } of meant) {
      grants += await endGrants(deps, { name: 'sessionId', value: origin.id }, cause)
      await store.remove('session', origin)
      await store.remove('origin', origin)
      sessions += 1
    }
    if (rows.length < PAGE_ROWS || meant.length === 0) break
  }
  return { ...NOTHING_ENDED, sessions, grants }
}

async function endGrants(
  deps: SignalsDeps,
  index: { readonly name: 'vaultId' | 'sessionId'; readonly value: string },
  cause: string,
): Promise<number> {
  let ended = 0
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const grants: readonly Grant[] = await deps.store.grants.list(TENANT, index, at)
    for (const grant of grants) {
      if (grant.state !== 'ended' && (await endGrant(deps, grant, cause))) ended += 1
    }
    if (grants.length < PAGE_ROWS) break
    after = grants.at(-1)?.id
  }
  return ended
}

/** @returns how many rows there were. */
export async function removeRowsOf(
  { store }: Pick<SignalsDeps, 'store'>,
  kind: 'session' | 'origin' | 'vault' | 'connection' | 'approval',
  userId: string,
): Promise<number> {
  let removed = 0
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const named = { name: 'userId', value: userId }
    const rows = await store.list(kind, TENANT, named, { max: PAGE_ROWS })
    for (const row of rows) await store.remove(kind, row.key)
    removed += rows.length
    if (rows.length < PAGE_ROWS) break
  }
  return removed
}

async function endVaults(
  deps: SignalsDeps,
  userId: string,
  cause: string,
  { revoke, connections }: { readonly revoke: boolean; readonly connections: boolean },
): Promise<number> {
  let ended = 0
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const rows = await deps.store.list('vault', TENANT, { name: 'userId', value: userId }, at)
    for (const { key: vaultKey, value } of rows) {
      if (value.state === 'ended') continue
      // Who is signed out at their provider has not left the servers that they connected.
      if (!connections && connectorOf(value.provider) !== undefined) continue
      if ((await deps.endVault(vaultKey.id, cause, { revoke })) === 'ended') ended += 1
    }
    if (rows.length < PAGE_ROWS) break
    after = rows.at(-1)?.key.id
  }
  return ended
}
