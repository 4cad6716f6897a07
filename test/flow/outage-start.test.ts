/**
 * Mistakes that only a real start shows: exact texts of api.md section 6, and how the command ends.
 */
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import { type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { startCli } from '../kit/cli.ts'
import { closeServer, listen } from '../kit/http.ts'
import { callTool } from '../kit/plane.ts'
import { freePort, servePostern } from '../kit/postern.ts'

const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const CLIENT = { clientId: 'Iv1.demo', clientSecret: 'demo-secret' }

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function configOf(port: number, rest: Readonly<Record<string, unknown>> = {}) {
  return {
    issuer: `http://127.0.0.1:${port}`,
    listen: { port, metricsPort: 0 },
    databaseUrl: 'memory:',
    providers: [{ type: 'github', ...CLIENT }],
    connectors: { main: { url: 'http://127.0.0.1:9/mcp' } },
    ...rest,
  }
}

describe('postern serve', () => {
  it('ERR_LISTEN_IN_USE: says which port, what to do, and exits with 2', async () => {
    const other = createServer()
    const port = await listen(other)
    cleanups.push(() => closeServer(other))
    const { code, stdout, stderr } = await startCli(['serve'], configOf(port))
    expect(stderr).toBe(
      `ERR_LISTEN_IN_USE: port ${port} is taken by another program.\nStop it, or set POSTERN_PORT.\n`,
    )
    expect({ code, isReady: /^ready/m.test(stdout) }).toEqual({ code: 2, isReady: false })
  })

  it('ERR_LISTEN_IN_USE: the metrics port as well, and nothing stays behind', async () => {
    const other = createServer()
    const metricsPort = await listen(other)
    cleanups.push(() => closeServer(other))
    const port = await freePort()
    const config = configOf(port, { listen: { port, metricsPort } })
    const { code, stderr } = await startCli(['serve'], config)
    expect(stderr).toBe(
      `ERR_LISTEN_IN_USE: port ${metricsPort} is taken by another program.\nStop it, or set POSTERN_LISTEN_METRICS_PORT.\n`,
    )
    expect(code).toBe(2)
  })

  it('ERR_CONNECTOR_UNREACHABLE: a warning at start; sign-in works meanwhile, calls get 502', async () => {
    const github = await startGitHubDouble()
    cleanups.push(() => github.close())
    const [port, dead] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${dead}/mcp`
    const served = await servePostern(
      configOf(port, {
        providers: [{ type: 'github', url: github.url, apiUrl: github.apiUrl, ...CLIENT }],
        connectors: { main: { url } },
      }),
    )
    cleanups.push(() => served.close())
    expect(served.lines.join('\n')).toContain(
      `ERR_CONNECTOR_UNREACHABLE: nothing answers at ${url} (connection refused).`,
    )
    expect(served.lines.join('\n')).toContain(
      'Start the server, or correct connectors.main.url. Sign-in works meanwhile; calls get 502.',
    )
    const resource = `${served.issuer}/mcp/main`
    const client: SignedInClient = await signInAsClient({
      resource,
      redirectUri: REDIRECT_URI,
      visitor: createVisitor({ press: [/^allow/i] }),
    })
    const answer = await callTool(resource, client.accessToken, { id: 'later' })
    expect(answer.status).toBe(502)
    expect(JSON.parse(answer.text)).toMatchObject({ jsonrpc: '2.0', id: 'later' })
  })
})
