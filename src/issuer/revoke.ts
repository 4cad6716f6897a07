/**
 * `POST /revoke` (RFC 7009): a refresh token ends its grant, an access token only itself. Unknown,
 * expired and already revoked tokens are 200; a token of another client is refused and stays valid.
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import { parseRefreshToken } from '../oauth/refresh-token.ts'
import { parseForm, readPresentedClient } from '../oauth/token-request.ts'
import { TENANT } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { auditStep } from './audit.ts'
import { authenticated, readFormRequest } from './client-authentication.ts'
import { announceMark, endGrant, MARK_SLACK_MS } from './endings.ts'
import { type IssuerHouse, report } from './house.ts'
import { key } from './ids.ts'
import { judgePresented } from './presented-token.ts'
import { createRate } from './rate.ts'

const FAILURES_PER_MINUTE_MAX = 60

export function createRevocationEndpoint(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  return async (http) => {
    const form = await readFormRequest(http)
    const parameters = parseForm(form)
    const presented = readPresentedClient(parameters, form.authorization)
    const client = await authenticated(house, http, presented, failures)
    const token = parameters.get('token')
    if (token === undefined)
      throw new OAuthError('invalid_request', 'token is missing', { reason: 'token_missing' })
    await revoke(house, client, token)
    return jsonAnswer({})
  }
}

/** A hint is not needed: the two forms cannot be confused. */
async function revoke(house: IssuerHouse, client: Client, token: string): Promise<void> {
  const { runtime, keys, store } = house
  const refresh = parseRefreshToken(token, keys.refreshTagKey(), runtime)
  if (refresh !== undefined) {
    const grant = await store.grants.find(key(refresh.grantId))
    if (grant === undefined || grant.state === 'ended') return
    if (grant.clientId !== client.clientId) throw foreign()
    await endGrant(house, grant, 'revoked_by_client')
    return
  }
  const judged = judgePresented(house, token)
  if (!judged.ok) return
  const { claims } = judged
  if (claims.client_id !== client.clientId) throw foreign()
  const expiresAtMs = claims.exp * 1000 + MARK_SLACK_MS
  const mark = {
    tenant: TENANT,
    kind: 'token',
    id: claims.jti,
    issuedBeforeMs: expiresAtMs,
    expiresAtMs,
  } as const
  const audit = auditStep(house, 'revocation.confirmed', {
    userId: claims.sub,
    clientId: client.clientId,
  })
  await store.grants.revoke({ ...mark, cause: 'revoked_by_client' }, [audit])
  announceMark(house, { ...mark, cause: 'revoked_by_client' })
  report(house, {
    type: 'revocation.confirmed',
    reason: 'token',
    grantId: claims.gid,
    clientId: client.clientId,
  })
}

function foreign(): OAuthError {
  return new OAuthError('invalid_grant', 'this token was not issued to this client', {
    reason: 'token_of_other_client',
  })
}
