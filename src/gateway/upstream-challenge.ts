/**
 * What the server behind says with a 401 or 403: read here, by grammar, and never relayed (GW-24).
 *
 * Its words are evidence only: which scopes it wants, and where it says its metadata is. What does not
 * parse says nothing. Bounded, because the server is not ours.
 */
import { parseChallenges } from '../oauth/www-authenticate.ts'

export interface UpstreamChallenge {
  readonly error?: string
  /** RFC 6750 section 3; duplicates and what is no scope token left out. */
  readonly scopes: readonly string[]
  /** RFC 9728 section 5.1. */
  readonly resourceMetadata?: string
}

const CHALLENGE_MAX_CHARS = 8_192
const SCOPES_MAX = 50
const SCOPE_MAX_CHARS = 256
const URL_MAX_CHARS = 2_048
/** RFC 6749 section 3.3. */
const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]+$/

const NOTHING: UpstreamChallenge = { scopes: [] }

/** @param header Value or values of `WWW-Authenticate`. */
export function readUpstreamChallenge(
  header: string | readonly string[] | undefined | null,
): UpstreamChallenge {
  const values = typeof header === 'string' ? [header] : (header ?? [])
  if (values.reduce((sum, { length }) => sum + length, 0) > CHALLENGE_MAX_CHARS) return NOTHING
  const bearer = parseChallenges(values)?.find(({ scheme }) => scheme === 'bearer')
  if (bearer === undefined) return NOTHING
  const { parameters } = bearer
  const error = parameters.get('error')
  const resourceMetadata = parameters.get('resource_metadata')
  const scopes = (parameters.get('scope') ?? '')
    .split(' ')
    .filter((scope) => scope.length <= SCOPE_MAX_CHARS && SCOPE_TOKEN.test(scope))
  return {
    ...(error === undefined ? {} : { error }),
    scopes: [...new Set(scopes)].slice(0, SCOPES_MAX),
    ...(resourceMetadata === undefined || resourceMetadata.length > URL_MAX_CHARS
      ? {}
      : { resourceMetadata }),
  }
}

/** CLI-09: the one 403 that another consent can cure. */
export function asksForScopes({ error }: UpstreamChallenge): boolean {
  return error === 'insufficient_scope'
}
