/**
 * What is done with a connection's tokens at its authorization server: refreshed, and revoked.
 *
 * Only there where they came from: the issuer and the token origin of the record are pinned, and not
 * a byte goes anywhere else (O4, CLI-04). Only the server's own word that the refresh token is dead
 * is a *no*; everything else is *unknown* and keeps the connection (CLI-20).
 */
import { LRUCache } from 'lru-cache'
import type { TokenSet } from '../../oauth/token-answer.ts'
import type { Emit, Runtime, Store } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { connectionKey, connectorOf } from '../../vault/connection-rows.ts'
import type { ConnectorSide, RevokedThere } from '../../vault/connector-side.ts'
import type { RefreshAnswer } from '../../vault/refresh.ts'
import type { VaultRecord } from '../../vault/vault.ts'
import type { OurClient, Registrations } from '../client/registration.ts'
import type { TokenCalls } from '../client/token-calls.ts'
import { type Binding, originOf } from '../lifecycle/binding.ts'
import { clientRefused, type Lifecycle } from '../lifecycle/lifecycle.ts'

export interface ConnectionRefreshDeps {
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly lifecycle: Pick<Lifecycle, 'binding' | 'report'>
  readonly registrations: Pick<Registrations, 'peek' | 'find' | 'ensure' | 'refused'>
  readonly tokenCalls: Pick<TokenCalls, 'refresh' | 'revoke'>
}

/** How servers say that a refresh token is dead: the standard's word, GitHub's, Slack's. */
const DEAD_TOKEN = new Set(['invalid_grant', 'bad_refresh_token', 'invalid_refresh_token'])
/** Longest that a server may ask us to wait (threat F4). */
const RETRY_AFTER_MAX_MS = 300_000
const WAITING_MAX = 10_000
const UNKNOWN: RefreshAnswer = { outcome: 'unknown' }

export function createConnectionRefresh(deps: ConnectionRefreshDeps): ConnectorSide {
  const { runtime } = deps
  // Until when a server asks to be left alone about a connection (RFC 9110 section 10.2.3). One person's
  // 429 says nothing about the others; an origin that has to rest as a whole is the egress's to hold.
  const asksToWait = new LRUCache<string, number>({ max: WAITING_MAX })
  return {
    async refresh(record, tokens) {
      const name = `${record.provider}\n${record.userId}`
      const leftMs = (asksToWait.get(name) ?? 0) - runtime.monotonicMs()
      if (leftMs > 0) return { outcome: 'unknown', retryAfterMs: leftMs }
      asksToWait.delete(name)
      const answer = await refresh(deps, record, tokens)
      if (answer.outcome === 'unknown' && answer.retryAfterMs !== undefined) {
        const waitMs = Math.min(RETRY_AFTER_MAX_MS, answer.retryAfterMs)
        asksToWait.set(name, runtime.monotonicMs() + waitMs)
      }
      return answer
    },
    revoke: (duty, tokens) => revoke(deps, duty, tokens),
  }
}

async function refresh(
  deps: ConnectionRefreshDeps,
  record: VaultRecord,
  tokens: TokenSet,
): Promise<RefreshAnswer> {
  const { store, runtime, lifecycle, registrations, tokenCalls } = deps
  const name = connectorOf(record.provider) ?? ''
  const binding = lifecycle.binding(name)
  const { refreshToken } = tokens
  if (binding === undefined || refreshToken === undefined) return UNKNOWN
  if (!(await isPinned(deps, record, binding))) {
    lifecycle.report(name, { kind: 'endpoint_gone' })
    tell(deps, record, 'connection_pin')
    return UNKNOWN
  }
  const row = await store.get('connection', connectionKey(runtime, record.userId, name))
  // A renewal may have made another client: the one before lives until its secret ends.
  const given = row === undefined ? undefined : registrations.find(binding, row.value.clientId)
  const client = given ?? (await clientOf(deps, binding))
  if (client === undefined) return UNKNOWN
  // A refresh token works for the client that it was given to and for no other (RFC 6749 section 6).
  if (row !== undefined && row.value.clientId !== client.clientId)
    return { outcome: 'no', reason: 'client_replaced' }
  const answer = await tokenCalls.refresh(binding, client, {
    refreshToken,
    // As it was asked for, so that no other is asked for now (RFC 8707 section 2.2).
    resource:
      binding.resource === undefined ? undefined : (row?.value.resource ?? binding.resource),
  })
  if (answer.outcome === 'unknown') return answer
  if (answer.outcome === 'no') return refused(deps, binding, client, answer.error)
  if (isOtherSubject(record, answer.subject)) {
    tell(deps, record, 'subject_changed')
    return { outcome: 'no', reason: 'subject_changed' }
  }
  return { outcome: 'yes', value: answer.tokens }
}

/** R9: tokens of somebody else are neither stored nor used. */
function isOtherSubject({ subject }: VaultRecord, answered: string | undefined): boolean {
  return subject !== '' && answered !== undefined && answered !== subject
}

/** Refused as a client says nothing about the person: another client, once, and nothing ends here. */
async function refused(
  deps: ConnectionRefreshDeps,
  binding: Binding,
  client: OurClient,
  error: string,
): Promise<RefreshAnswer> {
  if (DEAD_TOKEN.has(error)) return { outcome: 'no', reason: error }
  if (error === 'invalid_client') await clientRefused(deps, binding, client)
  return UNKNOWN
}

/**
 * The origin may have moved since: then only where an administrator let it (connectors approve), which
 * the row of the connector says.
 */
async function isPinned(
  { store }: ConnectionRefreshDeps,
  record: VaultRecord,
  binding: Binding,
): Promise<boolean> {
  if (binding.issuer !== record.issuer) return false
  const origin = originOf(binding.server.token_endpoint)
  if (origin === record.tokenOrigin) return true
  const { name } = binding.connector
  const row = await store.get('connector', { tenant: TENANT, id: name })
  const accepted = row?.value
  return (
    accepted !== undefined &&
    accepted.state !== 'quarantined' &&
    accepted.issuer === record.issuer &&
    origin !== undefined &&
    accepted.approvedOrigins.includes(origin)
  )
}

async function clientOf(
  { registrations }: ConnectionRefreshDeps,
  binding: Binding,
): Promise<OurClient | undefined> {
  const known = registrations.peek(binding)
  if (known !== undefined) return known
  const made = await registrations.ensure(binding)
  return made.ok ? made.client : undefined
}

async function revoke(
  deps: ConnectionRefreshDeps,
  { provider = '', issuer, clientId, madeByMs = 0 }: Values['duty'],
  tokens: TokenSet,
): Promise<RevokedThere> {
  const { lifecycle, tokenCalls } = deps
  const binding = lifecycle.binding(connectorOf(provider) ?? '')
  if (binding === undefined) return { outcome: 'unknown', reason: 'connector_not_usable' }
  if (binding.issuer !== issuer) return { outcome: 'unknown', reason: 'issuer_changed' }
  // Whoever edits a connector may name an endpoint of their own below the same issuer (O4, O5).
  if (madeByMs < (binding.connector.definedAtMs ?? 0))
    return { outcome: 'unknown', reason: 'definition_changed' }
  // RFC 7009 section 2.1: a token is revoked by the client that it was given to.
  const given = clientId === undefined ? undefined : deps.registrations.find(binding, clientId)
  const client = given ?? (await clientOf(deps, binding))
  if (client === undefined) return { outcome: 'unknown', reason: 'not_registered' }
  const { refreshToken, accessToken } = tokens
  let confirmed = false
  if (refreshToken !== undefined) {
    const said = await tokenCalls.revoke(binding, client, refreshToken, 'refresh_token')
    if (said === 'unknown') return { outcome: 'unknown', reason: 'silent' }
    confirmed = said === 'confirmed'
  }
  const said = await tokenCalls.revoke(binding, client, accessToken, 'access_token')
  if (said === 'unknown') return { outcome: 'unknown', reason: 'silent' }
  return { outcome: confirmed || said === 'confirmed' ? 'confirmed' : 'unsupported' }
}

function tell({ emit }: ConnectionRefreshDeps, record: VaultRecord, reason: string): void {
  const { userId, provider } = record
  const connector = connectorOf(provider) ?? ''
  emit.event({
    type: 'server.warning',
    level: 'error',
    tenant: TENANT,
    reason,
    connector,
    userId,
  })
}
