/**
 * Asks a sign-in's provider whether it is still good, with the tokens in the vault, and ends what
 * depends on a sign-in that is not. The proof engine decides when to ask and whom to believe.
 */

import { LRUCache } from 'lru-cache'
import { replaceRow } from '../cache/stored-facts.ts'
import type { Persist } from '../cache/write-behind.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Store } from '../ports.ts'
import type { Proof } from '../providers/provider.ts'
import { TENANT, type Values } from '../records.ts'
import type { RefreshAnswer, Refresher } from '../vault/refresh.ts'
import type { Vault, VaultEntry, VaultRecord } from '../vault/vault.ts'
import type { EndingHouse } from './endings.ts'
import type { IssuerProvider } from './house.ts'
import { type Checked, ENDED_HERE, type ProofFact } from './proof.ts'
import type { Signals } from './signals.ts'
import type { EndedVault } from './upstream-revocation.ts'

export interface Upstream {
  /** One call at most, two when the access token had to be refreshed first. Never rejects. */
  check(vaultId: string, etag: string | undefined): Promise<Checked>
  /** After a first no: a refresh where there is a refresh token, else the provider's other check. */
  secondOpinion(vaultId: string): Promise<Checked>
  /**
   * Ends the vault record and every grant that depends on it, unless it holds other tokens by now than
   * those that the provider refused: `newer`.
   */
  end(vaultId: string, cause: string): Promise<EndedVault>
}

interface Deps extends EndingHouse {
  readonly vault: Vault
  readonly refresher: Refresher
  readonly providers: readonly IssuerProvider[]
  readonly signals: Pick<Signals, 'endSignIn'>
  /** Told of each living record that is asked about: it is in use (issuer/upkeep.ts). */
  readonly seen?: (vaultId: string, record: VaultRecord) => void
}

/** Refusals whose end is still under way. */
const REFUSED_MAX = 10_000
const PROOFS_LOADED_MAX = 100_000

type Question = (asked: IssuerProvider, entry: VaultEntry) => Promise<Proof>

export function createUpstream(deps: Deps): Upstream {
  const { vault, refresher, runtime, config } = deps
  // Which tokens the last no was about: a verdict must not end those of a newer sign-in.
  const refused = new LRUCache<string, string>({ max: REFUSED_MAX })
  const ask = async (vaultId: string, question: Question): Promise<Checked> => {
    const entry = await vault.find(vaultId)
    if (entry === undefined) return { provider: '', outcome: 'no', reason: ENDED_HERE }
    const { provider, userKey: person } = entry.record
    if (entry.record.state !== 'active')
      return { provider, person, outcome: 'no', reason: ENDED_HERE }
    const asked = providerOf(deps.providers, entry)
    if (asked === undefined)
      return { provider, person, outcome: 'unknown', reason: 'provider_not_configured' }
    deps.seen?.(vaultId, entry.record)
    const answer = await question(asked, entry)
    if (answer.outcome === 'no') refused.set(vaultId, entry.record.sealed)
    return { provider: asked.provider.id, person, ...answer }
  }
  return {
    check: (vaultId, etag) =>
      ask(vaultId, async ({ provider, context }, { record, tokens }) => {
        const { accessExpiresAtMs, hasRefreshToken, subject } = record
        if (
          hasRefreshToken &&
          accessExpiresAtMs !== undefined &&
          accessExpiresAtMs <= runtime.nowMs()
        ) {
          return refreshed(
            await refresher.refresh(vaultId, config.limits.tokenCallTimeoutMs, { believe: false }),
          )
        }
        return provider.check(context, tokens, { subject, ...(etag === undefined ? {} : { etag }) })
      }).catch(storeFailed),
    secondOpinion: (vaultId) =>
      ask(vaultId, async ({ provider, context }, { record, tokens }) => {
        if (record.hasRefreshToken && provider.refresh !== undefined) {
          return refreshed(
            await refresher.refresh(vaultId, config.limits.tokenCallTimeoutMs, {
              force: true,
              believe: false,
            }),
          )
        }
        const basis = { subject: record.subject }
        return provider.secondOpinion === undefined
          ? provider.check(context, tokens, basis)
          : provider.secondOpinion(context, tokens, basis)
      }).catch(storeFailed),
    end(vaultId, cause) {
      const ifSealed = refused.get(vaultId)
      refused.delete(vaultId)
      // What the provider refuses is dead there: nothing to revoke.
      const options = { revoke: false, ...(ifSealed === undefined ? {} : { ifSealed }) }
      return deps.signals.endSignIn(vaultId, cause, options)
    },
  }
}

/** A store that cannot be read says nothing about a sign-in. */
function storeFailed(): Checked {
  return { provider: '', outcome: 'unknown', reason: 'store' }
}

/** The record's issuer string decides, so that a renamed provider still finds its sign-ins. */
function providerOf(
  providers: readonly IssuerProvider[],
  entry: VaultEntry,
): IssuerProvider | undefined {
  return providers.find(({ provider }) => provider.issuer === entry.record.issuer)
}

function refreshed(result: 'refreshed' | 'current' | 'dead' | 'unknown'): Proof {
  if (result === 'dead') return { outcome: 'no', reason: 'refresh_refused' }
  return result === 'unknown' ? { outcome: 'unknown', reason: 'refresh' } : { outcome: 'yes' }
}

/** Refreshes at the record's own provider, only where its tokens came from. */
export async function refreshUpstream(
  providers: readonly IssuerProvider[],
  record: VaultRecord,
  tokens: TokenSet,
  clientRefused: (providerId: string) => void,
): Promise<RefreshAnswer> {
  const asked = providers.find(({ provider }) => provider.issuer === record.issuer)
  if (asked?.provider.refresh === undefined || tokens.refreshToken === undefined)
    return { outcome: 'unknown' }
  const answer = await asked.provider.refresh(asked.context, tokens.refreshToken, tokens)
  if (answer.outcome === 'yes') return { outcome: 'yes', value: answer.tokens }
  if (answer.outcome !== 'client-refused') return answer
  // Says nothing about the person; the provider is marked and an operator is told (F11).
  clientRefused(asked.provider.id)
  return { outcome: 'unknown' }
}

/** Proofs outlive a restart, so that a restart asks nobody. Written behind, never by a request. */
export function proofsIn(store: Store, lifeMs: number): Persist<ProofFact> {
  const keyOf = (id: string) => ({ tenant: TENANT, id })
  const read = ({ provedAtMs, expiresAtMs: _, ...value }: Values['proof']) => ({
    value,
    loadedAtMs: provedAtMs,
  })
  return {
    async load() {
      const rows = await store.list('proof', TENANT, undefined, { max: PROOFS_LOADED_MAX })
      return rows.map(({ key, value }) => ({ key: key.id, ...read(value) }))
    },
    async recall(id) {
      const row = await store.get('proof', keyOf(id))
      return row && read(row.value)
    },
    async save(batch) {
      for (const { key, value, loadedAtMs } of batch) {
        const row = { ...value, provedAtMs: loadedAtMs, expiresAtMs: loadedAtMs + lifeMs }
        await replaceRow(store, 'proof', keyOf(key), row)
      }
    },
    async remove(keys) {
      for (const key of keys) await store.remove('proof', keyOf(key))
    },
  }
}
