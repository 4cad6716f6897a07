/**
 * The same house on every engine that Postern runs on: memory and SQLite in this process, and real
 * workerd with D1, KV and a Durable Object. What a flow sees of it is HTTP; counts are taken at the
 * sockets of the servers around it.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { createPostern } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import { node } from '../../src/node/index.ts'
import { serve } from '../../src/node/server.ts'
import { freePort } from '../kit/postern.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../kit/webhook-receiver.ts'
import { startWorker } from '../workerd/start-worker.ts'

export const ENGINES = ['memory', 'sqlite', 'workerd'] as const
export type Engine = (typeof ENGINES)[number]

/** Bindings of `wrangler.jsonc`, as miniflare names them. */
export const BINDINGS = {
  d1Databases: ['POSTERN_DB'],
  kvNamespaces: ['POSTERN_KV'],
  durableObjects: { POSTERN_LOCK: 'PosternLock' },
}
export const ADMIN_KEY = 'an-administrator-of-the-engines-suite'

export interface EngineHouse {
  readonly issuer: string
  readonly provider: OpenIdDouble
  /** Behind the connector `notes`, which takes our JWT. */
  readonly notes: NotesServer
  /** Behind the connector `linked`, which takes people's own accounts. */
  readonly remote: RemoteServer
  /** Behind no connector; the configuration allows its origin to whoever makes one by the API. */
  readonly allowed: RemoteServer
  /** Told of connections. */
  readonly hooks: WebhookReceiver
  /** What timers or the cron trigger do. */
  runDue(): Promise<void>
  /** Another process, or another isolate, on the same store. */
  restart(): Promise<void>
  close(): Promise<void>
}

interface Running {
  runDue(): Promise<unknown>
  close(): Promise<unknown>
}

export const APP = { app: 'dashboard', origin: 'http://127.0.0.1:1' } as const
export const RETURN_URL = `${APP.origin}/done`

export async function openEngine(engine: Engine): Promise<EngineHouse> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const provider = await startOpenIdDouble({
    clients: [
      {
        clientId: 'postern',
        clientSecret: 'secret-of-engines',
        redirectUris: [`${issuer}/callback/oidc`],
      },
    ],
  })
  const [notes, remote, allowed, hooks] = await Promise.all([
    startNotesServer(),
    startRemoteServer(),
    startRemoteServer(),
    startWebhookReceiver(),
  ])
  const folder = await mkdtemp(join(tmpdir(), 'postern-engine-'))
  const config: PosternConfig = {
    issuer,
    listen: { port, metricsPort: 0 },
    databaseUrl: engine === 'sqlite' ? `sqlite:${join(folder, 'postern.db')}` : 'memory:',
    sealingKey: randomBytes(32).toString('base64url'),
    adminApiKey: ADMIN_KEY,
    providers: [
      {
        type: 'oidc',
        issuer: provider.issuer,
        clientId: 'postern',
        clientSecret: 'secret-of-engines',
      },
    ],
    allow: 'anyone',
    connectors: {
      notes: { url: notes.url },
      linked: { url: remote.url, auth: 'oauth' },
    },
    apps: { [APP.app]: { origins: [APP.origin], returnUrls: [RETURN_URL] } },
    webhooks: [{ url: hooks.url, events: ['connection.*'], secret: hooks.secret }],
    egress: { allowHosts: [allowed.origin] },
    log: { level: 'warn' },
    limits: { registrationsPerMinuteMax: 1_000, refusalsPerSecondMax: 1_000_000 },
  }
  const start =
    engine === 'workerd' ? () => startInWorkerd(config, port, folder) : () => startHere(config)
  let running: Running = await start()
  return {
    issuer,
    provider,
    notes,
    remote,
    allowed,
    hooks,
    async runDue() {
      await running.runDue()
    },
    async restart() {
      await running.close()
      running = await start()
    },
    async close() {
      await running.close()
      const around = [provider, notes, remote, allowed, hooks]
      await Promise.all(around.map((each) => each.close()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function startHere(config: PosternConfig): Promise<Running> {
  const postern = createPostern(config, node({ environment: {} }))
  const server = await serve(postern, { signals: false })
  return { runDue: () => postern.runDue(), close: () => server.close() }
}

async function startInWorkerd(
  config: PosternConfig,
  port: number,
  folder: string,
): Promise<Running> {
  const worker = await startWorker({
    entry: new URL('house.worker.ts', import.meta.url),
    origin: config.issuer ?? '',
    port,
    bindings: { TEST_CONFIG: JSON.stringify(config) },
    options: BINDINGS,
    folder,
  })
  return { runDue: () => worker.runScheduled(), close: () => worker.dispose() }
}
