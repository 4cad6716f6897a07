/**
 * `/register/{client_id}` (RFC 7592): a dynamic client reads, replaces or ends its own registration
 * with the token it was given. Unknown clients, ended ones and wrong tokens get one and the same 401.
 *
 * Ending writes one mark for all of the client's tokens, ends its grants and removes it, in one commit.
 * A client that nobody ever used has none of these: anybody can make such, so that what they do here
 * leaves no mark, no work and no row that outlives them (A16, D4).
 */
import { OAuthError } from '../errors.ts'
import { hasSecret } from '../oauth/registration.ts'
import type { Step, Versioned } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { auditStep } from './audit.ts'
import { endByMark } from './endings.ts'
import { type IssuerHouse, report } from './house.ts'
import { createSecret, key } from './ids.ts'
import { createRate, networkOf, type Rate } from './rate.ts'
import { judgeMetadata, readRegistration, registered, tooMany } from './registration.ts'
import { registrationAuditKey } from './registration-room.ts'

/** Members that an update must not carry (RFC 7592 section 2.2). */
const NOT_IN_UPDATE = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
]
const TOKEN_MAX_CHARS = 256
const NO_DIGEST = 'A'.repeat(43)

interface Managed {
  readonly clientId: string
  readonly row: Versioned<'client'>
  readonly registrationToken: string
}

export function createRegistrationManagement(
  house: IssuerHouse,
): (http: Request, clientId: string) => Promise<Response> {
  const rate = createRate(house.runtime, house.config.limits.registrationsPerMinuteMax)
  return async (http, clientId) => {
    const managed = await requireOwner(house, http, clientId)
    if (http.method === 'GET')
      return jsonAnswer(registered(house, clientId, managed.row.value, managed))
    limitChanges(house, http, rate)
    switch (http.method) {
      case 'PUT':
        return update(house, managed, await readRegistration(http))
      default:
        return end(house, managed)
    }
  }
}

/** @throws {OAuthError} 401 `invalid_token` */
async function requireOwner(house: IssuerHouse, http: Request, clientId: string): Promise<Managed> {
  const { store, runtime } = house
  const authorization = http.headers.get('authorization') ?? ''
  const registrationToken = /^bearer +([\w-]+)$/i.exec(authorization)?.[1] ?? ''
  const isNamed = /^cli_[a-z0-9]{1,64}$/.test(clientId)
  const row = isNamed ? await store.get('client', key(clientId)) : undefined
  const digest = runtime.sha256(registrationToken.slice(0, TOKEN_MAX_CHARS))
  const matches = runtime.equal(digest, row?.value.registrationTokenDigest ?? NO_DIGEST)
  const isAlive = row !== undefined && row.value.expiresAtMs > runtime.nowMs()
  if (row !== undefined && isAlive && matches) return { clientId, row, registrationToken }
  throw new OAuthError('invalid_token', 'the registration access token is not valid', {
    status: 401,
    reason: 'registration_token',
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
  })
}

/** As many changes a minute from one network as registrations (SEC-16). */
function limitChanges(house: IssuerHouse, http: Request, rate: Rate): void {
  const address = house.clientAddress?.(http)
  const { retryAfterSeconds } = address === undefined ? {} : rate.take(networkOf(address))
  if (retryAfterSeconds !== undefined) throw tooMany('registration_rate', retryAfterSeconds)
}

/** Full replacement, judged like a registration; what is left out is gone. */
async function update(house: IssuerHouse, managed: Managed, body: unknown): Promise<Response> {
  const { runtime, store } = house
  const { clientId, row } = managed
  refuseForeignUpdate(house, managed, body)
  const metadata = judgeMetadata(house, body)
  const { secretDigest, registrationTokenDigest, createdAtMs, usedAtMs, expiresAtMs } = row.value
  const { wantedUntilMs } = row.value
  const isKept = hasSecret(metadata.authMethod) && secretDigest !== undefined
  const clientSecret = hasSecret(metadata.authMethod) && !isKept ? createSecret(runtime) : undefined
  const digest = clientSecret === undefined ? secretDigest : runtime.sha256(clientSecret)
  const value: Values['client'] = {
    ...metadata,
    ...(hasSecret(metadata.authMethod) && digest !== undefined ? { secretDigest: digest } : {}),
    ...(registrationTokenDigest === undefined ? {} : { registrationTokenDigest }),
    createdAtMs,
    ...(usedAtMs === undefined ? {} : { usedAtMs }),
    ...(wantedUntilMs === undefined ? {} : { wantedUntilMs }),
    expiresAtMs,
  }
  const { won } = await store.commit([
    { verb: 'put', kind: 'client', key: row.key, ifVersion: row.version, value },
    await updateAudit(house, managed),
  ])
  if (!won) throw busy()
  report(house, {
    type: 'client.registered',
    reason: 'updated',
    clientId,
    redirects: metadata.redirectUris.length,
  })
  const { registrationToken } = managed
  return jsonAnswer(registered(house, clientId, value, { clientSecret, registrationToken }))
}

/** While nobody used the client, in the place of its registration's row, and with that row's life. */
async function updateAudit(house: IssuerHouse, { clientId, row }: Managed): Promise<Step> {
  const step = auditStep(house, 'client.registered', { clientId, detail: 'updated' })
  const at = registrationAuditKey(clientId)
  const audit = row.value.usedAtMs === undefined ? await house.store.get('audit', at) : undefined
  if (audit === undefined || step.verb !== 'create' || step.kind !== 'audit') return step
  const value = { ...step.value, expiresAtMs: audit.value.expiresAtMs }
  return { verb: 'put', kind: 'audit', key: at, ifVersion: audit.version, value }
}

function refuseForeignUpdate(house: IssuerHouse, { clientId, row }: Managed, body: unknown): void {
  const member = (name: string): unknown =>
    typeof body === 'object' && body !== null && Object.hasOwn(body, name)
      ? Reflect.get(body, name)
      : undefined
  if (member('client_id') !== clientId) throw refused('client_id must be this client', 'client_id')
  const extra = NOT_IN_UPDATE.find((name) => member(name) !== undefined)
  if (extra !== undefined) throw refused(`${extra} must not be sent`, extra)
  const secret = member('client_secret')
  if (secret === undefined) return
  const digest = house.runtime.sha256(typeof secret === 'string' ? secret : '')
  if (!house.runtime.equal(digest, row.value.secretDigest ?? NO_DIGEST)) {
    throw refused('client_secret cannot be chosen', 'client_secret')
  }
}

async function end(house: IssuerHouse, managed: Managed): Promise<Response> {
  const { clientId, row } = managed
  const steps: readonly Step[] = [
    { verb: 'put', kind: 'client', key: row.key, ifVersion: row.version, value: row.value },
    { verb: 'remove', kind: 'client', key: row.key },
  ]
  if (await isUnused(house, managed)) {
    if (!(await house.store.commit(steps)).won) throw busy()
    // As for one that made room: its audit row lives no longer than itself.
    await house.store.remove('audit', registrationAuditKey(clientId))
  } else {
    const audit = auditStep(house, 'client.ended', { clientId, detail: 'client_deleted' })
    await endByMark(house, { kind: 'client', id: clientId }, 'client_deleted', [...steps, audit])
  }
  report(house, { type: 'client.ended', reason: 'client_deleted', clientId })
  return new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
}

/** Nothing was ever granted to it: there is no token that a mark could end. */
async function isUnused(
  { store }: IssuerHouse,
  { clientId, row }: Pick<Managed, 'clientId' | 'row'>,
): Promise<boolean> {
  if (row.value.usedAtMs !== undefined) return false
  const named = { name: 'clientId', value: clientId } as const
  return (await store.grants.list(TENANT, named, { max: 1 })).length === 0
}

function refused(description: string, member: string): OAuthError {
  return new OAuthError('invalid_client_metadata', description, { reason: `update_${member}` })
}

function busy(): OAuthError {
  return new OAuthError('temporarily_unavailable', 'the registration changed meanwhile', {
    status: 503,
    reason: 'registration_busy',
    headers: { 'retry-after': '1' },
  })
}
