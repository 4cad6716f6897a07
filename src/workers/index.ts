/**
 * Postern on Workers: `createPostern(config, workers(env))` at module scope, which does no I/O, then
 * `postern.fetch(request)` in the handler.
 *
 * D1 is the store, KV a cache, a Durable Object the lock. What is not bound is kept in the isolate's
 * memory, and said once when the house opens. Nothing here may be started before the first request.
 */
import { env, waitUntil } from 'cloudflare:workers'
import { type D1Database, openD1 } from '../adapters/d1.ts'
import { createKvCache, type KvNamespace } from '../adapters/kv.ts'
import { createMemoryBus, createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import {
  createDiscover as createDiscoverOn,
  type DiscoverOptions,
  type PlatformOptions,
} from '../connectors/discovery/discover.ts'
import { ConfigError } from '../errors.ts'
import type { Cache, Platform, Store } from '../ports.ts'
import { readBindings, warnOfMissing } from './bindings.ts'
import { type ConsoleEmit, createConsoleEmit } from './emit.ts'
import { createWorkersFetch, createWorkersSend } from './fetch.ts'
import { createObjectLock } from './lock.ts'
import { createWorkersRuntime } from './runtime.ts'

export { PosternLock } from './lock.ts'

export interface WorkersOptions {
  /** The zone this Worker runs in, such as `example.com`: outbound requests to it are refused. */
  readonly zone?: string
}

export interface WorkersPlatform extends Platform {
  readonly name: 'workers'
  readonly emit: ConsoleEmit
}

const SEALING_KEY_BYTES = 32

/**
 * The platform of one isolate.
 *
 * @param bound The `env` of the Worker. Bindings: `POSTERN_DB` (D1), `POSTERN_KV` (KV), `POSTERN_LOCK` (`PosternLock`), each of them
 *   optional; a warning names what is missing and what that costs. Strings are read as environment
 *   (`POSTERN_SEALING_KEY` and so on). `databaseUrl` of the configuration has no meaning here.
 * @throws {ConfigError} for a binding that is something else.
 */
export function workers(
  bound: Readonly<Record<string, unknown>>,
  options: WorkersOptions = {},
): WorkersPlatform {
  const bindings = readBindings(bound)
  const emit = createConsoleEmit()
  const runtime = createWorkersRuntime({
    waitUntil: keepAlive,
    onRejection: (error) =>
      emit.event({
        type: 'server.failed',
        reason: 'background',
        detail: error instanceof Error ? error.name : 'unknown',
      }),
  })
  const { database, namespace, locks } = bindings
  // One for the isolate: several requests may open the house at the same time.
  let store: Store | undefined
  let isWarned = false
  let developmentKey: Uint8Array | undefined
  const bus = createMemoryBus()
  return {
    name: 'workers',
    runtime,
    emit,
    lock:
      locks === undefined
        ? { ...createMemoryLock(runtime), reach: 'process' }
        : createObjectLock(locks, runtime),
    ...(namespace === undefined ? {} : { cache: createKvCache(namespace, runtime) }),
    environment: stringsOf(bound),
    openFetch: () => ({
      fetch: createWorkersFetch(options),
      send: createWorkersSend(),
      close: async () => undefined,
    }),
    async openStore() {
      if (!isWarned) warnOfMissing(bindings, emit)
      isWarned = true
      if (store === undefined) {
        const opened = await openStore(database, { runtime, emit })
        store ??= opened
      }
      return { store, bus }
    },
    async developmentSealingKey() {
      if (database !== undefined) throw new ConfigError('ERR_CONFIG_SEALING_KEY', ...NO_SEALING_KEY)
      developmentKey ??= runtime.randomBytes(SEALING_KEY_BYTES)
      return developmentKey
    },
  }
}

const NO_SEALING_KEY = [
  'POSTERN_DB is bound, and there is no POSTERN_SEALING_KEY.',
  'Set it with `wrangler secret put POSTERN_SEALING_KEY`, for development in `.dev.vars`: 32 random bytes in base64url.',
] as const

async function openStore(
  database: D1Database | undefined,
  { runtime, emit }: Pick<Platform, 'runtime' | 'emit'>,
): Promise<Store> {
  if (database === undefined) return createMemoryStore()
  const { store } = await openD1({
    database,
    runtime,
    onUnreadable: (kind) => emit.event({ type: 'server.failed', reason: 'row_unreadable', kind }),
  })
  return store
}

/**
 * Workers KV as `cache` of `createDiscover`: what one isolate found, all find, after at most 60 s.
 *
 * @param namespace A binding of type KV. Values are sealed where there is a key to seal with.
 */
export function kvCache(namespace: KvNamespace): Cache {
  return createKvCache(namespace, createWorkersRuntime({ waitUntil: keepAlive }))
}

/**
 * Finds the authorization server of an MCP server, with deadlines, memory, stale serving and breakers.
 * May be called at module scope: nothing is asked before the first call of what it returns.
 *
 * @param options All have defaults; `cache` outlives the isolate. `platform`: `workers(env, { zone })`
 *   where requests to hosts of the own zone are to be refused (NET-07).
 * @returns As `createDiscover` of `postern`.
 */
export function createDiscover(
  options: DiscoverOptions & Partial<PlatformOptions> = {},
): ReturnType<typeof createDiscoverOn> {
  const { POSTERN_SEALING_KEY: sealingKey } = stringsOf(env)
  const platform = workers({})
  return createDiscoverOn({
    platform,
    ...(sealingKey === undefined ? {} : { sealingKey }),
    ...options,
  })
}

/** Work after the answer. Outside of a request there is nothing to keep alive. */
function keepAlive(work: Promise<unknown>): void {
  try {
    waitUntil(work)
  } catch {
    // The work goes on as long as its own request does.
  }
}

function stringsOf(env: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}
