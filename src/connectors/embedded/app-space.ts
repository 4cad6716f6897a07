/**
 * The space of people of an embedding product: which app is meant, and the id of one of its people
 * here. An app that the configuration does not name is refused with its name (I-ids, O1).
 */
import { APP_NAME, type AppConfig } from '../../config/apps.ts'
import { OAuthError } from '../../errors.ts'
import { APP_USER_PREFIX } from '../../vault/connection-rows.ts'

/** Of a house without `apps`, whose own program names its people. */
const DEFAULT_APP = 'default'
const USER_ID_MAX_CHARS = 256

/** @throws {OAuthError} `ERR_APP_UNKNOWN`, also where there are several and none is named. */
export function requireApp(
  apps: readonly AppConfig[] | undefined = [],
  name: string | undefined,
): AppConfig {
  const found =
    name === undefined && apps.length === 1 ? apps[0] : apps.find((app) => app.name === name)
  if (found !== undefined) return found
  const problem =
    name === undefined
      ? apps.length === 0
        ? 'there are no apps: add apps to the configuration'
        : `app is missing: it is one of ${apps.map((app) => app.name).join(', ')}`
      : `there is no app ${JSON.stringify(name.slice(0, 64))}`
  throw new OAuthError('invalid_request', problem, { status: 422, code: 'ERR_APP_UNKNOWN' })
}

/**
 * The user id here of a person of a product. Without `apps` any name is a space of its own.
 *
 * @throws {OAuthError} as `requireApp`. @throws {TypeError} for a name that could be read as another.
 */
export function externalUserId(
  apps: readonly AppConfig[] | undefined,
  user: string,
  app: string | undefined,
): string {
  if (apps === undefined || apps.length === 0) return appUserId(user, app)
  return appUserId(user, requireApp(apps, app).name)
}

/** @throws {TypeError} for a name that could be read as another one. */
export function appUserId(user: string, app: string = DEFAULT_APP): string {
  if (!APP_NAME.test(app)) throw new TypeError('app has lower-case letters, digits and hyphens')
  if (!isUserId(user))
    throw new TypeError(`a user id is a string of 1 to ${USER_ID_MAX_CHARS} characters`)
  return `${APP_USER_PREFIX}${app}:${user}`
}

/** What a product's code without types hands over as well: a list of one is not the one in it. */
function isUserId(user: unknown): boolean {
  if (typeof user !== 'string' || user === '' || user.length > USER_ID_MAX_CHARS) return false
  return user.isWellFormed() && !user.includes('\0')
}
