/**
 * Connect sessions: what a product's backend gives to the element in its page. A random token, kept as
 * digest, for one person of one app and for one origin, 15 minutes. It lists, starts, confirms and ends
 * connections of that person; it hands out no token and works from no other origin (W8).
 */
import type { AppConfig } from '../../config/apps.ts'
import { OAuthError } from '../../errors.ts'
import { createId, createSecret, key } from '../../issuer/ids.ts'
import type { Values } from '../../records.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { requireOpenToApps } from './app-connectors.ts'
import { appUserId, requireApp } from './app-space.ts'
import type { ConnectSession, ConnectSessionInput } from './embedded-door.ts'

const SESSION_TTL_MS = 900_000
const TOKEN_PATTERN = /^pcs_[0-9a-z]{26}_[A-Za-z0-9_-]{43}$/
const CONNECTORS_MAX = 200

export async function createSession(
  house: ConnectHouse,
  input: ConnectSessionInput,
): Promise<ConnectSession> {
  const { runtime, store, config } = house
  const app = requireApp(config.apps, input.app)
  const userId = appUserId(input.user, app.name)
  if (!app.origins.includes(input.origin)) throw notOf(app, 'origin', 'ERR_APP_ORIGIN')
  if (input.returnUrl !== undefined) requireReturnUrl(app, input.returnUrl)
  const connectors = input.connectors === undefined ? undefined : [...new Set(input.connectors)]
  if (connectors !== undefined && connectors.length > CONNECTORS_MAX)
    throw new TypeError(`a session has at most ${CONNECTORS_MAX} connectors`)
  for (const name of connectors ?? []) requireOpenToApps(house, name)
  const token = `${createId(runtime, 'pcs')}_${createSecret(runtime)}`
  const expiresAtMs = Math.trunc(runtime.nowMs()) + SESSION_TTL_MS
  await store.create('connectSession', key(runtime.sha256(token)), {
    app: app.name,
    userId,
    ...(connectors === undefined ? {} : { connectors }),
    origin: input.origin,
    ...(input.returnUrl === undefined ? {} : { returnUrl: input.returnUrl }),
    expiresAtMs,
  })
  return { token, expiresAt: new Date(expiresAtMs).toISOString() }
}

/** @throws {OAuthError} `ERR_APP_RETURN_URL`. */
export function requireReturnUrl(app: AppConfig, returnUrl: string): void {
  if (!app.returnUrls.includes(returnUrl)) throw notOf(app, 'returnUrl', 'ERR_APP_RETURN_URL')
}

function notOf(
  { name }: AppConfig,
  what: 'origin' | 'returnUrl',
  code: 'ERR_APP_ORIGIN' | 'ERR_APP_RETURN_URL',
): OAuthError {
  const problem = `${what} is none of apps.${name}.${what}s, to the letter`
  return new OAuthError('invalid_request', problem, { status: 422, code })
}

export interface LivingSession {
  readonly digest: string
  readonly session: Values['connectSession']
  readonly app: AppConfig
}

/** `undefined`: unknown, ended, or of an app that the configuration does not name any more. */
export async function findSession(
  { runtime, store, config }: ConnectHouse,
  token: string | undefined,
): Promise<LivingSession | undefined> {
  if (token === undefined || !TOKEN_PATTERN.test(token)) return undefined
  const digest = runtime.sha256(token)
  const row = await store.get('connectSession', key(digest))
  if (row === undefined || row.value.expiresAtMs <= runtime.nowMs()) return undefined
  const app = config.apps?.find(({ name }) => name === row.value.app)
  // Taken out of the configuration meanwhile: what was registered for it is no longer (W8).
  if (app === undefined || !app.origins.includes(row.value.origin)) return undefined
  return { digest, session: row.value, app }
}
