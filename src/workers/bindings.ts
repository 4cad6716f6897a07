/** The three bindings of a Worker, looked at before they are used, and what it costs when one is missing. */
import type { D1Database } from '../adapters/d1.ts'
import type { KvNamespace } from '../adapters/kv.ts'
import { ConfigError } from '../errors.ts'
import type { Emit } from '../ports.ts'
import type { LockNamespace } from './lock.ts'

export interface Bindings {
  readonly database: D1Database | undefined
  readonly namespace: KvNamespace | undefined
  readonly locks: LockNamespace | undefined
}

const NAMES: readonly string[] = ['POSTERN_DB', 'POSTERN_KV', 'POSTERN_LOCK']

/**
 * @throws {ConfigError} for a binding of another type than its name says, and for one of a name that is
 *   none: a house whose database is misspelled would forget with each isolate who was signed out.
 */
export function readBindings(env: Readonly<Record<string, unknown>>): Bindings {
  for (const [name, value] of Object.entries(env))
    if (name.startsWith('POSTERN_') && typeof value === 'object' && !NAMES.includes(name))
      throw new ConfigError(
        'ERR_CONFIG_DATABASE',
        `${name} is bound, and there is no binding of this name.`,
        `Bind it as one of ${NAMES.join(', ')}, or under a name of your own.`,
      )
  return {
    database: bound<D1Database>(env, 'POSTERN_DB', 'a D1 database', [
      'prepare',
      'batch',
      'withSession',
    ]),
    namespace: bound<KvNamespace>(env, 'POSTERN_KV', 'a KV namespace', ['get', 'put', 'delete']),
    locks: bound<LockNamespace>(env, 'POSTERN_LOCK', 'the Durable Object class PosternLock', [
      'idFromName',
      'get',
    ]),
  }
}

const COSTS = {
  database: 'POSTERN_DB: sign-ins and connections are forgotten with each isolate',
  namespace: 'POSTERN_KV: a new isolate reads what others found from the database',
  locks: 'POSTERN_LOCK: isolates that ask for the same thing at once each ask',
} as const

/** One event for all that is missing. */
export function warnOfMissing(bindings: Bindings, emit: Pick<Emit, 'event'>): void {
  const missing = (['database', 'namespace', 'locks'] as const).filter(
    (name) => bindings[name] === undefined,
  )
  if (missing.length === 0) return
  emit.event({
    type: 'server.warning',
    level: 'warn',
    reason: 'bindings_missing',
    detail: missing.map((name) => COSTS[name]).join('; '),
  })
}

/** Bindings come from outside as they are: the methods are what can be told. */
function bound<T>(
  env: Readonly<Record<string, unknown>>,
  name: string,
  what: string,
  methods: readonly (keyof T & string)[],
): T | undefined {
  const value = env[name]
  if (value === undefined || value === null) return undefined
  const isRight =
    typeof value === 'object' &&
    methods.every((method) => typeof Reflect.get(value, method) === 'function')
  if (isRight) return value as T
  throw new ConfigError(
    'ERR_CONFIG_DATABASE',
    `${name} is not ${what}.`,
    `Bind ${what} under this name, or nothing.`,
  )
}
