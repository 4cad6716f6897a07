/** The ports of a Worker as they are called from a test: each call is one request to it. */
import { StoreError } from '../../src/errors.ts'
import type { Cache, GrantStore, Store } from '../../src/ports.ts'
import type { AnyLease, AnyLock } from '../contract/locks.ts'
import { decode, encode } from './calls.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

export type Call = <T>(name: string, ...args: unknown[]) => Promise<T>

export interface AdaptersWorker {
  readonly worker: RunningWorker
  readonly call: Call
  readonly store: Store
  readonly lock: RemoteLock
  readonly cache: Cache
}

export async function startAdapters(): Promise<AdaptersWorker> {
  const worker = await startWorker({
    entry: new URL('adapters.worker.ts', import.meta.url),
    options: {
      d1Databases: { POSTERN_DB: 'postern' },
      kvNamespaces: { POSTERN_KV: 'postern' },
      durableObjects: { POSTERN_LOCK: 'PosternLock' },
    },
  })
  const call: Call = async <T>(name: string, ...args: unknown[]) => {
    const answer = await fetch(`${worker.url}/${name}`, { method: 'POST', body: encode(args) })
    const body = decode(await answer.text()) as Answer
    if (answer.status === 200) return body.value as T
    if (body.certainty !== undefined)
      throw new StoreError(body.code as StoreError['code'], body.certainty, body.text)
    const error = body.kind === 'TypeError' ? new TypeError(body.text) : new Error(body.text)
    throw Object.assign(error, { code: body.code })
  }
  const verbs = <P extends object>(room: string, rest: Partial<P> = {}): P =>
    new Proxy(rest as P, {
      get(own, verb) {
        // No promise, whoever asks.
        if (verb === 'then') return undefined
        const known: unknown = Reflect.get(own, verb)
        return known ?? ((...args: unknown[]) => call(`${room}.${String(verb)}`, ...args))
      },
    })
  const store = verbs<Store>('store', {
    grants: verbs<GrantStore>('grants'),
    close: async () => undefined,
  })
  return { worker, call, store, lock: remoteLock(call), cache: remoteCache(call) }
}

interface Answer {
  readonly value?: unknown
  readonly kind?: string
  readonly code?: string
  readonly certainty?: StoreError['certainty']
  readonly text?: string
}
export interface RemoteLock extends AnyLock {
  wait(key: string, waitMs: number): Promise<void>
}
type Taken = { state: 'acquired'; id: string; fence: number } | { state: 'held' }

function remoteLock(call: Call): RemoteLock {
  return {
    async acquire(...args) {
      const taken = await call<Taken>('lock.acquire', ...args)
      if (taken.state !== 'acquired') return taken
      const { id, fence } = taken
      const lease: AnyLease = {
        fence,
        remainingMs: () => call('lease.remainingMs', id),
        renew: (leaseMs) => call('lease.renew', id, leaseMs),
        release: () => call('lease.release', id),
      }
      return { state: 'acquired', lease }
    },
    wait: (key, waitMs) => call('lock.wait', key, waitMs),
  }
}

function remoteCache(call: Call): Cache {
  return {
    stalenessSeconds: 60,
    get: (key) => call('cache.get', key),
    set: (key, value, ttlSeconds) => call('cache.set', key, value, ttlSeconds),
    delete: (key) => call('cache.delete', key),
  }
}
