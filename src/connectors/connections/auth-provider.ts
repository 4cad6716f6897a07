/**
 * Tokens of connections for a program of our operator: `getToken` and `authProvider` of api.md
 * section 2. From memory when warm. The token is for the server of its connector and for no other.
 *
 * A string names a person of the embedding product, in the space of its app; a `Principal` somebody
 * who signed in here. The two can never be confused.
 */
import type { Config, ConnectorConfig } from '../../config.ts'
import { ConfigError, OAuthError, StoreError, UpstreamError } from '../../errors.ts'
import type { RevocationView } from '../../issuer/revocation.ts'
import type { Principal } from '../../middleware/guard.ts'
import { externalUserId } from '../embedded/app-space.ts'
import type { ConnectionTokens, HeldToken, UnknownToken } from './connection-tokens.ts'
import type { TokenAdmission } from './token-admission.ts'

export interface ConnectionToken {
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  /** ISO 8601; absent: the server did not say. */
  readonly expiresAt?: string
  readonly scopes: readonly string[]
  readonly connectionId: string
}

export interface TokenOptions {
  /** Least life left in seconds, default 60; at most half of what the server gives is honoured. */
  readonly minValiditySeconds?: number
  /** Of a person who is named by a string. Default: the one app. */
  readonly app?: string
}

/** What a transport of the official MCP client takes as `authProvider`. */
export interface AuthProvider {
  /** For `Authorization: Bearer`. Rejects as `getToken` does; never `undefined`. */
  token(): Promise<string | undefined>
  /** The server answered 401 to the last token: resolves when there is another one. */
  onUnauthorized(): Promise<void>
}

export interface TokenDoor {
  /**
   * @throws {OAuthError} `ERR_CONNECTION_NEEDED`, or `ERR_CONNECTION_RECONNECT` with the cause as
   *   `reason`; `access_denied` (403) when `allow` does not name the `Principal`.
   * @throws {UpstreamError} when the token has ended and its server does not answer, or `allow` asks
   *   for what the person's provider does not answer.
   * @throws {StoreError} when the store cannot be read. @throws {ConfigError} for a connector that
   *   is not there or connects nobody. @throws {OAuthError} `ERR_APP_UNKNOWN` (422).
   */
  getToken(
    user: string | Principal,
    connector: string,
    options?: TokenOptions,
  ): Promise<ConnectionToken>
  authProvider(user: string | Principal, connector: string): AuthProvider
}

export interface TokenDoorDeps {
  readonly config: Pick<Config, 'connectors' | 'limits' | 'apps'>
  /** Absent: no connector connects people. */
  readonly tokens?: ConnectionTokens | undefined
  readonly revocation: Pick<RevocationView, 'ageMs' | 'ensureFresh'>
  /** Of people who signed in here. Who may what in another product is that product's to say. */
  readonly admits: TokenAdmission
  readonly nowMs: () => number
}

const MIN_VALIDITY_SECONDS = 60
const MIN_VALIDITY_MAX_SECONDS = 86_400
/** Calls with the token of before may still come back refused. */
const RENEWED_REST_MS = 10_000
/** Longest wait for marks of other nodes, and for the store. */
const VIEW_DEADLINE_MS = 2_000

export function createTokenDoor(deps: TokenDoorDeps): TokenDoor {
  const getToken: TokenDoor['getToken'] = async (user, connector, options = {}) => {
    const { tokens, target } = findTarget(deps, connector)
    const owner = ownerOf(deps, user, options.app)
    const { minValiditySeconds = MIN_VALIDITY_SECONDS } = options
    const minValidityMs = Math.min(minValiditySeconds, MIN_VALIDITY_MAX_SECONDS) * 1000
    await beSure(deps)
    if (typeof user !== 'string') await requireAllowed(deps, user, target)
    const warm = tokens.peek(owner, connector)
    if (warm.state === 'token' && isEnough(warm, minValidityMs, deps.nowMs())) return answer(warm)
    const deadlineMs = deps.config.limits.tokenCallTimeoutMs
    return answerOf(await tokens.load(owner, connector, { deadlineMs, minValidityMs }), target)
  }
  return {
    getToken,
    authProvider(user, connector) {
      const { tokens, target } = findTarget(deps, connector)
      const owner = ownerOf(deps, user, undefined)
      let last: string | undefined
      let renewing: Promise<void> | undefined
      let renewedMs = Number.NEGATIVE_INFINITY
      const renew = async (refused: string): Promise<void> => {
        const deadlineMs = deps.config.limits.tokenCallTimeoutMs
        answerOf(await tokens.refused(owner, connector, refused, deadlineMs), target)
        renewedMs = deps.nowMs()
      }
      return {
        async token() {
          last = (await getToken(user, connector)).accessToken
          return last
        },
        async onUnauthorized() {
          // Of several calls with one token the first renews it; which token was refused nobody says.
          if (last === undefined || deps.nowMs() - renewedMs < RENEWED_REST_MS) return
          renewing ??= renew(last).finally(() => {
            renewing = undefined
          })
          await renewing
        },
      }
    },
  }
}

interface Target {
  readonly tokens: ConnectionTokens
  readonly target: Pick<ConnectorConfig, 'name' | 'url' | 'allow'>
}

function findTarget({ config, tokens }: TokenDoorDeps, connector: string): Target {
  const known = config.connectors.find(({ name }) => name === connector)
  if (tokens === undefined || known?.auth !== 'oauth' || !known.enabled) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      `there is no connector ${JSON.stringify(connector)} that connects people.`,
      `Name one with auth: 'oauth' in connectors.`,
    )
  }
  return { tokens, target: known }
}

/** @throws {TypeError} for a name that could be read as another one. */
function ownerOf(
  { config }: TokenDoorDeps,
  user: string | Principal,
  app: string | undefined,
): string {
  if (typeof user !== 'string') {
    if (app !== undefined) throw new TypeError('app belongs to a user who is named by a string')
    return user.userId
  }
  return externalUserId(config.apps, user, app)
}

/** A node that has not heard of revocations for too long gives nothing from memory (I7). */
async function beSure({ config, revocation }: TokenDoorDeps): Promise<void> {
  if (revocation.ageMs() <= config.limits.revocationViewMaxAgeSeconds * 1000) return
  if (!(await revocation.ensureFresh(VIEW_DEADLINE_MS)))
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
}

async function requireAllowed(
  { admits }: TokenDoorDeps,
  { userId, identity }: Principal,
  target: Target['target'],
): Promise<void> {
  const verdict = await admits(userId, target)
  if (verdict === 'in') return
  if (verdict === 'unknown') {
    const origin = URL.parse(identity?.issuer ?? '')?.origin ?? target.url.origin
    throw new UpstreamError('ERR_UPSTREAM_TIMEOUT', { operation: 'memberships', origin })
  }
  throw new OAuthError('access_denied', `${target.name} is not open to this account`, {
    status: 403,
    reason: 'not_allowed',
  })
}

type Token = Extract<HeldToken, { readonly state: 'token' }>

function isEnough({ expiresAtMs }: Token, minValidityMs: number, nowMs: number): boolean {
  return expiresAtMs === undefined || expiresAtMs - nowMs > minValidityMs
}

function answer({ accessToken, expiresAtMs, scopes, connectionId }: Token): ConnectionToken {
  return {
    accessToken,
    tokenType: 'Bearer',
    scopes,
    connectionId,
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
  }
}

function answerOf(
  held: HeldToken | UnknownToken,
  { name, url }: Target['target'],
): ConnectionToken {
  if (held.state === 'token') return answer(held)
  if (held.state === 'missing') {
    throw new OAuthError('interaction_required', `${name} is not connected`, {
      status: 409,
      reason: 'connection_needed',
      code: 'ERR_CONNECTION_NEEDED',
    })
  }
  if (held.state === 'reconnect') {
    throw new OAuthError('interaction_required', `${name} has to be connected again`, {
      status: 409,
      reason: held.cause ?? 'refused',
      code: 'ERR_CONNECTION_RECONNECT',
    })
  }
  throw new UpstreamError('ERR_UPSTREAM_TIMEOUT', {
    operation: 'refresh',
    origin: url.origin,
    ...('retryAfterMs' in held && held.retryAfterMs !== undefined
      ? { retryAfterMs: held.retryAfterMs }
      : {}),
  })
}
