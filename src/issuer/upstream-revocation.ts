/**
 * What happens at a provider when something ends here: the last grant of a vault record gone, the
 * record ends and its tokens are revoked; tokens that a newer sign-in replaced are revoked alone.
 *
 * Tokens that wait for their revocation are sealed in the duty, no longer in the record: one place,
 * and a record may be erased before its tokens are dead. The local end never waits for this.
 * @see flows.md section 11, requirement REV-08, threat O15
 */
import { StoreError } from '../errors.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Emit, Lock, Runtime, Step, Store } from '../ports.ts'
import { type Grant, type Mark, TENANT, type Values } from '../records.ts'
import {
  connectionKey,
  connectorOf,
  EVERY_CONNECTION,
  endConnectionStep,
} from '../vault/connection-rows.ts'
import type { ConnectorSide } from '../vault/connector-side.ts'
import { ENDED_KEPT_MS, type Vault, type VaultEntry, type VaultRecord } from '../vault/vault.ts'
import { userKeyOf } from './admission.ts'
import { type AuditEvent, auditStep } from './audit.ts'
import { createDuties, type Duties, type Performed } from './duties.ts'
import { type Duty, revokeStep } from './duty-steps.ts'
import { markExpiresAtMs } from './endings.ts'
import type { IssuerHouse, IssuerProvider } from './house.ts'
import { key } from './ids.ts'

export interface UpstreamRevocationDeps {
  readonly store: Store
  readonly lock: Lock
  readonly runtime: Runtime
  readonly emit: Emit
  readonly config: IssuerHouse['config']
  readonly vault: Vault
  readonly providers: readonly IssuerProvider[]
  /** Forget what is remembered about a sign-in that ended here. */
  forget(vaultId: string): void
  /** Absent: what connections leave behind waits for a process that has it. */
  readonly connectors?: Pick<ConnectorSide, 'revoke'>
  /** A connection has ended: this node forgets it, and the others are told. */
  announce(mark: Mark): void
}

export interface EndOptions {
  /** Revoke its tokens at the provider, because they may be alive there. */
  readonly revoke: boolean
  /** End only while the record holds these tokens: what a verdict was about. */
  readonly ifSealed?: string
  /** Only when no living grant uses it. */
  readonly ifUnused?: boolean
}
/** `newer`: it holds other tokens by now. `used`: a living grant needs it. */
export type EndedVault = 'ended' | 'gone' | 'newer' | 'used'

export interface UpstreamRevocation extends Duties {
  /** Ends one vault record; whatever it needs upstream is queued in the same commit. */
  endVault(vaultId: string, cause: string, options: EndOptions): Promise<EndedVault>
  /** Tokens that were issued for a record that ended meanwhile (R8). */
  queue(vaultId: string, record: VaultRecord, tokens: TokenSet, cause: string): Promise<void>
}

const ATTEMPTS_MAX = 20
const GRANTS_PAGE = 200
const PAGES_MAX = 10_000
const SURVEY_PAGE = 50
const VAULTS_OF_USER_MAX = 100

export function createUpstreamRevocation(deps: UpstreamRevocationDeps): UpstreamRevocation {
  const { store, runtime, vault } = deps
  const duties = createDuties({
    ...deps,
    perform: (duty) => perform(deps, duty),
    givenUp: (duty, reason) => [audit(deps, 'revocation.failed', duty, reason)],
  })
  return {
    ...duties,
    async endVault(vaultId, cause, options) {
      const ended = await endVault(deps, vaultId, cause, options)
      if (ended === 'ended') duties.poke()
      return ended
    },
    async queue(vaultId, record, tokens, cause) {
      const sealed = vault.sealTokens(vaultId, tokens)
      await store.commit([revokeStep(runtime, vaultId, record, cause, sealed)])
      duties.poke()
    },
  }
}

/** A sealed nothing: what an ended record keeps in the place of its tokens. */
const NO_TOKENS: TokenSet = { accessToken: '', tokenType: '' }

async function endVault(
  deps: UpstreamRevocationDeps,
  vaultId: string,
  cause: string,
  { revoke, ifSealed, ifUnused = false }: EndOptions,
): Promise<EndedVault> {
  const { store, vault } = deps
  for (let round = 0; round < ATTEMPTS_MAX; round += 1) {
    const entry = await vault.find(vaultId)
    if (entry === undefined || entry.record.state === 'ended') return 'gone'
    if (ifSealed !== undefined && entry.record.sealed !== ifSealed) return 'newer'
    // Read before the grants: whoever grants meanwhile writes this row, and this commit is lost.
    const user = ifUnused ? await store.get('user', key(entry.record.userKey)) : undefined
    if (ifUnused && (await isUsed(deps, vaultId))) return 'used'
    const guard: Step[] =
      user === undefined
        ? []
        : [{ verb: 'put', kind: 'user', key: user.key, ifVersion: user.version, value: user.value }]
    const steps = [...guard, ...endSteps(deps, entry, cause, revoke)]
    if (connectorOf(entry.record.provider) !== undefined) {
      if (await endConnection(deps, entry, cause, steps)) return 'ended'
      continue
    }
    const { won } = await store.commit(steps)
    if (won) {
      deps.forget(vaultId)
      return 'ended'
    }
  }
  throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
}

/** The connection's row, its tokens and the mark that all nodes forget them by, in one commit. */
async function endConnection(
  deps: UpstreamRevocationDeps,
  { id, record }: VaultEntry,
  cause: string,
  steps: readonly Step[],
): Promise<boolean> {
  const { store, runtime, emit } = deps
  const connector = connectorOf(record.provider) ?? ''
  const row = await store.get('connection', connectionKey(runtime, record.userId, connector))
  // A row that points elsewhere is a newer connection's.
  const isCurrent = row?.value.vaultId === id && row.value.state === 'active'
  const mark = connectionMark(runtime, id, cause)
  const also = isCurrent ? [endConnectionStep(row, cause, runtime.nowMs())] : []
  if (!(await revokeGrant(store, mark, [...also, ...steps]))) return false
  deps.forget(id)
  deps.announce(mark)
  const { userId } = record
  emit.event({
    type: 'connection.ended',
    tenant: TENANT,
    userId,
    connector,
    reason: cause,
    ...(row === undefined ? {} : { connectionId: row.value.connectionId }),
  })
  return true
}

/** By this mark every node forgets the tokens of a vault record. */
export function connectionMark(runtime: Runtime, vaultId: string, cause: string): Mark {
  const atMs = markExpiresAtMs(Math.trunc(runtime.nowMs()))
  return {
    tenant: TENANT,
    kind: 'grant',
    id: vaultId,
    issuedBeforeMs: atMs,
    expiresAtMs: atMs,
    cause,
  }
}

/** False when a step was lost: somebody wrote one of the rows meanwhile. */
export async function revokeGrant(
  { grants }: Pick<Store, 'grants'>,
  mark: Mark,
  also: readonly Step[],
): Promise<boolean> {
  try {
    await grants.revoke(mark, also)
    return true
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'ERR_STORE_UNAVAILABLE') throw error
    if (error.certainty === 'not-applied') return false
    throw error
  }
}

type EndStepsDeps = Pick<UpstreamRevocationDeps, 'runtime' | 'vault' | 'config'>

/** Ends a record; its tokens wait for their revocation in the duty, sealed. */
export function endSteps(
  deps: EndStepsDeps,
  { id, version, record, tokens }: VaultEntry,
  cause: string,
  revoke: boolean,
): readonly Step[] {
  const { runtime, vault } = deps
  const { spareSealed, intent: _, ...kept } = record
  const value: Values['vault'] = {
    ...kept,
    ...vault.sealTokens(id, NO_TOKENS),
    state: 'ended',
    cause,
    expiresAtMs: Math.trunc(runtime.nowMs()) + ENDED_KEPT_MS,
  }
  const steps: Step[] = [{ verb: 'put', kind: 'vault', key: key(id), ifVersion: version, value }]
  // What the provider has refused already needs no revocation there. A connection that was lost at a
  // crash may live on at its server.
  const mayLive = record.state === 'active' || connectorOf(record.provider) !== undefined
  if (revoke && mayLive && tokens.accessToken !== '')
    steps.push(revokeStep(runtime, id, record, cause))
  const spare = spareSealed === undefined ? undefined : vault.openSpare(id, spareSealed)
  if (revoke && spare !== undefined)
    steps.push(revokeStep(runtime, id, record, cause, vault.sealTokens(id, spare)))
  const { userId, provider } = record
  steps.push(
    auditStep(deps, revoke ? 'revocation.requested' : 'signin.ended', {
      userId,
      detail: `${provider}: ${cause}`,
    }),
  )
  return steps
}

async function isUsed(
  { store, runtime }: UpstreamRevocationDeps,
  vaultId: string,
): Promise<boolean> {
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: GRANTS_PAGE, ...(after === undefined ? {} : { after }) }
    const grants = await store.grants.list(TENANT, { name: 'vaultId', value: vaultId }, at)
    if (grants.some((grant) => isLiving(grant, runtime.nowMs()))) return true
    if (grants.length < GRANTS_PAGE) return false
    after = grants.at(-1)?.id
  }
  // Not looked through to its end: kept, because an end cannot be taken back.
  return true
}

export function isLiving(grant: Grant, nowMs: number): boolean {
  return grant.state !== 'ended' && grant.expiresAtMs > nowMs
}

function perform(deps: UpstreamRevocationDeps, duty: Duty): Promise<Performed> {
  if (duty.purpose === 'revoke') return revoke(deps, duty)
  return duty.purpose === 'release' ? release(deps, duty) : survey(deps, duty)
}

async function release(deps: UpstreamRevocationDeps, duty: Duty): Promise<Performed> {
  const { vaultId, cause } = duty
  if (vaultId !== undefined) await endVault(deps, vaultId, cause, { revoke: true, ifUnused: true })
  return { outcome: 'done' }
}

/** One page of vault records: those whose grants have all ended end with them; or a connector's. */
async function survey(deps: UpstreamRevocationDeps, duty: Duty): Promise<Performed> {
  const { store } = deps
  const { userId, provider, after, cause } = duty
  const index = userId === undefined ? undefined : { name: 'userId', value: userId }
  const page = { max: SURVEY_PAGE, ...(after === undefined ? {} : { after }) }
  const rows = await store.list('vault', TENANT, index, page)
  for (const { key: vaultKey, value } of rows) {
    if (value.state === 'ended') continue
    if (provider !== undefined) {
      const isOf =
        provider === EVERY_CONNECTION
          ? connectorOf(value.provider) !== undefined
          : value.provider === provider
      const isMeant = isOf && value.createdAtMs <= (duty.madeByMs ?? duty.createdAtMs)
      if (isMeant) await endVault(deps, vaultKey.id, cause, { revoke: true })
      continue
    }
    const named = { name: 'vaultId', value: vaultKey.id } as const
    const [any] = await store.grants.list(TENANT, named, { max: 1 })
    // Never granted to anybody: a browser that signed in for itself keeps its sign-in.
    if (any === undefined) continue
    await endVault(deps, vaultKey.id, cause, { revoke: true, ifUnused: true })
  }
  const last = rows.at(-1)?.key.id
  if (rows.length < SURVEY_PAGE || last === undefined) return { outcome: 'done' }
  return { outcome: 'more', change: { after: last } }
}

async function revoke(deps: UpstreamRevocationDeps, duty: Duty): Promise<Performed> {
  const { vault, providers } = deps
  const { vaultId = '', sealed = '', keyId = '', issuer, provider = '', userId = '' } = duty
  const told = (type: 'revocation.confirmed' | 'revocation.failed', reason: string): Performed => ({
    outcome: 'done',
    steps: [audit(deps, type, duty, reason)],
    after: () => deps.emit.event({ type, tenant: TENANT, provider, userId, reason }),
  })
  const tokens = vault.openTokens(vaultId, sealed, keyId)
  if (tokens === undefined) return told('revocation.failed', 'unreadable')
  if (connectorOf(provider) !== undefined) {
    if (await isHeldAnew(deps, duty, tokens)) return { outcome: 'done' }
    const { connectors } = deps
    const there = await connectors?.revoke(duty, tokens)
    if (there?.outcome === 'confirmed') return told('revocation.confirmed', duty.cause)
    if (there?.outcome === 'unsupported') return told('revocation.failed', 'not_offered')
    return { outcome: 'retry', reason: there?.reason ?? 'connector_not_open' }
  }
  const asked = providers.find((entry) => entry.provider.issuer === issuer)
  if (asked === undefined) return { outcome: 'retry', reason: 'provider_not_configured' }
  if (asked.provider.revoke === undefined) return told('revocation.failed', 'not_offered')
  if (await isSuperseded(deps, duty, tokens, asked)) return { outcome: 'done' }
  const confirmed = await asked.provider.revoke(asked.context, tokens)
  return confirmed
    ? told('revocation.confirmed', duty.cause)
    : { outcome: 'retry', reason: 'silent' }
}

/**
 * A newer sign-in must not die with an older one: the same token was handed out again, or the provider
 * ends the whole authorization with one token.
 */
async function isSuperseded(
  { store, vault, runtime }: UpstreamRevocationDeps,
  { vaultId, userId = '', issuer = '', subject = '' }: Duty,
  tokens: TokenSet,
  { provider }: IssuerProvider,
): Promise<boolean> {
  // Who was deleted and came back has another user id, and is the same account there.
  const now = await store.get('user', key(userKeyOf(runtime, { issuer, subject })))
  const index = { name: 'userId', value: now?.value.userId ?? userId }
  const rows = await store.list('vault', TENANT, index, { max: VAULTS_OF_USER_MAX })
  // A connection at the same issuer is another client's, and ends by itself.
  const living = rows.filter(
    ({ value }) =>
      value.state === 'active' &&
      value.issuer === issuer &&
      value.subject === subject &&
      connectorOf(value.provider) === undefined,
  )
  if (provider.revocationEnds === 'authorization') return living.length > 0
  const current = living.find((row) => row.key.id === vaultId)?.value
  const held = current && vault.openTokens(vaultId ?? '', current.sealed, current.keyId)
  if (held === undefined) return false
  return tokens.refreshToken === undefined
    ? tokens.accessToken === held.accessToken
    : tokens.refreshToken === held.refreshToken
}

/** The server handed out the very same token again, for the connection that stands now. */
async function isHeldAnew(
  { store, vault, runtime }: UpstreamRevocationDeps,
  { provider = '', userId = '' }: Duty,
  tokens: TokenSet,
): Promise<boolean> {
  const at = connectionKey(runtime, userId, connectorOf(provider) ?? '')
  const row = await store.get('connection', at)
  if (row?.value.state !== 'active') return false
  const held = (await vault.find(row.value.vaultId))?.tokens
  if (held === undefined) return false
  const { refreshToken } = tokens
  return refreshToken === undefined
    ? runtime.equal(tokens.accessToken, held.accessToken)
    : held.refreshToken !== undefined && runtime.equal(refreshToken, held.refreshToken)
}

function audit(
  deps: UpstreamRevocationDeps,
  event: AuditEvent,
  { userId = '', provider = '' }: Duty,
  reason: string,
): Step {
  return auditStep(deps, event, { userId, detail: `${provider}: ${reason}` })
}
