/**
 * The old way to connect a remote server, for comparison: each click fetches the authorization server's
 * metadata from the remote server, with no memory and no limit of time, and then redirects.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** By this the remote server's socket tells its calls from Postern's. */
export const OLD_CONNECT_USER_AGENT = 'old-connect'

export interface OldConnect {
  /** One click. @returns its time; `undefined` when there was no answer within `patienceMs`. */
  click(patienceMs: number): Promise<number | undefined>
  close(): Promise<void>
}

export async function startOldConnect(origin: string): Promise<OldConnect> {
  const server = createServer(async (_request, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    try {
      const answer = await fetch(`${origin}/.well-known/oauth-authorization-server`, {
        headers: { 'user-agent': OLD_CONNECT_USER_AGENT },
        signal: gone.signal,
      })
      const metadata = (await answer.json()) as { readonly authorization_endpoint: string }
      response.writeHead(303, { location: metadata.authorization_endpoint }).end()
    } catch {
      response.writeHead(502).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    async click(patienceMs) {
      const startedMs = performance.now()
      try {
        const answer = await fetch(`http://127.0.0.1:${port}/connect`, {
          redirect: 'manual',
          signal: AbortSignal.timeout(patienceMs),
        })
        return answer.status === 303 ? performance.now() - startedMs : undefined
      } catch {
        return undefined
      }
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
