/**
 * What a GitHub remembers: people, applications, codes, tokens and how much of the hour is used up.
 * Lives and lengths are GitHub's own; the clock is given.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Person } from './people.ts'

/** "The temporary code will expire after 10 minutes" (authorizing OAuth apps, step 2). */
const CODE_LIFE_MS = 600_000
/** "expires_in ... will always be 28800 (8 hours)" (generating a user access token). */
export const ACCESS_LIFE_SECONDS = 28_800
/** "refresh_token_expires_in ... will always be 15897600 (6 months)" (same page). */
export const REFRESH_LIFE_SECONDS = 15_897_600
/** "a limit of ten tokens that are issued per user/application/scope combination" (authorizing OAuth apps). */
const TOKENS_PER_SCOPE_MAX = 10
/** Primary rate limit for authenticated users (rate limits for the REST API). */
export const HOURLY_LIMIT = 5_000
const HOUR_MS = 3_600_000

export interface App {
  readonly clientId: string
  readonly clientSecret: string
  readonly name: string
  /** Absent: any callback on the loopback, so that a port may be chosen late. */
  readonly callbackUrl?: string
  /** A GitHub App: `ghu_` tokens that have these permissions and no scopes. */
  readonly permissions?: readonly string[]
}

export interface Code {
  readonly app: App
  readonly person: Person
  readonly scopes: readonly string[]
  readonly redirectUri: string | undefined
  readonly challenge: string | undefined
  readonly expiresAtMs: number
}

export interface Token {
  readonly value: string
  readonly app: App
  readonly person: Person
  readonly scopes: readonly string[]
  readonly createdAtMs: number
  readonly expiresAtMs: number | undefined
  readonly refreshToken: string | undefined
}

export interface Limit {
  readonly used: number
  readonly resetSeconds: number
}

export interface State {
  readonly people: readonly Person[]
  readonly apps: readonly App[]
  readonly nowMs: () => number
  readonly expiringTokens: () => boolean
  /** Logins by team, `organization/slug`. */
  readonly teams: Readonly<Record<string, readonly string[]>>
  addCode(code: Omit<Code, 'expiresAtMs'>): string
  /** Once; `undefined` for a code that is unknown, used or too old. */
  takeCode(value: string): Code | undefined
  issue(app: App, person: Person, scopes: readonly string[]): Token
  findToken(value: string): Token | undefined
  /** Both old tokens die (refreshing user access tokens). */
  rotate(refreshToken: string, app: App): Token | undefined
  dropToken(value: string): void
  dropTokens(match: (token: Token) => boolean): number
  tokensOf(login: string): readonly Token[]
  /** Counts one request against `key` and says how the hour stands. */
  countRequest(key: string, isFree: boolean): Limit
}

export function createState(options: {
  people: readonly Person[]
  apps: readonly App[]
  nowMs: () => number
  expiringTokens: () => boolean
  teams: Readonly<Record<string, readonly string[]>>
}): State {
  const { nowMs } = options
  const codes = new Map<string, Code>()
  const tokens = new Map<string, Token>()
  const refreshTokens = new Map<string, string>()
  const hours = new Map<string, { startedAtMs: number; used: number }>()

  const dropToken = (value: string): void => {
    const token = tokens.get(value)
    if (token?.refreshToken !== undefined) refreshTokens.delete(token.refreshToken)
    tokens.delete(value)
  }
  const issue = (app: App, person: Person, scopes: readonly string[]): Token => {
    const isGitHubApp = app.permissions !== undefined
    const isExpiring = isGitHubApp || options.expiringTokens()
    const token: Token = {
      value: `${isGitHubApp ? 'ghu' : 'gho'}_${alphanumeric(36)}`,
      app,
      person,
      scopes: isGitHubApp ? [] : scopes,
      createdAtMs: nowMs(),
      expiresAtMs: isExpiring ? nowMs() + ACCESS_LIFE_SECONDS * 1_000 : undefined,
      refreshToken: isExpiring ? `ghr_${alphanumeric(76)}` : undefined,
    }
    tokens.set(token.value, token)
    if (token.refreshToken !== undefined) refreshTokens.set(token.refreshToken, token.value)
    const twins = [...tokens.values()].filter(
      (other) =>
        other.app === app && other.person === person && other.scopes.join() === scopes.join(),
    )
    for (const oldest of twins.slice(0, -TOKENS_PER_SCOPE_MAX)) dropToken(oldest.value)
    return token
  }
  return {
    ...options,
    addCode(code) {
      const value = randomBytes(10).toString('hex')
      codes.set(value, { ...code, expiresAtMs: nowMs() + CODE_LIFE_MS })
      return value
    },
    takeCode(value) {
      const code = codes.get(value)
      codes.delete(value)
      return code !== undefined && code.expiresAtMs > nowMs() ? code : undefined
    },
    issue,
    findToken(value) {
      const token = tokens.get(value)
      return token?.expiresAtMs !== undefined && token.expiresAtMs <= nowMs() ? undefined : token
    },
    rotate(refreshToken, app) {
      const old = tokens.get(refreshTokens.get(refreshToken) ?? '')
      if (old === undefined || old.app !== app) return undefined
      if (old.createdAtMs + REFRESH_LIFE_SECONDS * 1_000 <= nowMs()) return undefined
      dropToken(old.value)
      return issue(app, old.person, old.scopes)
    },
    dropToken,
    dropTokens(match) {
      const doomed = [...tokens.values()].filter(match)
      for (const token of doomed) dropToken(token.value)
      return doomed.length
    },
    tokensOf: (login) => [...tokens.values()].filter(({ person }) => person.login === login),
    countRequest(key, isFree) {
      let hour = hours.get(key)
      if (hour === undefined || hour.startedAtMs + HOUR_MS <= nowMs()) {
        hour = { startedAtMs: nowMs(), used: 0 }
        hours.set(key, hour)
      }
      if (!isFree) hour.used++
      return { used: hour.used, resetSeconds: Math.ceil((hour.startedAtMs + HOUR_MS) / 1_000) }
    },
  }
}

/** Scopes for OAuth apps, "Normalized scopes": what a wider scope includes is left out. */
export function normalizeScopes(text: string): readonly string[] {
  const asked = [...new Set(text.split(/[ ,]+/))].filter((scope) => scope !== '').sort()
  const included: Readonly<Record<string, readonly string[]>> = {
    user: ['read:user', 'user:email', 'user:follow'],
    repo: ['repo:status', 'repo_deployment', 'public_repo', 'repo:invite', 'security_events'],
    'admin:org': ['write:org', 'read:org'],
    'write:org': ['read:org'],
  }
  const implied = new Set(asked.flatMap((scope) => included[scope] ?? []))
  return asked.filter((scope) => !implied.has(scope))
}

export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

function alphanumeric(length: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
  return [...randomBytes(length)].map((byte) => alphabet[byte % alphabet.length]).join('')
}
