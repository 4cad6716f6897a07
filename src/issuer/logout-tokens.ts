/**
 * `POST /backchannel-logout/{provider}`: an OpenID provider says that a session, or a person, signed
 * out there (Back-Channel Logout 1.0 section 2.5). Believed at once after its signature; 200, or 400
 * with a JSON error; never stored. A token is believed once.
 */
import { OAuthError } from '../errors.ts'
import { judgeLogoutToken, type LogoutToken } from '../oauth/logout-token.ts'
import { JWT_SKEW_SECONDS } from '../oauth/signed-jwt.ts'
import { parseForm } from '../oauth/token-request.ts'
import { readFormRequest } from './client-authentication.ts'
import { type IssuerHouse, type IssuerProvider, report } from './house.ts'
import type { Signals } from './signals.ts'
import { isSpent, spend } from './spent.ts'

const NO_STORE = { 'cache-control': 'no-store' }

/** @throws {OAuthError} `invalid_request` with the inner reason, for everything that is not believed. */
export async function receiveLogoutToken(
  house: IssuerHouse,
  signals: Signals,
  entry: IssuerProvider,
  http: Request,
): Promise<Response> {
  const form = parseForm(await readFormRequest(http))
  const jwt = form.get('logout_token')
  if (jwt === undefined) throw invalid('logout_token_missing')
  const token = await judged(house, entry, jwt)
  const { provider } = entry
  const spent = ['logout', provider.id, token.jti] as const
  if (await isSpent(house, spent)) throw invalid('logout_token_replayed')
  const { sub, sid } = token
  const about = { issuer: provider.issuer, ...(sub === undefined ? {} : { subject: sub }) }
  const ended =
    sid === undefined
      ? await signals.endSubject({ issuer: provider.issuer, subject: sub ?? '' }, CAUSE, {
          revoke: true,
        })
      : await signals.endProviderSession({ ...about, sid }, CAUSE)
  // Written last: a provider that repeats it because we failed half-way must be heard again.
  const expiresAtMs = token.expiresAtMs + JWT_SKEW_SECONDS * 1000
  if (!(await spend(house, spent, expiresAtMs))) throw invalid('logout_token_replayed')
  report(house, { type: 'signal.received', provider: provider.id, reason: CAUSE, ...ended })
  return new Response(null, { status: 200, headers: NO_STORE })
}

const CAUSE = 'backchannel_logout'

async function judged(
  house: IssuerHouse,
  { provider, context }: IssuerProvider,
  jwt: string,
): Promise<LogoutToken> {
  const { openId } = provider
  if (openId === undefined) throw invalid('provider_without_keys')
  const metadata = await context.discovery(openId.issuer, openId.documentIssuer)
  const facts = {
    issuer: provider.issuer,
    clientId: provider.clientId,
    nowMs: house.runtime.nowMs(),
    algorithms: metadata.idTokenAlgorithms,
  }
  const first = await judgeLogoutToken(jwt, {
    ...facts,
    jwks: await context.jwks(metadata.jwksUri),
  })
  const verdict =
    first.ok || first.reason !== 'unknown_key'
      ? first
      : await judgeLogoutToken(jwt, { ...facts, jwks: await context.refreshJwks(metadata.jwksUri) })
  if (!verdict.ok) throw invalid(`logout_token_${verdict.reason}`)
  return verdict.token
}

/** One text for every reason: a sender that is right needs none, one that is not gets none. */
function invalid(reason: string): OAuthError {
  return new OAuthError('invalid_request', 'the logout token is not accepted', { reason })
}
