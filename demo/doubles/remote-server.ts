/**
 * A remote MCP server with an authorization server of its own, for demo and tests: real listeners,
 * real tokens, and every habit that deployed servers have as a setting. It plays both on one origin,
 * or on two. `settings` may be changed at any time; faults of the world come from `Faults`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { type AuthInfo, createMcpHandler } from '@modelcontextprotocol/server'
import { buildNotesServer } from '../servers/notes.ts'
import { type Faults, startFaults } from './faults.ts'
import {
  type AuthorizationState,
  answerAuthorization,
  createAuthorizationState,
} from './remote-authorization.ts'

type Json = Readonly<Record<string, unknown>>

export interface RemoteSettings {
  /** Where RFC 9728 metadata is. Default `path`. */
  resourceMetadata: 'path' | 'root' | 'none'
  /** Does a 401 name its metadata. Default true. */
  challenge: boolean
  /** `scope` in the 401. */
  challengeScope: string | undefined
  /** Scopes without which a call is 403 `insufficient_scope`. */
  requiredScopes: readonly string[]
  /** Changes a published document before it is sent. */
  editResource: (document: Json) => Json
  editServer: (document: Json) => Json
  /** Answers a metadata request by its headers in the place of the document. */
  answerHeaders: (
    headers: IncomingMessage['headers'],
  ) => { readonly status: number; readonly body?: string } | undefined
  /** Sent with both documents. */
  cacheControl: string | undefined
  /** Lets pages of any origin read both documents. Default false. */
  cors: boolean
  /** Answers conditional requests with 304. */
  etag: boolean
  registration: boolean
  /** Client ID metadata documents are fetched and believed. */
  metadataDocuments: boolean
  /** Sends `iss` with the authorization response, and says so. */
  issParameter: boolean
  pushedRequests: 'none' | 'offered' | 'required'
  accessTokenSeconds: number
  /** `strict`: a used refresh token ends its family. `tolerant`: it works once more. `keep`: none is new. */
  refreshTokens: 'strict' | 'tolerant' | 'keep'
  /** Before the answer of a token call leaves, after everything has happened. */
  tokenDelayMs: () => number
  /** Headers of a sign-in page with a button; without, the browser goes on by itself. */
  signInPage: Readonly<Record<string, string>> | undefined
  /** Who is signed in at the server in every browser. */
  person: string
  clientSecretSeconds: number | undefined
}

export interface RemoteServer extends Faults {
  /** The MCP endpoint. */
  readonly url: string
  readonly issuer: string
  readonly settings: RemoteSettings
  /** The authorization server's own socket; the same as this one unless `separate`. */
  readonly authorizationServer: Faults
  /** Form bodies of the token endpoint, newest last. */
  readonly tokenCalls: readonly (readonly [grantType: string, form: URLSearchParams])[]
  /** Bearer tokens that reached the MCP endpoint, in order. */
  readonly presented: readonly string[]
  /** Is this access token alive here? */
  isLive(accessToken: string): boolean
  /** Live access tokens of a person. */
  tokensOf(person: string): readonly string[]
  /** All access tokens die; refresh tokens live. */
  expireAccessTokens(): void
  /** All tokens of everybody die. */
  revokeEverything(): void
  /** Registered clients are forgotten: `invalid_client` from now on. */
  forgetClients(): void
  registrations(): number
}

export interface RemoteServerOptions {
  readonly port?: number
  /** The authorization server listens on an origin of its own. Default false. */
  readonly separate?: boolean
  /** Path of the issuer, such as `/tenant`. Default none. */
  readonly issuerPath?: string
  readonly settings?: Partial<RemoteSettings>
  readonly nowMs?: () => number
}

export async function startRemoteServer(options: RemoteServerOptions = {}): Promise<RemoteServer> {
  const settings: RemoteSettings = {
    resourceMetadata: 'path',
    challenge: true,
    challengeScope: undefined,
    requiredScopes: [],
    editResource: (document) => document,
    editServer: (document) => document,
    answerHeaders: () => undefined,
    cacheControl: undefined,
    cors: false,
    etag: false,
    registration: true,
    metadataDocuments: false,
    issParameter: true,
    pushedRequests: 'none',
    accessTokenSeconds: 3600,
    refreshTokens: 'strict',
    tokenDelayMs: () => 0,
    signInPage: undefined,
    person: 'ada',
    clientSecretSeconds: undefined,
    ...options.settings,
  }
  const presented: string[] = []
  const modern = toNodeHandler(createMcpHandler(() => buildNotesServer(notebooks, 100)))
  const notebooks = new Map<string, string[]>()
  let state: AuthorizationState
  const authorize = (request: IncomingMessage, response: ServerResponse): Promise<boolean> =>
    answerAuthorization(state, request, response)

  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url ?? '/', url)
    const isDocument = pathname.startsWith('/.well-known/oauth-protected-resource')
    if (isDocument) return answerResourceDocument(pathname, request, response)
    if (pathname === '/mcp') return answerCall(request, response)
    if (options.separate !== true && (await authorize(request, response))) return
    response.writeHead(404).end()
  }
  const answerResourceDocument = (
    pathname: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): void => {
    const at = {
      path: '/.well-known/oauth-protected-resource/mcp',
      root: '/.well-known/oauth-protected-resource',
      none: '',
    }
    if (pathname !== at[settings.resourceMetadata]) {
      response.writeHead(404).end()
      return
    }
    const document = settings.editResource({
      resource: url,
      authorization_servers: [state.issuer],
      scopes_supported: ['notes:read', 'notes:write'],
      bearer_methods_supported: ['header'],
    })
    state.publish(document, request, response)
  }
  const answerCall = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const accessToken = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (accessToken !== undefined) presented.push(accessToken)
    const token = accessToken === undefined ? undefined : state.live(accessToken)
    if (token === undefined) {
      refuse(
        response,
        401,
        accessToken === undefined ? undefined : 'invalid_token',
        settings.challengeScope,
      )
      return
    }
    const missing = settings.requiredScopes.filter((scope) => !token.scopes.includes(scope))
    if (missing.length > 0) {
      refuse(response, 403, 'insufficient_scope', settings.requiredScopes.join(' '))
      return
    }
    const auth: AuthInfo = {
      token: accessToken ?? '',
      clientId: token.clientId,
      scopes: [...token.scopes],
      extra: { claims: { sub: token.person, scope: token.scopes.join(' ') } },
    }
    await modern(Object.assign(request, { auth }), response)
  }
  const refuse = (
    response: ServerResponse,
    status: number,
    error: string | undefined,
    scope: string | undefined,
  ): void => {
    const where =
      settings.resourceMetadata === 'root'
        ? '/.well-known/oauth-protected-resource'
        : '/.well-known/oauth-protected-resource/mcp'
    const parameters = [
      ...(error === undefined ? [] : [`error="${error}"`]),
      ...(settings.challenge && settings.resourceMetadata !== 'none'
        ? [`resource_metadata="${new URL(where, url).href}"`]
        : []),
      ...(scope === undefined ? [] : [`scope="${scope}"`]),
    ]
    response
      .writeHead(status, {
        'www-authenticate': ['Bearer', parameters.join(', ')]
          .filter((part) => part !== '')
          .join(' '),
        'content-type': 'application/json',
      })
      .end('{"error":"unauthorized"}')
  }

  const front = (path: string): boolean => path.endsWith('/authorize')
  const faults = await startFaults({
    handler,
    isFrontChannel: front,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  const url = `${faults.origin}/mcp`
  const authorizationServer =
    options.separate === true
      ? await startFaults({
          handler: async (request, response) => {
            if (!(await authorize(request, response))) response.writeHead(404).end()
          },
          isFrontChannel: front,
        })
      : faults
  state = createAuthorizationState({
    issuer: authorizationServer.origin + (options.issuerPath ?? ''),
    settings,
    nowMs: options.nowMs ?? Date.now,
  })
  return {
    ...faults,
    url,
    issuer: state.issuer,
    settings,
    authorizationServer,
    tokenCalls: state.tokenCalls,
    presented,
    isLive: (accessToken) => state.live(accessToken) !== undefined,
    tokensOf: (person) => state.tokensOf(person),
    expireAccessTokens: () => state.expireAccessTokens(),
    revokeEverything: () => state.revokeEverything(),
    forgetClients: () => state.clients.clear(),
    registrations: () => state.clients.size,
    async close() {
      await faults.close()
      if (authorizationServer !== faults) await authorizationServer.close()
    },
  }
}
