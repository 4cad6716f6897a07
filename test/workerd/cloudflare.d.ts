/** `@cloudflare/workers-oauth-provider`, installed by test/kit/programs.ts: what our Worker uses of it. */
declare module 'virtual:workers-oauth-provider' {
  export interface AuthRequest {
    readonly clientId: string
    readonly scope: string[]
  }
  export interface TokenAuth {
    readonly scope: readonly string[]
  }
  export interface Helpers {
    parseAuthRequest(request: Request): Promise<AuthRequest>
    completeAuthorization(options: {
      request: AuthRequest
      userId: string
      metadata: unknown
      scope: readonly string[]
      props: unknown
    }): Promise<{ redirectTo: string }>
  }
  export interface ResourceContext {
    readonly props: { readonly login: string }
    readonly auth: TokenAuth
  }
  export class OAuthProvider<E> {
    constructor(options: {
      apiRoute: string
      apiHandler: {
        fetch(request: Request, env: E, context: ResourceContext): Promise<Response> | Response
      }
      defaultHandler: {
        fetch(request: Request, env: E & { OAUTH_PROVIDER: Helpers }): Promise<Response>
      }
      authorizeEndpoint: string
      tokenEndpoint: string
      clientRegistrationEndpoint: string
      scopesSupported: string[]
      requiredScopes: string[]
      resourceMetadata: { resource: string; authorization_servers: string[] }
      accessTokenTTL: number
    })
    fetch(request: Request, env: E, context: unknown): Promise<Response>
  }
  export function insufficientScope(auth: TokenAuth, needed: string[]): Response
}
