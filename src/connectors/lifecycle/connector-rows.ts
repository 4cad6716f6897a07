/**
 * The `connector` rows in memory: what was accepted and what is wrong, shared by all nodes.
 *
 * Written by compare-and-set only, with an audit row in the same commit. What another node writes is
 * known here at once on a bus poke, within `CONNECTOR_POLL_MS` without. Reads never wait.
 */
import { createOnUse } from '../../due.ts'
import { auditStep } from '../../issuer/audit.ts'
import type { IssuerHouse } from '../../issuer/house.ts'
import { key } from '../../issuer/ids.ts'
import type { Bus, EventType, Runtime, Step, Store } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'

export type ConnectorRow = Values['connector']

export interface ConnectorRows {
  load(): Promise<void>
  find(connector: string): ConnectorRow | undefined
  /**
   * Writes what `change` makes of the newest row; `undefined` or the same: nothing is written. Asked
   * again, at most three times, when another node was faster.
   *
   * @returns the row that stands now, and whether this call wrote it.
   */
  change(
    connector: string,
    change: (row: ConnectorRow | undefined) => Changed | undefined,
  ): Promise<{
    readonly row: ConnectorRow | undefined
    readonly before: ConnectorRow | undefined
    readonly written: boolean
  }>
  /** As `start`, where nothing has a timer: who finds a row looks behind, at most every 5 s. */
  follow(onChanged: (connector: string) => void): void
  /** Follows the other nodes. `onChanged` is called after a row of theirs counts here. */
  start(onChanged: (connector: string) => void): Promise<void>
  stop(): void
}

export interface Changed {
  readonly row: ConnectorRow
  /** Audit rows: event and what it is about, in words that name nobody. */
  readonly audit: readonly { readonly event: EventType; readonly detail: string }[]
}

export interface ConnectorRowsDeps extends Pick<IssuerHouse, 'config'> {
  readonly store: Store
  readonly bus: Bus
  readonly runtime: Runtime
}

/** Another node's approval or quarantine counts here after this, without a bus. */
export const CONNECTOR_POLL_MS = 5_000
const TRIES_MAX = 3
const ROWS_MAX = 1_000

export function createConnectorRows(deps: ConnectorRowsDeps): ConnectorRows {
  const { store, bus, runtime } = deps
  const known = new Map<string, { readonly row: ConnectorRow; readonly version: number }>()
  let onChanged: (connector: string) => void = () => undefined
  let unsubscribe = (): void => undefined
  let lookOnUse = (): void => undefined
  let cancel = (): void => undefined

  const remember = (name: string, row: ConnectorRow, version: number): boolean => {
    const before = known.get(name)
    if (before !== undefined && before.version >= version) return false
    known.set(name, { row, version })
    return true
  }
  const load = async (): Promise<readonly string[]> => {
    const rows = await store.list('connector', TENANT, undefined, { max: ROWS_MAX })
    return rows
      .filter(({ key: { id }, value, version }) => remember(id, value, version))
      .map(({ key: { id } }) => id)
  }
  const look = (): Promise<void> =>
    load().then(
      (names) => {
        for (const name of names) onChanged(name)
      },
      // The store is down: the next poll tells. What is known here stays.
      () => undefined,
    )
  const pollBehind = (): void => runtime.waitUntil(look())
  const arm = (): void => {
    cancel = runtime.after(CONNECTOR_POLL_MS, () => {
      pollBehind()
      arm()
    })
  }
  return {
    load: async () => void (await load()),
    find(connector) {
      lookOnUse()
      return known.get(connector)?.row
    },
    async change(connector, change) {
      for (let tries = 0; tries < TRIES_MAX; tries += 1) {
        const current = await store.get('connector', key(connector))
        if (current !== undefined) remember(connector, current.value, current.version)
        const before = current?.value
        const changed = change(before)
        if (changed === undefined || isSame(before, changed.row))
          return { row: before, before, written: false }
        const { won } = await store.commit(stepsOf(deps, connector, current?.version, changed))
        if (!won) continue
        await reread(connector)
        await bus.publish().catch(() => undefined)
        return { row: changed.row, before, written: true }
      }
      const row = known.get(connector)?.row
      return { row, before: row, written: false }
    },
    follow(listener) {
      onChanged = listener
      lookOnUse = createOnUse(runtime, CONNECTOR_POLL_MS, look)
    },
    async start(listener) {
      onChanged = listener
      arm()
      unsubscribe = await bus.subscribe(pollBehind, pollBehind)
    },
    stop() {
      onChanged = () => undefined
      lookOnUse = () => undefined
      cancel()
      unsubscribe()
    },
  }

  async function reread(connector: string): Promise<void> {
    const row = await store.get('connector', key(connector))
    if (row !== undefined) remember(connector, row.value, row.version)
  }
}

function stepsOf(
  deps: ConnectorRowsDeps,
  connector: string,
  ifVersion: number | undefined,
  { row: value, audit }: Changed,
): readonly Step[] {
  const at = { kind: 'connector', key: key(connector), value } as const
  return [
    ifVersion === undefined ? { verb: 'create', ...at } : { verb: 'put', ...at, ifVersion },
    ...audit.map(({ event, detail }) => auditStep(deps, event, { detail, connector })),
  ]
}

/** When it was looked at is no change: a row is written when something is different. */
function isSame(before: ConnectorRow | undefined, after: ConnectorRow): boolean {
  return before !== undefined && substanceOf(before) === substanceOf(after)
}

function substanceOf({ checkedAtMs: _, ...rest }: ConnectorRow): string {
  return JSON.stringify(Object.entries(rest).sort(([left], [right]) => (left < right ? -1 : 1)))
}
