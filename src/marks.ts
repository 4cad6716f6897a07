/**
 * Revocation marks: what the clock of a store carries to every node (issuer/revocation.ts).
 */

export const MARK_KINDS = [
  'token',
  'grant',
  'user',
  'client',
  'connector',
  'tenant',
  'key',
  // Ends nothing: "read this again" (issuer/forget.ts). It travels as marks do.
  'cache',
] as const
export type MarkKind = (typeof MARK_KINDS)[number]

/** "Tokens of this thing issued before `issuedBeforeMs` are dead." */
export interface Mark {
  readonly tenant: string
  readonly kind: MarkKind
  readonly id: string
  readonly issuedBeforeMs: number
  /** When no token it covers can still be alive: longest token life plus 5 minutes. */
  readonly expiresAtMs: number
  readonly cause?: string
}
/**
 * A mark is kept this much longer than it needs: should the wall clock run ahead by a day and come
 * back, tokens that it covers are alive again (K7).
 */
export const MARK_KEPT_PAST_LIFE_MS = 25 * 3_600_000

export interface RevocationRow extends Mark {
  readonly sequence: number
}
