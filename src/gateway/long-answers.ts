/**
 * Answers that are no event streams and still go on and on: held to the token of their caller as well,
 * so that a server cannot answer for ever, nor somebody read on who was revoked (X2, O14).
 */
import type { Session } from '../issuer/authenticate.ts'
import type { View } from './decide.ts'

/** What was asked in time may be read to its end for this long. */
const EXPIRED_GRACE_MS = 50_000

/** Asked from the second piece of an answer on. A public route has no session. */
export function hasEnded(
  view: Pick<View, 'nowMs' | 'marked'>,
  session: Session | undefined,
): boolean {
  if (session === undefined) return false
  return session.expiresAtMs + EXPIRED_GRACE_MS <= view.nowMs() || view.marked(session) !== false
}
