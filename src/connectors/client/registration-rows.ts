/**
 * Rows of kind `registration`: our client at one issuer for one connector, secrets sealed to the row.
 * Another issuer is another row, and the one before it is removed in the same commit (CLI-04, O5).
 * Every write is a compare-and-set with its audit row: of two nodes one wins, the other takes its client.
 */
import type { RegisteredClient } from '../../oauth/registration-answer.ts'
import type { Key, Runtime, Step, Store, Versioned } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { registrationOwner } from '../../vault/reseal.ts'
import type { Sealing } from '../../vault/sealing.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { OurClient } from './registration.ts'

type Row = Values['registration']

/** A row, opened. */
export interface Registration {
  readonly row: Row
  readonly version: number
  readonly client: OurClient
  readonly management?: NonNullable<RegisteredClient['management']>
  /** The client before this one, while its secret lives: its refresh tokens work with it alone. */
  readonly previous?: OurClient
}

/** What is registered now. */
export interface NewRegistration {
  readonly how: 'document' | 'dynamic'
  readonly client: RegisteredClient
  readonly redirectUri: string
  readonly replacesRefused: boolean
  readonly previous?: OurClient
}

export interface RegistrationRows {
  load(): Promise<readonly Registration[]>
  find(place: RegistrationPlace): Promise<Registration | undefined>
  /** @returns what stands there afterwards, whoever wrote it; `undefined`: asked too often. */
  write(
    place: RegistrationPlace,
    made: NewRegistration,
    before: Registration | undefined,
  ): Promise<{ readonly won: boolean; readonly registration: Registration | undefined }>
}

export type RegistrationPlace = Pick<Binding, 'issuer'> & {
  readonly connector: Pick<Binding['connector'], 'name'>
}

export interface RegistrationRowsDeps {
  readonly store: Store
  readonly sealing: Sealing
  readonly runtime: Runtime
  /** `client_id` of our document, by connector. */
  readonly documentUrl: (connector: string) => string
  /** Audit row of a registration, in its commit (I12). */
  readonly audit: (detail: string) => Step
}

interface Sealed {
  readonly secret?: string
  readonly managementToken?: string
  readonly previous?: OurClient
}

const ROWS_MAX = 1_000

export function createRegistrationRows(deps: RegistrationRowsDeps): RegistrationRows {
  const { store, runtime } = deps
  const keyOf = ({ issuer, connector }: RegistrationPlace): Key => ({
    tenant: TENANT,
    id: runtime.sha256(JSON.stringify([issuer, connector.name])),
  })
  const find: RegistrationRows['find'] = async (place) => {
    const found = await store.get('registration', keyOf(place))
    return found === undefined ? undefined : open(deps, found)
  }
  return {
    async load() {
      const rows = await store.list('registration', TENANT, undefined, { max: ROWS_MAX })
      const opened = await Promise.all(rows.map((found) => open(deps, found)))
      return opened.filter((entry) => entry !== undefined)
    },
    find,
    async write(place, made, before) {
      const steps = await writeSteps(deps, place, keyOf(place), made, before)
      const won = steps !== undefined && (await store.commit(steps)).won
      return { won, registration: await find(place) }
    },
  }
}

/** `undefined` when what was replaced has been replaced already. */
async function writeSteps(
  deps: RegistrationRowsDeps,
  place: RegistrationPlace,
  key: Key,
  made: NewRegistration,
  before: Registration | undefined,
): Promise<readonly Step[] | undefined> {
  const { name } = place.connector
  const value = sealRow(deps, place, key.id, made)
  const found = await deps.store.get('registration', key)
  // A row that cannot be opened is worth no more than none.
  const stands = found === undefined ? undefined : await open(deps, found)
  if (stands?.version !== before?.version) return undefined
  const others = await deps.store.list(
    'registration',
    TENANT,
    { name: 'name', value: name },
    { max: ROWS_MAX },
  )
  const kind = 'registration'
  return [
    found === undefined
      ? { verb: 'create', kind, key, value }
      : { verb: 'put', kind, key, ifVersion: stands?.version ?? found.version, value },
    ...others
      .filter((other) => other.key.id !== key.id)
      .map((other): Step => ({ verb: 'remove', kind, key: other.key })),
    deps.audit(`${name} ${made.how} at ${new URL(place.issuer).origin}`),
  ]
}

function sealRow(
  { sealing, runtime }: RegistrationRowsDeps,
  { issuer, connector }: RegistrationPlace,
  id: string,
  { client, redirectUri, replacesRefused, previous }: NewRegistration,
): Row {
  const { clientId, authMethod, secret, secretExpiresAtMs, management } = client
  const secrets: Sealed = {
    ...(secret === undefined ? {} : { secret }),
    ...(management === undefined ? {} : { managementToken: management.accessToken }),
    ...(previous === undefined ? {} : { previous }),
  }
  const isEmpty = Object.keys(secrets).length === 0
  return {
    connector: connector.name,
    issuer,
    clientId,
    authMethod,
    redirectUri,
    createdAtMs: runtime.nowMs(),
    ...(isEmpty ? {} : sealing.seal(JSON.stringify(secrets), registrationOwner(id))),
    ...(management === undefined ? {} : { registrationUri: management.uri }),
    ...(secretExpiresAtMs === undefined ? {} : { secretExpiresAtMs }),
    ...(replacesRefused ? { replacesRefused } : {}),
  }
}

/** `undefined`: not sealed for this row by a key that we have. Under an older key: sealed again. */
async function open(
  deps: RegistrationRowsDeps,
  { key, version, value: row }: Versioned<'registration'>,
): Promise<Registration | undefined> {
  const { store, sealing } = deps
  const { sealed, keyId = '' } = row
  if (sealed === undefined) return opened(deps, row, version, {})
  const owner = registrationOwner(key.id)
  const text = sealing.open(sealed, keyId, owner)
  if (text === undefined) return undefined
  // Authenticated by its seal, written by `sealRow`.
  const secrets = JSON.parse(text) as Sealed
  if (keyId === sealing.primaryKeyId) return opened(deps, row, version, secrets)
  // Losing this race is fine: somebody else did it, or will.
  const again = await store.put('registration', key, version, {
    ...row,
    ...sealing.seal(text, owner),
  })
  return opened(deps, row, again.won ? again.version : version, secrets)
}

function opened(
  { documentUrl }: RegistrationRowsDeps,
  row: Row,
  version: number,
  { secret, managementToken, previous }: Sealed,
): Registration {
  const { clientId, authMethod, redirectUri, secretExpiresAtMs, registrationUri } = row
  return {
    row,
    version,
    client: {
      clientId,
      how: clientId === documentUrl(row.connector) ? 'document' : 'dynamic',
      authMethod,
      redirectUri,
      ...(secret === undefined ? {} : { secret }),
      ...(secretExpiresAtMs === undefined ? {} : { expiresAtMs: secretExpiresAtMs }),
    },
    ...(registrationUri === undefined || managementToken === undefined
      ? {}
      : { management: { uri: registrationUri, accessToken: managementToken } }),
    ...(previous === undefined ? {} : { previous }),
  }
}
