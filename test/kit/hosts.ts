/**
 * Leads calls for fixed public host names (github.com) to a server of the test: a TLS front with a
 * certificate of the test CA, and an HTTP CONNECT proxy that knows only these names. Programs that
 * cannot be told another URL keep theirs; nothing leaves the machine.
 */
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import type { TestCa } from './ca.ts'

export interface LedHosts {
  /** `http://127.0.0.1:<port>` for `HTTPS_PROXY`. */
  readonly proxyUrl: string
  /** Port of the TLS front, for chromium's `--host-resolver-rules`. */
  readonly tlsPort: number
  /** PEM of the front's certificate. */
  readonly cert: string
  /** Host names somebody asked the proxy for and did not get: the test's leak detector. */
  readonly refused: readonly string[]
  close(): Promise<void>
}

/** @param target Port on 127.0.0.1 of the plain HTTP server that plays all `hostNames`. */
export async function leadHosts(
  ca: TestCa,
  hostNames: readonly string[],
  target: number,
): Promise<LedHosts> {
  const issued = ca.issue(hostNames)
  const sockets = new Set<Socket>()
  const track = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
  }
  const front = createTlsServer(
    { cert: issued.cert, key: issued.key, ALPNProtocols: ['http/1.1'] },
    (client) => {
      const server = connect(target, '127.0.0.1')
      track(client)
      track(server)
      client.pipe(server).pipe(client)
    },
  )
  const tlsPort = await listen(front)
  const refused: string[] = []
  const proxy = createServer((_request, response) => response.writeHead(405).end())
  proxy.on('connect', (request, client: Socket, head: Buffer) => {
    track(client)
    const host = (request.url ?? '').split(':')[0] ?? ''
    if (!hostNames.includes(host)) {
      refused.push(host)
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      return
    }
    const server = connect(tlsPort, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      server.write(head)
      client.pipe(server).pipe(client)
    })
    track(server)
  })
  const proxyPort = await listen(proxy)
  return {
    proxyUrl: `http://127.0.0.1:${proxyPort}`,
    tlsPort,
    cert: issued.cert,
    refused,
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(
        [front, proxy].map((server) => new Promise((resolve) => server.close(resolve))),
      )
    },
  }
}

function listen(server: Server | TlsServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}
