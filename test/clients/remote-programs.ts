/**
 * Remote MCP servers that nobody here wrote, with authorization servers of their own, as processes:
 * FastMCP with its `OAuthProxy`, and the demo server of the official 1.x package.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFailed, onTestFinished, type TestContext } from 'vitest'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import { need } from '../kit/needs.ts'
import { freePort } from '../kit/postern.ts'
import { type RunningProcess, startProcess } from '../kit/process.ts'
import { preparePython } from '../kit/python.ts'

const PROXIED_SERVER = fileURLToPath(new URL('../python/proxied_server.py', import.meta.url))
const DEMO_SERVER = fileURLToPath(
  new URL(
    '../../node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js',
    import.meta.url,
  ),
)
/** Ended by its own pid when the test ends. */
function run(options: Parameters<typeof startProcess>[0]): RunningProcess {
  const child = startProcess(options)
  onTestFinished(() => child.stop())
  onTestFailed(() => console.error(child.lines.slice(-60).join('\n')))
  return child
}

export async function startFastMcp(context: TestContext, version: 'fastmcp-2' | 'fastmcp-4') {
  const python = need(context, `Python with ${version}`, await preparePython(version))
  const github = await startGitHubDouble({ expiringTokens: true })
  onTestFinished(() => github.close())
  const port = await freePort()
  const home = await mkdtemp(join(tmpdir(), 'fastmcp-'))
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  const child = run({
    name: 'FastMCP behind its OAuthProxy',
    command: python.executable,
    args: [PROXIED_SERVER],
    env: {
      ...python.env,
      FASTMCP_HOME: home,
      PORT: String(port),
      GITHUB_URL: github.url,
      GITHUB_CLIENT_ID: github.app.clientId,
      GITHUB_CLIENT_SECRET: github.app.clientSecret,
    },
  })
  await child.line(/Uvicorn running/)
  return { url: `http://127.0.0.1:${port}/mcp`, child, github }
}

export async function startDemo() {
  const [port, authorizationPort] = [await freePort(), await freePort()]
  const child = run({
    name: 'demo server of the 1.x package',
    command: process.execPath,
    args: [DEMO_SERVER, '--oauth', '--oauth-strict'],
    env: { MCP_PORT: String(port), MCP_AUTH_PORT: String(authorizationPort) },
  })
  await child.line(/MCP Streamable HTTP Server listening/)
  return {
    url: `http://localhost:${port}/mcp`,
    origins: [`http://localhost:${authorizationPort}`],
    child,
  }
}
