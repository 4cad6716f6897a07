/**
 * Dynamic client registration (RFC 7591): anybody may register, within a rate per network and a
 * bounded table (A16). The answer is what was stored, not what was asked (REG-23), and the token that
 * manages it from then on (`registration-management.ts`).
 */
import { OAuthError } from '../errors.ts'
import { hasSecret, judgeRegistration, type RegisteredMetadata } from '../oauth/registration.ts'
import type { Values } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { auditStep } from './audit.ts'
import { readBody } from './body.ts'
import { type IssuerHouse, report } from './house.ts'
import { createId, createSecret, key } from './ids.ts'
import { createRate, networkOf } from './rate.ts'
import { createRegistrationRoom, registrationAuditKey } from './registration-room.ts'

const REGISTRATION_BODY_MAX_BYTES = 16_384
const FULL_RETRY_AFTER_SECONDS = 600

export function createRegistration(house: IssuerHouse): (request: Request) => Promise<Response> {
  const rate = createRate(house.runtime, house.config.limits.registrationsPerMinuteMax)
  const room = createRegistrationRoom(house)
  return async (request) => {
    const address = house.clientAddress?.(request)
    const { retryAfterSeconds } = address === undefined ? {} : rate.take(networkOf(address))
    if (retryAfterSeconds !== undefined) throw tooMany('registration_rate', retryAfterSeconds)
    const metadata = judgeMetadata(house, await readRegistration(request))
    if (!(await room.take())) throw tooMany('registration_full', FULL_RETRY_AFTER_SECONDS)
    return register(house, metadata)
  }
}

async function register(house: IssuerHouse, metadata: RegisteredMetadata): Promise<Response> {
  const { runtime, store, config } = house
  const nowMs = runtime.nowMs()
  const clientId = createId(runtime, 'cli')
  const clientSecret = hasSecret(metadata.authMethod) ? createSecret(runtime) : undefined
  const registrationToken = createSecret(runtime)
  const expiresAtMs = nowMs + config.limits.unusedRegistrationTtlSeconds * 1000
  const value: Values['client'] = {
    ...metadata,
    ...(clientSecret === undefined ? {} : { secretDigest: runtime.sha256(clientSecret) }),
    registrationTokenDigest: runtime.sha256(registrationToken),
    createdAtMs: nowMs,
    expiresAtMs,
  }
  const audit = auditStep(house, 'client.registered', { clientId })
  const { won } = await store.commit([
    { verb: 'create', kind: 'client', key: key(clientId), value },
    // Until somebody uses the client its audit row lives no longer than itself (A16).
    audit.verb === 'create' && audit.kind === 'audit'
      ? { ...audit, key: registrationAuditKey(clientId), value: { ...audit.value, expiresAtMs } }
      : audit,
  ])
  // Random identifiers of 130 bits do not meet; if they did, nobody else's row is touched.
  if (!won) throw tooMany('registration_lost', 1)
  report(house, { type: 'client.registered', clientId, redirects: metadata.redirectUris.length })
  return jsonAnswer(registered(house, clientId, value, { clientSecret, registrationToken }), 201)
}

/** What the answer carries in clear, this once. */
interface Handed {
  readonly clientSecret?: string | undefined
  readonly registrationToken: string
}

/** Complete registered metadata (RFC 7591 section 3.2.1, RFC 7592 section 3): what was stored. */
export function registered(
  house: IssuerHouse,
  clientId: string,
  value: Values['client'],
  { clientSecret, registrationToken }: Handed,
): Record<string, unknown> {
  return {
    client_id: clientId,
    client_id_issued_at: Math.floor(value.createdAtMs / 1000),
    ...(clientSecret === undefined
      ? {}
      : { client_secret: clientSecret, client_secret_expires_at: 0 }),
    registration_access_token: registrationToken,
    registration_client_uri: `${house.issuerUrl.origin}${house.paths.register}/${clientId}`,
    ...(value.name === undefined ? {} : { client_name: value.name }),
    ...(value.clientUri === undefined ? {} : { client_uri: value.clientUri }),
    redirect_uris: value.redirectUris,
    grant_types: value.grantTypes,
    response_types: ['code'],
    token_endpoint_auth_method: value.authMethod,
    application_type: value.applicationType,
    ...(value.scope === undefined ? {} : { scope: value.scope }),
    ...(value.jwks === undefined ? {} : { jwks: value.jwks }),
    ...(value.jwksUri === undefined ? {} : { jwks_uri: value.jwksUri }),
  }
}

/** The JSON document of a registration or an update. */
export async function readRegistration(request: Request): Promise<unknown> {
  const body = await readBody(request, REGISTRATION_BODY_MAX_BYTES)
  if (body === undefined) {
    throw new OAuthError('invalid_client_metadata', 'the document is larger than 16 KiB', {
      status: 413,
      reason: 'registration_too_large',
    })
  }
  if (!isJson(request)) {
    throw new OAuthError('invalid_client_metadata', 'send a JSON document as application/json', {
      reason: 'registration_type',
    })
  }
  return parse(body)
}

export function judgeMetadata(house: IssuerHouse, body: unknown): RegisteredMetadata {
  const { redirectHosts } = house.config.registration
  return judgeRegistration(body, { redirectHosts })
}

export function tooMany(reason: string, retryAfterSeconds: number): OAuthError {
  return new OAuthError('temporarily_unavailable', 'too many registrations, try again later', {
    status: 429,
    reason,
    headers: { 'retry-after': String(retryAfterSeconds) },
  })
}

function isJson(request: Request): boolean {
  const type = (request.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase()
  return type === 'application/json'
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw new OAuthError('invalid_client_metadata', 'the body is not JSON', {
      reason: 'registration_json',
      cause,
    })
  }
}
