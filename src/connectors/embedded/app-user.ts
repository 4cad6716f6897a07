/**
 * Asks a product who is signed in there: `apps.<name>.user(request)`, in a bounded time. What it throws
 * or says in a wrong form is nobody's identity, and goes nowhere (O1).
 */

import { withDeadline } from '../../cache/deadline.ts'
import type { AppConfig } from '../../config/apps.ts'
import { report } from '../../issuer/house.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { appUserId } from './app-space.ts'

const APP_USER_DEADLINE_MS = 2_000

export type AppPerson =
  | { readonly state: 'known'; readonly userId: string }
  | { readonly state: 'nobody' }
  | { readonly state: 'failed' }

export async function askApp(
  house: ConnectHouse,
  { name, user }: AppConfig,
  http: Request,
): Promise<AppPerson> {
  if (user === undefined) return { state: 'nobody' }
  try {
    const said = user(http)
    const isHere = said === undefined || typeof said === 'string'
    const who = isHere ? said : await inTime(house, Promise.resolve(said))
    if (who === undefined) return { state: 'nobody' }
    return { state: 'known', userId: appUserId(who, name) }
  } catch {
    report(house, {
      type: 'server.failed',
      level: 'error',
      reason: 'app_user',
      app: name,
      status: 503,
    })
    return { state: 'failed' }
  }
}

function inTime<T>({ runtime, issuerUrl }: ConnectHouse, work: Promise<T>): Promise<T> {
  const about = { operation: 'app-user', origin: issuerUrl.origin }
  return withDeadline(runtime, APP_USER_DEADLINE_MS, about, work)
}
