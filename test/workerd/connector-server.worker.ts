/**
 * A remote MCP server as people build it on Cloudflare: `OAuthProvider` of
 * `@cloudflare/workers-oauth-provider` is its authorization server, the official server package its
 * endpoint. Reading needs `notes:read`; `add_note` needs `notes:write` as well, and says so with a 403.
 */
import { env } from 'cloudflare:workers'
import { insufficientScope, OAuthProvider } from 'virtual:workers-oauth-provider'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { z } from 'zod'

const ORIGIN = env.TEST_ORIGIN ?? ''
/** Longer than the house's clock is moved between two refreshes. */
const ACCESS_TOKEN_TTL_SECONDS = 3_600

function serverFor(login: string): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' })
  const answer = (text: string) => ({ content: [{ type: 'text' as const, text }] })
  server.registerTool('whoami', { inputSchema: z.object({}) }, () => answer(login))
  server.registerTool('add_note', { inputSchema: z.object({}) }, () => answer('kept'))
  return server
}

export default new OAuthProvider<Record<string, unknown>>({
  apiRoute: '/mcp',
  authorizeEndpoint: '/authorize',
  tokenEndpoint: '/oauth/token',
  clientRegistrationEndpoint: '/oauth/register',
  scopesSupported: ['notes:read', 'notes:write', 'offline_access'],
  requiredScopes: ['notes:read'],
  resourceMetadata: { resource: `${ORIGIN}/mcp`, authorization_servers: [ORIGIN] },
  accessTokenTTL: ACCESS_TOKEN_TTL_SECONDS,
  apiHandler: {
    async fetch(request, _env, context) {
      const needed = ['notes:read']
      if (/"name":\s*"add_note"/.test(await request.clone().text())) needed.push('notes:write')
      if (!needed.every((scope) => context.auth.scope.includes(scope)))
        return insufficientScope(context.auth, needed)
      return await createMcpHandler(() => serverFor(context.props.login)).fetch(request)
    },
  },
  defaultHandler: {
    async fetch(request, { OAUTH_PROVIDER }) {
      const url = new URL(request.url)
      if (url.pathname !== '/authorize') return new Response('Not found', { status: 404 })
      const asked = await OAUTH_PROVIDER.parseAuthRequest(request)
      const login = url.searchParams.get('login') ?? 'ada'
      const { redirectTo } = await OAUTH_PROVIDER.completeAuthorization({
        request: asked,
        userId: login,
        metadata: {},
        scope: asked.scope,
        props: { login },
      })
      return new Response(null, { status: 302, headers: { location: redirectTo } })
    },
  },
})
