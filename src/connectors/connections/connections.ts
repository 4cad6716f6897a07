/**
 * Connections: a person's account at a connector, one per person and connector.
 *
 * A connection's row and the vault record with its tokens are written in one commit with an audit
 * row. Connecting again replaces; what was there before is queued for revocation. Ending counts
 * here at once, then on the other nodes, then at the server (flows.md section 11).
 */
import type { Config } from '../../config.ts'
import { OAuthError, StoreError } from '../../errors.ts'
import { auditStep } from '../../issuer/audit.ts'
import { revokeStep } from '../../issuer/duty-steps.ts'
import type { UpstreamRevocation } from '../../issuer/upstream-revocation.ts'
import { connectionMark, endSteps, revokeGrant } from '../../issuer/upstream-revocation.ts'
import { encodeBase64url } from '../../oauth/base64url.ts'
import type { TokenSet } from '../../oauth/token-answer.ts'
import type { Emit, Key, Runtime, Step, Store, Versioned } from '../../ports.ts'
import { type Mark, TENANT, type Values } from '../../records.ts'
import {
  APP_USER_PREFIX,
  connectionKey,
  endConnectionStep,
  providerOfConnector,
} from '../../vault/connection-rows.ts'
import type { Vault, VaultEntry } from '../../vault/vault.ts'

export interface ConnectionView {
  readonly connectionId: string
  readonly userId: string
  readonly connector: string
  readonly vaultId: string
  /** `reconnect`: its server refused us; only the person can make it good. */
  readonly state: 'active' | 'reconnect' | 'ended'
  readonly cause?: string
  readonly scopes: readonly string[]
  readonly requestedScopes: readonly string[]
  readonly accountLabel?: string
  readonly accountSubject?: string
  /** Of the access token; absent: the server did not say. */
  readonly expiresAtMs?: number
  readonly connectedAtMs: number
  readonly refreshedAtMs?: number
}

export interface ConnectInput {
  readonly userId: string
  readonly connector: string
  readonly issuer: string
  readonly tokenOrigin: string
  /** What the tokens are for; the connector's URL when the parameter is left out. */
  readonly resource: string
  readonly clientId: string
  readonly tokens: TokenSet
  /** When they were given. Default now. */
  readonly givenAtMs?: number
  /** As granted. */
  readonly scopes: readonly string[]
  readonly requestedScopes: readonly string[]
  readonly account?: { readonly subject?: string; readonly label?: string }
  /** Of one that was named before it was made. Default a new one. */
  readonly connectionId?: string
}

/** Where tokens have waited: what ends that, and whether it has not ended yet. */
export interface Waiting {
  readonly steps: readonly Step[]
  isOpen(): Promise<boolean>
}

export interface Connections {
  find(userId: string, connector: string): Promise<ConnectionView | undefined>
  findById(connectionId: string): Promise<ConnectionView | undefined>
  /** Those of a person that have not ended. */
  list(userId: string): Promise<readonly ConnectionView[]>
  /**
   * Writes a connection whose tokens have just arrived; an older one is replaced and revoked.
   *
   * @throws {OAuthError} `access_denied` when the person was deleted or disabled meanwhile.
   */
  connect(input: ConnectInput): Promise<ConnectionView>
  /**
   * The same for tokens that wait in a row of their own, which ends in the same commit.
   *
   * @returns `undefined`: that row has ended before, and nothing was written.
   */
  connectWaiting(input: ConnectInput, waiting: Waiting): Promise<ConnectionView | undefined>
  /**
   * Tokens that have arrived and are kept nowhere: revoked at their server, until it confirms.
   *
   * @param also In the same commit. @returns False when one of them was lost, and nothing was written.
   */
  giveBack(input: ConnectInput, cause: string, also?: readonly Step[]): Promise<boolean>
  /** `undefined`: there is none, or it has ended before. */
  end(
    connectionId: string,
    cause: string,
  ): Promise<{ readonly revocation: 'pending' | 'unsupported' } | undefined>
}

export interface ConnectionsDeps {
  readonly config: Config
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly vault: Vault
  readonly duties: Pick<UpstreamRevocation, 'endVault' | 'poke'>
  /** This node counts the mark at once, the others are told (issuer/endings.ts). */
  announce(mark: Mark): void
  /** What is remembered of this person at this connector is no longer so. */
  changed(userId: string, connector: string): void
  /** Can its server be told that tokens end? */
  offersRevocation(connector: string): boolean
}

type Row = Versioned<'connection'>

const ATTEMPTS_MAX = 20
const LIST_MAX = 200
const ID_BYTES = 16

export function createConnections(deps: ConnectionsDeps): Connections {
  const { store, runtime } = deps
  const view = async (row: Row | undefined): Promise<ConnectionView | undefined> =>
    row === undefined ? undefined : viewOf(row, await vaultOf(deps, row))
  const findRow = async (connectionId: string): Promise<Row | undefined> => {
    const index = { name: 'purpose', value: connectionId }
    const [row] = await store.list('connection', TENANT, index, { max: 1 })
    return row
  }
  return {
    async find(userId, connector) {
      return view(await store.get('connection', connectionKey(runtime, userId, connector)))
    },
    findById: async (connectionId) => view(await findRow(connectionId)),
    async list(userId) {
      const index = { name: 'userId', value: userId }
      const rows = await store.list('connection', TENANT, index, { max: LIST_MAX })
      const living = rows.filter(({ value }) => value.state === 'active')
      const views = await Promise.all(living.map(view))
      return views.filter((each) => each !== undefined)
    },
    async connect(input) {
      const made = await connect(deps, input)
      if (made !== undefined) return made
      throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
    },
    connectWaiting: (input, waiting) => connect(deps, input, waiting),
    async giveBack(input, cause, also = []) {
      const vaultId = encodeBase64url(runtime.randomBytes(ID_BYTES))
      const { userId, connector } = input
      const detail = `${providerOfConnector(connector)}: ${cause}`
      const { won } = await store.commit([
        ...also,
        revokeStep(runtime, vaultId, vaultRecord(deps, input, vaultId), cause),
        auditStep(deps, 'revocation.requested', { userId, detail }),
      ])
      if (won) deps.duties.poke()
      return won
    },
    async end(connectionId, cause) {
      const row = await findRow(connectionId)
      if (row === undefined || row.value.state === 'ended') return undefined
      await endRow(deps, row, cause)
      const { userId, connector } = row.value
      deps.changed(userId, connector)
      return { revocation: deps.offersRevocation(connector) ? 'pending' : 'unsupported' }
    },
  }
}

/** `undefined` also for a record that was damaged: it fails closed, and may be replaced (K16). */
async function vaultOf(
  { store }: ConnectionsDeps,
  { value }: Row,
): Promise<Values['vault'] | undefined> {
  try {
    return (await store.get('vault', key(value.vaultId)))?.value
  } catch (error) {
    if (isCorrupt(error)) return undefined
    throw error
  }
}

function viewOf({ value }: Row, tokens: Values['vault'] | undefined): ConnectionView {
  const { connectionId, userId, connector, vaultId, requestedScopes, connectedAtMs } = value
  const { state, cause } = stateOf(value, tokens)
  return {
    connectionId,
    userId,
    connector,
    vaultId,
    state,
    scopes: tokens?.scopes ?? value.scopes,
    requestedScopes,
    connectedAtMs,
    ...(cause === undefined ? {} : { cause }),
    ...(value.accountLabel === undefined ? {} : { accountLabel: value.accountLabel }),
    ...(value.accountSubject === undefined ? {} : { accountSubject: value.accountSubject }),
    ...(tokens?.accessExpiresAtMs === undefined ? {} : { expiresAtMs: tokens.accessExpiresAtMs }),
    ...(tokens?.refreshedAtMs === undefined ? {} : { refreshedAtMs: tokens.refreshedAtMs }),
  }
}

function stateOf(
  row: Values['connection'],
  tokens: Values['vault'] | undefined,
): { readonly state: ConnectionView['state']; readonly cause?: string | undefined } {
  if (row.state === 'ended') return { state: 'ended', cause: row.cause }
  if (tokens === undefined) return { state: 'reconnect', cause: 'damaged' }
  return { state: tokens.state, cause: tokens.cause }
}

async function connect(
  deps: ConnectionsDeps,
  input: ConnectInput,
  waiting?: Waiting,
): Promise<ConnectionView | undefined> {
  const { store, runtime, emit } = deps
  const { userId, connector } = input
  const at = connectionKey(runtime, userId, connector)
  const vaultId = encodeBase64url(runtime.randomBytes(ID_BYTES))
  const connectionId = input.connectionId ?? `con_${encodeBase64url(runtime.randomBytes(ID_BYTES))}`
  const value = connectionRow(input, { vaultId, connectionId, nowMs: runtime.nowMs() })
  const record = vaultRecord(deps, input, vaultId)
  const audit = auditStep(deps, 'connection.active', { userId, detail: connector })
  for (let round = 0; round < ATTEMPTS_MAX; round += 1) {
    const guard = await userGuard(deps, userId)
    const before = await store.get('connection', at)
    const row: Step =
      before === undefined
        ? { verb: 'create', kind: 'connection', key: at, value }
        : { verb: 'put', kind: 'connection', key: at, ifVersion: before.version, value }
    const tokens: Step = { verb: 'create', kind: 'vault', key: key(vaultId), value: record }
    const replaced = before === undefined ? undefined : await replacing(deps, before)
    const also = waiting?.steps ?? []
    const steps = [...guard, ...also, row, tokens, ...(replaced?.steps ?? []), audit]
    const won =
      replaced === undefined
        ? (await store.commit(steps)).won
        : await revokeGrant(store, replaced.mark, steps)
    if (!won && (await waiting?.isOpen()) === false) return undefined
    if (!won) continue
    if (replaced !== undefined) {
      deps.announce(replaced.mark)
      deps.duties.poke()
    }
    deps.changed(userId, connector)
    emit.event({ type: 'connection.active', tenant: TENANT, userId, connector, connectionId })
    return viewOf({ key: at, version: 1, value }, record)
  }
  throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
}

function connectionRow(
  { userId, connector, issuer, resource, clientId, scopes, requestedScopes, account }: ConnectInput,
  made: { readonly vaultId: string; readonly connectionId: string; readonly nowMs: number },
): Values['connection'] {
  return {
    connectionId: made.connectionId,
    userId,
    connector,
    vaultId: made.vaultId,
    issuer,
    resource,
    clientId,
    scopes,
    requestedScopes,
    state: 'active',
    connectedAtMs: Math.trunc(made.nowMs),
    ...(account?.subject === undefined ? {} : { accountSubject: account.subject }),
    ...(account?.label === undefined ? {} : { accountLabel: account.label }),
  }
}

function vaultRecord(
  { vault, runtime }: ConnectionsDeps,
  input: ConnectInput,
  vaultId: string,
): Values['vault'] {
  const { userId, connector, issuer, tokenOrigin, clientId, tokens, scopes, account } = input
  return {
    userId,
    userKey: '',
    provider: providerOfConnector(connector),
    issuer,
    subject: account?.subject ?? '',
    tokenOrigin,
    clientId,
    ...vault.sealTokens(vaultId, tokens),
    ...vault.describeTokens(tokens),
    scopes,
    state: 'active',
    createdAtMs: input.givenAtMs ?? Math.trunc(runtime.nowMs()),
  }
}

/**
 * Writes the person's row, so that a deletion at this moment is lost to us or we to it.
 *
 * @throws {OAuthError} when the person may not have connections any more.
 */
async function userGuard({ store }: ConnectionsDeps, userId: string): Promise<readonly Step[]> {
  if (userId.startsWith(APP_USER_PREFIX)) return []
  const [user] = await store.list('user', TENANT, { name: 'userId', value: userId }, { max: 1 })
  if (user?.value.state !== 'active') {
    throw new OAuthError('access_denied', 'this account has ended', { reason: 'user_ended' })
  }
  const { key: at, version, value } = user
  return [{ verb: 'put', kind: 'user', key: at, ifVersion: version, value }]
}

/** What ends with the connection that is replaced: its tokens here, then at the server. */
async function replacing(
  deps: ConnectionsDeps,
  { value }: Row,
): Promise<{ readonly steps: readonly Step[]; readonly mark: Mark }> {
  const mark = connectionMark(deps.runtime, value.vaultId, 'replaced')
  const entry = await findTokens(deps, value.vaultId)
  if (entry === 'damaged')
    return { mark, steps: [{ verb: 'remove', kind: 'vault', key: key(value.vaultId) }] }
  if (entry === undefined || entry.record.state === 'ended') return { mark, steps: [] }
  return { mark, steps: endSteps(deps, entry, 'replaced', true) }
}

async function endRow(deps: ConnectionsDeps, row: Row, cause: string): Promise<void> {
  const { store, runtime, duties } = deps
  const { vaultId, userId, connector, connectionId } = row.value
  const entry = await findTokens(deps, vaultId)
  if (entry !== undefined && entry !== 'damaged') {
    if ((await duties.endVault(vaultId, cause, { revoke: true })) === 'ended') return
  }
  // No tokens that could be read or revoked: the row ends alone.
  const current = await store.get('connection', row.key)
  if (current?.value.vaultId !== vaultId || current.value.state === 'ended') return
  const mark = connectionMark(runtime, vaultId, cause)
  const steps: Step[] = [
    endConnectionStep(current, cause, runtime.nowMs()),
    ...(entry === 'damaged' ? [{ verb: 'remove', kind: 'vault', key: key(vaultId) } as const] : []),
    auditStep(deps, 'connection.ended', { userId, detail: `${connector}: ${cause}` }),
  ]
  if (!(await revokeGrant(store, mark, steps)))
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
  deps.announce(mark)
  const told = { tenant: TENANT, userId, connector, connectionId, reason: cause }
  deps.emit.event({ type: 'connection.ended', ...told })
}

async function findTokens(
  { vault }: ConnectionsDeps,
  vaultId: string,
): Promise<VaultEntry | 'damaged' | undefined> {
  try {
    return await vault.find(vaultId)
  } catch (error) {
    if (isCorrupt(error)) return 'damaged'
    throw error
  }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'ERR_STORE_CORRUPT'
}

function key(id: string): Key {
  return { tenant: TENANT, id }
}
