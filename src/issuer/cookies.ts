/**
 * The three cookies of flows.md section 1: form, transaction, session. All `__Host-`, `Secure`,
 * `HttpOnly`, `SameSite=Lax`, `Path=/`; a loopback http issuer loses the prefix and `Secure`.
 * Values are random and mean nothing by themselves; a name that comes twice is treated as absent.
 */
import type { Runtime } from '../ports.ts'
import { createSecret } from './ids.ts'

export const FORM_COOKIE_SECONDS = 600
const TRANSACTION_COOKIE_SECONDS = 600
/** Sign-ins open at once in one browser; starting one more drops the oldest. */
const TRANSACTION_COOKIES_MAX = 8
/** All together: a request of this browser must still fit into 16 KiB of headers. */
const TRANSACTION_COOKIES_MAX_CHARACTERS = 6_000
const TRANSACTION_NAME_CHARACTERS = 6
const COOKIE_HEADER_MAX_CHARACTERS = 16_384
const SECRET_PATTERN = /^[A-Za-z0-9_-]{43}$/

/** `secure` is false only for the loopback http issuer. */
export interface CookieJar {
  readonly secure: boolean
  /** Ends the names of its cookies: tenants may share a host, which is all that a cookie knows. */
  readonly tenant?: string
  readonly values: ReadonlyMap<string, string>
}

/** Whose cookies are read: a tenant's house knows those of its own name only. */
export interface CookieHouse {
  readonly secure: boolean
  readonly config: { readonly tenant?: string }
}

export function readCookies(request: Request, { secure, config }: CookieHouse): CookieJar {
  const values = new Map<string, string>()
  const repeated = new Set<string>()
  const header = request.headers.get('cookie') ?? ''
  if (header.length <= COOKIE_HEADER_MAX_CHARACTERS) {
    for (const pair of header.split(';')) {
      const separator = pair.indexOf('=')
      if (separator < 0) continue
      const name = pair.slice(0, separator).trim()
      if (values.has(name)) repeated.add(name)
      values.set(name, pair.slice(separator + 1).trim())
    }
  }
  // Cookie tossing (W5): two values under one name, nobody can say which is ours.
  for (const name of repeated) values.delete(name)
  const { tenant } = config
  return { secure, values, ...(tenant === undefined ? {} : { tenant }) }
}

function fullName(jar: CookieJar, name: string): string {
  return jar.secure ? `__Host-${name}` : name
}

function ownName({ tenant }: CookieJar, name: string): string {
  return tenant === undefined ? name : `${name}-${tenant}`
}

function setCookie(jar: CookieJar, name: string, value: string, maxAgeSeconds: number): string {
  const secure = jar.secure ? ' Secure;' : ''
  return `${fullName(jar, name)}=${value}; Path=/; Max-Age=${maxAgeSeconds};${secure} HttpOnly; SameSite=Lax`
}

function readSecret(jar: CookieJar, name: string): string | undefined {
  const value = jar.values.get(fullName(jar, name))
  return value !== undefined && SECRET_PATTERN.test(value) ? value : undefined
}

export const formCookie = {
  read: (jar: CookieJar) => readSecret(jar, ownName(jar, 'postern_form')),
  set: (jar: CookieJar, value: string) =>
    setCookie(jar, ownName(jar, 'postern_form'), value, FORM_COOKIE_SECONDS),
  drop: (jar: CookieJar) => setCookie(jar, ownName(jar, 'postern_form'), '', 0),
}

export const sessionCookie = {
  read: (jar: CookieJar) => readSecret(jar, ownName(jar, 'postern_session')),
  set: (jar: CookieJar, value: string, maxAgeSeconds: number) =>
    setCookie(jar, ownName(jar, 'postern_session'), value, maxAgeSeconds),
  drop: (jar: CookieJar) => setCookie(jar, ownName(jar, 'postern_session'), '', 0),
}

function transactionName(jar: CookieJar, transactionId: string): string {
  return `${ownName(jar, 'postern_txn')}_${transactionId.slice(-TRANSACTION_NAME_CHARACTERS)}`
}

/** Of every tenant on this host: a request carries them all. */
function isTransaction(jar: CookieJar, name: string): boolean {
  return ['_', '-'].some((next) => name.startsWith(fullName(jar, `postern_txn${next}`)))
}

/** The value starts with its time, so that the oldest of too many can be dropped. */
export function createTransactionValue(runtime: Runtime, rest = createSecret(runtime)): string {
  return `${Math.floor(runtime.nowMs() / 1000).toString(36)}.${rest}`
}

export const transactionCookie = {
  read: (jar: CookieJar, transactionId: string) =>
    jar.values.get(fullName(jar, transactionName(jar, transactionId))),
  /** `Set-Cookie` lines: the new one, and those that make room for it. */
  set(jar: CookieJar, transactionId: string, value: string): readonly string[] {
    const name = transactionName(jar, transactionId)
    const others = [...jar.values]
      .filter(([other]) => isTransaction(jar, other) && other !== fullName(jar, name))
      .sort(([, left], [, right]) => startedSeconds(right) - startedSeconds(left))
    let room = TRANSACTION_COOKIES_MAX_CHARACTERS - value.length
    const kept = others.slice(0, TRANSACTION_COOKIES_MAX - 1).filter(([, other]) => {
      room -= other.length
      return room >= 0
    })
    const dropped = others
      .filter((other) => !kept.includes(other))
      .map(([other]) => setCookie(jar, jar.secure ? other.slice('__Host-'.length) : other, '', 0))
    return [setCookie(jar, name, value, TRANSACTION_COOKIE_SECONDS), ...dropped]
  },
  drop: (jar: CookieJar, transactionId: string) =>
    setCookie(jar, transactionName(jar, transactionId), '', 0),
}

function startedSeconds(value: string): number {
  const seconds = Number.parseInt(value.split('.', 1)[0] ?? '', 36)
  return Number.isFinite(seconds) ? seconds : 0
}
