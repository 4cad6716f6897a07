/**
 * Reads `apps`: products that embed Connect. Their origins and return URLs are compared to the letter,
 * so that a connect session, a popup and a redirect can name no other place (O1, W4, W8).
 */
import { isLoopbackHost } from '../oauth/urls.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

/** The person behind a request to this house, in the product's own words: its session cookie, usually. */
export type AppUser = (request: Request) => string | undefined | Promise<string | undefined>

/** A product that embeds Connect, by the name `[a-z0-9-]{1,40}` of its space of people. */
export interface AppInput {
  /** Where its pages are: https, or http on a loopback host, without a path. Default none. */
  readonly origins?: readonly string[]
  /** Where a trip may end: whole URLs, compared to the letter, without a fragment. Default none. */
  readonly returnUrls?: readonly string[]
  /** Who confirms that the person who came back is the one who left. Default `widget`. */
  readonly confirm?: 'widget' | 'backend'
  /** TypeScript only, where the product's pages and this house share a host. 2 s at most. */
  readonly user?: AppUser
}

export interface AppConfig {
  readonly name: string
  readonly origins: readonly string[]
  readonly returnUrls: readonly string[]
  readonly confirm: 'widget' | 'backend'
  readonly user?: AppUser
}

export const APP_NAME = /^[a-z0-9-]{1,40}$/
const FIELDS = ['origins', 'returnUrls', 'confirm', 'user']
const APPS_MAX = 1_000
const ENTRIES_MAX = 100
const URL_MAX_CHARACTERS = 1_000

/** @throws {ConfigError} for a name, origin or URL that could be read as another one. */
export function readApps(value: unknown, sources: Sources): readonly AppConfig[] {
  const entries = Object.entries(read.record('apps', value))
  if (entries.length > APPS_MAX) throw read.invalid('apps', `an object with at most ${APPS_MAX}`)
  return entries.map(([name, entry]) => readApp(name, entry, sources))
}

function readApp(name: string, entry: unknown, sources: Sources): AppConfig {
  const at = `apps.${name}`
  if (!APP_NAME.test(name))
    throw read.invalid(at, 'a name of 1 to 40 lower-case letters, digits and hyphens')
  const input = read.record(at, entry)
  read.refuseUnknown(at, input, FIELDS)
  const listed = (field: 'origins' | 'returnUrls', check: (at: string, text: string) => void) => {
    const texts =
      input[field] === undefined ? [] : read.list(`${at}.${field}`, input[field], sources)
    if (texts.length > ENTRIES_MAX)
      throw read.invalid(`${at}.${field}`, `a list of at most ${ENTRIES_MAX}`)
    for (const [index, text] of texts.entries()) check(`${at}.${field}[${index}]`, text)
    return texts
  }
  const { user } = input
  if (user !== undefined && !isAppUser(user))
    throw read.invalid(`${at}.user`, 'a function', 'Write it in postern.config.ts, or remove it.')
  return {
    name,
    origins: listed('origins', requireOrigin),
    returnUrls: listed('returnUrls', requireReturnUrl),
    confirm: read.choice(
      `${at}.confirm`,
      input['confirm'] ?? 'widget',
      ['widget', 'backend'],
      sources,
    ),
    ...(user === undefined ? {} : { user }),
  }
}

function isAppUser(value: unknown): value is AppUser {
  return typeof value === 'function'
}

function requireOrigin(at: string, text: string): void {
  const url = URL.parse(text)
  if (url === null || !isWeb(url) || url.origin !== text)
    throw read.invalid(at, 'an https origin, or an http loopback one, like https://app.example.com')
}

function requireReturnUrl(at: string, text: string): void {
  const url = URL.parse(text)
  const isExact =
    url !== null && isWeb(url) && url.href === text && text.length <= URL_MAX_CHARACTERS
  if (!isExact || url.username !== '' || url.password !== '' || text.includes('#'))
    throw read.invalid(
      at,
      'an https URL, or an http loopback one, in its normal form and without a fragment',
    )
}

function isWeb({ protocol, hostname }: URL): boolean {
  // `*` is a letter like any other to a parser, and something else to whoever writes it.
  if (hostname.includes('*')) return false
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
}
