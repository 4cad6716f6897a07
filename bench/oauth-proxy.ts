/** FastMCP's `OAuthProxy` as a baseline: its server in Python, and Ada signed in there as any client. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { OpenIdClient, OpenIdDouble } from '../demo/doubles/openid.ts'
import { signInAsClient } from '../demo/sign-in.ts'
import { createVisitor } from '../demo/visitor.ts'
import { preparePython } from '../test/kit/python.ts'
import { alsoClose, end, freePort } from './children.ts'
import { cycle, mcpRequest, send } from './load.ts'
import { pause } from './measure.ts'

const APP = fileURLToPath(new URL('servers/oauth_proxy_app.py', import.meta.url))
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const START_ATTEMPTS_MAX = 300
const START_PAUSE_MS = 100
const PRESS = [/^continue as ada/i, /^allow/i, /^approve/i, /^continue/i]

export interface PythonSide {
  readonly port: number
  readonly pid: number
  /** Ada's token here; of a server for anyone: none. */
  readonly token: string | undefined
}

/** @param options.cacheSeconds Absent: FastMCP's default, which remembers nothing. */
export async function startOAuthProxy(options: {
  readonly provider: OpenIdDouble
  readonly auth: boolean
  readonly cacheSeconds?: number
}): Promise<PythonSide> {
  const { provider, auth, cacheSeconds = null } = options
  const python = await preparePython('fastmcp-4')
  if ('missing' in python) throw new Error(python.missing)
  const port = await freePort()
  const client: OpenIdClient = {
    clientId: `fastmcp-${port}`,
    clientSecret: 'fastmcp-bench-secret-0123456789',
    redirectUris: [`http://127.0.0.1:${port}/auth/callback`],
    name: 'FastMCP',
  }
  provider.addClient(client)
  const settings = {
    port,
    auth,
    issuer: provider.issuer,
    client_id: client.clientId,
    client_secret: client.clientSecret,
    cache_ttl_seconds: cacheSeconds,
  }
  const { executable, env } = python.value
  const child = spawn(executable, [APP, JSON.stringify(settings)], {
    stdio: 'ignore',
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  })
  alsoClose(() => end(child))
  await answers(port)
  const token = auth ? await signIn(port) : undefined
  return { port, pid: child.pid ?? 0, token }
}

async function answers(port: number): Promise<void> {
  const request = mcpRequest({ port, path: '/mcp', body: '{}' })
  for (let attempt = 0; attempt < START_ATTEMPTS_MAX; attempt++) {
    if (await send(cycle(port, [request]), 1, 1).then(Boolean, () => false)) return
    await pause(START_PAUSE_MS)
  }
  throw new Error('the Python server did not start')
}

async function signIn(port: number): Promise<string> {
  const resource = `http://127.0.0.1:${port}/mcp`
  const visitor = createVisitor({ press: PRESS })
  return (await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })).accessToken
}
