/**
 * Client authentication wherever a client posts a form: token, revocation, introspection, pushed
 * requests. One method, the registered one; wrong secrets and assertions are counted per client and
 * network, so that hosted clients behind one address do not lock each other out (SEC-16, A22, A24).
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import { type ClientAssertionJudgement, judgeClientAssertion } from '../oauth/client-assertion.ts'
import {
  authenticateClient,
  type FormRequest,
  invalidClient,
  type PresentedClient,
} from '../oauth/token-request.ts'
import { FORM_BODY_MAX_BYTES, readBody } from './body.ts'
import type { IssuerHouse } from './house.ts'
import { networkOf, type Rate } from './rate.ts'
import { spend } from './spent.ts'

/** When a client's host cannot be asked; its failure is remembered this long. */
const UNREACHABLE_RETRY_AFTER_SECONDS = 10

/** @throws {OAuthError} 413 beyond 64 KiB. */
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

/**
 * @throws {OAuthError} `invalid_client`; 429 after too many wrong secrets from one network; 503 while
 *   what the client publishes cannot be had.
 */
export async function authenticated(
  house: IssuerHouse,
  http: Request,
  presented: PresentedClient,
  failures: Rate,
): Promise<Client> {
  const address = house.clientAddress?.(http)
  // Without addresses nobody can be told apart: a limit would lock out the rightful client.
  const isCounted = presented.method !== 'none' && address !== undefined
  const source = `${presented.clientId} from ${networkOf(address ?? '')}`
  if (isCounted) refuseTooMany(failures.look(source))
  const found = await findPresented(house, presented.clientId, address)
  try {
    if (presented.assertion !== undefined) {
      return await authenticateByAssertion(house, { ...presented, ...found }, presented.assertion)
    }
    // The operator gives a static client a secret, not a method: either way of sending it is right.
    const eitherWay =
      found.client?.kind === 'static' &&
      found.client.secretDigest !== undefined &&
      presented.method !== 'none'
    const client =
      eitherWay && found.client !== undefined
        ? { ...found.client, authMethod: presented.method }
        : found.client
    authenticateClient(presented, client, house.runtime)
    return client
  } catch (error) {
    if (isCounted && error instanceof OAuthError && error.status === 401) failures.take(source)
    throw error
  }
}

async function findPresented(
  house: IssuerHouse,
  clientId: string,
  address: string | undefined,
): Promise<{ readonly client?: Client }> {
  const arrival = await house.clients.arrive(clientId, address)
  if (arrival.state === 'known') return { client: arrival.client }
  if (arrival.state === 'limited') refuseTooMany(arrival)
  if (arrival.state === 'unreachable') throw unreachable('client_document_unreachable')
  return {}
}

/** Registered method, key, claims; then the `jti` once, by one conditional write (TOK-05, A23). */
async function authenticateByAssertion(
  house: IssuerHouse,
  { client, clientId }: { readonly client?: Client; readonly clientId: string },
  assertion: string,
): Promise<Client> {
  if (client?.authMethod !== 'private_key_jwt') throw refused('client_refused')
  const judged = await judge(house, client, assertion)
  if (!judged.ok) throw refused(judged.reason)
  const name = ['client_assertion', clientId, judged.jti] as const
  if (!(await spend(house, name, judged.expiresAtMs))) throw refused('assertion_replayed')
  return client
}

async function judge(
  house: IssuerHouse,
  client: Client,
  assertion: string,
): Promise<ClientAssertionJudgement> {
  const { documents, runtime, config } = house
  const { clientId, jwks, jwksUri } = client
  const tokenEndpoint =
    client.offersNone === true ? house.issuerUrl.origin + house.paths.token : undefined
  const facts = { clientId, issuer: config.issuer, tokenEndpoint, nowMs: runtime.nowMs() }
  const keys = jwks ?? (jwksUri === undefined ? undefined : await documents?.keys(jwksUri))
  if (keys === undefined) throw unreachable('client_keys_unreachable')
  const judged = await judgeClientAssertion(assertion, { ...facts, keys })
  const mayBeNew = !judged.ok && judged.reason === 'assertion_unknown_key'
  if (!mayBeNew || jwksUri === undefined) return judged
  const newer = await documents?.refreshKeys(jwksUri)
  return newer === undefined ? judged : judgeClientAssertion(assertion, { ...facts, keys: newer })
}

function refused(reason: string): OAuthError {
  return invalidClient('private_key_jwt', reason)
}

function unreachable(reason: string): OAuthError {
  return new OAuthError('temporarily_unavailable', 'the client cannot be checked now, try again', {
    status: 503,
    reason,
    headers: { 'retry-after': String(UNREACHABLE_RETRY_AFTER_SECONDS) },
  })
}

/** @throws {OAuthError} 429 with `Retry-After`. */
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
