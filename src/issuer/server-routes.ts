/**
 * What other servers call, never a browser: `/introspect`, `/backchannel-logout/{provider}`,
 * `/events/{receiver}`, `/webhooks/{provider}`. No CORS; refusals are events with their inner reason.
 */
import type { Context, Hono } from 'hono'
import { isPosternError, OAuthError, placeOf, toResponse } from '../errors.ts'
import { methodNotAllowed } from './answers.ts'
import { refuseTooMany } from './client-authentication.ts'
import { type IssuerHouse, report } from './house.ts'
import { createId } from './ids.ts'
import { createIntrospection } from './introspection.ts'
import { receiveLogoutToken } from './logout-tokens.ts'
import { createRate, networkOf, type Rate } from './rate.ts'
import { receiveSecurityEvent } from './security-events.ts'
import { receiveWebhook } from './webhooks.ts'

interface Endpoint {
  readonly path: string
  serve(http: Request): Promise<Response>
}

/** Notices a minute from one network; a provider that signs out a whole company sends many at once. */
const NOTICES_PER_MINUTE_MAX = 1_200

/** @returns the paths that are served now. */
export function addServerRoutes(app: Hono, house: IssuerHouse): readonly string[] {
  const endpoints = serverEndpoints(house)
  for (const { path, serve } of endpoints) {
    app.post(path, (context: Context) => answered(house, path, () => serve(context.req.raw)))
    app.all(path, () => methodNotAllowed('POST'))
  }
  return endpoints.map(({ path }) => path)
}

function serverEndpoints(house: IssuerHouse): readonly Endpoint[] {
  const { paths, signals } = house
  const introspect = { path: paths.introspect, serve: createIntrospection(house) }
  if (signals === undefined) return [introspect]
  const notices = createRate(house.runtime, NOTICES_PER_MINUTE_MAX)
  const noticed = (path: string, serve: Endpoint['serve']): Endpoint => ({
    path,
    serve: (http) => {
      limit(house, notices, http)
      return serve(http)
    },
  })
  const logouts = house.providers
    .filter(({ provider }) => provider.openId !== undefined)
    .map((entry) =>
      noticed(`${paths.backchannelLogout}/${entry.provider.id}`, (http) =>
        receiveLogoutToken(house, signals, entry, http),
      ),
    )
  const webhooks = house.providers.flatMap((entry) => {
    const secret = entry.provider.webhookSecret
    if (secret === undefined) return []
    const path = `${paths.webhooks}/${entry.provider.id}`
    return [noticed(path, (http) => receiveWebhook(house, signals, { entry, secret }, http))]
  })
  const keys = house.assertionKeys
  const isOn = house.config.enable.includes('shared-signals') && keys !== undefined
  const receivers = isOn ? (house.config.signals ?? []) : []
  const events = receivers.map((receiver) =>
    noticed(`${paths.events}/${receiver.name}`, (http) =>
      keys === undefined
        ? Promise.reject(new TypeError('keys'))
        : receiveSecurityEvent({ house, signals, keys }, receiver, http),
    ),
  )
  return [introspect, ...logouts, ...webhooks, ...events]
}

function limit(house: IssuerHouse, notices: Rate, http: Request): void {
  const address = house.clientAddress?.(http)
  if (address !== undefined) refuseTooMany(notices.take(networkOf(address)))
}

async function answered(
  house: IssuerHouse,
  path: string,
  serve: () => Promise<Response>,
): Promise<Response> {
  try {
    return await serve()
  } catch (error) {
    const requestId = createId(house.runtime, 'req')
    const response = toResponse(error, requestId)
    const { status } = response
    const isOurs = status === 500
    report(house, {
      type: isOurs ? 'server.failed' : 'token.refused',
      level: isOurs ? 'error' : 'info',
      reason:
        error instanceof OAuthError
          ? error.reason
          : isPosternError(error)
            ? error.name
            : 'unexpected',
      status,
      requestId,
      endpoint: path,
      ...(isOurs ? { place: placeOf(error) } : {}),
    })
    return response
  }
}
