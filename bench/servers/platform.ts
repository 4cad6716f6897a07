/**
 * The platform of Node with eyes: the store that was opened, its writes counted. While `stand` is
 * set, signatures are taken as good and reads are answered by it (`mint.ts`, to fill the memory).
 */
import { type NodePlatform, node } from '../../src/node/index.ts'
import type { Store } from '../../src/ports.ts'

export interface Stand {
  find: Store['grants']['find']
  get(kind: string): Promise<unknown>
}
export interface BenchPlatform extends NodePlatform {
  opened(): Store
  /** Calls of the store that may write, since the house was opened. */
  writes(): number
  stand: Stand | undefined
  /** Added to the wall clock: for what ends with time. */
  aheadMs: number
}

export function benchPlatform(): BenchPlatform {
  const platform = node({ environment: {}, log: { write: () => true } })
  const { verify } = platform.runtime
  let opened: Store | undefined
  let writes = 0
  const bench: BenchPlatform = {
    ...platform,
    runtime: {
      ...platform.runtime,
      nowMs: () => platform.runtime.nowMs() + bench.aheadMs,
      verify: (key, data, signature) => bench.stand !== undefined || verify(key, data, signature),
    },
    stand: undefined,
    aheadMs: 0,
    writes: () => writes,
    opened() {
      if (opened === undefined) throw new Error('the store is not open')
      return opened
    },
    async openStore(databaseUrl) {
      const { store, bus } = await platform.openStore(databaseUrl)
      opened = watched(store, bench, () => {
        writes += 1
      })
      return { store: opened, bus }
    },
  }
  return bench
}

function watched(store: Store, bench: BenchPlatform, onWrite: () => void): Store {
  const { grants } = store
  const counted =
    <A extends readonly unknown[], R>(run: (...args: A) => R) =>
    (...args: A): R => {
      onWrite()
      return run(...args)
    }
  // The generic methods of the port lose their parameter in `counted` and are given it back.
  return {
    ...store,
    get: ((kind, key) => bench.stand?.get(kind) ?? store.get(kind, key)) as Store['get'],
    create: counted(store.create) as Store['create'],
    put: counted(store.put) as Store['put'],
    consume: counted(store.consume) as Store['consume'],
    remove: counted(store.remove),
    commit: counted(store.commit),
    grants: {
      ...grants,
      find: (key) => bench.stand?.find(key) ?? grants.find(key),
      redeem: counted(grants.redeem),
      rotate: counted(grants.rotate),
      end: counted(grants.end),
      revoke: counted(grants.revoke),
    },
  }
}
