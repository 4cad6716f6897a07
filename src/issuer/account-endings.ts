/**
 * `POST /account`: ends an app, a browser, an approval, or everything of the person who is signed in.
 * Same origin, a ticket bound to this very session, then only rows found among the person's own (O6).
 * Ending twice is ending once, and the answer is the same 303 (W7, AZ-16).
 */
import { StoreError } from '../errors.ts'
import type { Step } from '../ports.ts'
import type { Grant } from '../records.ts'
import { type Done, handleOf, liveGrants, liveRows } from './account.ts'
import { redirectAnswer } from './answers.ts'
import { auditStep } from './audit.ts'
import { isSameOrigin, readForm } from './consent.ts'
import { readCookies, sessionCookie } from './cookies.ts'
import { endByMark, endGrant } from './endings.ts'
import { type IssuerHouse, report } from './house.ts'
import { createFlowId, key } from './ids.ts'
import { refusalPage } from './refusals.ts'
import { findSignedIn, type SignedIn } from './sessions.ts'
import { openTicket } from './ticket.ts'

/** What one form asks: which kind, and the handle that the page gave it. */
interface Ending {
  readonly kind: Done
  readonly handle: string
}

interface Actor {
  readonly signedIn: SignedIn
  readonly flowId: string
}

export async function endFromAccount(house: IssuerHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  if (!isSameOrigin(house, http)) return stalePage(house, 'account_cross_site', 403)
  const form = await readForm(http)
  const ending = readEnding(form?.get('end'))
  if (form === undefined || ending === undefined) return stalePage(house, 'account_form', 400)
  const signedIn = await findSignedIn(house, jar, { own: true })
  // Signed out meanwhile, here or in another tab: what was asked for is the case, or is asked again.
  if (signedIn === undefined) return redirectAnswer(donePath(house, ending.kind))
  const ticket = openTicket(house.runtime, house.keys.ticketKey(), form.get('ticket') ?? '')
  if (
    ticket?.purpose !== 'account' ||
    !house.runtime.equal(house.runtime.sha256(signedIn.digest), ticket.formDigest) ||
    ticket.shownUserId !== signedIn.user.value.userId
  ) {
    return stalePage(house, 'account_ticket', 403)
  }
  if (ticket.expiresAtMs <= house.runtime.nowMs()) return stalePage(house, 'account_expired', 400)
  const actor: Actor = { signedIn, flowId: ticket.flowId }
  const endedThisSession = await perform(house, actor, ending)
  const cookies = endedThisSession ? [sessionCookie.drop(jar)] : []
  return redirectAnswer(donePath(house, ending.kind), cookies)
}

function readEnding(text: string | undefined): Ending | undefined {
  if (text === 'everywhere') return { kind: 'everywhere', handle: '' }
  const match = /^(client|session|approval):([A-Za-z0-9_-]{43})$/.exec(text ?? '')
  if (match === null) return undefined
  const [, kind, handle = ''] = match
  return { kind: kind === 'client' || kind === 'session' ? kind : 'approval', handle }
}

function donePath(house: IssuerHouse, done: Done): string {
  return `${house.paths.account}?done=${done}`
}

/** @returns whether this very browser is signed out by it. */
async function perform(house: IssuerHouse, actor: Actor, ending: Ending): Promise<boolean> {
  if (ending.kind === 'everywhere') {
    await endEverything(house, actor)
    return true
  }
  if (ending.kind === 'session') return endSession(house, actor, ending.handle)
  if (ending.kind === 'client') await endClient(house, actor, ending.handle)
  else await forgetApproval(house, actor, ending.handle)
  return false
}

/** The approvals first: were it the other way round, a silent sign-in could slip in between. */
async function endClient(house: IssuerHouse, actor: Actor, handle: string): Promise<void> {
  const { userId } = actor.signedIn.user.value
  const isIt = (clientId: string) => handleOf(house, 'grant', clientId) === handle
  for (const approval of await liveRows(house, 'approval', userId)) {
    if (isIt(approval.value.clientId))
      await remove(house, actor, 'approval', approval.key.id, approval.value.clientId)
  }
  const own = (await liveGrants(house, userId)).filter((grant: Grant) => isIt(grant.clientId))
  for (const grant of own) await endGrant(house, grant, 'ended_by_user')
}

async function endSession(house: IssuerHouse, actor: Actor, handle: string): Promise<boolean> {
  const sessions = await liveRows(house, 'session', actor.signedIn.user.value.userId)
  const found = sessions.find(({ key: { id } }) => handleOf(house, 'session', id) === handle)
  if (found === undefined) return false
  await remove(house, actor, 'session', found.key.id)
  return found.key.id === actor.signedIn.session.key.id
}

async function forgetApproval(house: IssuerHouse, actor: Actor, handle: string): Promise<void> {
  const approvals = await liveRows(house, 'approval', actor.signedIn.user.value.userId)
  const found = approvals.find(({ key: { id } }) => handleOf(house, 'approval', id) === handle)
  if (found !== undefined)
    await remove(house, actor, 'approval', found.key.id, found.value.clientId)
}

/** One commit: the row goes and its audit row comes (I12); gone already: neither. */
async function remove(
  house: IssuerHouse,
  { signedIn, flowId }: Actor,
  kind: 'session' | 'approval',
  id: string,
  clientId?: string,
): Promise<void> {
  const { userId } = signedIn.user.value
  const about = { userId, ...(clientId === undefined ? {} : { clientId }) }
  const { won } = await house.store.commit(removal(house, { flowId }, kind, id, about))
  if (!won) return
  report(house, { type: 'revocation.confirmed', reason: `${kind}_ended_by_user`, flowId, ...about })
}

function removal(
  house: IssuerHouse,
  { flowId }: Pick<Actor, 'flowId'>,
  kind: 'session' | 'approval',
  id: string,
  about: { readonly userId: string; readonly clientId?: string },
): readonly Step[] {
  const detail = `${kind}_ended_by_user ${flowId}`
  return [
    { verb: 'remove', kind, key: key(id) },
    auditStep(house, 'revocation.confirmed', { ...about, detail }),
  ]
}

/**
 * The other sessions, then one mark for all tokens and grants together with this session, so that it
 * can be repeated until all is done. Sessions first: were it the other way round, a silent sign-in
 * with one of them could slip in between.
 */
async function endEverything(house: IssuerHouse, actor: Actor): Promise<void> {
  const { user, session } = actor.signedIn
  const { userId } = user.value
  await endSessionsBut(house, actor, session.key.id)
  const detail = `signed_out_everywhere ${actor.flowId}`
  const requested = auditStep(house, 'revocation.requested', { userId, detail })
  const own = removal(house, actor, 'session', session.key.id, { userId })
  const endAll = (also: readonly Step[]) =>
    endByMark(house, { kind: 'user', id: userId }, 'signed_out_everywhere', also)
  try {
    await endAll([requested, ...own])
  } catch (error) {
    // Pressed twice: the other one has ended this session, and its mark may be older than this press.
    if (!(error instanceof StoreError) || error.certainty !== 'not-applied') throw error
    if ((await house.store.get('session', session.key)) !== undefined) throw error
    await endAll([requested])
  }
  report(house, {
    type: 'revocation.requested',
    reason: 'signed_out_everywhere',
    userId,
    flowId: actor.flowId,
  })
  // One that began meanwhile.
  await endSessionsBut(house, actor, session.key.id)
}

async function endSessionsBut(house: IssuerHouse, actor: Actor, own: string): Promise<void> {
  const sessions = await liveRows(house, 'session', actor.signedIn.user.value.userId)
  const others = sessions.map(({ key: { id } }) => id).filter((id) => id !== own)
  for (const id of others) await remove(house, actor, 'session', id)
}

function stalePage(house: IssuerHouse, reason: string, status: number): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'you',
      title: 'This page can no longer be used',
      text: 'It is too old, belongs to another sign-in, or was not sent from this site.',
      fix: 'Nothing was changed.',
      link: { path: house.paths.account, text: 'Look at your account' },
    },
    { reason, flowId: createFlowId(house.runtime) },
    { status },
  )
}
