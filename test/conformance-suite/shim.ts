/**
 * Stands in front of Postern at its public address, as a reverse proxy would, and adds the access
 * token that the conformance runner has no option for. Everything else, `Host` included, passes as
 * it came; a request that has a token of its own keeps it.
 */
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TokenShim {
  readonly port: number
  /** From now on requests to `path` without `Authorization` carry this token. */
  useToken(path: string, accessToken: string): void
  close(): Promise<void>
}

export async function startTokenShim(targetPort: number): Promise<TokenShim> {
  let added: { path: string; accessToken: string } | undefined
  const server = createServer((incoming, outgoing) => {
    const headers = [...incoming.rawHeaders]
    const wantsToken = added !== undefined && incoming.url === added.path
    if (wantsToken && incoming.headers.authorization === undefined) {
      headers.push('authorization', `Bearer ${added?.accessToken ?? ''}`)
    }
    const forwarded = httpRequest(
      {
        host: '127.0.0.1',
        port: targetPort,
        method: incoming.method,
        path: incoming.url,
        headers,
        agent: false,
      },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
        outgoing.flushHeaders()
        answer.pipe(outgoing)
      },
    )
    forwarded.on('error', () =>
      outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end(),
    )
    outgoing.on('close', () => forwarded.destroy())
    incoming.pipe(forwarded)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    useToken: (path, accessToken) => {
      added = { path, accessToken }
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
