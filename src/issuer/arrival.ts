/**
 * The first question of a visit: which client sent this person. Who cannot be told is a page that
 * leads nowhere (AZ-02, REG-14); a document that is only remembered is enough for a person who approved
 * this client before, and for nobody else (REG-15).
 */
import type { Client } from '../oauth/client.ts'
import { hasApprovedRedirect } from './approvals.ts'
import type { IssuerHouse } from './house.ts'
import { refusalPage, unknownClientPage } from './refusals.ts'
import type { SignedIn } from './sessions.ts'

const UNREACHABLE_RETRY_AFTER_SECONDS = 10

export interface Arrived {
  readonly client: Client
  readonly isFresh: boolean
}

/** The client, or the page that says why there is none. */
export async function arriveClient(
  house: IssuerHouse,
  http: Request,
  clientId: string | undefined,
  flowId: string,
): Promise<Arrived | Response> {
  if (clientId === undefined) return unknownClientPage(house, flowId)
  const arrival = await house.clients.arrive(clientId, house.clientAddress?.(http))
  switch (arrival.state) {
    case 'known':
      return arrival
    case 'unknown':
      return arrival.reason.startsWith('document')
        ? documentPage(house, arrival.reason, flowId)
        : unknownClientPage(house, flowId)
    case 'unreachable':
      return documentPage(house, `document_${arrival.reason}`, flowId, {
        status: 503,
        retryAfterSeconds: UNREACHABLE_RETRY_AFTER_SECONDS,
      })
    case 'limited':
      return documentPage(house, 'document_rate', flowId, {
        status: 429,
        retryAfterSeconds: arrival.retryAfterSeconds,
      })
  }
}

/** `undefined` when the visit may go on. */
export async function refuseStale(
  house: IssuerHouse,
  { client, isFresh }: Arrived,
  redirectUri: string,
  visit: { readonly signedIn: SignedIn | undefined; readonly flowId: string },
): Promise<Response | undefined> {
  if (isFresh) return undefined
  const userId = visit.signedIn?.user.value.userId
  const approved =
    userId !== undefined && (await hasApprovedRedirect(house, userId, client, redirectUri))
  if (approved) return undefined
  return documentPage(house, 'document_stale', visit.flowId, {
    status: 503,
    retryAfterSeconds: UNREACHABLE_RETRY_AFTER_SECONDS,
  })
}

/** One text for every way to fail: what is inside a network is not told to who asks (NET-06). */
async function documentPage(
  house: IssuerHouse,
  reason: string,
  flowId: string,
  wait?: { readonly status: number; readonly retryAfterSeconds: number },
): Promise<Response> {
  const response = await refusalPage(
    house,
    {
      side: 'app',
      title: 'This app could not be checked',
      text: 'The app is described by a document on its own website, and that document could not be used.',
      fix: 'Try again in a moment. If it stays so, tell who makes the app. Nothing was shared.',
      code: 'ERR_CLIENT_DOCUMENT',
    },
    { reason, flowId },
    wait === undefined ? {} : { status: wait.status },
  )
  if (wait !== undefined) response.headers.set('retry-after', String(wait.retryAfterSeconds))
  return response
}
