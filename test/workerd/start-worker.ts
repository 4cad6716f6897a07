/**
 * Runs a Worker in real workerd: bundles its entry for Workers, starts it, and counts each exchange
 * it makes. Its exchanges reach the test's own servers on loopback, and redirects are handed back
 * unfollowed, as on Workers with `redirect: 'manual'`.
 */
import {
  type DispatchFetch,
  Miniflare,
  type Request as OutboundRequest,
  Response,
  type WorkerOptions,
} from 'miniflare'
import { rolldown } from 'rolldown'
import { request } from 'undici'

/** The newest date that the pinned workerd knows. */
const COMPATIBILITY_DATE = '2026-07-30'
const EXTERNAL = /^(node|cloudflare|workerd):/

export interface WorkerRequest {
  /** File whose default export is the Worker, `*.worker.ts`. */
  readonly entry: string | URL
  /** Plain values, as in `vars`. */
  readonly bindings?: Readonly<Record<string, string | number | boolean>>
  /** Origin the Worker sees in `request.url` and `Host`. Default: where it really listens. */
  readonly origin?: string
  /** Where it listens on loopback. Default: any free port. */
  readonly port?: number
  /** Module name -> file, for what is not among our dependencies. */
  readonly alias?: Readonly<Record<string, string>>
  /** Further options of miniflare: `d1Databases`, `kvNamespaces`, `durableObjects`. */
  readonly options?: Partial<WorkerOptions>
  /** So many of it, each with a memory of its own and the same bindings. Default 1. */
  readonly isolates?: number
  /** Where databases, namespaces and objects are kept. Default: in memory, until its end. */
  readonly folder?: string
}

export interface OutboundExchange {
  readonly method: string
  readonly url: string
  readonly status: number
}

export interface RunningWorker {
  /** Where it listens, `http://127.0.0.1:<port>`. */
  readonly url: string
  /** Sends a request to it; a path is resolved against `origin`. Redirects are not followed. */
  readonly fetch: (pathOrUrl: string, init?: RequestInit) => Promise<globalThis.Response>
  /** As `fetch`, to one of several isolates, from 0 on. */
  readonly fetchAt: (
    isolate: number,
    path: string,
    init?: RequestInit,
  ) => Promise<globalThis.Response>
  /** Exchanges the Worker started, oldest first; failed ones carry the status 0. */
  readonly outboundExchanges: readonly OutboundExchange[]
  /** Modules of the platform that its bundle imports, in alphabetical order. */
  readonly platformImports: readonly string[]
  /** Calls its scheduled handler, as a cron trigger does. Default: of the first isolate. */
  readonly runScheduled: (isolate?: number) => Promise<{ readonly outcome: string }>
  /** Runs statements on a D1 database of its bindings, such as those of a migration. */
  readonly runSql: (binding: string, statements: readonly string[]) => Promise<void>
  readonly dispose: () => Promise<void>
}

/** What miniflare's types leave out. */
interface Scheduled {
  scheduled(event: { readonly cron: string }): Promise<{ readonly outcome: string }>
}

/** Bundles and starts a Worker. @throws When the bundle or workerd refuses it. */
export async function startWorker(worker: WorkerRequest): Promise<RunningWorker> {
  const outboundExchanges: OutboundExchange[] = []
  const { code: contents, imports } = await bundle(worker.entry, worker.alias ?? {})
  const { isolates = 1, options = {} } = worker
  const isolate = (index: number) => ({
    ...options,
    name: nameOf(index),
    durableObjects: objectsAt(options.durableObjects, index),
    modules: [{ type: 'ESModule', path: 'worker.js', contents }],
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: ['nodejs_compat'],
    bindings: { ...worker.bindings },
    outboundService: async (outbound: OutboundRequest) => {
      const { method, url } = outbound
      try {
        const response = await exchange(outbound)
        outboundExchanges.push({ method, url, status: response.status })
        return response
      } catch (error) {
        outboundExchanges.push({ method, url, status: 0 })
        throw error
      }
    },
  })
  const miniflare = new Miniflare({
    ...kept(worker.folder),
    workers: Array.from({ length: isolates }, (_, index) => isolate(index)),
    // As on the platform: the name in the URL and the Host line are one.
    upstream: worker.origin,
    port: worker.port,
  } as ConstructorParameters<typeof Miniflare>[0])
  const listening = (await miniflare.ready).origin
  const send: RunningWorker['fetch'] = async (pathOrUrl, init) => {
    const url = new URL(pathOrUrl, worker.origin ?? listening)
    const settings = { redirect: 'manual', ...init } as Parameters<DispatchFetch>[1]
    return (await miniflare.dispatchFetch(url, settings)) as unknown as globalThis.Response
  }
  return {
    url: listening,
    fetch: send,
    fetchAt: (index, path, init) =>
      send(path, { ...init, headers: { ...init?.headers, [ROUTE]: nameOf(index) } }),
    outboundExchanges,
    platformImports: imports,
    runScheduled: async (isolate = 0) => {
      const running = (await miniflare.getWorker(nameOf(isolate))) as unknown as Scheduled
      return running.scheduled({ cron: '* * * * *' })
    },
    runSql: async (binding, statements) => {
      const database = await miniflare.getD1Database(binding)
      for (const statement of statements) await database.prepare(statement).run()
    },
    dispose: () => miniflare.dispose(),
  }
}

function kept(folder: string | undefined) {
  if (folder === undefined) return {}
  return {
    d1Persist: `${folder}/d1`,
    kvPersist: `${folder}/kv`,
    durableObjectsPersist: `${folder}/objects`,
  }
}

/** Miniflare's own header for the Worker that is meant. */
const ROUTE = 'MF-Route-Override'
const nameOf = (isolate: number): string => `isolate-${isolate}`

/** Objects live beside the first one. */
function objectsAt(objects: WorkerOptions['durableObjects'], isolate: number) {
  if (objects === undefined || isolate === 0) return objects
  return Object.fromEntries(
    Object.entries(objects).map(([name, className]) => [
      name,
      { className, scriptName: nameOf(0) },
    ]),
  )
}

async function bundle(
  entry: string | URL,
  alias: Readonly<Record<string, string>>,
): Promise<{ code: string; imports: readonly string[] }> {
  const build = await rolldown({
    input: entry instanceof URL ? entry.pathname : entry,
    external: EXTERNAL,
    platform: 'neutral',
    resolve: {
      alias: { ...alias },
      conditionNames: ['workerd', 'worker', 'import', 'default'],
      mainFields: ['module'],
    },
  })
  try {
    const { output } = await build.generate({ format: 'esm', codeSplitting: false })
    return {
      code: output[0].code,
      // What is imported late lies in the same file here: that one is not the platform's.
      imports: [...output[0].imports, ...output[0].dynamicImports]
        .filter((name) => name !== output[0].fileName)
        .sort(),
    }
  } finally {
    await build.close()
  }
}

/** One exchange on the Worker's behalf: bytes as they are, no redirect followed, nothing decoded. */
async function exchange(outbound: OutboundRequest): Promise<Response> {
  const { statusCode, headers, body } = await request(outbound.url, {
    method: outbound.method as 'GET',
    headers: { ...Object.fromEntries(outbound.headers), 'accept-encoding': 'identity' },
    body: outbound.body === null ? null : new Uint8Array(await outbound.arrayBuffer()),
  })
  const pairs = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((one): [string, string] => [name, one]),
  )
  const empty = [204, 205, 304].includes(statusCode)
  const bytes = await body.arrayBuffer()
  return new Response(empty ? null : bytes, { status: statusCode, headers: pairs })
}
