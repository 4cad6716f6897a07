/**
 * Providers that give a refresh token once (Google): the one that is stored outlives a sign-in whose
 * answer has none, and the provider is asked for a new one only when none is stored (PRV-12).
 */
import { StoreError } from '../errors.ts'
import type { Versioned } from '../ports.ts'
import type { AuthorizeInput, Provider, SignIn } from '../providers/provider.ts'
import { type CookieJar, sessionCookie } from './cookies.ts'
import type { IssuerHouse } from './house.ts'
import { key } from './ids.ts'

/** The sign-in with the refresh token of the record it renews, where its own answer had none. */
export async function withKeptRefreshToken(
  house: IssuerHouse,
  arrival: SignIn,
  before: Versioned<'vault'> | undefined,
): Promise<SignIn> {
  const { tokens } = arrival
  if (tokens.refreshToken !== undefined || before?.value.hasRefreshToken !== true) return arrival
  const kept = await openKept(house, before)
  return kept === undefined ? arrival : { ...arrival, tokens: { ...tokens, ...kept } }
}

/** A record that somebody wrote meanwhile is read again by the next round of the commit. */
async function openKept(house: IssuerHouse, { key: { id }, version }: Versioned<'vault'>) {
  try {
    const entry = await house.vault.find?.(id)
    if (entry?.version !== version || entry.tokens.refreshToken === undefined) return undefined
    const { refreshToken, refreshExpiresAtMs } = entry.tokens
    return { refreshToken, ...(refreshExpiresAtMs === undefined ? {} : { refreshExpiresAtMs }) }
  } catch (error) {
    // Sealed with a key that is gone: the sign-in is good without it.
    if (error instanceof StoreError && error.code === 'ERR_STORE_CORRUPT') return undefined
    throw error
  }
}

/** What is stored of the person of this browser's session, at this provider. */
export async function storedRefreshToken(
  { store, runtime }: IssuerHouse,
  jar: CookieJar,
  provider: Provider,
): Promise<Pick<AuthorizeInput, 'hasRefreshToken'>> {
  const cookie = sessionCookie.read(jar)
  if (cookie === undefined) return {}
  const session = await store.get('session', key(runtime.sha256(cookie)))
  if (session?.value.issuer !== provider.issuer) return {}
  const vault = await store.get('vault', key(session.value.vaultId))
  return { hasRefreshToken: vault?.value.state === 'active' && vault.value.hasRefreshToken }
}

/**
 * Are the tokens that a new sign-in replaces of no use to anybody? Not where one of them was kept, and
 * not where revoking one ends all that the person granted there.
 */
export function mayRevokeReplaced(provider: Provider, arrival: SignIn, kept: SignIn): boolean {
  if (provider.revoke === undefined || provider.revocationEnds === 'authorization') return false
  return arrival.tokens.refreshToken === kept.tokens.refreshToken
}
