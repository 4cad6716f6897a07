/**
 * Pages and redirects of embedded trips: never framed, never with a policy that cuts the page which
 * opened a popup off (CLI-24, W1), and only the end page with a script, which is ours.
 */
import { COMMON_HEADERS, pageAnswer } from '../../issuer/answers.ts'
import { report } from '../../issuer/house.ts'
import { createFlowId } from '../../issuer/ids.ts'
import type { ConnectorProblem } from '../../records.ts'
import { donePage as doneMarkup, type Ending } from '../../ui/embedded.ts'
import type { Markup } from '../../ui/layout.ts'
import { type Message, messagePage } from '../../ui/message.ts'
import { shownText } from '../../ui/text.ts'
import { connectRefusal } from '../connect/connect-refusals.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'

const OPENER_POLICY = ['cross-origin-opener-policy', 'unsafe-none'] as const
const RETRY_AFTER_SECONDS = '10'

export async function popupAnswer(
  markup: Markup,
  cookies: readonly string[] = [],
): Promise<Response> {
  return withOpener(await pageAnswer(markup, 200, cookies))
}

export async function doneAnswer(house: ConnectHouse, ending: Ending): Promise<Response> {
  const answer = await popupAnswer(doneMarkup(house.pages, ending))
  const policy = COMMON_HEADERS['content-security-policy'] ?? ''
  const scriptUrl = `${house.issuerUrl.origin}${ending.scriptPath}`
  answer.headers.set(
    'content-security-policy',
    policy.replace("script-src 'none'", `script-src ${scriptUrl}`),
  )
  return answer
}

function withOpener(answer: Response): Response {
  answer.headers.set(...OPENER_POLICY)
  return answer
}

export interface Refused {
  readonly reason: string
  readonly status?: number
  readonly connector?: string
  readonly userId?: string
  readonly flowId?: string
}

/** A page of a popup or link that cannot go on; nothing was connected. */
export async function popupRefusal(
  house: ConnectHouse,
  message: Pick<Message, 'side' | 'title' | 'text'> & Partial<Pick<Message, 'fix'>>,
  about: Refused,
): Promise<Response> {
  const fix = 'Nothing was connected. Go back to the page you came from and start again there.'
  return withOpener(await connectRefusal(house, { fix, ...message }, about))
}

/** What is wrong with the server, in words, and who has to do something. */
export async function troubleAnswer(
  house: ConnectHouse,
  about: { readonly connector: string; readonly title: string; readonly userId: string },
  problems: readonly ConnectorProblem[],
): Promise<Response> {
  const { connector, userId } = about
  const [problem] = problems
  const flowId = createFlowId(house.runtime)
  const reason = problem?.code ?? 'connector_unavailable'
  report(house, { type: 'connection.refused', reason, connector, userId, flowId, status: 503 })
  const page = messagePage(house.pages, {
    side: problem?.party === 'here' ? 'server' : 'remote',
    title: `${shownText(about.title)} cannot be connected right now`,
    text: problem === undefined ? 'It did not answer in time.' : `${shownText(problem.text, 300)}.`,
    fix: 'Nothing was connected. Close this window and try again in a moment.',
    flowId,
  })
  const answer = withOpener(await pageAnswer(page, 503))
  answer.headers.set('retry-after', RETRY_AFTER_SECONDS)
  return answer
}
