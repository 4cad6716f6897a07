/**
 * Connections of an embedding product's people at a remote server, kept fresh by real processes on one
 * SQLite file. Connections are put into the file by the rooms of the product, with tokens that the
 * server really gave.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RemoteServer } from '../../demo/doubles/remote-server.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { PosternConfig } from '../../src/config.ts'
import {
  type Connections,
  createConnections,
} from '../../src/connectors/connections/connections.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import type { Question, Reply } from './connection-child.ts'
import { createRecordingEmit } from './emit.ts'

const REDIRECT_URI = 'http://127.0.0.1:8414/connect/notes/callback'
const VERIFIER = 'v'.repeat(64)
const CHILD = fileURLToPath(new URL('connection-child.ts', import.meta.url))
const READY_DEADLINE_MS = 60_000

export interface ConnectionProcess {
  get(user: string): Promise<Reply>
  /** SIGKILL, at once; what it was asked is never answered. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export interface ConnectionProcesses {
  readonly config: PosternConfig
  readonly connections: Connections
  /** A connection of this person, whose access token has ended unless `livesMs` says how long it lives. */
  link(user: string, livesMs?: number, app?: string): Promise<void>
  start(): Promise<ConnectionProcess>
  close(): Promise<void>
}

export async function openConnectionProcesses(
  remote: RemoteServer,
  limits: PosternConfig['limits'] = {},
): Promise<ConnectionProcesses> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-connections-'))
  const path = join(folder, 'postern.db')
  const clientId = await registerAt(remote)
  const sealingKey = randomBytes(32).toString('base64url')
  const config: PosternConfig = {
    issuer: 'http://127.0.0.1:8414',
    databaseUrl: `sqlite:${path}`,
    sealingKey,
    connectors: {
      notes: { url: remote.url, auth: 'oauth', client: { clientId, authMethod: 'none' } },
    },
    log: { level: 'error', format: 'json' },
    limits,
  }
  const runtime = createNodeRuntime()
  const { store } = await openSqlite({ path, runtime })
  const parsed = parseConfig(config, { environment: {} })
  const vault = createVault({ store, runtime, sealing: createSealing(parsed.sealingKeys, runtime) })
  const connections = createConnections({
    ...{ store, runtime, vault, config: parsed },
    emit: createRecordingEmit(),
    duties: { endVault: async () => 'gone', poke: () => undefined },
    announce: () => undefined,
    changed: () => undefined,
    offersRevocation: () => true,
  })
  const running = new Set<ConnectionProcess>()
  return {
    config,
    connections,
    async link(user, livesMs = -1, app = 'default') {
      const given = await tokensAt(remote, clientId)
      await connections.connect({
        userId: `app:${app}:${user}`,
        connector: 'notes',
        issuer: remote.issuer,
        tokenOrigin: new URL(remote.issuer).origin,
        resource: remote.url,
        clientId,
        tokens: { ...given, tokenType: 'Bearer', expiresAtMs: Date.now() + livesMs },
        scopes: ['notes:read'],
        requestedScopes: ['notes:read'],
      })
    },
    async start() {
      const started = await startChild(config)
      running.add(started)
      return started
    },
    async close() {
      await Promise.all([...running].map((child) => child.stop()))
      await store.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function registerAt(remote: RemoteServer): Promise<string> {
  const answer = await fetch(`${remote.issuer}/register`, {
    method: 'POST',
    body: JSON.stringify({
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'none',
    }),
  })
  return ((await answer.json()) as { client_id: string }).client_id
}

/** As a person's browser and we would, by hand. */
export async function tokensAt(
  remote: RemoteServer,
  clientId: string,
): Promise<{ readonly accessToken: string; readonly refreshToken: string }> {
  const ask = new URL(`${remote.issuer}/authorize`)
  ask.search = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256',
    resource: remote.url,
    scope: 'notes:read',
  }).toString()
  const back = await fetch(ask, { redirect: 'manual' })
  const code = new URL(back.headers.get('location') ?? '').searchParams.get('code') ?? ''
  const answer = await fetch(`${remote.issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      redirect_uri: REDIRECT_URI,
      code_verifier: VERIFIER,
      resource: remote.url,
      code,
    }),
  })
  const body = (await answer.json()) as { access_token: string; refresh_token: string }
  return { accessToken: body.access_token, refreshToken: body.refresh_token }
}

async function startChild(config: PosternConfig): Promise<ConnectionProcess> {
  const child: ChildProcess = fork(CHILD, [], {
    env: { PATH: process.env.PATH, CHILD_CONFIG: JSON.stringify(config) },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const errors: string[] = []
  child.stderr?.on('data', (part: Buffer) => errors.push(part.toString()))
  const waiting = new Map<number, (reply: Reply) => void>()
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error('the child is silent')), READY_DEADLINE_MS)
    child.once('exit', () => reject(new Error(`the child died: ${errors.join('')}`)))
    child.on('message', (message: Reply | 'ready') => {
      if (message === 'ready') {
        clearTimeout(deadline)
        resolve()
      } else waiting.get(message.id)?.(message)
    })
  })
  let asked = 0
  return {
    get(user) {
      asked += 1
      const question: Question = { id: asked, user, connector: 'notes' }
      return new Promise((resolve) => {
        waiting.set(question.id, (reply) => {
          waiting.delete(question.id)
          resolve(reply)
        })
        if (child.connected) child.send(question)
      })
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async stop() {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}
