/**
 * `POST /events/{receiver}`: shared signals pushed to us (RFC 8935). A believed event ends what its
 * subject has here: 202 without a body, also for events of no concern and for repeated ones; else 400
 * with the error word of RFC 8935 section 2.4.
 */
import type { SignalReceiver } from '../config/signals.ts'
import { UpstreamError } from '../errors.ts'
import { readBearer } from '../oauth/challenge.ts'
import {
  judgeSecurityEvent,
  SECURITY_EVENT_AGE_MAX_SECONDS,
  SECURITY_EVENT_MAX_CHARS,
  type SecurityEvent,
  type SecurityEventRefusal,
} from '../oauth/security-event.ts'
import { isVerification, readSignals, type Signal } from '../oauth/shared-signals.ts'
import { readBody } from './body.ts'
import { type AssertionKeys, findProvider, type IssuerHouse, report } from './house.ts'
import type { Signals } from './signals.ts'
import { isSpent, spend } from './spent.ts'

type ErrorWord =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied'

const WORDS: { readonly [R in SecurityEventRefusal]: ErrorWord } = {
  malformed: 'invalid_request',
  algorithm: 'invalid_key',
  typ: 'invalid_request',
  unknown_key: 'invalid_key',
  signature: 'invalid_key',
  issuer: 'invalid_issuer',
  audience: 'invalid_audience',
  expired: 'invalid_request',
  not_yet: 'invalid_request',
  claims: 'invalid_request',
  nonce: 'invalid_request',
}
const DESCRIPTIONS: { readonly [W in ErrorWord]: string } = {
  invalid_request: 'the request is not a security event token that is accepted here',
  invalid_key: 'the signature cannot be verified',
  invalid_issuer: 'this issuer is not the one of this receiver',
  invalid_audience: 'the event is for somebody else',
  authentication_failed: 'the sender is not known here',
  access_denied: 'the sender may not speak about this subject',
}
const NO_STORE = { 'cache-control': 'no-store' }
const RETRY_AFTER_SECONDS = 2

export interface ReceiverRoom {
  readonly house: IssuerHouse
  readonly signals: Signals
  readonly keys: AssertionKeys
}

/** RFC 8935 section 2: 202 when it is done, before or now; 400 with `err`; 503 to be sent again. */
export async function receiveSecurityEvent(
  room: ReceiverRoom,
  receiver: SignalReceiver,
  http: Request,
): Promise<Response> {
  const { house } = room
  const refuse = (word: ErrorWord, reason: string): Response => {
    report(house, { type: 'token.refused', reason: `event_${reason}`, receiver: receiver.name })
    const body = { err: word, description: DESCRIPTIONS[word] }
    return Response.json(body, { status: 400, headers: NO_STORE })
  }
  if (!isSender(house, receiver, http)) return refuse('authentication_failed', 'credential')
  const type = http.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/secevent+jwt') return refuse('invalid_request', 'content_type')
  const jwt = await readBody(http, SECURITY_EVENT_MAX_CHARS)
  if (jwt === undefined) return refuse('invalid_request', 'body_too_large')
  try {
    const judged = await judge(room, receiver, jwt)
    if (!judged.ok) return refuse(WORDS[judged.reason], judged.reason)
    const problem = await act(room, receiver, judged.event)
    return problem === undefined
      ? new Response(null, { status: 202, headers: NO_STORE })
      : refuse('access_denied', problem)
  } catch (error) {
    // Its keys cannot be had now: the sender keeps the event and tries again (RFC 8935 section 2.3).
    if (!(error instanceof UpstreamError)) throw error
    const headers = { ...NO_STORE, 'retry-after': String(RETRY_AFTER_SECONDS) }
    return new Response(null, { status: 503, headers })
  }
}

function isSender(house: IssuerHouse, { credential }: SignalReceiver, http: Request): boolean {
  if (credential === undefined) return true
  const { runtime } = house
  const bearer = readBearer(http.headers.get('authorization') ?? undefined)
  const presented = bearer.kind === 'bearer' ? bearer.token : ''
  return runtime.equal(runtime.sha256(presented), runtime.sha256(credential.reveal()))
}

async function judge({ house, keys }: ReceiverRoom, receiver: SignalReceiver, jwt: string) {
  const { issuer, audience, jwksUri } = receiver
  const trusted = { issuer, ...(jwksUri === undefined ? {} : { jwksUri }) }
  const facts = { issuer, audience, nowMs: house.runtime.nowMs(), types: ['secevent+jwt'] }
  const first = await judgeSecurityEvent(jwt, { ...facts, jwks: await keys.keys(trusted) })
  if (first.ok || first.reason !== 'unknown_key') return first
  return judgeSecurityEvent(jwt, { ...facts, jwks: await keys.askAgain(trusted) })
}

/** @returns why the sender may not say this; `undefined` when it was done, before or now. */
async function act(
  { house, signals }: ReceiverRoom,
  receiver: SignalReceiver,
  event: SecurityEvent,
): Promise<string | undefined> {
  const { name } = receiver
  const spent = ['event', name, event.jti] as const
  if (await isSpent(house, spent)) return undefined
  const told = readSignals(event)
  const provider =
    receiver.provider === undefined ? undefined : findProvider(house, receiver.provider)
  const issuer = provider?.provider.issuer ?? receiver.issuer
  if (told.some((signal) => isForeign(signal, issuer))) return 'subject_of_other_issuer'
  for (const signal of told) await obey(house, signals, { signal, issuer, receiver: name })
  if (isVerification(event))
    report(house, { type: 'signal.received', reason: 'verification', receiver: name })
  // Written last: an event that we failed on half-way must be heard again.
  const expiresAtMs = event.iat * 1_000 + 2 * SECURITY_EVENT_AGE_MAX_SECONDS * 1_000
  await spend(house, spent, expiresAtMs)
  return undefined
}

/** A sender speaks about the people of its own issuer, or of the one provider that it was given. */
function isForeign({ subject }: Signal, issuer: string): boolean {
  return subject?.kind === 'person' && (subject.issuer ?? issuer) !== issuer
}

async function obey(
  house: IssuerHouse,
  signals: Signals,
  told: { readonly signal: Signal; readonly issuer: string; readonly receiver: string },
): Promise<void> {
  const { signal, issuer, receiver } = told
  const { subject, event } = signal
  const reason = `event_${event}`
  if (subject === undefined) {
    report(house, { type: 'signal.received', level: 'warn', reason: 'subject_unknown', receiver })
    return
  }
  const ended =
    subject.kind === 'person'
      ? await signals.endSubject({ issuer, subject: subject.subject }, reason, { revoke: true })
      : await signals.endProviderSession({ issuer, sid: subject.sid }, reason)
  report(house, { type: 'signal.received', reason, receiver, ...ended })
}
