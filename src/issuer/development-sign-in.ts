/**
 * The page of the development sign-in, in the place of a provider's: takes a name and leads to our own
 * callback, where every check of a real sign-in follows. Served only where that provider exists.
 */
import { DEVELOPMENT_PAGE, DEVELOPMENT_TYPE, developmentName } from '../providers/development.ts'
import { developmentPage } from '../ui/development.ts'
import { pageAnswer, redirectAnswer } from './answers.ts'
import { isSameOrigin, readForm } from './consent.ts'
import type { IssuerHouse } from './house.ts'
import { createFlowId } from './ids.ts'
import { refusalPage } from './refusals.ts'

const STATE_PATTERN = /^[A-Za-z0-9_-]{1,512}$/

/** Path of the page; `undefined` where nobody signs in by a typed name. */
export function developmentPagePath(house: IssuerHouse): string | undefined {
  const callback = callbackPath(house)
  return callback === undefined ? undefined : callback + DEVELOPMENT_PAGE
}

function callbackPath(house: IssuerHouse): string | undefined {
  const entry = house.providers.find(({ provider }) => provider.type === DEVELOPMENT_TYPE)
  if (entry === undefined) return undefined
  return house.issuerUrl.pathname.replace(/\/$/, '') + entry.provider.callbackPath
}

export async function showDevelopmentPage(house: IssuerHouse, http: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(http.url)
  const state = searchParams.get('state') ?? ''
  if (!STATE_PATTERN.test(state)) return brokenPage(house, 'development_state')
  return pageAnswer(developmentPage(house.pages, { action: pathname, state, refused: false }))
}

export async function takeDevelopmentName(house: IssuerHouse, http: Request): Promise<Response> {
  const { pathname } = new URL(http.url)
  if (!isSameOrigin(house, http)) return brokenPage(house, 'development_cross_site', 403)
  const form = await readForm(http)
  const state = form?.get('state') ?? ''
  if (!STATE_PATTERN.test(state)) return brokenPage(house, 'development_state')
  const callback = callbackPath(house) ?? house.paths.home
  if (form?.get('decision') === 'cancel')
    return redirectAnswer(`${callback}?${new URLSearchParams({ error: 'access_denied', state })}`)
  const code = developmentName(form?.get('name'))
  if (code === undefined) {
    return pageAnswer(developmentPage(house.pages, { action: pathname, state, refused: true }), 400)
  }
  return redirectAnswer(`${callback}?${new URLSearchParams({ code, state })}`)
}

function brokenPage(house: IssuerHouse, reason: string, status = 400): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'you',
      title: 'This page can no longer be used',
      text: 'It was not opened by a sign-in at this server.',
      fix: 'Nothing was shared. Start again from the app.',
    },
    { reason, flowId: createFlowId(house.runtime) },
    { status },
  )
}
