/**
 * What stands behind each sign-in, made and wired: the vault, its refresh, and the proof that it is still
 * good, which asks and ends through both. Nothing here decides.
 */
import type { Config } from '../config.ts'
import type { ConnectorDirectory } from '../connectors/directory.ts'
import type { Bus, Platform, Store } from '../ports.ts'
import { connectorOf } from '../vault/connection-rows.ts'
import { createLateConnectorSide, type LateConnectorSide } from '../vault/connector-side.ts'
import { createRefresher, type Refresher } from '../vault/refresh.ts'
import { createRenewals, type Renewals } from '../vault/renewals.ts'
import type { Sealing } from '../vault/sealing.ts'
import { createVault, type Vault } from '../vault/vault.ts'
import { announceMark } from './endings.ts'
import type { IssuerProvider } from './house.ts'
import { createProofs, type Proofs } from './proof.ts'
import type { RevocationView } from './revocation.ts'
import { createSignals, type Signals } from './signals.ts'
import { createUpkeep, type Upkeep } from './upkeep.ts'
import { createUpstream, proofsIn, refreshUpstream } from './upstream.ts'
import { createUpstreamRevocation, type UpstreamRevocation } from './upstream-revocation.ts'

export interface SignInGround {
  readonly config: Config
  readonly platform: Platform
  readonly store: Store
  readonly bus: Bus
  readonly sealing: Sealing
  readonly revocation: RevocationView
  /** Connectors may change. Absent: they do not. */
  readonly made?: Pick<ConnectorDirectory, 'onChange'>
}

export interface SignIns {
  readonly vault: Vault
  readonly proofs: Proofs
  readonly refresher: Refresher
  /** What is in use where no timer can refresh it ahead. */
  readonly renewals: Renewals
  readonly duties: UpstreamRevocation
  readonly signals: Signals
  readonly upkeep: Upkeep
  /** Takes the room that refreshes and revokes at connectors. */
  readonly connectorSide: LateConnectorSide
}

/** @throws {StoreError} when the store cannot be read. */
export async function openSignIns(
  ground: SignInGround,
  providers: readonly IssuerProvider[],
): Promise<SignIns> {
  const { config, platform, store, bus, sealing, revocation } = ground
  const { runtime, emit, lock } = platform
  const vault = createVault({ store, sealing, runtime })
  const connectorSide = createLateConnectorSide()
  const duties = createUpstreamRevocation({
    store,
    lock,
    runtime,
    emit,
    config,
    vault,
    providers,
    connectors: connectorSide,
    announce: (mark) => announceMark({ revocation, runtime, bus }, mark),
    forget(vaultId) {
      proofs.forget(vaultId)
      upkeep.forget(vaultId)
    },
  })
  const ending = { store, runtime, emit, bus, config, revocation, duties }
  const signals = createSignals({ ...ending, endVault: duties.endVault })
  const refresher = createRefresher({
    vault,
    lock,
    runtime,
    emit,
    callTimeoutMs: config.limits.tokenCallTimeoutMs,
    call: (record, tokens) =>
      connectorOf(record.provider) === undefined
        ? refreshUpstream(providers, record, tokens, (id) => proofs.clientRefused(id))
        : connectorSide.refresh(record, tokens),
    revoke: (vaultId, record, tokens) =>
      duties.queue(vaultId, record, tokens, 'issued_after_the_end'),
    incident: (provider) => proofs.incident(provider),
  })
  const runMax = config.limits.refreshesPerRunMax
  const renewals = createRenewals({ store, lock, runtime, vault, runMax })
  const seen: Upkeep['seen'] = (vaultId, record) => upkeep.seen(vaultId, record)
  const upstream = createUpstream({ ...ending, vault, refresher, providers, signals, seen })
  const proofs: Proofs = createProofs({
    check: (vaultId, previous) => upstream.check(vaultId, previous?.etag),
    secondOpinion: (vaultId) => upstream.secondOpinion(vaultId),
    limits: config.limits,
    persist: proofsIn(store, config.limits.upstreamProofStaleIfErrorSeconds * 1000),
    runtime,
    emit,
  })
  proofs.onDead(async (vaultId, cause) => {
    if ((await upstream.end(vaultId, cause)) === 'newer') proofs.revive(vaultId)
  })
  const upkeep = createUpkeep({
    ...{ ...ending, vault, refresher, renewals, providers, proofs },
    ...(ground.made === undefined ? {} : { directory: ground.made }),
  })
  await Promise.all([proofs.start(), upkeep.start()])
  return { vault, proofs, refresher, renewals, duties, signals, upkeep, connectorSide }
}
