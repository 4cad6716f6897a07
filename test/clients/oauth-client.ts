/**
 * The part of an MCP client that its host program writes: memory for registration and tokens, a
 * loopback callback, and somewhere to send the person. Fits the official client 2.x and the 1.x SDK.
 *
 * It knows nothing about the server: discovery, registration and exchange are the library's own.
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CallbackListener {
  readonly redirectUrl: string
  /** The next callback. */
  readonly arrived: Promise<URL>
  close(): Promise<void>
}

export async function openCallback(): Promise<CallbackListener> {
  let arrive: (url: URL) => void = () => undefined
  const arrived = new Promise<URL>((resolve) => {
    arrive = resolve
  })
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', redirectUrl)
    response.writeHead(url.pathname === '/callback' ? 200 : 404, { 'content-type': 'text/plain' })
    response.end('You can close this page.')
    if (url.pathname === '/callback') arrive(url)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const redirectUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`
  return {
    redirectUrl,
    arrived,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

interface SavedTokens {
  readonly access_token: string
  readonly token_type: string
  readonly refresh_token?: string
  readonly scope?: string
}

interface SavedClient {
  readonly client_id: string
  readonly client_secret?: string
}

/**
 * An `OAuthClientProvider` that keeps everything in memory and remembers the URL to open.
 * `Discovery` is the library's own record of what it found, kept for the callback leg.
 */
export class MemoryOAuthClient<Discovery> {
  readonly redirectUrl: string
  readonly issuedState = randomUUID()
  authorizationUrl: URL | undefined
  saved: { client?: SavedClient; tokens?: SavedTokens; verifier?: string; discovery?: Discovery } =
    {}
  readonly #name: string

  constructor(options: { redirectUrl: string; name: string }) {
    this.redirectUrl = options.redirectUrl
    this.#name = options.name
  }

  get clientMetadata() {
    return {
      client_name: this.#name,
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }
  }

  state(): string {
    return this.issuedState
  }

  clientInformation(): SavedClient | undefined {
    return this.saved.client
  }

  saveClientInformation(client: SavedClient): void {
    this.saved.client = client
  }

  tokens(): SavedTokens | undefined {
    return this.saved.tokens
  }

  saveTokens(tokens: SavedTokens): void {
    this.saved.tokens = tokens
  }

  saveCodeVerifier(verifier: string): void {
    this.saved.verifier = verifier
  }

  codeVerifier(): string {
    if (this.saved.verifier === undefined) throw new Error('no sign-in has begun')
    return this.saved.verifier
  }

  saveDiscoveryState(state: Discovery): void {
    this.saved.discovery = state
  }

  discoveryState(): Discovery | undefined {
    return this.saved.discovery
  }

  /** The host program opens `authorizationUrl` when the library has given up its call. */
  redirectToAuthorization(url: URL): void {
    this.authorizationUrl = url
  }
}
