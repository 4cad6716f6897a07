/**
 * `GET /authorize`: client, then redirect URI, then the rest; then a code at once where the silent
 * rule allows it, else the consent page. Showing the page writes nothing to the store: the validated
 * request is sealed into its form (flows.md sections 4 and 5).
 */
import { OAuthError } from '../errors.ts'
import {
  judgeAuthorization,
  mayBeSilent,
  mayRedirectError,
  STATE_MAX_CHARS,
} from '../oauth/authorization.ts'
import { type Client, matchRedirectUri } from '../oauth/client.ts'
import { Parameters } from '../oauth/parameters.ts'
import type { AuthorizationRequest } from '../records.ts'
import { findApproval, hasApprovedRedirect } from './approvals.ts'
import { type Arrived, arriveClient, refuseStale } from './arrival.ts'
import { codeAnswer, issueForSession } from './codes.ts'
import { consentAnswer } from './consent-page.ts'
import { type CookieJar, readCookies } from './cookies.ts'
import { findResource, type IssuerHouse, mayUse } from './house.ts'
import { createFlowId } from './ids.ts'
import { pushedPage, takePushed } from './pushed.ts'
import {
  type ClientError,
  type Destination,
  redirectError,
  redirectUriPage,
  refusalPage,
  returnPage,
  sentence,
} from './refusals.ts'
import {
  findSignedIn,
  isRecentEnough,
  promptWords,
  type SignedIn,
  touchSession,
} from './sessions.ts'
import { isBacked } from './upstream-scopes.ts'

/** What one visit to `/authorize` knows before its request is judged. */
interface Visit {
  readonly house: IssuerHouse
  readonly http: Request
  readonly jar: CookieJar
  readonly flowId: string
  readonly client: Client
  readonly to: Destination
}

export async function authorize(house: IssuerHouse, http: Request): Promise<Response> {
  const flowId = createFlowId(house.runtime)
  const parameters = readQuery(http)
  if (parameters instanceof OAuthError) return malformedPage(house, parameters, flowId)
  const clientId = parameters.get('client_id')
  const arrived = await arriveClient(house, http, clientId, flowId)
  if (arrived instanceof Response) return arrived
  const { client } = arrived
  const pushed = await takePushed(house, client, parameters)
  if (pushed === 'unknown') return pushedPage(house, client, flowId)
  if (pushed !== undefined) return answerPushed(house, http, pushed, arrived, flowId)
  const presented = parameters.get('redirect_uri')
  const match = matchRedirectUri(client, presented)
  if (!match.matched) return redirectUriPage(house, client, presented, flowId)

  const state = parameters.get('state')
  const to: Destination = {
    clientId: client.clientId,
    redirectUri: match.redirectUri,
    // A state that is refused for its size is not carried back either.
    ...(state === undefined || state.length > STATE_MAX_CHARS ? {} : { state }),
  }
  const jar = readCookies(http, house)
  const visit: Visit = { house, http, jar, flowId, client, to }
  const signedIn = await findSignedIn(house, jar)
  const stale = await refuseStale(house, arrived, match.redirectUri, { signedIn, flowId })
  if (stale !== undefined) return stale
  const request = judgeRequest(house, parameters, client, match.redirectUri)
  if (request instanceof OAuthError) {
    const { error, description, reason } = request
    return refuse(visit, signedIn, { error, description, reason, flowId })
  }
  return answer(visit, signedIn, request)
}

/** Everything was checked when it was pushed; the query says nothing beyond it (RFC 9126 section 4). */
async function answerPushed(
  house: IssuerHouse,
  http: Request,
  request: AuthorizationRequest,
  arrived: Arrived,
  flowId: string,
): Promise<Response> {
  const { client } = arrived
  const { redirectUri, state } = request
  const to = { clientId: client.clientId, redirectUri, ...(state === undefined ? {} : { state }) }
  const jar = readCookies(http, house)
  const signedIn = await findSignedIn(house, jar)
  const stale = await refuseStale(house, arrived, redirectUri, { signedIn, flowId })
  return stale ?? answer({ house, http, jar, flowId, client, to }, signedIn, request)
}

async function answer(
  visit: Visit,
  signedIn: SignedIn | undefined,
  request: AuthorizationRequest,
): Promise<Response> {
  const { house, client, flowId, jar } = visit
  const resource = findResource(house, request.resource)
  let usable =
    signedIn !== undefined &&
    isRecentEnough(house, signedIn, request) &&
    mayUse(house, signedIn.user.value, resource)
      ? signedIn
      : undefined
  const approved = usable === undefined ? false : await isSilent(visit, usable, request)
  if (usable !== undefined && approved) {
    const issued = await issueForSession(house, usable, request, client, {
      once: [],
      approve: false,
      flowId,
    })
    if (issued !== undefined) return codeAnswer(house, request, issued)
    // The sign-in ended since it was read.
    usable = undefined
  }
  if (promptWords(request.prompt).includes('none')) {
    const error = usable === undefined ? 'login_required' : 'consent_required'
    return refuse(visit, signedIn, { error, reason: error, flowId })
  }
  if (usable !== undefined) touchSession(house, usable)
  return consentAnswer(house, jar, { client, request, flowId }, usable)
}

/** flows.md section 5, "Silent", and AZ-17. */
async function isSilent(
  visit: Visit,
  signedIn: SignedIn,
  request: AuthorizationRequest,
): Promise<boolean> {
  const { house, client, http } = visit
  if (!isBacked(house, signedIn, request)) return false
  const approval = await findApproval(house, signedIn.user.value.userId, request)
  return mayBeSilent({
    client,
    request,
    ...(approval === undefined ? {} : { approval: approval.value }),
    nowMs: house.runtime.nowMs(),
    isTopLevelNavigation:
      http.headers.get('sec-fetch-mode') === 'navigate' &&
      http.headers.get('sec-fetch-dest') === 'document',
  })
}

/** AZ-15: redirected only where one of the three facts holds; nothing was answered on a page yet. */
async function refuse(
  visit: Visit,
  signedIn: SignedIn | undefined,
  error: ClientError,
): Promise<Response> {
  const { house, client, to } = visit
  const approved =
    signedIn !== undefined &&
    (await hasApprovedRedirect(house, signedIn.user.value.userId, client, to.redirectUri))
  if (mayRedirectError({ client, redirectUri: to.redirectUri, approved, answered: false })) {
    return redirectError(house, to, error)
  }
  return returnPage(house, to, error, {
    side: 'app',
    title: 'The app asked for something that is not possible here',
    text:
      error.description === undefined
        ? (EXPLANATIONS[error.error] ?? 'The request was refused.')
        : sentence(error.description),
    fix: 'Nothing was shared. You can go back to the app, which is told the reason.',
    code: error.error,
  })
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  login_required:
    'The app asked to sign you in without showing a page, but you are not signed in here.',
  consent_required:
    'The app asked to sign you in without showing a page, but you have to allow it first.',
}

function malformedPage(house: IssuerHouse, error: OAuthError, flowId: string): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'app',
      title: 'This link is broken',
      text: sentence(error.description),
      code: error.error,
    },
    { reason: error.reason, flowId },
  )
}

function readQuery(http: Request): Parameters | OAuthError {
  return caught(() => Parameters.parse(new URL(http.url).search.slice(1)))
}

/** Also of a pushed request. @returns the refusal as a value: who asks decides where it is shown. */
export function judgeRequest(
  house: IssuerHouse,
  parameters: Parameters,
  client: Client,
  redirectUri: string,
): AuthorizationRequest | OAuthError {
  const { defaultResource, scopeAliases, enable } = house.config
  const rules = {
    resources: house.resources,
    defaultResource,
    scopeAliases,
    dpop: enable.includes('dpop'),
  }
  return caught(() => judgeAuthorization(parameters, client, redirectUri, rules))
}

function caught<T>(work: () => T): T | OAuthError {
  try {
    return work()
  } catch (error) {
    if (error instanceof OAuthError) return error
    throw error
  }
}
