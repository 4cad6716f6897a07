/**
 * What a shared signal (CAEP 1.0, RISC 1.0, SSF 1.0) says about whom: subject identifiers of RFC 9493,
 * as the older drafts write them too. Pure; whom a sender may speak about is the caller's question.
 */
import { isObject, isText } from './claims.ts'
import { EVENT_TEXT_MAX_CHARS, type SecurityEvent } from './security-event.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
const OAUTH = 'https://schemas.openid.net/secevent/oauth/event-type/'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'

/** Each of these ends what its subject has here: an account in doubt is asked to sign in again. */
const ENDING_EVENTS: readonly string[] = [
  `${CAEP}session-revoked`,
  `${CAEP}credential-change`,
  `${RISC}account-disabled`,
  `${RISC}account-purged`,
  `${RISC}account-credential-change-required`,
  `${RISC}credential-compromise`,
  `${RISC}identifier-changed`,
  `${RISC}identifier-recycled`,
  `${RISC}sessions-revoked`,
  `${OAUTH}tokens-revoked`,
]
const VERIFICATION_EVENTS: readonly string[] = [`${SSF}verification`, `${RISC}verification`]

/** `issuer` absent: the sender's own namespace. */
export type SignalSubject =
  | { readonly kind: 'person'; readonly issuer?: string; readonly subject: string }
  | { readonly kind: 'session'; readonly sid: string }

export interface Signal {
  /** The last part of the event's URI. */
  readonly event: string
  /** `undefined`: a format that names nobody we could know (an e-mail, a phone number, a device). */
  readonly subject: SignalSubject | undefined
}

/** The signals of one token that end something; empty for verification and for events of no concern. */
export function readSignals(event: SecurityEvent): readonly Signal[] {
  return Object.entries(event.events).flatMap(([uri, detail]) => {
    if (!ENDING_EVENTS.includes(uri) || !isObject(detail)) return []
    const subject = readSubject(detail['subject'] ?? event.subjectId, event)
    return [{ event: uri.slice(uri.lastIndexOf('/') + 1), subject }]
  })
}

/** A sender checks that it is heard: nothing ends. */
export function isVerification({ events }: SecurityEvent): boolean {
  return Object.keys(events).some((uri) => VERIFICATION_EVENTS.includes(uri))
}

function readSubject(named: unknown, event: SecurityEvent): SignalSubject | undefined {
  if (!isObject(named)) {
    return event.sub === undefined ? undefined : { kind: 'person', subject: event.sub }
  }
  // RISC drafts write `subject_type` and hyphens.
  const format = String(named['format'] ?? named['subject_type'] ?? 'complex').replaceAll('-', '_')
  const { iss, sub, id } = named
  if (format === 'iss_sub' || format === 'id_token_claims') {
    if (!isName(sub) || (iss !== undefined && !isName(iss))) return undefined
    return { kind: 'person', subject: sub, ...(iss === undefined ? {} : { issuer: iss }) }
  }
  if (format === 'opaque') return isName(id) ? { kind: 'person', subject: id } : undefined
  if (format !== 'complex') return undefined
  // A person and a session: all of the person, because ending too much costs one sign-in.
  if (isObject(named['user'])) return readSubject(named['user'], event)
  const session = named['session']
  const sid = isObject(session) ? session['id'] : undefined
  return isName(sid) ? { kind: 'session', sid } : undefined
}

function isName(value: unknown): value is string {
  return isText(value, EVENT_TEXT_MAX_CHARS)
}
