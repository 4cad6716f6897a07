/**
 * A person's own token at a provider, for a server that may have it: refreshed first when it is due,
 * through the one refresh that all callers share. Who may ask is decided by the caller.
 */
import type { Refresher } from './refresh.ts'
import type { Vault } from './vault.ts'

export interface HandOutDeps {
  readonly vault: Vault
  readonly refresher: Refresher
  readonly nowMs: () => number
  /** Longest wait for a refresh that is due. */
  readonly deadlineMs: number
}

export type HandedOut =
  | {
      readonly outcome: 'token'
      readonly accessToken: string
      readonly expiresAtMs?: number
      readonly scopes: readonly string[]
    }
  /** Another provider's record, or one that has ended. */
  | { readonly outcome: 'none' }
  /** Its token has ended and the provider does not answer. */
  | { readonly outcome: 'unknown' }

/** @returns Of a vault record and a provider id, the access token, refreshed first when it is due. */
export function createHandOut(
  deps: HandOutDeps,
): (vaultId: string, provider: string) => Promise<HandedOut> {
  const { vault, refresher } = deps
  return async (vaultId, provider) => {
    const before = await vault.find(vaultId)
    if (before?.record.state !== 'active' || before.record.provider !== provider) {
      return { outcome: 'none' }
    }
    // Answers `current` at once when nothing is due.
    const result = before.record.hasRefreshToken
      ? await refresher.refresh(vaultId, deps.deadlineMs)
      : 'current'
    if (result === 'dead') return { outcome: 'none' }
    const entry = result === 'refreshed' ? await vault.find(vaultId) : before
    if (entry?.record.state !== 'active') return { outcome: 'none' }
    const { accessExpiresAtMs } = entry.record
    if (accessExpiresAtMs !== undefined && accessExpiresAtMs <= deps.nowMs()) {
      return { outcome: 'unknown' }
    }
    return {
      outcome: 'token',
      accessToken: entry.tokens.accessToken,
      ...(accessExpiresAtMs === undefined ? {} : { expiresAtMs: accessExpiresAtMs }),
      scopes: entry.record.scopes,
    }
  }
}
