/**
 * A server that wants our identity, or does not: what it publishes as protected resource metadata is the
 * test's. It answers every other request, and keeps what it was shown.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** Closed when the running test ends. `seen`: the `Authorization` of each request but for its document. */
export async function openIdentityServer() {
  const seen: string[] = []
  let document: object | undefined
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/.well-known/oauth-protected-resource') === true) {
      response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(document ?? {}))
      return
    }
    seen.push(request.headers.authorization ?? '')
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    url: `${origin}/mcp`,
    seen,
    publish(next: object | undefined) {
      document = next
    },
  }
}
