/**
 * `node()`: what `createPostern` runs on in one process on Node. Nothing is opened, and `undici` not
 * even loaded, before something needs it.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createMemoryBus, createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import { openSqlite } from '../adapters/sqlite.ts'
import { ConfigError, placeOf } from '../errors.ts'
import type { Platform } from '../ports.ts'
import { createNodeEmit, type NodeEmit } from './emit.ts'
import { createNodeFetch } from './fetch.ts'
import { createNodeRuntime, type NodeRuntime } from './runtime.ts'
import { createSend } from './send.ts'

export interface NodeOptions {
  /** Default: `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Where log lines go. Default: standard output. */
  readonly log?: { write(line: string): unknown; isTTY?: boolean }
}

export interface NodePlatform extends Platform {
  readonly name: 'node'
  readonly runtime: NodeRuntime
  readonly emit: NodeEmit
}

const SEALING_KEY_BYTES = 32
const SEALING_KEY_FILE = 'sealing-key'

/** The platform of one process on Node 24 or newer. Opens nothing until the house is started. */
export function node(options: NodeOptions = {}): NodePlatform {
  const emit = createNodeEmit(options.log)
  const runtime = createNodeRuntime({
    onRejection: (error) =>
      emit.event({
        type: 'server.failed',
        reason: 'background',
        place: placeOf(error),
      }),
  })
  return {
    name: 'node',
    runtime,
    emit,
    lock: { ...createMemoryLock(runtime), reach: 'process' },
    environment: options.environment ?? process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    openFetch(settings) {
      const guarded = createNodeFetch(settings)
      const proxied = createSend()
      return {
        fetch: guarded.fetch,
        send: proxied.send,
        close: async () => void (await Promise.all([guarded.close(), proxied.close()])),
      }
    },
    async openStore(databaseUrl) {
      if (databaseUrl === 'memory:') {
        return { store: createMemoryStore(), bus: createMemoryBus() }
      }
      return openSqlite({
        path: sqlitePath(databaseUrl),
        runtime,
        onUnreadable: (kind) =>
          emit.event({ type: 'server.failed', reason: 'row_unreadable', kind }),
      })
    },
    async developmentSealingKey(databaseUrl) {
      if (databaseUrl === 'memory:') return new Uint8Array(randomBytes(SEALING_KEY_BYTES))
      return developmentKey(join(dirname(sqlitePath(databaseUrl)), SEALING_KEY_FILE))
    },
  }
}

function sqlitePath(databaseUrl: string): string {
  return databaseUrl.slice('sqlite:'.length)
}

function developmentKey(path: string): Uint8Array {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  try {
    // The first process makes it; a second one reads what the first wrote.
    writeFileSync(path, randomBytes(SEALING_KEY_BYTES).toString('base64url'), {
      mode: 0o600,
      flag: 'wx',
    })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64url')
  if (key.length === SEALING_KEY_BYTES) return new Uint8Array(key)
  throw new ConfigError(
    'ERR_CONFIG_SEALING_KEY',
    `${path} does not hold 32 bytes in base64url.`,
    'Restore it: without this key the sign-ins in the database cannot be opened.',
  )
}
