/** Stand-in until demo/doubles/github.ts is there. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export async function startGitHubStandIn(delayMs: number) {
  let calls = 0
  const codes = new Set<string>()
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'https://github.com')
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      calls++
      setTimeout(
        () =>
          response
            .writeHead(status, { 'content-type': 'application/json', ...headers })
            .end(JSON.stringify(body)),
        delayMs,
      )
    }
    if (url.pathname === '/login/oauth/authorize') {
      const back = new URL(url.searchParams.get('redirect_uri') ?? '')
      const code = randomUUID()
      codes.add(code)
      back.searchParams.set('code', code)
      back.searchParams.set('state', url.searchParams.get('state') ?? '')
      response.writeHead(302, { location: back.href }).end()
    } else if (url.pathname === '/login/oauth/access_token') {
      json(200, { access_token: 'gho_standin', scope: 'user', token_type: 'bearer' })
    } else if (url.pathname === '/user' || url.pathname === '/user/repos') {
      const body =
        url.pathname === '/user'
          ? {
              id: 1001,
              login: 'ada',
              name: 'Ada',
              email: 'ada@example.com',
              avatar_url: 'https://a.example/1',
            }
          : []
      json(200, body, { 'x-oauth-scopes': 'user' })
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    calls: () => calls,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
