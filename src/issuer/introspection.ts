/**
 * `POST /introspect` (RFC 7662): is this token of ours alive, for somebody who may know.
 *
 * A server of `resources` sees tokens made for it, a confidential client its own; for everything else
 * the answer is `{"active":false}` and nothing more. From memory and the store, never by an outbound
 * call; asked every time, so that a revocation counts at once.
 */
import type { Config } from '../config.ts'
import { OAuthError } from '../errors.ts'
import { looksLikeAccessToken } from '../oauth/access-token.ts'
import { readBearer } from '../oauth/challenge.ts'
import { isMachine } from '../oauth/machine.ts'
import type { Parameters } from '../oauth/parameters.ts'
import { parseRefreshToken } from '../oauth/refresh-token.ts'
import { formatScope } from '../oauth/scope.ts'
import { parseForm, readPresentedClient } from '../oauth/token-request.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Runtime } from '../ports.ts'
import type { Grant } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { authenticated, readFormRequest, refuseTooMany } from './client-authentication.ts'
import type { IssuerHouse } from './house.ts'
import { key } from './ids.ts'
import { judgePresented, markedPresented } from './presented-token.ts'
import { createRate, networkOf, type Rate } from './rate.ts'
import { findLiving } from './tombstones.ts'

const FAILURES_PER_MINUTE_MAX = 60
const RETRY_AFTER_SECONDS = 2

/** Who asks, as far as the answer depends on it. */
type Caller =
  | { readonly kind: 'resource'; readonly resources: ReadonlySet<string> }
  | { readonly kind: 'client'; readonly clientId: string }

type Introspected = Readonly<Record<string, unknown>>
const INACTIVE: Introspected = { active: false }

export function createIntrospection(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  const servers = knownServers(house.config, house.runtime)
  return async (http) => {
    const form = await readFormRequest(http)
    const parameters = parseForm(form)
    const caller = await identify(house, { http, parameters, failures, servers })
    const token = parameters.get('token')
    if (token === undefined)
      throw new OAuthError('invalid_request', 'token is missing', { reason: 'token_missing' })
    return jsonAnswer(await introspect(house, caller, token))
  }
}

interface KnownServer {
  readonly resource: string
  readonly digest: string
}

function knownServers({ resources }: Config, runtime: Runtime): readonly KnownServer[] {
  return resources.flatMap(({ url, credential }) => {
    if (credential === undefined) return []
    const resource = canonicalResource(url) ?? url
    return [{ resource, digest: runtime.sha256(credential.reveal()) }]
  })
}

interface Asked {
  readonly http: Request
  readonly parameters: Parameters
  readonly failures: Rate
  readonly servers: readonly KnownServer[]
}

/** @throws {OAuthError} `invalid_client`, 401: nobody, a public client, a wrong secret. */
async function identify(house: IssuerHouse, asked: Asked): Promise<Caller> {
  const { http, parameters, failures, servers } = asked
  const authorization = http.headers.get('authorization') ?? undefined
  const bearer = readBearer(authorization)
  if (bearer.kind === 'bearer') return asServer(house, asked, bearer.token, undefined)
  const presented = readPresentedClient(parameters, authorization)
  if (presented.method === 'none') throw unknownCaller('introspection_public_client')
  const resource = canonicalResource(presented.clientId)
  const isServer = servers.some((server) => server.resource === resource)
  if (isServer && presented.method === 'client_secret_basic')
    return asServer(house, asked, presented.secret ?? '', resource)
  const client = await authenticated(house, http, presented, failures)
  return { kind: 'client', clientId: client.clientId }
}

/** Every known digest is compared, so that time says nothing about which one matched. */
function asServer(
  house: IssuerHouse,
  { http, failures, servers }: Asked,
  credential: string,
  named: string | undefined,
): Caller {
  const { runtime } = house
  const address = house.clientAddress?.(http)
  const source = address === undefined ? undefined : `resource from ${networkOf(address)}`
  const presented = runtime.sha256(credential)
  const matching = servers.filter(({ digest }) => runtime.equal(digest, presented))
  const own = matching.filter(({ resource }) => named === undefined || resource === named)
  if (own.length > 0)
    return { kind: 'resource', resources: new Set(own.map(({ resource }) => resource)) }
  // After the look: a neighbour with an old credential locks out no server that has the right one.
  if (source !== undefined) refuseTooMany(failures.take(source))
  throw unknownCaller('introspection_credential')
}

function unknownCaller(reason: string): OAuthError {
  return new OAuthError('invalid_client', 'client authentication failed', {
    status: 401,
    reason,
    headers: { 'www-authenticate': 'Basic realm="introspect", Bearer realm="introspect"' },
  })
}

async function introspect(
  house: IssuerHouse,
  caller: Caller,
  token: string,
): Promise<Introspected> {
  if (looksLikeAccessToken(token)) return accessToken(house, caller, token)
  const refresh = parseRefreshToken(token, house.keys.refreshTagKey(), house.runtime)
  return refresh === undefined
    ? INACTIVE
    : refreshToken(house, caller, { token, grantId: refresh.grantId })
}

async function accessToken(
  house: IssuerHouse,
  caller: Caller,
  token: string,
): Promise<Introspected> {
  const judged = judgePresented(house, token)
  if (!judged.ok) return INACTIVE
  const { claims } = judged
  const mayKnow =
    caller.kind === 'client'
      ? claims.client_id === caller.clientId
      : caller.resources.has(claims.aud)
  if (!mayKnow) return INACTIVE
  const marked = markedPresented(house, token, judged)
  if (marked === 'view-too-old') throw notNow()
  const grant = marked ? undefined : await house.store.grants.find(key(claims.gid))
  if (grant === undefined || !(await isAlive(house, grant))) return INACTIVE
  if (grant.userId !== claims.sub || grant.clientId !== claims.client_id) return INACTIVE
  const jkt = claims.cnf?.jkt
  return {
    active: true,
    scope: claims.scope,
    client_id: claims.client_id,
    sub: claims.sub,
    aud: claims.aud,
    iss: claims.iss,
    exp: claims.exp,
    iat: claims.iat,
    jti: claims.jti,
    token_type: jkt === undefined ? 'Bearer' : 'DPoP',
    ...(jkt === undefined ? {} : { cnf: { jkt } }),
    // When a person was seen last is for the server that serves them, not for the client.
    ...(caller.kind === 'resource' && !isMachine(grant.userId)
      ? {
          ...(grant.authTimeSeconds === 0 ? {} : { auth_time: grant.authTimeSeconds }),
          ...(grant.acr === undefined ? {} : { acr: grant.acr }),
        }
      : {}),
  }
}

async function refreshToken(
  house: IssuerHouse,
  caller: Caller,
  { token, grantId }: { readonly token: string; readonly grantId: string },
): Promise<Introspected> {
  const { runtime, store, config } = house
  const grant = await store.grants.find(key(grantId))
  if (grant === undefined || caller.kind !== 'client' || grant.clientId !== caller.clientId)
    return INACTIVE
  if (!runtime.equal(grant.refreshCurrent ?? '', runtime.sha256(token))) return INACTIVE
  if (!(await isAlive(house, grant))) return INACTIVE
  return {
    active: true,
    scope: formatScope(grant.scopes),
    client_id: grant.clientId,
    sub: grant.userId,
    aud: grant.resource,
    iss: config.issuer,
    exp: Math.floor(grant.expiresAtMs / 1000),
  }
}

/** As every call sees it (authenticate.ts): the grant, its person, and the sign-in behind it. */
async function isAlive(house: IssuerHouse, grant: Grant): Promise<boolean> {
  const { store, runtime, proofs } = house
  if (grant.state !== 'active' || grant.expiresAtMs <= runtime.nowMs()) return false
  const [user, vault] = await Promise.all([
    isMachine(grant.userId) ? undefined : findLiving(house, grant.userKey),
    grant.vaultId === '' ? undefined : store.get('vault', key(grant.vaultId)),
  ])
  const isPerson = user?.value.state === 'active' && user.value.userId === grant.userId
  if (!isMachine(grant.userId) && !isPerson) return false
  if (grant.vaultId === '') return true
  const isStanding = vault !== undefined && vault.value.state !== 'ended'
  return isStanding && proofs.state(grant.vaultId) !== 'dead'
}

/** What was revoked is not known here for now: not an answer about the token (I7). */
function notNow(): OAuthError {
  return new OAuthError('temporarily_unavailable', 'revocations are being read, try again', {
    status: 503,
    reason: 'view_too_old',
    headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
  })
}
