/**
 * The endpoints that programs call: `/token`, `/revoke`, `/par`, `/register` and below it. JSON
 * errors of RFC 6749, open CORS without credentials, an event with the inner reason of every refusal.
 */
import type { Hono } from 'hono'
import { isPosternError, OAuthError, placeOf, toResponse } from '../errors.ts'
import { methodNotAllowed, OPEN_CORS, preflight } from './answers.ts'
import { type IssuerHouse, report } from './house.ts'
import { createId } from './ids.ts'
import { createPushedEndpoint } from './par.ts'
import { createRegistration } from './registration.ts'
import { createRegistrationManagement } from './registration-management.ts'
import { createRevocationEndpoint } from './revoke.ts'
import { createTokenEndpoint } from './tokens.ts'

export function addProtocolRoutes(app: Hono, house: IssuerHouse): void {
  const endpoints: [string, (http: Request) => Promise<Response>][] = [
    [house.paths.token, createTokenEndpoint(house)],
    [house.paths.revoke, createRevocationEndpoint(house)],
  ]
  if (house.config.registration.dynamic)
    endpoints.push([house.paths.register, createRegistration(house)])
  if (house.config.enable.includes('pushed-requests'))
    endpoints.push([house.paths.par, createPushedEndpoint(house)])
  for (const [path, serve] of endpoints) {
    app.options(path, () => preflight('POST'))
    app.post(path, (context) => protocolAnswer(house, path, () => serve(context.req.raw)))
    app.all(path, () => methodNotAllowed('POST, OPTIONS', OPEN_CORS))
  }
  if (house.config.registration.dynamic) addManagement(app, house)
}

const MANAGED_METHODS = ['GET', 'PUT', 'DELETE']

/** RFC 7592: one address per registration. */
function addManagement(app: Hono, house: IssuerHouse): void {
  const { register } = house.paths
  const path = `${register}/:clientId`
  const manage = createRegistrationManagement(house)
  app.options(path, () => preflight(MANAGED_METHODS.join(', ')))
  app.on(MANAGED_METHODS, path, (context) =>
    // The event names the endpoint, never who is managed: that is untrusted text.
    protocolAnswer(house, register, () =>
      manage(context.req.raw, context.req.param('clientId') ?? ''),
    ),
  )
  app.all(path, () => methodNotAllowed(`${MANAGED_METHODS.join(', ')}, OPTIONS`, OPEN_CORS))
}

/** JSON errors of RFC 6749, an event with the inner reason, open CORS. */
async function protocolAnswer(
  house: IssuerHouse,
  path: string,
  serve: () => Promise<Response>,
): Promise<Response> {
  let response: Response
  try {
    response = await serve()
  } catch (error) {
    const requestId = createId(house.runtime, 'req')
    response = toResponse(error, requestId)
    const reason =
      error instanceof OAuthError ? error.reason : isPosternError(error) ? error.name : 'unexpected'
    const type = response.status === 500 ? 'server.failed' : 'token.refused'
    const level = response.status === 500 ? 'error' : 'info'
    const { status } = response
    const place = type === 'server.failed' ? { place: placeOf(error) } : {}
    report(house, { type, level, reason, status, requestId, endpoint: path, ...place })
  }
  for (const [name, value] of Object.entries(OPEN_CORS)) response.headers.set(name, value)
  return response
}
