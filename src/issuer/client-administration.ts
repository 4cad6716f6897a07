/**
 * Clients as an operator sees them: those of the configuration file, those that registered themselves, and
 * those made here. A made one stays until it is removed; its secret is told once.
 */
import { judgeRegistration } from '../oauth/registration.ts'
import type { Step, Versioned } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { auditStep } from './audit.ts'
import { type EndingHouse, endByMark } from './endings.ts'
import { report } from './house.ts'
import { createId, createSecret, key } from './ids.ts'

export interface ClientView {
  readonly id: string
  readonly name?: string
  readonly redirectUris: readonly string[]
  readonly authMethod: string
  /** `file`: read-only. `registered`: by itself. `operator`: made here. */
  readonly source: 'file' | 'registered' | 'operator'
  readonly createdAtMs?: number
  readonly usedAtMs?: number
  readonly expiresAtMs?: number
  /** Of its row; absent of one of the file. */
  readonly version?: number
}

export interface NewClient {
  readonly name: string
  readonly redirectUris: readonly string[]
  /** With a secret. Default false: a public client, which PKCE protects. */
  readonly confidential?: boolean | undefined
}

export type ChangedClient =
  | { readonly outcome: 'changed'; readonly client: ClientView }
  | { readonly outcome: 'unknown' | 'in_file' | 'version' }

export interface ClientAdministration {
  /** Those of the file first, on the first page. Fewer than `max` rows is the end. */
  list(page: {
    readonly after?: string
    readonly max: number
  }): Promise<{ readonly data: readonly ClientView[]; readonly next?: string }>
  find(id: string): Promise<ClientView | undefined>
  /** @throws {OAuthError} for a redirect URI or name that may not be registered. */
  create(
    input: NewClient,
    actor: string,
  ): Promise<{ readonly client: ClientView; readonly secret?: string }>
  /** @throws {OAuthError} as `create`. */
  change(
    id: string,
    change: {
      readonly name?: string | undefined
      readonly redirectUris?: readonly string[] | undefined
    },
    by: { readonly actor: string; readonly ifVersion?: number | undefined },
  ): Promise<ChangedClient>
  /** Its grants end with it. */
  remove(id: string, actor: string): Promise<'removed' | 'unknown' | 'in_file'>
}

/** As good as for ever: what an operator made is theirs to end. */
const MADE_LIFE_MS = 100 * 365 * 86_400_000
const CAUSE = 'client_removed_by_operator'

export function createClientAdministration(house: EndingHouse): ClientAdministration {
  const { store, config, runtime } = house
  const inFile = (): readonly ClientView[] => config.clients.map(fileView)
  const findRow = async (id: string): Promise<Versioned<'client'> | undefined> => {
    const row = await store.get('client', key(id))
    return row === undefined || row.value.expiresAtMs <= runtime.nowMs() ? undefined : row
  }
  return {
    async list({ after, max }) {
      const rows = await store.list('client', TENANT, undefined, {
        max,
        ...(after === undefined ? {} : { after }),
      })
      const living = rows.filter(({ value }) => value.expiresAtMs > runtime.nowMs()).map(rowView)
      const next = rows.length < max ? undefined : rows.at(-1)?.key.id
      const data = after === undefined ? [...inFile(), ...living] : living
      return { data, ...(next === undefined ? {} : { next }) }
    },
    async find(id) {
      const row = await findRow(id)
      return inFile().find((client) => client.id === id) ?? (row && rowView(row))
    },
    create: (input, actor) => create(house, input, actor),
    async change(id, change, { actor, ifVersion }) {
      if (inFile().some((client) => client.id === id)) return { outcome: 'in_file' }
      const row = await findRow(id)
      if (row === undefined) return { outcome: 'unknown' }
      if (ifVersion !== undefined && ifVersion !== row.version) return { outcome: 'version' }
      const value: Values['client'] = {
        ...row.value,
        ...judged(house, { ...row.value, ...change }),
      }
      const facts = { actor, clientId: id, detail: 'updated' }
      const { won } = await store.commit([
        { verb: 'put', kind: 'client', key: row.key, ifVersion: row.version, value },
        auditStep(house, 'client.registered', facts),
      ])
      if (!won) return { outcome: 'version' }
      report(house, { type: 'client.registered', reason: 'updated', clientId: id })
      return { outcome: 'changed', client: rowView({ ...row, version: row.version + 1, value }) }
    },
    async remove(id, actor) {
      if (inFile().some((client) => client.id === id)) return 'in_file'
      const row = await findRow(id)
      if (row === undefined) return 'unknown'
      const steps: Step[] = [
        { verb: 'remove', kind: 'client', key: row.key },
        auditStep(house, 'client.ended', { actor, clientId: id, detail: CAUSE }),
      ]
      await endByMark(house, { kind: 'client', id }, CAUSE, steps)
      report(house, { type: 'client.ended', reason: CAUSE, clientId: id })
      return 'removed'
    },
  }
}

async function create(
  house: EndingHouse,
  { name, redirectUris, confidential = false }: NewClient,
  actor: string,
): ReturnType<ClientAdministration['create']> {
  const { store, runtime } = house
  const nowMs = Math.trunc(runtime.nowMs())
  const id = createId(runtime, 'cli')
  const secret = confidential ? createSecret(runtime) : undefined
  const authMethod = confidential ? 'client_secret_basic' : 'none'
  const value: Values['client'] = {
    ...judged(house, { name, redirectUris, authMethod }),
    authMethod,
    ...(secret === undefined ? {} : { secretDigest: runtime.sha256(secret) }),
    createdAtMs: nowMs,
    // Not one of those that make room for others.
    usedAtMs: nowMs,
    expiresAtMs: nowMs + MADE_LIFE_MS,
  }
  await store.commit([
    { verb: 'create', kind: 'client', key: key(id), value },
    auditStep(house, 'client.registered', { actor, clientId: id, detail: 'made by an operator' }),
  ])
  report(house, { type: 'client.registered', reason: 'made_by_operator', clientId: id })
  const client = rowView({ key: key(id), version: 1, value })
  return { client, ...(secret === undefined ? {} : { secret }) }
}

type Chosen = Pick<Values['client'], 'name' | 'redirectUris' | 'authMethod'>

/** By the rules that hold for everybody who registers; an operator is not phished less. */
function judged({ config }: EndingHouse, { name, redirectUris, authMethod }: Chosen) {
  const document = { client_name: name, redirect_uris: redirectUris }
  const { redirectHosts } = config.registration
  const told = judgeRegistration(document, { redirectHosts })
  const { grantTypes, applicationType } = told
  return {
    ...(told.name === undefined ? {} : { name: told.name }),
    ...{ redirectUris: told.redirectUris, grantTypes, applicationType, authMethod },
  }
}

function rowView({ key: at, version, value }: Versioned<'client'>): ClientView {
  const { name, redirectUris, authMethod, createdAtMs, usedAtMs, expiresAtMs } = value
  const isMade = value.registrationTokenDigest === undefined
  const times = isMade
    ? { createdAtMs }
    : { createdAtMs, expiresAtMs, ...(usedAtMs === undefined ? {} : { usedAtMs }) }
  return {
    id: at.id,
    ...(name === undefined ? {} : { name }),
    ...{ redirectUris, authMethod, version, ...times },
    source: isMade ? 'operator' : 'registered',
  }
}

function fileView(entry: EndingHouse['config']['clients'][number]): ClientView {
  const { clientId: id, name, redirectUris, secret, jwks, jwksUri } = entry
  const hasKeys = jwks !== undefined || jwksUri !== undefined
  const withSecret = secret === undefined ? 'none' : 'client_secret_basic'
  return {
    id,
    ...(name === undefined ? {} : { name }),
    redirectUris,
    authMethod: hasKeys ? 'private_key_jwt' : withSecret,
    source: 'file',
  }
}
