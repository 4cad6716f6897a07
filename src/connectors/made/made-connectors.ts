/**
 * Connectors made by the API: rows of kind `definition`, and the directory that shows them beside the
 * file's. A change is one commit with its audit row and the mark that lets every node read again.
 *
 * A removed connector is gone for everybody at once; its row stays until its tokens are revoked at
 * their server, which takes what the row says of us as a client there.
 */
import { readMadeConnector } from '../../config/made-connector.ts'
import type { Config, ConnectorConfig, ConnectorInput } from '../../config.ts'
import { ConfigError, OAuthError, StoreError } from '../../errors.ts'
import { auditStep } from '../../issuer/audit.ts'
import { type EndingHouse, endByMark } from '../../issuer/endings.ts'
import { announceForget, CONNECTORS, forgetMark } from '../../issuer/forget.ts'
import { key } from '../../issuer/ids.ts'
import { canonicalResource } from '../../oauth/urls.ts'
import type { Step, Versioned } from '../../ports.ts'
import { type ConnectorProblem, TENANT } from '../../records.ts'
import type { Sealing } from '../../vault/sealing.ts'
import { ENDED_KEPT_MS } from '../../vault/vault.ts'
import { type ConnectorDirectory, createDirectory } from '../directory.ts'
import { isOutbound } from '../lifecycle/outbound-connector.ts'
import { type Definition, inputOf, openDefinition, patched, sealDefinition } from './definition.ts'

/** Who asks for a change, and what they last saw. */
export interface ChangeOptions {
  /** Version that `find` told: another one by now is refused with 412. Default: the last write wins. */
  readonly ifVersion?: number
  /** For the audit row: id of an API key. */
  readonly actor?: string
}

/** What is known of one besides what the directory shows. */
export interface MadeFacts {
  readonly version: number
  /** As it was given, without its secrets. */
  readonly input: ConnectorInput
  /** The configuration has changed since, or the sealing key: it is in no list but the administrator's. */
  readonly problem?: ConnectorProblem
}

export interface MadeConnectors extends ConnectorDirectory {
  /** Reads what is stored, after what is being read now. @throws {StoreError} */
  load(): Promise<void>
  facts(name: string): MadeFacts | undefined
  names(): readonly string[]
  /** Gone, but some of their tokens are still to be revoked at their servers. */
  parted(): readonly ConnectorConfig[]
  /**
   * Creates it or takes the place of what it was, secrets included.
   *
   * @throws {ConfigError} with the `field`. @throws {OAuthError} 409 `ERR_CONNECTOR_IN_FILE`, 412
   *   `ERR_CONNECTOR_CHANGED`, 409 `ERR_CONNECTOR_LIMIT`. @throws {StoreError}
   */
  put(name: string, input: unknown, options?: ChangeOptions): Promise<{ readonly created: boolean }>
  /** Changes some fields (RFC 7396). False: there is none. Throws as `put`. */
  update(name: string, patch: unknown, options?: ChangeOptions): Promise<boolean>
  /** Ends its grants and connections with it. False: there is none. Throws as `put`. */
  remove(name: string, options?: ChangeOptions): Promise<boolean>
}

export interface MadeConnectorsDeps {
  /** Of the file. */
  readonly config: Config
  /** What it takes to end things: its `config` shows this directory. */
  readonly house: () => EndingHouse
  readonly sealing: Sealing
  /** Digest of what makes one connector another one (lifecycle/outbound-connector.ts). */
  readonly definitionOf: (connector: ConnectorConfig) => string
}

/** Made by the API, removed ones included: each is held in memory by every node. */
const CONNECTORS_MAX = 1_000
const REGISTRATIONS_MAX = 100
const CAUSE = 'connector_removed'
const CHANGED = 'connector_changed'
/** A removal that meets a look at the connector is tried again. */
const ROUNDS_MAX = 3

interface Known {
  readonly version: number
  readonly row: Definition
  readonly connector?: ConnectorConfig
  readonly problem?: ConnectorProblem
}

export function createMadeConnectors(deps: MadeConnectorsDeps): MadeConnectors {
  return new Made(deps)
}

class Made implements MadeConnectors {
  readonly #deps: MadeConnectorsDeps
  readonly #directory: ReturnType<typeof createDirectory>
  #known: ReadonlyMap<string, Known> = new Map()
  #loading: Promise<void> = Promise.resolve()

  constructor(deps: MadeConnectorsDeps) {
    this.#deps = deps
    this.#directory = createDirectory(deps.config)
  }

  list = (): readonly ConnectorConfig[] => this.#directory.list()
  find = (name: string): ConnectorConfig | undefined => this.#directory.find(name)
  isMade = (name: string): boolean => !this.#isOfFile(name) && this.facts(name) !== undefined
  onChange: ConnectorDirectory['onChange'] = (listener) => this.#directory.onChange(listener)

  names(): readonly string[] {
    return [...this.#known.keys()].filter((name) => this.facts(name) !== undefined).sort()
  }

  facts(name: string): MadeFacts | undefined {
    const known = this.#known.get(name)
    if (known === undefined || known.row.removedAtMs !== undefined || this.#isOfFile(name))
      return undefined
    const { version, row, problem } = known
    return { version, input: inputOf(row), ...(problem === undefined ? {} : { problem }) }
  }

  parted(): readonly ConnectorConfig[] {
    return [...this.#known.values()].flatMap(({ row, connector }) =>
      row.removedAtMs === undefined || connector === undefined ? [] : [connector],
    )
  }

  load(): Promise<void> {
    const { runtime } = this.#deps.house()
    if (!runtime.sharesPromises) return this.#read()
    const reading = this.#loading.catch(() => undefined).then(() => this.#read())
    this.#loading = reading
    return reading
  }

  async put(
    name: string,
    input: unknown,
    options: ChangeOptions = {},
  ): Promise<{ readonly created: boolean }> {
    const row = await this.#row(name, options)
    await this.#write(name, row, input, options)
    return { created: row === undefined || row.value.removedAtMs !== undefined }
  }

  async update(name: string, patch: unknown, options: ChangeOptions = {}): Promise<boolean> {
    const row = await this.#row(name, options)
    if (row === undefined || row.value.removedAtMs !== undefined) return false
    if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
      throw new ConfigError('ERR_CONFIG_VALUE', 'a change is an object.', 'Send an object.')
    const before = openDefinition(this.#deps.sealing, name, row.value) ?? inputOf(row.value)
    await this.#write(name, row, patched(before, { ...patch }), options)
    return true
  }

  async remove(name: string, options: ChangeOptions = {}): Promise<boolean> {
    for (let round = 1; ; round += 1) {
      try {
        return await this.#removeOnce(name, options)
      } catch (error) {
        // What was found at its servers was written down in between.
        const isLost = error instanceof StoreError && error.certainty === 'not-applied'
        if (!isLost || round >= ROUNDS_MAX) throw error
      }
    }
  }

  async #removeOnce(name: string, options: ChangeOptions): Promise<boolean> {
    const house = this.#deps.house()
    const row = await this.#row(name, options)
    if (row === undefined || row.value.removedAtMs !== undefined) return false
    const removedAtMs = Math.trunc(house.runtime.nowMs())
    const value = { ...row.value, removedAtMs, expiresAtMs: removedAtMs + ENDED_KEPT_MS }
    const { actor } = options
    const audit = auditStep(house, 'connector.removed', {
      connector: name,
      ...(actor === undefined ? {} : { actor }),
    })
    const put: Step = {
      verb: 'put',
      kind: 'definition',
      key: row.key,
      ifVersion: row.version,
      value,
    }
    const resource = `${this.#deps.config.issuer}${pathOf(name, inputOf(row.value))}`
    const thing = thingOf({ resource })
    const forget = forgetMark(house, CONNECTORS)
    const rows = await this.#leaving(name, value.expiresAtMs)
    await this.#orChanged(name, row.version, () =>
      endByMark(house, thing, CAUSE, [put, ...rows, audit], [forget]),
    )
    await this.load()
    return true
  }

  /** @throws {OAuthError} for one of the file, and for another version than the caller has seen. */
  async #row(
    name: string,
    { ifVersion }: ChangeOptions,
  ): Promise<Versioned<'definition'> | undefined> {
    if (this.#isOfFile(name)) {
      throw new OAuthError('invalid_request', `connector ${name} is in the configuration file`, {
        status: 409,
        code: 'ERR_CONNECTOR_IN_FILE',
      })
    }
    const row = await this.#deps.house().store.get('definition', key(name))
    const version = row?.value.removedAtMs === undefined ? row?.version : undefined
    if (ifVersion !== undefined && ifVersion !== version) throw changed(name)
    return row
  }

  async #write(
    name: string,
    row: Versioned<'definition'> | undefined,
    input: unknown,
    { actor }: ChangeOptions,
  ): Promise<void> {
    const { config, sealing, definitionOf } = this.#deps
    const house = this.#deps.house()
    // What other nodes have made by now counts for overlaps and for the limit.
    await this.load()
    const others = this.list().filter((other) => other.name !== name)
    const connector = readMadeConnector(name, input, config, others)
    const before = row?.value.removedAtMs === undefined ? row?.value : undefined
    if (row === undefined && this.#known.size >= CONNECTORS_MAX) throw full()
    if (before !== undefined && pathOf(name, inputOf(before)) !== connector.path) throw moved(name)
    const nowMs = Math.trunc(house.runtime.nowMs())
    const known = before === undefined ? undefined : this.find(name)
    const isWider = before !== undefined && tellsMore(connector, known)
    const createdAtMs = before?.createdAtMs ?? nowMs
    const isAnother =
      known === undefined ||
      definitionOf(known) !== definitionOf({ ...connector, madeAtMs: createdAtMs })
    const value: Definition = {
      connector: name,
      // What passed the reader has the shape of its input.
      ...sealDefinition(sealing, name, input as ConnectorInput),
      ...{ createdAtMs, changedAtMs: nowMs },
      definedAtMs: isAnother ? nowMs : (before?.definedAtMs ?? createdAtMs),
      releasedAtMs: isWider ? nowMs : (before?.releasedAtMs ?? createdAtMs),
    }
    const at = { kind: 'definition', key: key(name), value } as const
    const steps: Step[] = [
      row === undefined
        ? { verb: 'create', ...at }
        : { verb: 'put', ...at, ifVersion: row.version },
      ...(isAnother ? await this.#clearing(name) : []),
      auditStep(house, before === undefined ? 'connector.created' : 'connector.changed', {
        connector: name,
        ...(actor === undefined ? {} : { actor }),
      }),
    ]
    await this.#orChanged(name, row?.version, () =>
      isWider
        ? endByMark(house, thingOf(connector), CHANGED, steps, [forgetMark(house, CONNECTORS)])
        : announceForget(house, CONNECTORS, steps),
    )
    await this.load()
    // One with an authorization server is told when that has been looked at.
    if (before === undefined && !isOutbound(connector))
      house.emit.event({ type: 'connector.created', tenant: TENANT, connector: name })
  }

  /** What was accepted and our client there go with the row, once nothing is left to revoke. */
  async #leaving(name: string, expiresAtMs: number): Promise<readonly Step[]> {
    const accepted = await this.#deps.house().store.get('connector', key(name))
    const clients = await this.#clients(name)
    return [
      ...(accepted === undefined ? [] : [leaving('connector', accepted, expiresAtMs)]),
      ...clients.map((client) => leaving('registration', client, expiresAtMs)),
    ]
  }

  /** A commit that was lost, while the store is well: somebody else's change came in between. */
  async #orChanged(
    name: string,
    version: number | undefined,
    commit: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await commit()
    } catch (error) {
      if (!(error instanceof StoreError) || error.certainty !== 'not-applied') throw error
      const now = await this.#deps.house().store.get('definition', key(name))
      throw now?.version === version ? error : changed(name, error)
    }
  }

  /** Our client is one of another definition: not used again (O5). */
  async #clearing(name: string): Promise<readonly Step[]> {
    const clients = await this.#clients(name)
    return clients.map(({ key: at }): Step => ({ verb: 'remove', kind: 'registration', key: at }))
  }

  /** Ours at its authorization servers. */
  #clients(name: string): Promise<readonly Versioned<'registration'>[]> {
    const index = { name: 'name', value: name }
    const { store } = this.#deps.house()
    return store.list('registration', TENANT, index, { max: REGISTRATIONS_MAX })
  }

  async #read(): Promise<void> {
    const { store } = this.#deps.house()
    const rows = await store.list('definition', TENANT, undefined, { max: CONNECTORS_MAX })
    const known = new Map<string, Known>()
    const shown: ConnectorConfig[] = this.#deps.config.connectors.slice()
    for (const { key: at, version, value } of rows) {
      const before = this.#known.get(at.id)
      const isSame = before?.version === version && before.problem === undefined
      const entry = isSame ? before : this.#parse(at.id, version, value, shown)
      known.set(at.id, entry)
      if (entry.connector !== undefined && value.removedAtMs === undefined)
        shown.push(entry.connector)
    }
    this.#known = known
    this.#directory.fill(shown.filter(({ made }) => made === true))
  }

  /** The file may have changed since it was made: what does not fit any more is shown to nobody. */
  #parse(
    name: string,
    version: number,
    row: Definition,
    others: readonly ConnectorConfig[],
  ): Known {
    const { config, sealing } = this.#deps
    const input = openDefinition(sealing, name, row)
    try {
      if (input === undefined) throw unreadable(name)
      const taken = row.removedAtMs === undefined ? others : []
      const connector = readMadeConnector(name, input, config, taken)
      return { version, row, connector: { ...connector, ...timesOf(row) } }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      const problem = {
        party: 'here',
        code: error.code,
        text: error.problem,
        requirement: 'O6',
      } as const
      return { version, row, problem }
    }
  }

  #isOfFile(name: string): boolean {
    return this.#deps.config.connectors.some((connector) => connector.name === name)
  }
}

function leaving<K extends 'connector' | 'registration'>(
  kind: K,
  { key: at, version, value }: Versioned<K>,
  expiresAtMs: number,
): Step {
  // One kind at a time, so that its value is its own.
  return {
    verb: 'put',
    kind,
    key: at,
    ifVersion: version,
    value: { ...value, expiresAtMs },
  } as Step
}

/**
 * Another server is told who our people are, or more of them is told: nobody has allowed that (A2, O5).
 *
 * @param before `undefined`: it could not be read.
 */
function tellsMore(next: ConnectorConfig, before: ConnectorConfig | undefined): boolean {
  if (next.auth !== 'identity') return false
  if (before?.auth !== 'identity' || before.url.href !== next.url.href) return true
  return next.claims.some((claim) => !before.claims.includes(claim))
}

type Times = Pick<ConnectorConfig, 'madeAtMs' | 'definedAtMs' | 'releasedAtMs'>

function timesOf({ createdAtMs: madeAtMs, definedAtMs, releasedAtMs }: Definition): Times {
  return {
    madeAtMs,
    definedAtMs: definedAtMs ?? madeAtMs,
    releasedAtMs: releasedAtMs ?? madeAtMs,
  }
}

function thingOf({ resource }: Pick<ConnectorConfig, 'resource'>) {
  return { kind: 'connector', id: canonicalResource(resource) ?? resource } as const
}

function pathOf(name: string, { path }: ConnectorInput): string {
  return path ?? `/mcp/${name}`
}

function changed(name: string, cause?: unknown): OAuthError {
  return new OAuthError('invalid_request', `connector ${name} has changed in between`, {
    status: 412,
    code: 'ERR_CONNECTOR_CHANGED',
    cause,
  })
}

function full(): OAuthError {
  return new OAuthError('invalid_request', `there are ${CONNECTORS_MAX} connectors already`, {
    status: 409,
    code: 'ERR_CONNECTOR_LIMIT',
  })
}

/** Its tokens are for the resource that the path is part of. */
function moved(name: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_VALUE',
    `connectors.${name}.path must be what it was.`,
    'Remove the connector and make it anew.',
    `connectors.${name}.path`,
  )
}

function unreadable(name: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_SEALING_KEY',
    `the secrets of connector ${name} were sealed with another key, or changed.`,
    'Give them again, or set the sealing key they were made with.',
  )
}
