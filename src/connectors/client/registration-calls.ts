/**
 * Dynamic registration as a client (RFC 7591), and the renewal of a registration in its place (RFC
 * 7592): one exchange each, JSON, no redirects. What went wrong is a problem in words for people.
 */
import { RETRY_AFTER_MAX_MS } from '../../cache/breaker.ts'
import { isNamedByFile } from '../../config/approved-origins.ts'
import { UpstreamError } from '../../errors.ts'
import { retryAfterMs } from '../../net/cache-control.ts'
import type { Egress, EgressResponse } from '../../net/egress.ts'
import { readObject } from '../../net/json-answer.ts'
import { chooseAuthMethod } from '../../oauth/client-request.ts'
import type { AuthMethod } from '../../oauth/registration.ts'
import { judgeRegistrationAnswer, type RegisteredClient } from '../../oauth/registration-answer.ts'
import type { ConnectorProblem } from '../../records.ts'
import { type Binding, originOf } from '../lifecycle/binding.ts'
import { type DocumentHouse, ourMetadata } from './client-document.ts'
import { connectCallbackUrl, connectJwksUrl } from './connect-urls.ts'
import { type RegistrationFailure, registrationProblem } from './registration-problems.ts'
import type { Registration } from './registration-rows.ts'

export interface RegistrationCallsDeps {
  readonly egress: Egress
  readonly house: DocumentHouse
  readonly timeoutMs: number
  readonly nowMs: () => number
}

export type RegistrationCall =
  | { readonly ok: true; readonly client: RegisteredClient }
  | { readonly ok: false; readonly problem: ConnectorProblem; readonly retryAfterMs?: number }

const ANSWER_MAX_BYTES = 65_536
/** A secret that ends sooner is none: each click and each minute would make another client (CLI-05). */
const SECRET_LIFE_MIN_MS = 300_000

/** Asks for a client; the server decides what it gets. */
export async function registerClient(
  deps: RegistrationCallsDeps,
  binding: Binding,
  endpoint: string,
): Promise<RegistrationCall> {
  const authMethod = methodFor(deps.house, binding)
  if (authMethod === undefined) return refused(deps.house, binding, 'method')
  const body = JSON.stringify(metadataOf(deps.house, binding, authMethod))
  return send(deps, binding, { method: 'POST', url: endpoint, body, authMethod, endpoint })
}

/** RFC 7592 section 2.2: the same client goes on with a newer secret, and with all its tokens. */
export async function renewClient(
  deps: RegistrationCallsDeps,
  binding: Binding,
  { client, management }: Registration,
): Promise<RegistrationCall | undefined> {
  const endpoint = binding.server.registration_endpoint
  if (management === undefined || endpoint === undefined) return undefined
  // The token is the registration's: it goes where the registration was made.
  if (originOf(management.uri) !== originOf(endpoint)) return undefined
  const { clientId, authMethod } = client
  const metadata = { client_id: clientId, ...metadataOf(deps.house, binding, authMethod) }
  const call = await send(deps, binding, {
    method: 'PUT',
    url: management.uri,
    body: JSON.stringify(metadata),
    authorization: `Bearer ${management.accessToken}`,
    authMethod,
    endpoint,
  })
  if (!call.ok || call.client.clientId !== clientId) return undefined
  // Answers may leave the token out; then the one in hand stays good.
  return { ok: true, client: { management, ...call.client } }
}

function metadataOf(house: DocumentHouse, binding: Binding, authMethod: AuthMethod) {
  const { server, connector } = binding
  const { grant_types, ...metadata } = ourMetadata(house, connector.name)
  const supported = server.grant_types_supported
  const scope = connector.oauth?.requestedScopes?.join(' ')
  return {
    ...metadata,
    grant_types: grant_types.filter((grant) => supported?.includes(grant) ?? true),
    token_endpoint_auth_method: authMethod,
    ...(authMethod === 'private_key_jwt' ? { jwks_uri: connectJwksUrl(house) } : {}),
    ...(scope === undefined || scope === '' ? {} : { scope }),
  }
}

/** With a secret where there is one to get; keys only where the server can fetch them. */
function methodFor({ issuer }: DocumentHouse, { server }: Binding): AuthMethod | undefined {
  const algorithms = server.token_endpoint_auth_signing_alg_values_supported
  const signs = issuer.startsWith('https:') && (algorithms?.includes('ES256') ?? true)
  return chooseAuthMethod<AuthMethod>(server.token_endpoint_auth_methods_supported, [
    'client_secret_basic',
    'client_secret_post',
    ...(signs ? (['private_key_jwt'] as const) : []),
    'none',
  ])
}

interface Sending {
  readonly method: 'POST' | 'PUT'
  readonly url: string
  readonly body: string
  readonly authorization?: string
  readonly authMethod: AuthMethod
  readonly endpoint: string
}

async function send(
  { egress, house, timeoutMs, nowMs }: RegistrationCallsDeps,
  binding: Binding,
  { method, url, body, authorization, authMethod, endpoint }: Sending,
): Promise<RegistrationCall> {
  let response: EgressResponse
  try {
    response = await egress.exchange({
      operation: 'registration',
      method,
      url,
      headers: {
        'content-type': 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body,
      timeoutMs,
      maxBytes: ANSWER_MAX_BYTES,
      publicOnly: !isNamedByFile(binding.connector),
    })
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    return refused(house, binding, error)
  }
  const answer = readObject(response)
  const { status } = response
  if (status < 200 || status >= 300) {
    const waitMs = retryAfterMs(response.headers, nowMs(), RETRY_AFTER_MAX_MS)
    return refused(house, binding, { status, answer }, waitMs)
  }
  if (answer === undefined) return refused(house, binding, 'not_json')
  const redirectUri = connectCallbackUrl(house, binding.connector.name)
  const judged = judgeRegistrationAnswer(answer, { redirectUri, authMethod, endpoint })
  if (!judged.ok) return refused(house, binding, judged.reason)
  const lifeMs = (judged.client.secretExpiresAtMs ?? Infinity) - nowMs()
  return lifeMs < SECRET_LIFE_MIN_MS ? refused(house, binding, 'secret_life') : judged
}

function refused(
  house: DocumentHouse,
  binding: Binding,
  why: RegistrationFailure,
  waitMs = why instanceof UpstreamError ? why.retryAfterMs : undefined,
): RegistrationCall {
  const problem = registrationProblem(house, binding, why)
  return { ok: false, problem, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) }
}
