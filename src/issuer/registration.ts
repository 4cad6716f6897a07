/**
 * Dynamic client registration (RFC 7591): anybody may register, within a rate per network and a
 * bounded table (A16). The answer is what was stored, not what was asked (REG-23).
 */
import { OAuthError } from '../errors.ts'
import { judgeRegistration, type RegisteredMetadata } from '../oauth/registration.ts'
import { TENANT } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { readBody } from './body.ts'
import { type IssuerHouse, report } from './house.ts'
import { createId, createSecret, key } from './ids.ts'
import { createRate, networkOf } from './rate.ts'

const REGISTRATION_BODY_MAX_BYTES = 16_384
/** The table is counted at most this often; between counts this node adds what it registered. */
const COUNT_TTL_MS = 10_000
const FULL_RETRY_AFTER_SECONDS = 3600

export function createRegistration(house: IssuerHouse): (request: Request) => Promise<Response> {
  const rate = createRate(house.runtime, house.config.limits.registrationsPerMinuteMax)
  const isFull = createFullness(house)
  return async (request) => {
    const address = house.clientAddress?.(request)
    const { retryAfterSeconds } = address === undefined ? {} : rate.take(networkOf(address))
    if (retryAfterSeconds !== undefined) throw tooMany('registration_rate', retryAfterSeconds)
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
    const metadata = judgeRegistration(parse(body), {
      redirectHosts: house.config.registration.redirectHosts,
    })
    if (await isFull()) throw tooMany('registration_full', FULL_RETRY_AFTER_SECONDS)
    return register(house, metadata)
  }
}

async function register(house: IssuerHouse, metadata: RegisteredMetadata): Promise<Response> {
  const { runtime, store, config } = house
  const nowMs = runtime.nowMs()
  const clientId = createId(runtime, 'cli')
  const clientSecret = metadata.authMethod === 'none' ? undefined : createSecret(runtime)
  await store.create('client', key(clientId), {
    ...metadata,
    ...(clientSecret === undefined ? {} : { secretDigest: runtime.sha256(clientSecret) }),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + config.limits.unusedRegistrationTtlSeconds * 1000,
  })
  report(house, { type: 'client.registered', clientId, redirects: metadata.redirectUris.length })
  return jsonAnswer(registered(clientId, nowMs, metadata, clientSecret), 201)
}

/** Complete registered metadata (RFC 7591 section 3.2.1): what was stored, not what was asked. */
function registered(
  clientId: string,
  nowMs: number,
  metadata: RegisteredMetadata,
  clientSecret: string | undefined,
): Record<string, unknown> {
  return {
    client_id: clientId,
    client_id_issued_at: Math.floor(nowMs / 1000),
    ...(clientSecret === undefined
      ? {}
      : { client_secret: clientSecret, client_secret_expires_at: 0 }),
    ...(metadata.name === undefined ? {} : { client_name: metadata.name }),
    ...(metadata.clientUri === undefined ? {} : { client_uri: metadata.clientUri }),
    redirect_uris: metadata.redirectUris,
    grant_types: metadata.grantTypes,
    response_types: ['code'],
    token_endpoint_auth_method: metadata.authMethod,
    application_type: metadata.applicationType,
    ...(metadata.scope === undefined ? {} : { scope: metadata.scope }),
  }
}

function createFullness(house: IssuerHouse): () => Promise<boolean> {
  const { runtime, store, config } = house
  let counted: { count: number; atMs: number } | undefined
  return async () => {
    const now = runtime.monotonicMs()
    if (counted === undefined || now - counted.atMs >= COUNT_TTL_MS) {
      counted = { count: await store.count('client', TENANT), atMs: now }
    }
    if (counted.count >= config.limits.registrationMax) return true
    counted.count += 1
    return false
  }
}

function tooMany(reason: string, retryAfterSeconds: number): OAuthError {
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
