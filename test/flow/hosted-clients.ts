/**
 * What clients that we cannot start here send, as data: each with the sources of what is odd about it.
 *
 * Documents and bodies are the published ones (September 2026), or what the client's open source
 * builds. A client that can register in two ways stands here twice.
 */
import { ISSUER, NOTES } from './sign-in-house.ts'

export interface HostedClient {
  readonly name: string
  readonly sources: readonly string[]
  /** Body of `POST /register`. */
  readonly registration?: Readonly<Record<string, unknown>>
  /** Client ID Metadata Document; its `client_id` is its address. */
  readonly document?: Readonly<Record<string, unknown>> & { readonly client_id: string }
  /** The one that its sign-in uses. */
  readonly redirectUri: string
  /** Others that it uses, and near ones that nobody registered. */
  readonly alsoUses?: readonly string[]
  readonly refused: readonly string[]
  /** Besides `client_id`, `redirect_uri`, `code_challenge` and `state`. */
  readonly authorize: Readonly<Record<string, string>>
  readonly state?: string
  /** Besides the grant, the code, the verifier and `redirect_uri`. */
  readonly token: Readonly<Record<string, string>>
  /** Besides the grant and the refresh token. */
  readonly refresh: Readonly<Record<string, string>>
  /** Default: `client_id` alone. */
  readonly authentication?: 'client_secret_post' | 'client_secret_basic' | 'private_key_jwt'
  /** Of an assertion. */
  readonly audience?: string
  readonly headers?: Readonly<Record<string, string>>
}

const CODE = { response_type: 'code', code_challenge_method: 'S256' }
const BOTH_GRANTS = ['authorization_code', 'refresh_token']
const RESOURCE = { resource: NOTES }
const CLAUDE_CALLBACK = 'https://claude.ai/api/mcp/auth_callback'

export const CHATGPT_KEYS = 'https://chatgpt.com/oauth/jwks.json'
const CHATGPT = {
  client_uri: 'https://chatgpt.com/',
  token_endpoint_auth_method: 'private_key_jwt',
  grant_types: BOTH_GRANTS,
  response_types: ['code'],
  client_name: 'ChatGPT',
  logo_uri: 'https://persistent.oaistatic.com/sonic/misc/openai-logo.png',
  token_endpoint_auth_signing_alg: 'RS256',
  jwks_uri: CHATGPT_KEYS,
}
/** ChatGPT signs for the endpoint and not for the issuer; its document offers `none` as well. */
const CHATGPT_OFFERS = { token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'] }
const CHATGPT_SOURCES = [
  'https://developers.openai.com/plugins/build/auth',
  'https://github.com/Altinity/altinity-mcp/pull/119',
  'https://github.com/kentcdodds/kody/pull/1905',
]

export const CLAUDE_REGISTRATION = {
  client_name: 'Claude',
  redirect_uris: [CLAUDE_CALLBACK],
  grant_types: BOTH_GRANTS,
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_post',
  scope: 'mcp offline_access',
}

export const HOSTED_CLIENTS: readonly HostedClient[] = [
  {
    name: 'Claude (document)',
    sources: [
      'https://claude.ai/oauth/mcp-oauth-client-metadata',
      'https://claude.com/docs/connectors/building/authentication',
    ],
    document: {
      client_id: 'https://claude.ai/oauth/mcp-oauth-client-metadata',
      client_name: 'Claude',
      client_uri: 'https://claude.ai',
      redirect_uris: [CLAUDE_CALLBACK],
      grant_types: [...BOTH_GRANTS, 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    redirectUri: CLAUDE_CALLBACK,
    refused: [`${CLAUDE_CALLBACK}/`, 'https://claude.com/api/mcp/auth_callback'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    refresh: RESOURCE,
    headers: { 'mcp-protocol-version': '2025-11-25' },
  },
  {
    name: 'Claude (registration, a secret in the form)',
    sources: [
      'https://support.claude.com/en/articles/11503834-building-custom-connectors-via-remote-mcp-servers',
      'https://github.com/anthropics/claude-ai-mcp/issues/82',
      'https://github.com/anthropics/claude-code/issues/30511',
    ],
    registration: CLAUDE_REGISTRATION,
    redirectUri: CLAUDE_CALLBACK,
    refused: ['https://claude.com/api/mcp/auth_callback'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    refresh: {},
    authentication: 'client_secret_post',
    headers: { 'mcp-protocol-version': '2025-11-25' },
  },
  {
    name: 'Claude (registration on the new host, no secret)',
    sources: [
      'https://support.claude.com/en/articles/11503834-building-custom-connectors-via-remote-mcp-servers',
    ],
    registration: {
      ...CLAUDE_REGISTRATION,
      redirect_uris: [CLAUDE_CALLBACK, 'https://claude.com/api/mcp/auth_callback'],
      token_endpoint_auth_method: 'none',
    },
    redirectUri: 'https://claude.com/api/mcp/auth_callback',
    alsoUses: [CLAUDE_CALLBACK],
    refused: ['https://claude.com/api/mcp/auth_callback?x=1'],
    authorize: { ...CODE, ...RESOURCE },
    token: RESOURCE,
    refresh: {},
  },
  {
    name: 'Claude Code (document)',
    sources: [
      'https://claude.ai/oauth/claude-code-client-metadata',
      'https://github.com/anthropics/claude-code/issues/42301',
      'https://github.com/anthropics/claude-code/issues/89862',
    ],
    document: {
      client_id: 'https://claude.ai/oauth/claude-code-client-metadata',
      client_name: 'Claude Code',
      client_uri: 'https://claude.ai',
      redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback'],
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    redirectUri: 'http://localhost:58135/callback',
    alsoUses: ['http://127.0.0.1:52163/callback', 'http://localhost/callback'],
    refused: ['http://localhost:58135/', 'http://[::1]:58135/callback'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    // No scope: what was granted must come back.
    refresh: {},
  },
  {
    name: 'Claude Code (registration)',
    sources: ['https://github.com/elmohq/elmo/pull/684'],
    registration: {
      client_name: 'Claude Code (notes)',
      redirect_uris: ['http://localhost:3118/callback'],
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    },
    redirectUri: 'http://localhost:3118/callback',
    alsoUses: ['http://localhost:51999/callback'],
    refused: ['http://127.0.0.1:3118/callback'],
    authorize: { ...CODE, ...RESOURCE },
    token: RESOURCE,
    refresh: {},
  },
  {
    name: 'Cursor',
    sources: [
      'https://cursor.com/docs/mcp',
      'https://github.com/erp-mafia/accounted/pull/2225',
      'https://github.com/better-auth/better-auth/pull/10956',
    ],
    registration: {
      client_name: 'Cursor',
      redirect_uris: [
        'cursor://anysphere.cursor-mcp/oauth/callback',
        'https://www.cursor.com/agents/mcp/oauth/callback',
        'http://localhost:8787/callback',
      ],
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    redirectUri: 'cursor://anysphere.cursor-mcp/oauth/callback',
    alsoUses: [
      'https://www.cursor.com/agents/mcp/oauth/callback',
      'http://localhost:8787/callback',
      'http://localhost:8788/callback',
    ],
    refused: [
      'cursor://anysphere.cursor-mcp/oauth/other',
      'cursor://evil/oauth/callback',
      'https://cursor.com/agents/mcp/oauth/callback',
    ],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp' },
    token: RESOURCE,
    refresh: RESOURCE,
  },
  {
    name: 'VS Code (document)',
    sources: [
      'https://vscode.dev/oauth/client-metadata.json',
      'https://github.com/microsoft/vscode/issues/278512',
      'https://github.com/microsoft/vscode/blob/main/src/vs/workbench/api/node/extHostAuthentication.ts',
    ],
    document: {
      client_name: 'Visual Studio Code',
      logo_uri: 'https://code.visualstudio.com/assets/branding/code-stable.png',
      grant_types: [...BOTH_GRANTS, 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      client_id: 'https://vscode.dev/oauth/client-metadata.json',
      client_uri: 'https://vscode.dev/product',
      redirect_uris: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'],
    },
    redirectUri: 'http://127.0.0.1:33418/',
    alsoUses: ['http://127.0.0.1:59656/', 'https://vscode.dev/redirect'],
    refused: ['http://127.0.0.1:33418', 'http://localhost:33418/', 'https://vscode.dev/redirect/'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp' },
    state: 'ey/lnTwSm9FUcQN/Qds+Cg==',
    token: RESOURCE,
    refresh: RESOURCE,
  },
  {
    name: 'VS Code (registration)',
    sources: ['https://github.com/microsoft/vscode/blob/main/src/vs/base/common/oauth.ts'],
    registration: {
      client_name: 'Visual Studio Code',
      client_uri: 'https://code.visualstudio.com',
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      redirect_uris: [
        'https://insiders.vscode.dev/redirect',
        'https://vscode.dev/redirect',
        'http://127.0.0.1/',
        'http://127.0.0.1:33418/',
      ],
      scope: 'mcp',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    },
    redirectUri: 'http://127.0.0.1:59656/',
    alsoUses: ['https://vscode.dev/redirect', 'https://insiders.vscode.dev/redirect'],
    refused: ['http://127.0.0.1:59656/callback', 'https://vscode.dev/'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp' },
    state: 'ey/lnTwSm9FUcQN/Qds+Cg==',
    token: RESOURCE,
    refresh: RESOURCE,
  },
  {
    name: 'ChatGPT (the stable document)',
    sources: ['https://chatgpt.com/oauth/client.json', ...CHATGPT_SOURCES],
    document: {
      ...CHATGPT,
      ...CHATGPT_OFFERS,
      client_id: 'https://chatgpt.com/oauth/client.json',
      redirect_uris: ['https://chatgpt.com/connector_platform_oauth_redirect'],
    },
    redirectUri: 'https://chatgpt.com/connector_platform_oauth_redirect',
    refused: ['https://chatgpt.com/connector/oauth/OUbdUMlL15Ct'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    refresh: RESOURCE,
    authentication: 'private_key_jwt',
    audience: `${ISSUER}/token`,
  },
  {
    name: 'ChatGPT (a document and a callback per connector)',
    sources: CHATGPT_SOURCES,
    document: {
      ...CHATGPT,
      ...CHATGPT_OFFERS,
      client_id: 'https://chatgpt.com/oauth/kDmjx77UnKOM/client.json',
      redirect_uris: ['https://chatgpt.com/connector/oauth/kDmjx77UnKOM'],
    },
    redirectUri: 'https://chatgpt.com/connector/oauth/kDmjx77UnKOM',
    refused: ['https://chatgpt.com/connector/oauth/OUbdUMlL15Ct'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    refresh: RESOURCE,
    authentication: 'private_key_jwt',
    audience: ISSUER,
  },
  {
    name: 'ChatGPT (registration)',
    sources: CHATGPT_SOURCES,
    registration: {
      client_name: 'ChatGPT',
      redirect_uris: ['https://chatgpt.com/connector/oauth/OUbdUMlL15Ct'],
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    redirectUri: 'https://chatgpt.com/connector/oauth/OUbdUMlL15Ct',
    refused: ['https://chatgpt.com/connector/oauth/another'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access' },
    token: RESOURCE,
    refresh: RESOURCE,
  },
  {
    name: 'Codex',
    sources: ['https://chatgpt.com/oauth/codex/client.json'],
    document: {
      client_id: 'https://chatgpt.com/oauth/codex/client.json',
      client_name: 'Codex',
      redirect_uris: ['http://127.0.0.1/callback', 'http://localhost/callback'],
      token_endpoint_auth_method: 'none',
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
    },
    redirectUri: 'http://127.0.0.1:1455/callback',
    alsoUses: ['http://localhost:60123/callback'],
    refused: ['http://127.0.0.1:1455/callback/abc123'],
    authorize: { ...CODE, scope: 'mcp' },
    // Neither here nor at the page: the only resource is meant.
    token: {},
    refresh: {},
  },
  {
    name: 'Gemini CLI',
    sources: [
      'https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/mcp/oauth-provider.ts',
      'https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/utils/oauth-flow.ts',
    ],
    registration: {
      client_name: 'Gemini CLI MCP Client',
      redirect_uris: ['http://localhost:45123/oauth/callback'],
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      // Joined from what it found; empty when it found none.
      scope: '',
    },
    redirectUri: 'http://localhost:45123/oauth/callback',
    alsoUses: ['http://localhost:45999/oauth/callback'],
    refused: ['http://localhost:45123/oauth2callback'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access', audience: 'notes' },
    token: { ...RESOURCE, audience: 'notes' },
    // Everything that the metadata lists, the pseudo-scope too.
    refresh: { ...RESOURCE, scope: 'mcp offline_access', audience: 'notes' },
    headers: { accept: 'application/json, application/x-www-form-urlencoded' },
  },
  {
    name: 'MCP Inspector in the browser',
    sources: ['https://github.com/modelcontextprotocol/inspector/blob/main/core/auth/providers.ts'],
    registration: {
      redirect_uris: ['http://localhost:6274/oauth/callback'],
      token_endpoint_auth_method: 'none',
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      client_name: 'MCP Inspector',
      client_uri: 'https://github.com/modelcontextprotocol/inspector',
      scope: '',
      application_type: 'native',
    },
    redirectUri: 'http://localhost:6274/oauth/callback',
    refused: ['http://localhost:6274/oauth/callback/debug'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access', prompt: 'consent' },
    token: RESOURCE,
    refresh: RESOURCE,
    headers: { origin: 'http://localhost:6274', 'mcp-protocol-version': '2025-11-25' },
  },
  {
    name: 'mcp-remote',
    sources: [
      'https://github.com/punkpeye/mcp-remote',
      'https://github.com/punkpeye/mcp-remote/pull/357',
    ],
    registration: {
      redirect_uris: ['http://localhost:38761/oauth/callback'],
      token_endpoint_auth_method: 'none',
      grant_types: BOTH_GRANTS,
      response_types: ['code'],
      client_name: 'MCP CLI Proxy',
      client_uri: 'https://github.com/modelcontextprotocol/mcp-cli',
      software_id: '2e6dc280-f3c3-4e01-99a7-8181dbd1d23d',
      software_version: '0.15.1',
      scope: 'mcp',
    },
    redirectUri: 'http://localhost:38761/oauth/callback',
    alsoUses: ['http://localhost:38762/oauth/callback'],
    refused: ['http://127.0.0.1:38761/oauth/callback'],
    authorize: { ...CODE, ...RESOURCE, scope: 'mcp offline_access', prompt: 'consent' },
    token: RESOURCE,
    refresh: { ...RESOURCE, scope: 'mcp' },
    headers: { 'mcp-protocol-version': '2025-11-25' },
  },
  {
    name: 'a client of 2025-03-26 with the default method',
    sources: [
      'https://modelcontextprotocol.io/specification/2025-03-26/basic/authorization',
      'https://www.rfc-editor.org/rfc/rfc7591#section-2',
    ],
    registration: { client_name: 'Old', redirect_uris: ['https://old.example/cb'] },
    redirectUri: 'https://old.example/cb',
    refused: ['https://old.example/cb/'],
    // Neither scope nor resource: RFC 8707 came later.
    authorize: CODE,
    token: {},
    refresh: {},
    authentication: 'client_secret_basic',
  },
]
