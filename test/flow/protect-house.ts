/**
 * A house that is mounted in somebody's own server on a real socket, with a real OpenID provider, and
 * a person who signs in through the pages. Exchanges are counted at the provider's socket.
 */
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import { node } from '../../src/node/index.ts'
import { oidc } from '../../src/providers/index.ts'

/** Nobody listens there: the visitor stops before it. */
const REDIRECT_URI = 'http://127.0.0.1:33418/callback'
const CLIENT_SECRET = 'secret-of-the-demo-provider'

export type ProtectHouse = Awaited<ReturnType<typeof startProtectHouse>>

/** @param application Makes the server's listener once the house is there. */
export async function startProtectHouse(
  application: (postern: Postern, resource: string) => RequestListener,
  settings: (issuer: string) => Partial<PosternConfig> = () => ({}),
) {
  let listener: RequestListener = (_request, response) => response.writeHead(503).end()
  const paths: string[] = []
  const watchers = new Set<(request: IncomingMessage) => void>()
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    for (const watch of watchers) watch(request)
    listener(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const resource = `${issuer}/mcp`
  const provider = await startOpenIdDouble({
    clients: [
      {
        clientId: 'postern',
        clientSecret: CLIENT_SECRET,
        redirectUris: [`${issuer}/callback/oidc`],
      },
    ],
  })
  const config = {
    issuer,
    databaseUrl: 'memory:',
    providers: [
      oidc({ issuer: provider.issuer, clientId: 'postern', clientSecret: CLIENT_SECRET }),
    ],
    resources: [resource],
    ...settings(issuer),
  }
  const postern = createPostern(config, node({ environment: {}, log: { write: () => true } }))
  listener = application(postern, resource)
  return {
    issuer,
    resource,
    provider,
    postern,
    /** Paths and queries that reached the server. */
    paths,
    /** The next request whose path passes, from now on. */
    nextRequest: (isMeant: (path: string) => boolean): Promise<void> =>
      new Promise((resolve) => {
        const watch = ({ url = '' }: IncomingMessage): void => {
          if (!isMeant(url)) return
          watchers.delete(watch)
          resolve()
        }
        watchers.add(watch)
      }),
    signIn: (at = resource): Promise<SignedInClient> =>
      signInAsClient({
        resource: at,
        redirectUri: REDIRECT_URI,
        visitor: createVisitor({ press: [/^allow and continue with/i, /^continue as ada/i] }),
      }),
    revoke: async (client: SignedInClient): Promise<number> => {
      const body = new URLSearchParams({
        token: client.refreshToken ?? '',
        client_id: client.clientId,
      })
      return (await fetch(`${issuer}/revoke`, { method: 'POST', body })).status
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await postern.close()
      await provider.close()
    },
  }
}

/** One `tools/call`, as an MCP client sends it. */
export function toolCallRequest(tool: string, accessToken?: string): RequestInit {
  return {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: tool, arguments: {} },
    }),
  }
}

export function callWith(url: string, accessToken?: string): Promise<Response> {
  return fetch(url, toolCallRequest('whoami', accessToken))
}
