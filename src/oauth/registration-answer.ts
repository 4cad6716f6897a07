/**
 * What an authorization server made of our registration (RFC 7591 section 3.2.1): an untrusted answer
 * in, the client that we are there out. What it says counts, not what was asked (REG-23); what cannot
 * be used is refused as a whole. Never throws.
 */
import { isTime, type JsonObject } from './claims.ts'
import { AUTH_METHODS, type AuthMethod, hasSecret } from './registration.ts'
import { parseUrl } from './urls.ts'

export interface RegisteredClient {
  readonly clientId: string
  readonly authMethod: AuthMethod
  /** With the two methods that send it, and only then. */
  readonly secret?: string
  /** Absent: never. */
  readonly secretExpiresAtMs?: number
  /** RFC 7592: where the registration is managed, and the token for it; both or neither. */
  readonly management?: { readonly uri: string; readonly accessToken: string }
}

export interface AskedRegistration {
  readonly redirectUri: string
  readonly authMethod: AuthMethod
  /** Where it was asked: the management token goes to no other origin. */
  readonly endpoint: string
}

export type RegistrationJudgement =
  | { readonly ok: true; readonly client: RegisteredClient }
  | {
      readonly ok: false
      readonly reason: 'client_id' | 'redirect_uris' | 'auth_method' | 'client_secret'
    }

const CLIENT_ID_MAX_CHARS = 2_048
const SECRET_MAX_CHARS = 4_096
const TOKEN_MAX_CHARS = 8_192
/** RFC 6749 appendix A.1 and A.2: VSCHAR. */
const VISIBLE = /^[\x20-\x7e]+$/
/** RFC 6750 section 2.1. */
const BEARER = /^[\x21-\x7e]+$/

export function judgeRegistrationAnswer(
  body: JsonObject,
  asked: AskedRegistration,
): RegistrationJudgement {
  const read = (name: string): unknown => body[name] ?? undefined
  const clientId = visible(read('client_id'), CLIENT_ID_MAX_CHARS)
  if (clientId === undefined) return { ok: false, reason: 'client_id' }
  const uris = read('redirect_uris')
  if (uris !== undefined && !(Array.isArray(uris) && uris.includes(asked.redirectUri)))
    return { ok: false, reason: 'redirect_uris' }
  const said = read('token_endpoint_auth_method') ?? asked.authMethod
  const authMethod = AUTH_METHODS.find((method) => method === said)
  if (authMethod === undefined) return { ok: false, reason: 'auth_method' }
  const secret = visible(read('client_secret'), SECRET_MAX_CHARS)
  if (hasSecret(authMethod) && secret === undefined) return { ok: false, reason: 'client_secret' }
  const expires = read('client_secret_expires_at')
  const management = readManagement(read, asked.endpoint)
  return {
    ok: true,
    client: {
      clientId,
      authMethod,
      ...(hasSecret(authMethod) && secret !== undefined ? { secret } : {}),
      // Zero is never; and so is what is no time.
      ...(hasSecret(authMethod) && isTime(expires) && expires > 0
        ? { secretExpiresAtMs: Math.floor(expires) * 1000 }
        : {}),
      ...(management === undefined ? {} : { management }),
    },
  }
}

function visible(value: unknown, maxChars: number): string | undefined {
  if (typeof value !== 'string' || value.length > maxChars) return undefined
  return VISIBLE.test(value) ? value : undefined
}

function readManagement(
  read: (name: string) => unknown,
  endpoint: string,
): RegisteredClient['management'] {
  const uri = read('registration_client_uri')
  const accessToken = read('registration_access_token')
  if (typeof uri !== 'string' || typeof accessToken !== 'string') return undefined
  if (accessToken.length > TOKEN_MAX_CHARS || !BEARER.test(accessToken)) return undefined
  const url = parseUrl(uri)
  const isThere = url !== undefined && url.origin === parseUrl(endpoint)?.origin
  return isThere && !uri.includes('#') && url.username === '' ? { uri, accessToken } : undefined
}
