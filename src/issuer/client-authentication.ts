/**
 * Client authentication wherever a client posts a form: token, revocation, introspection, pushed
 * requests. One method, the registered one; wrong secrets are counted per client and network, so
 * that hosted clients behind one address do not lock each other out (SEC-16, A22, A24).
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import {
  authenticateClient,
  type FormRequest,
  type PresentedClient,
} from '../oauth/token-request.ts'
import { FORM_BODY_MAX_BYTES, readBody } from './body.ts'
import type { IssuerHouse } from './house.ts'
import { networkOf, type Rate } from './rate.ts'

export async function readFormRequest(http: Request): Promise<FormRequest> {
  const body = await readBody(http, FORM_BODY_MAX_BYTES)
  if (body === undefined) {
    throw new OAuthError('invalid_request', 'the body is too large', {
      status: 413,
      reason: 'body_too_large',
    })
  }
  return {
    contentType: http.headers.get('content-type') ?? undefined,
    body,
    authorization: http.headers.get('authorization') ?? undefined,
  }
}

/** @throws {OAuthError} `invalid_client`; 429 after too many wrong secrets from one network. */
export async function authenticated(
  house: IssuerHouse,
  http: Request,
  presented: PresentedClient,
  failures: Rate,
): Promise<Client> {
  const address = house.clientAddress?.(http)
  // Without addresses nobody can be told apart: a limit would lock out the rightful client.
  const isCounted = presented.secret !== undefined && address !== undefined
  const source = `${presented.clientId} from ${networkOf(address ?? '')}`
  if (isCounted) refuseTooMany(failures.look(source))
  const found = await house.clients.find(presented.clientId)
  // The operator gives a static client a secret, not a method: either way of sending it is right.
  const eitherWay =
    found?.kind === 'static' && found.secretDigest !== undefined && presented.method !== 'none'
  const client = eitherWay ? { ...found, authMethod: presented.method } : found
  try {
    authenticateClient(presented, client, house.runtime)
  } catch (error) {
    if (isCounted) failures.take(source)
    throw error
  }
  return client
}

export function refuseTooMany({
  retryAfterSeconds,
}: {
  readonly retryAfterSeconds?: number
}): void {
  if (retryAfterSeconds === undefined) return
  throw new OAuthError('temporarily_unavailable', 'too many failed requests', {
    status: 429,
    reason: 'token_failures',
    headers: { 'retry-after': String(retryAfterSeconds) },
  })
}
