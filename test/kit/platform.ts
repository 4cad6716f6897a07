/**
 * The Node platform as a test sees it: every event kept, every store write counted by its verb, and a
 * way to wait until nothing of Postern's own input and output is under way. Real sockets, real
 * SQLite; with a test runtime the clocks and timers are the test's.
 */
// The house loads it at the first ID token; `settle` does not see an import under way.
import 'jose'
import { createMemoryLock } from '../../src/adapters/memory.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { type NodePlatform, node } from '../../src/node/index.ts'
import type { Fetch, Platform, PosternEvent, Store } from '../../src/ports.ts'
import type { TestRuntime } from './runtime.ts'

const WRITES = ['create', 'put', 'consume', 'remove', 'commit', 'redeem', 'rotate', 'end', 'revoke']
/** Turns of the event loop without anything under way. */
const QUIET_TURNS = 6
/** As many for exchanges that the other side holds open: they have arrived by then. */
const HANGING_TURNS = 40
/** A few seconds: what a slow server of others may take. */
const TURNS_MAX = 2_000_000

export type SeenEvent = PosternEvent & { readonly atMs: number }

export interface WatchedPlatform extends Platform {
  readonly emit: NodePlatform['emit']
  readonly events: readonly SeenEvent[]
  readonly writes: Readonly<Record<string, number>>
  /** Until nothing is under way, exchanges that hang aside. */
  settle(isHanging: () => boolean): Promise<void>
}

/** @param log Where its log lines go; default nowhere. */
export function createWatchedPlatform(
  fake: TestRuntime | undefined,
  log: { write(line: string): unknown } = { write: () => true },
): WatchedPlatform {
  const real = node({ environment: {}, log })
  const runtime = fake ?? real.runtime
  const events: SeenEvent[] = []
  const writes: Record<string, number> = {}
  const under = { exchanges: 0, store: 0 }
  return {
    ...real,
    name: 'test',
    runtime,
    lock: createMemoryLock(runtime),
    events,
    writes,
    emit: {
      ...real.emit,
      event(event) {
        events.push({ ...event, atMs: runtime.monotonicMs() })
        real.emit.event(event)
      },
    },
    openFetch(settings) {
      const opened = real.openFetch(settings)
      return { ...opened, fetch: watchFetch(opened.fetch, under) }
    },
    async openStore(databaseUrl) {
      if (!databaseUrl.startsWith('sqlite:')) return real.openStore(databaseUrl)
      const { store, bus } = await openSqlite({
        path: databaseUrl.replace(/^sqlite:/, ''),
        runtime,
        onUnreadable: (kind) =>
          events.push({
            type: 'server.failed',
            reason: 'row_unreadable',
            kind,
            atMs: runtime.monotonicMs(),
          }),
      })
      return { store: watchStore(store, under, writes), bus }
    },
    async settle(isHanging) {
      let quiet = 0
      for (let turn = 0; turn < TURNS_MAX; turn++) {
        await new Promise<void>((resolve) => setImmediate(resolve))
        const waits = under.store > 0 || (under.exchanges > 0 && !isHanging())
        quiet = waits ? 0 : quiet + 1
        if (quiet >= (under.exchanges > 0 ? HANGING_TURNS : QUIET_TURNS)) return
      }
      throw new Error('the house did not come to rest')
    },
  }
}

/** Under way until the last byte of the answer was read, or nobody wants it any more. */
function watchFetch(fetch: Fetch, under: { exchanges: number }): Fetch {
  return async (request) => {
    under.exchanges++
    let isOver = false
    const over = (): void => {
      if (!isOver) under.exchanges--
      isOver = true
    }
    request.signal.addEventListener('abort', over, { once: true })
    try {
      const answer = await fetch(request)
      if (answer.body === null) {
        over()
        return answer
      }
      return { ...answer, body: answer.body.pipeThrough(new TransformStream({ flush: over })) }
    } catch (error) {
      over()
      throw error
    }
  }
}

function watchStore<T extends object>(
  target: T,
  under: { store: number },
  writes: Record<string, number>,
): T {
  return new Proxy(target, {
    get(object, name, receiver) {
      const value: unknown = Reflect.get(object, name, receiver)
      if (name === 'grants') return watchStore(value as Store['grants'], under, writes)
      if (typeof value !== 'function' || name === 'close') return value
      return async (...parameters: unknown[]) => {
        const verb = String(name)
        if (WRITES.includes(verb)) writes[verb] = (writes[verb] ?? 0) + 1
        under.store++
        try {
          return (await value.apply(object, parameters)) as unknown
        } finally {
          under.store--
        }
      }
    },
  })
}
