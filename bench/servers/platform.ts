/** The platform of Node with eyes: the store that was opened, its writes counted. */
import { node, type NodePlatform } from '../../src/node/index.ts'
import type { Store } from '../../src/ports.ts'

export interface BenchPlatform extends NodePlatform {
  opened(): Store
  readonly writes: { count: number }
  /** Answers in the place of the store or the signature check while the memory is filled. */
  readonly stand: { grants?: Store['grants']['find']; get?: Store['get']; verify?: boolean }
}

export function benchPlatform(): BenchPlatform {
  const platform = node({ environment: {}, log: { write: () => true } })
  const writes = { count: 0 }
  const stand: BenchPlatform['stand'] = {}
  let opened: Store | undefined
  return {
    ...platform,
    runtime: {
      ...platform.runtime,
      verify: (key, data, signature) => stand.verify === true || platform.runtime.verify(key, data, signature),
    },
    writes,
    stand,
    opened() {
      if (opened === undefined) throw new Error('the store is not open')
      return opened
    },
    async openStore(databaseUrl) {
      const { store, bus } = await platform.openStore(databaseUrl)
      opened = watched(store, writes, stand)
      return { store: opened, bus }
    },
  }
}

/** Calls of the store that may write, since the house was opened. */
export function countedWrites(platform: BenchPlatform): number {
  return platform.writes.count
}

function watched(store: Store, writes: { count: number }, stand: BenchPlatform['stand']): Store {
  const { grants } = store
  const counted = <A extends readonly unknown[], R>(run: (...args: A) => R) => (...args: A): R => {
    writes.count += 1
    return run(...args)
  }
  return {
    ...store,
    get: (kind, key) => (stand.get ?? store.get)(kind, key),
    create: counted(store.create) as Store['create'],
    put: counted(store.put) as Store['put'],
    consume: counted(store.consume) as Store['consume'],
    remove: counted(store.remove),
    commit: counted(store.commit),
    grants: {
      ...grants,
      find: (key) => (stand.grants ?? grants.find)(key),
      redeem: counted(grants.redeem),
      rotate: counted(grants.rotate),
      end: counted(grants.end),
      revoke: counted(grants.revoke),
    },
  }
}
