/**
 * Sign-in for development: the person types a name on a page of ours and is who they say. Everything
 * else is a sign-in like any other: consent, session, grant, vault. Only `insecureDevelopmentSignIn`
 * makes one, only for a loopback issuer; it is no type that `providers` may name.
 */
import { OAuthError } from '../errors.ts'
import type { Provider } from './provider.ts'

export const DEVELOPMENT_TYPE = 'development'
/** Below the callback, so that it stays with it whatever `prefix` moves. */
export const DEVELOPMENT_PAGE = '/name'
const NAME_MAX_CHARS = 64
/** Nothing there, and nothing ever can be (RFC 2606): accounts of it belong to no provider. */
const ISSUER = 'https://development.invalid'

/** The name as it is kept, or `undefined`: letters, digits and what joins them, at most 64 characters. */
export function developmentName(text: string | undefined): string | undefined {
  const name = (text ?? '').normalize('NFC').trim().replace(/\s+/gu, ' ')
  return name.length <= NAME_MAX_CHARS && /^[\p{L}\p{N}][\p{L}\p{M}\p{N} .,'@_+-]*$/u.test(name)
    ? name
    : undefined
}

export function createDevelopmentProvider(): Provider {
  return {
    id: DEVELOPMENT_TYPE,
    type: DEVELOPMENT_TYPE,
    title: 'a typed name',
    issuer: ISSUER,
    callbackPath: `/callback/${DEVELOPMENT_TYPE}`,
    clientId: DEVELOPMENT_TYPE,
    scopes: [],
    approvedOrigins: [],
    judgeIssuer: async (_context, iss) => (iss === undefined ? 'right' : 'wrong'),
    async authorize({ redirectUri }, { state }) {
      const url = new URL(redirectUri + DEVELOPMENT_PAGE)
      url.searchParams.set('state', state)
      return url
    },
    async exchange(_context, { code }) {
      const name = developmentName(code)
      if (name === undefined) {
        throw new OAuthError('server_error', 'this is no name', { reason: 'development_name' })
      }
      return {
        tokens: { accessToken: DEVELOPMENT_TYPE, tokenType: 'bearer', scopes: [] },
        identity: {
          issuer: ISSUER,
          subject: name.toLowerCase(),
          profile: { name, login: name.toLowerCase() },
          groups: [],
        },
        proof: {},
      }
    },
    check: async () => ({ outcome: 'yes' }),
  }
}
