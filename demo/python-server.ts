/**
 * The second MCP server of the demo: Python FastMCP, checking Postern's identity token by itself.
 * There when Python is; what is missing is said in one line, and the demo goes on without it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type PythonEnvironment, preparePython } from '../test/kit/python.ts'

const APP = fileURLToPath(new URL('servers/fastmcp_app.py', import.meta.url))
const START_DEADLINE_MS = 60_000
const STOP_GRACE_MS = 3_000

export interface PythonServer {
  /** Its MCP endpoint; absent where it can never be. */
  readonly url?: string
  state(): PythonState
  /** Settles when it is ready or known to be missing. */
  readonly settled: Promise<PythonState>
  close(): Promise<void>
}

export type PythonState =
  | { readonly state: 'starting' }
  | { readonly state: 'ready' }
  | { readonly state: 'missing'; readonly reason: string }

/**
 * @param install `before`: fetches FastMCP when it is not there yet and waits (about a minute, once);
 * `behind`: the same while the demo already runs; `never`: goes without Python.
 */
export async function startPythonServer(options: {
  readonly issuer: string
  readonly install: 'before' | 'behind' | 'never'
}): Promise<PythonServer> {
  if (options.install === 'never') return missing('not asked for')
  if (!(await hasPython())) return missing('no python3 3.10 or newer on this machine')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/mcp`
  let state: PythonState = { state: 'starting' }
  let child: ChildProcess | undefined
  let isClosed = false
  const begin = async (): Promise<PythonState> => {
    const found = await preparePython('fastmcp-4')
    if ('missing' in found) return { state: 'missing', reason: found.missing }
    if (isClosed) return { state: 'missing', reason: 'the demo has ended' }
    child = startApp(found.value, { port, url, issuer: options.issuer })
    return await listening(child)
  }
  const settled = begin()
    .catch((error: unknown): PythonState => ({ state: 'missing', reason: String(error) }))
    .then((result) => {
      state = result
      return result
    })
  if (options.install === 'before') await settled
  return {
    url,
    settled,
    state: () => state,
    async close() {
      isClosed = true
      if (child !== undefined) await stop(child)
    },
  }
}

function missing(reason: string): PythonServer {
  const state: PythonState = { state: 'missing', reason }
  return { state: () => state, settled: Promise.resolve(state), close: async () => undefined }
}

function hasPython(): Promise<boolean> {
  const script = 'import sys; sys.exit(sys.version_info < (3, 10))'
  return new Promise((resolve) => {
    const child = spawn('python3', ['-c', script], { stdio: 'ignore' })
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}

function startApp(
  python: PythonEnvironment,
  server: { readonly port: number; readonly url: string; readonly issuer: string },
): ChildProcess {
  return spawn(python.executable, [APP], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      ...python.env,
      PORT: String(server.port),
      JWKS_URI: `${server.issuer}/.well-known/jwks.json`,
      ISSUER: server.issuer,
      AUDIENCE: server.url,
    },
  })
}

/** Uvicorn says when it listens. The output is read on, so that the child never blocks on it. */
function listening(child: ChildProcess): Promise<PythonState> {
  return new Promise((resolve) => {
    const fail = (reason: string): void => resolve({ state: 'missing', reason })
    const timer = setTimeout(() => fail('it did not start in time'), START_DEADLINE_MS)
    timer.unref()
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue
      createInterface({ input: stream }).on('line', (line) => {
        if (!line.includes('Uvicorn running on')) return
        clearTimeout(timer)
        resolve({ state: 'ready' })
      })
    }
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`it ended with ${code}`))
  })
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
    child.once('exit', () => {
      clearTimeout(hard)
      resolve()
    })
    child.kill('SIGTERM')
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
