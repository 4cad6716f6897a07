/**
 * Postern with D1, KV and a Durable Object, as a user writes it, and a count of what each request asks
 * of them: statements of D1, reads and writes of KV, calls of objects.
 */
import { env } from 'cloudflare:workers'
import { createPostern } from '../../src/app.ts'
import { oidc } from '../../src/providers/index.ts'
import { PosternLock, workers } from '../../src/workers/index.ts'

export { PosternLock }

interface Counts {
  /** Calls of D1, and statements in them. */
  d1: number
  statements: number
  kv: number
  kvWrites: number
  locks: number
}
const counts: Counts = { d1: 0, statements: 0, kv: 0, kvWrites: 0, locks: 0 }
/** What was written after an answer had been made: kind of row, or table. */
const late = new Set<string>()
let isAnswered = false
const zero = (): void => {
  late.clear()
  for (const name of Object.keys(counts) as (keyof Counts)[]) counts[name] = 0
}

type Verb = (...args: never[]) => unknown
/** The same object, with some of its methods watched. */
function watched<T extends object>(target: T, watch: Readonly<Record<string, Verb>>): T {
  return new Proxy(target, {
    get(own, name) {
      const value: unknown = Reflect.get(own, name)
      if (typeof value !== 'function') return value
      return (...args: never[]) => {
        const made = watch[String(name)]?.(...args)
        // A method of an object elsewhere has no `apply` of its own.
        return made ?? Reflect.apply(value, own, args)
      }
    },
  })
}

interface Prepared {
  bind(...values: unknown[]): Prepared
  all(): Promise<unknown>
}
interface Database {
  prepare(sql: string): Prepared
  batch(statements: Prepared[]): Promise<unknown>
  withSession(constraint: string): { prepare(sql: string): Prepared }
}

const count = (name: keyof Counts, by = 1): undefined => {
  counts[name] += by
}
const plain = new WeakMap<object, { readonly statement: Prepared; readonly what: string }>()
/** `INSERT audit`: kinds are the second argument of every statement about records. */
function whatOf(sql: string, values: readonly unknown[]): string {
  const [verb = ''] = sql.trim().split(' ', 1)
  if (verb === 'SELECT') return ''
  return `${verb} ${/\brecords\b/.test(sql) ? String(values[1]) : sql.trim().slice(0, 60)}`
}
function told(what: string): void {
  count('statements')
  if (isAnswered && what !== '') late.add(what)
}
function countedStatement(sql: string, statement: Prepared, values: unknown[] = []): Prepared {
  const what = whatOf(sql, values)
  const counted: Prepared = {
    bind: (...bound) => countedStatement(sql, statement.bind(...bound), bound),
    all() {
      count('d1')
      told(what)
      return statement.all()
    },
  }
  plain.set(counted, { statement, what })
  return counted
}
function countedDatabase(database: Database): Database {
  return {
    prepare: (sql) => countedStatement(sql, database.prepare(sql)),
    batch(statements) {
      count('d1')
      const known = statements.map((one) => plain.get(one) ?? { statement: one, what: '' })
      for (const { what } of known) told(what)
      return database.batch(known.map(({ statement }) => statement))
    },
    withSession(constraint) {
      const session = database.withSession(constraint)
      return { prepare: (sql) => countedStatement(sql, session.prepare(sql)) }
    },
  }
}

const bindings = env as unknown as Readonly<Record<string, object>>
const object = { acquire: 1, renew: 1, release: 1, wait: 1 }
const platform = workers({
  ...env,
  POSTERN_DB: countedDatabase(bindings['POSTERN_DB'] as Database),
  POSTERN_KV: watched(bindings['POSTERN_KV'] ?? {}, {
    get: () => count('kv'),
    put: () => count('kvWrites'),
    delete: () => count('kvWrites'),
  }),
  POSTERN_LOCK: watched(bindings['POSTERN_LOCK'] ?? {}, {
    get: (id: never) =>
      watched(
        (bindings['POSTERN_LOCK'] as { get(id: never): object }).get(id),
        Object.fromEntries(Object.keys(object).map((name) => [name, () => count('locks')])),
      ),
  }),
})

const SHOP = 'https://shop.example'
const PATIENCE_MS = Number(env['TEST_PATIENCE_MS'] ?? '0')
const LIMITS =
  PATIENCE_MS === 0
    ? {}
    : {
        discoveryTimeoutMs: PATIENCE_MS,
        metadataTimeoutMs: PATIENCE_MS,
        tokenCallTimeoutMs: PATIENCE_MS,
      }
const postern = createPostern(
  {
    issuer: env['TEST_ISSUER'] ?? '',
    log: { level: 'warn' },
    limits: LIMITS,
    allow: 'anyone',
    adminApiKey: env['TEST_ADMIN_KEY'] ?? '',
    providers: [oidc({ issuer: env['TEST_PROVIDER'] ?? '' })],
    connectors: {
      notes: { url: env['TEST_SERVER'] ?? '' },
      remote: { url: env['TEST_REMOTE'] ?? '', auth: 'oauth' },
    },
    apps: {
      shop: {
        origins: [SHOP],
        returnUrls: [`${SHOP}/done`],
        // As a product beside this house would know its own session.
        user: (request) => request.headers.get('x-product-user') ?? undefined,
      },
    },
  },
  platform,
)

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/counts') {
      const now = { ...counts, late: [...late] }
      zero()
      return Response.json(now)
    }
    if (pathname === '/discover') {
      try {
        return Response.json(await postern.discover(searchParams.get('url') ?? ''))
      } catch (error) {
        return Response.json({ error: String(error) }, { status: 502 })
      }
    }
    isAnswered = false
    const answer = await postern.fetch(request)
    isAnswered = true
    return answer
  },
  async scheduled(): Promise<void> {
    isAnswered = false
    await postern.runDue()
  },
}
