/**
 * The adapters for Workers behind one door each, so that the contract suites run against them from
 * outside: every call is a request of its own, as it is on the platform. The clock of the lock can be
 * moved.
 */
import { env } from 'cloudflare:workers'
import { type D1Database, openD1 } from '../../src/adapters/d1.ts'
import { createKvCache, type KvNamespace } from '../../src/adapters/kv.ts'
import { isPosternError } from '../../src/errors.ts'
import type { Lease, Store } from '../../src/ports.ts'
import {
  createObjectLock,
  type LockNamespace,
  PosternLock as RealLock,
} from '../../src/workers/lock.ts'
import { createWorkersRuntime } from '../../src/workers/runtime.ts'
import { decode, encode } from './calls.ts'

const bindings = env as unknown as {
  readonly POSTERN_DB: D1Database
  readonly POSTERN_KV: KvNamespace
  readonly POSTERN_LOCK: LockNamespace
}
let aheadMs = 0

export class PosternLock extends RealLock {
  protected override nowMs(): number {
    return super.nowMs() + aheadMs
  }
}

const platform = createWorkersRuntime({ waitUntil: () => undefined })
const runtime = { ...platform, monotonicMs: () => platform.monotonicMs() + aheadMs }
const lock = createObjectLock(bindings.POSTERN_LOCK, runtime)
const cache = createKvCache(bindings.POSTERN_KV, runtime)
const leases = new Map<string, Lease>()
let store: Store | undefined

async function openStore(): Promise<Store> {
  const opened = await openD1({ database: bindings.POSTERN_DB, runtime })
  store ??= opened.store
  return store
}

/** Everything gone, as before the first migration. */
async function empty(): Promise<void> {
  const { results } = await bindings.POSTERN_DB.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%'",
  ).all()
  const names = (results as { name: string }[]).map(({ name }) => name)
  if (names.length > 0)
    await bindings.POSTERN_DB.batch(
      names.map((name) => bindings.POSTERN_DB.prepare(`DROP TABLE ${name}`)),
    )
  store = undefined
}

type Verb = (...args: never[]) => unknown

async function takeLease(...args: Parameters<typeof lock.acquire>): Promise<unknown> {
  const taken = await lock.acquire(...args)
  if (taken.state !== 'acquired') return taken
  const id = String(leases.size)
  leases.set(id, taken.lease)
  return { state: 'acquired', id, fence: taken.lease.fence }
}

const DOORS: Readonly<Record<string, Verb>> = {
  empty,
  reopen: async () => {
    store = undefined
    await openStore()
  },
  open: async () => void (await openD1({ database: bindings.POSTERN_DB, runtime })),
  run: async (sql: string) => (await bindings.POSTERN_DB.prepare(sql).all()).results,
  exec: async (statements: string[]) => {
    await bindings.POSTERN_DB.batch(statements.map((sql) => bindings.POSTERN_DB.prepare(sql)))
  },
  ahead: (byMs: number) => {
    aheadMs += byMs
  },
  'lock.acquire': takeLease,
  'lock.wait': (key: string, waitMs: number) => lock.wait?.(key, waitMs),
  'lease.renew': (id: string, leaseMs: number) => leases.get(id)?.renew(leaseMs),
  'lease.release': (id: string) => leases.get(id)?.release(),
  'lease.remainingMs': (id: string) => leases.get(id)?.remainingMs(),
  'cache.get': (key: string) => cache.get(key),
  'cache.set': (key: string, value: string, ttl: number) => cache.set(key, value, ttl),
  'cache.delete': (key: string) => cache.delete(key),
}

async function call(name: string, args: never[]): Promise<unknown> {
  const door = DOORS[name]
  if (door !== undefined) return door(...args)
  const [room = '', verb = ''] = name.split('.')
  const opened = store ?? (await openStore())
  const target = room === 'grants' ? opened.grants : opened
  return (Reflect.get(target, verb) as Verb).apply(target, args)
}

export default {
  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).pathname.slice(1)
    try {
      return new Response(
        encode({ value: await call(name, decode(await request.text()) as never) }),
      )
    } catch (error) {
      const code = isPosternError(error) && 'code' in error ? error.code : undefined
      const certainty = error instanceof Error ? Reflect.get(error, 'certainty') : undefined
      const kind = error instanceof Error ? error.name : 'unknown'
      const text = error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : ''
      return new Response(encode({ kind, code, certainty, text }), { status: 500 })
    }
  },
}
