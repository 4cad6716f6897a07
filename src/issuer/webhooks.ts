/**
 * `POST /webhooks/{provider}`: GitHub says that a person took the authorization back (REV-13). Believed
 * at once after its signature: that person's grants, sessions and tokens end here.
 *
 * A delivery that comes again is answered and does nothing; one whose number was changed by somebody
 * who holds a signed body ends what it names once more, which costs a sign-in and gives nothing.
 */
import { judgeDelivery, WEBHOOK_BODY_MAX_BYTES } from '../providers/github-webhook.ts'
import type { Secret } from '../secret.ts'
import { readBody } from './body.ts'
import { type IssuerHouse, type IssuerProvider, report } from './house.ts'
import type { Signals } from './signals.ts'
import { isSpent, spend } from './spent.ts'

const NO_STORE = { 'cache-control': 'no-store' }
/** GitHub offers to send a delivery again for three days. */
const DELIVERY_KNOWN_MS = 7 * 86_400_000
const DELIVERY_ID_MAX_CHARS = 128

const STATUS = { unsigned: 401, malformed: 400, other: 204 } as const

/** @returns 204 for what is obeyed, known or of no concern; 401 unsigned, 400 malformed, 413. */
export async function receiveWebhook(
  house: IssuerHouse,
  signals: Signals,
  { entry, secret }: { readonly entry: IssuerProvider; readonly secret: Secret },
  http: Request,
): Promise<Response> {
  const { provider } = entry
  const answer = (status: number, reason: string): Response => {
    if (status >= 400)
      report(house, {
        type: 'token.refused',
        reason: `webhook_${reason}`,
        provider: provider.id,
        status,
      })
    return new Response(null, { status, headers: NO_STORE })
  }
  const body = await readBody(http, WEBHOOK_BODY_MAX_BYTES)
  if (body === undefined) return answer(413, 'body_too_large')
  const judged = judgeDelivery({ headers: http.headers, body }, secret, house.runtime)
  if (judged.outcome !== 'revoked') return answer(STATUS[judged.outcome], judged.outcome)
  const delivery = http.headers.get('x-github-delivery')?.slice(0, DELIVERY_ID_MAX_CHARS)
  const spent = ['webhook', provider.id, delivery ?? ''] as const
  if (delivery !== undefined && (await isSpent(house, spent))) return answer(204, 'known')
  // GitHub has ended every token of the authorization: there is nothing to revoke there.
  const person = { issuer: provider.issuer, subject: judged.subject }
  const ended = await signals.endSubject(person, CAUSE, { revoke: false })
  if (delivery !== undefined) {
    const expiresAtMs = Math.trunc(house.runtime.nowMs()) + DELIVERY_KNOWN_MS
    await spend(house, spent, expiresAtMs)
  }
  report(house, { type: 'signal.received', provider: provider.id, reason: CAUSE, ...ended })
  return answer(204, CAUSE)
}

const CAUSE = 'webhook_revoked'
