/**
 * A client that acts for itself: its subject is `client:` and its id, a form that no user id has
 * (those are `usr_` and letters), so the two can never collide (TOK-16, RFC 9068 section 5).
 */
const MACHINE_PREFIX = 'client:'

export function machineSubject(clientId: string): string {
  return MACHINE_PREFIX + clientId
}

/** True for the subject of a client; nobody signed in for such a token. */
export function isMachine(subject: string): boolean {
  return subject.startsWith(MACHINE_PREFIX)
}
