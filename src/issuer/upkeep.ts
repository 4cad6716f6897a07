/**
 * Keeps current, behind every request, what people in use need: their upstream tokens and what they
 * belong to. The proof engine says who is in use; it re-proves each of them at least every 240 s.
 */
import type { ConnectorDirectory } from '../connectors/directory.ts'
import type { Refresher, RefreshResult } from '../vault/refresh.ts'
import { createRefreshAhead } from '../vault/refresh-ahead.ts'
import type { Renewals } from '../vault/renewals.ts'
import type { Vault, VaultRecord } from '../vault/vault.ts'
import type { EndingHouse } from './endings.ts'
import type { IssuerProvider } from './house.ts'
import { createMembershipAsking } from './membership-asking.ts'
import { createMemberships, type Memberships } from './memberships.ts'
import type { Proofs } from './proof.ts'

interface Deps extends EndingHouse {
  readonly vault: Vault
  readonly refresher: Refresher
  readonly renewals: Pick<Renewals, 'seen'>
  readonly providers: readonly IssuerProvider[]
  readonly directory?: Pick<ConnectorDirectory, 'onChange'>
  readonly proofs: Pick<Proofs, 'onProved' | 'told' | 'incident'>
}

export interface Upkeep {
  readonly memberships: Memberships
  /** This record was read because its proof is being asked for. */
  seen(vaultId: string, record: VaultRecord): void
  /** For `runDue`: refreshes it when it is due, and tells its proof what came of it. */
  renewDue(vaultId: string, record: VaultRecord): Promise<RefreshResult>
  /** No grant depends on it any more. */
  forget(vaultId: string): void
  start(): Promise<void>
  close(): Promise<void>
}

/** Longer than two rounds of keep-warm, so that one lost check does not stop a refresh. */
const IN_USE_MIN_MS = 600_000

export function createUpkeep(deps: Deps): Upkeep {
  const { config, runtime, proofs, refresher } = deps
  const { upstreamProofStaleSeconds, tokenCallTimeoutMs } = config.limits
  const rules = () => ({ config, runtime, known: memberships })
  const memberships: Memberships = createMemberships({
    ...deps,
    keepSeconds: upstreamProofStaleSeconds,
    ...createMembershipAsking({ ...deps, rules }),
  })
  const refresh = (vaultId: string): Promise<RefreshResult> =>
    refresher.refresh(vaultId, tokenCallTimeoutMs, { believe: false })
  const told = (vaultId: string, record: VaultRecord, result: 'refreshed' | 'dead'): void => {
    const about = { provider: idOf(deps.providers, record), person: record.userKey }
    proofs.told(
      vaultId,
      result === 'refreshed'
        ? { outcome: 'yes', ...about }
        : { outcome: 'no', reason: 'refresh_refused', ...about },
    )
  }
  const ahead = createRefreshAhead({
    refresh,
    told,
    incident: (provider) => proofs.incident(provider),
    inUseMs: Math.max(IN_USE_MIN_MS, 2 * upstreamProofStaleSeconds * 1000),
    runtime,
  })
  const stop = proofs.onProved((_, { person, provider, identity }) => {
    if (person === undefined) return
    memberships.keep(person, provider)
    if (identity !== undefined) memberships.observed(person, provider, identity)
  })
  return {
    memberships,
    // Where promises are not shared a timer ends with its request: noted down for `runDue`.
    seen: (vaultId, record) => {
      if (runtime.sharesPromises) ahead.seen(vaultId, record)
      else deps.renewals.seen(vaultId, record)
    },
    async renewDue(vaultId, record) {
      if (proofs.incident(idOf(deps.providers, record))) return 'unknown'
      const result = await refresh(vaultId)
      if (result === 'refreshed' || result === 'dead') told(vaultId, record, result)
      return result
    },
    forget: (vaultId) => ahead.forget(vaultId),
    start: () => memberships.start(),
    async close() {
      stop()
      ahead.close()
      await memberships.close()
    },
  }
}

/** The record's issuer string decides, so that a renamed provider still finds its sign-ins. */
function idOf(providers: readonly IssuerProvider[], record: VaultRecord): string {
  const asked = providers.find(({ provider }) => provider.issuer === record.issuer)
  return asked?.provider.id ?? record.provider
}
