/**
 * `GET /connect/{connector}?app=&returnUrl=`: a product's "Connect" as a plain link. Who is signed in
 * is the product's word, `apps.<name>.user(request)`, here and again at the callback; so another site
 * that sends a browser here starts a trip of that browser's own person, and of nobody else (O1). Away
 * at once: nothing is written, nothing is read from the store, nobody is asked.
 */
import { Redirect } from '../../issuer/answers.ts'
import { readCookies } from '../../issuer/cookies.ts'
import { createFlowId, createId } from '../../issuer/ids.ts'
import { leave } from '../connect/connect-departure.ts'
import { noConnectorPage } from '../connect/connect-refusals.ts'
import { type ConnectHouse, readyFor } from '../connect/connect-rooms.ts'
import { scopesFor } from '../connect/connect-scopes.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { findOpenToApps } from './app-connectors.ts'
import { askApp } from './app-user.ts'
import { popupRefusal, troubleAnswer } from './embedded-answers.ts'

const NO_SCOPES = { scopes: [] } as const
const USUAL_SCOPES = new WeakMap<Binding, readonly string[]>()
const RETRY_AFTER_SECONDS = '2'

/** @param search Of the link; it names an app. */
export async function startFromLink(
  house: ConnectHouse,
  http: Request,
  name: string,
  search: URLSearchParams,
): Promise<Response | Redirect> {
  const app = house.config.apps?.find((each) => each.name === search.get('app'))
  if (app?.user === undefined)
    return badLink(house, name, app === undefined ? 'app_unknown' : 'app_without_user')
  const returnUrl = search.get('returnUrl')
  if (returnUrl === null || !app.returnUrls.includes(returnUrl))
    return badLink(house, name, 'return_url_unknown')
  const destination = http.headers.get('sec-fetch-dest')
  // Of a page's own accord, not of a person: nothing could come of it but cookies.
  if (destination !== null && destination !== 'document') return badLink(house, name, 'not_a_page')
  const person = await askApp(house, app, http)
  if (person.state === 'failed') return appFailed(house, name)
  if (person.state === 'nobody') return new Redirect(`${returnUrl}#postern=signed_out`, [])
  const entry = findOpenToApps(house, name)
  if (entry === undefined) return noConnectorPage(house, name)
  const { userId } = person
  const about = { connector: name, title: entry.title ?? name, userId }
  const ready = await readyFor(house, name)
  if (!ready.ok) return troubleAnswer(house, about, ready.problems)
  const { binding, client } = ready
  const attempt = createId(house.runtime, 'con')
  const gone = await leave(house, readCookies(http, house), {
    binding,
    client,
    userId,
    flowId: createFlowId(house.runtime),
    scopes: usualScopes(binding),
    embedded: { kind: 'link', app: app.name, attempt, returnUrl },
  })
  if (gone instanceof Redirect) return gone
  return troubleAnswer(house, about, gone === 'answered' ? [] : [gone])
}

/** The same for everybody while the server says the same. */
function usualScopes(binding: Binding): readonly string[] {
  let scopes = USUAL_SCOPES.get(binding)
  if (scopes === undefined) {
    scopes = scopesFor(binding, undefined, NO_SCOPES)
    USUAL_SCOPES.set(binding, scopes)
  }
  return scopes
}

function badLink(house: ConnectHouse, name: string, reason: string): Promise<Response> {
  const message = {
    side: 'app',
    title: 'This link does not work',
    text: 'It names no product of this server, or no place of that product to come back to.',
    fix: 'Nothing was connected. Tell who runs the page that you came from.',
  } as const
  const known = house.config.connectors.some((connector) => connector.name === name)
  return popupRefusal(house, message, { reason, ...(known ? { connector: name } : {}) })
}

/** Also at the callback: nothing is spent, so the same page works once the product answers. */
export async function appFailed(house: ConnectHouse, connector: string): Promise<Response> {
  const message = {
    side: 'app',
    title: 'Not available right now',
    text: 'The product could not say who is signed in there.',
    fix: 'Nothing was connected. Try again in a moment.',
  } as const
  const answer = await popupRefusal(house, message, { reason: 'app_user', status: 503, connector })
  answer.headers.set('retry-after', RETRY_AFTER_SECONDS)
  return answer
}
