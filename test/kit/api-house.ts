/**
 * A served house with a remote server to connect to, an API key per role, and a hand that calls the REST
 * API over HTTP. People of embedding products are linked by the rooms of the product, with tokens that
 * the remote server really gave.
 */
import { onTestFinished } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createApiKey, type NewApiKey } from '../../src/api/keys.ts'
import { ROLES, type Role } from '../../src/api/route.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { PosternConfig } from '../../src/config.ts'
import { serve } from '../../src/node/server.ts'
import type { Store } from '../../src/ports.ts'
import { type ConnectionProcesses, openConnectionProcesses } from './connection-processes.ts'
import { createWatchedPlatform, type WatchedPlatform } from './platform.ts'
import { freePort } from './postern.ts'
import type { TestRuntime } from './runtime.ts'

export const ADMIN_KEY = 'admin-key-of-the-configuration-0123456789'

export interface ApiReply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of JSON; `undefined` for any other body. */
  readonly body: unknown
}

export interface ApiAsk {
  /** Default the admin's. Empty: no key. */
  readonly key?: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface ApiHouseKit {
  readonly issuer: string
  readonly config: PosternConfig
  readonly postern: Postern
  readonly platform: WatchedPlatform
  readonly remote: RemoteServer
  /** The house's own. */
  readonly store: Store
  /** A key of each role, without restrictions. */
  readonly keys: Readonly<Record<Role, string>>
  readonly link: ConnectionProcesses['link']
  readonly connections: ConnectionProcesses['connections']
  makeKey(input: NewApiKey): Promise<{ readonly id: string; readonly secret: string }>
  /** @param path Below `/api/v1`. */
  ask(method: string, path: string, ask?: ApiAsk): Promise<ApiReply>
}

/** Closed when the running test ends. */
export async function openApiHouse(
  options: {
    readonly config?: Partial<PosternConfig> | ((remote: RemoteServer) => Partial<PosternConfig>)
    readonly runtime?: TestRuntime
  } = {},
): Promise<ApiHouseKit> {
  const closing: (() => Promise<unknown>)[] = []
  onTestFinished(async () => {
    for (const close of closing.reverse()) await close()
  })
  const remote = await startRemoteServer()
  closing.push(() => remote.close())
  const people = await openConnectionProcesses(remote)
  closing.push(() => people.close())
  const port = await freePort()
  const more = typeof options.config === 'function' ? options.config(remote) : options.config
  const issuer = `http://127.0.0.1:${port}`
  const config: PosternConfig = {
    ...people.config,
    issuer,
    listen: { port, metricsPort: 0 },
    adminApiKey: ADMIN_KEY,
    ...more,
    connectors: { ...people.config.connectors, ...more?.connectors },
    limits: { refusalsPerSecondMax: 1_000_000, ...more?.limits },
  }
  const platform = createWatchedPlatform(options.runtime)
  let store: Store | undefined
  const postern = createPostern(config, {
    ...platform,
    async openStore(databaseUrl) {
      const opened = await platform.openStore(databaseUrl)
      store = opened.store
      return opened
    },
  })
  const server = await serve(postern, { signals: false })
  closing.push(() => server.close())
  if (store === undefined) throw new Error('the house opened no store')
  const house = {
    store,
    runtime: platform.runtime,
    config: parseConfig(config, { environment: {} }),
  }
  const makeKey: ApiHouseKit['makeKey'] = (input) => createApiKey(house, input, 'test')
  const made = await Promise.all(ROLES.map((role) => makeKey({ role })))
  return {
    ...{ issuer, config, postern, platform, remote, store, makeKey },
    keys: Object.fromEntries(
      ROLES.map((role, index) => [role, made[index]?.secret ?? '']),
    ) as Record<Role, string>,
    link: people.link,
    connections: people.connections,
    ask: (method, path, ask) => askApi(`${issuer}/api/v1${path}`, method, ask),
  }
}

/** One call, whatever it answers. */
export async function askApi(
  url: string,
  method: string,
  { key = ADMIN_KEY, body, text, headers }: ApiAsk = {},
): Promise<ApiReply> {
  const sent = text ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(url, {
    method,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: sent }),
  })
  const answer = await response.text()
  const isJson = /^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    text: answer,
    body: isJson && answer !== '' ? JSON.parse(answer) : undefined,
  }
}
