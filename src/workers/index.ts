/**
 * Postern on Workers: `createPostern(config, workers(env))` at module scope, which does no I/O, then
 * `postern.fetch(request)` in the handler.
 *
 * Without a database binding everything is kept in the isolate's memory: enough to try it, and said
 * once when the house opens. Nothing here may be started before the first request.
 */
import { waitUntil } from 'cloudflare:workers'
import { createMemoryBus, createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import {
  createDiscover as createDiscoverOn,
  type DiscoverOptions,
  type PlatformOptions,
} from '../connectors/discovery/discover.ts'
import { ConfigError } from '../errors.ts'
import type { Platform, Store } from '../ports.ts'
import { type ConsoleEmit, createConsoleEmit } from './emit.ts'
import { createWorkersFetch, createWorkersSend } from './fetch.ts'
import { createWorkersRuntime } from './runtime.ts'

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
 * @param env Bindings: strings are read as environment (`POSTERN_SEALING_KEY` and so on).
 * @throws {ConfigError} for a binding that this version cannot use.
 */
export function workers(
  env: Readonly<Record<string, unknown>>,
  options: WorkersOptions = {},
): WorkersPlatform {
  refuseDatabase(env)
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
  // One for the isolate: several requests may open the house at the same time.
  let store: Store | undefined
  let developmentKey: Uint8Array | undefined
  const bus = createMemoryBus()
  return {
    name: 'workers',
    runtime,
    emit,
    lock: createMemoryLock(runtime),
    environment: stringsOf(env),
    openFetch: () => ({
      fetch: createWorkersFetch(options),
      send: createWorkersSend(),
      close: async () => undefined,
    }),
    async openStore() {
      if (store === undefined) {
        store = createMemoryStore()
        emit.event({ type: 'server.warning', level: 'warn', reason: 'memory_store' })
      }
      return { store, bus }
    },
    async developmentSealingKey() {
      developmentKey ??= runtime.randomBytes(SEALING_KEY_BYTES)
      return developmentKey
    },
  }
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
  return createDiscoverOn({ platform: workers({}), ...options })
}

/** Work after the answer. Outside of a request there is nothing to keep alive. */
function keepAlive(work: Promise<unknown>): void {
  try {
    waitUntil(work)
  } catch {
    // The work goes on as long as its own request does.
  }
}

function refuseDatabase(env: Readonly<Record<string, unknown>>): void {
  if (env.POSTERN_DB === undefined) return
  throw new ConfigError(
    'ERR_CONFIG_DATABASE',
    'POSTERN_DB is bound, and this version keeps nothing in D1.',
    'Remove the binding: everything is then kept in memory, for trying it only.',
  )
}

function stringsOf(env: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}
