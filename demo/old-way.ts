/**
 * The old way, for comparison: a proxy in front of an MCP server that knows its own token and then
 * asks the provider twice, one call after the other, with the person's upstream token, on every
 * request; what FastMCP's `OAuthProxy` does with `GitHubProvider`.
 *
 * Kinder than the original: connections to the provider are kept open. A provider that does not
 * answer is told to the client as `401 invalid_token`, as there.
 */
import { randomBytes } from 'node:crypto'
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
  request as send,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { authorize, basic } from './sign-in.ts'
import type { Visitor } from './visitor.ts'

/** GitHubProvider's and IntrospectionTokenVerifier's `timeout_seconds`. */
const QUESTION_TIMEOUT_MS = 10_000
/** By this the provider's socket tells its calls from Postern's. */
export const OLD_WAY_USER_AGENT = 'old-way'
/** Never forwarded (RFC 9110 section 7.6.1), or wrong behind a proxy. */
const HOP_BY_HOP = ['authorization', 'connection', 'host', 'keep-alive', 'transfer-encoding']

/** One provider, as this proxy uses it: its own client there, and two questions per request. */
export interface OldWayProvider {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUri: string
  readonly scope: string
  /** Asked one after the other; each must be answered yes. */
  readonly questions: readonly ((upstreamToken: string) => Promise<boolean>)[]
}

export interface OldWay {
  readonly url: string
  /** Signs a person in at the provider and returns this proxy's own opaque token. */
  signIn(visitor: Visitor): Promise<string>
  close(): Promise<void>
}

export async function startOldWay(options: {
  readonly target: URL
  readonly provider: OldWayProvider
}): Promise<OldWay> {
  const { target, provider } = options
  const upstreamTokens = new Map<string, string>()
  const agent = new Agent({ keepAlive: true })
  const handle: RequestListener = async (request, response) => {
    const ourToken = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const upstreamToken = upstreamTokens.get(ourToken)
    if (upstreamToken === undefined || !(await isGood(provider, upstreamToken))) refuse(response)
    else forward(request, response, target, agent)
  }
  const server = createServer((request, response) => void handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${target.pathname}`,
    async signIn(visitor) {
      const { accessToken } = await authorize({
        ...provider,
        parameters: { scope: provider.scope },
        visitor,
        userAgent: OLD_WAY_USER_AGENT,
      })
      const ourToken = randomBytes(32).toString('base64url')
      upstreamTokens.set(ourToken, accessToken)
      return ourToken
    },
    async close() {
      agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function isGood(provider: OldWayProvider, upstreamToken: string): Promise<boolean> {
  try {
    for (const ask of provider.questions) if (!(await ask(upstreamToken))) return false
    return true
  } catch {
    return false
  }
}

/** OpenID Connect Core section 5.3, then RFC 7662. */
export function openIdQuestions(endpoints: {
  readonly userinfo: string
  readonly introspection: string
  readonly clientId: string
  readonly clientSecret: string
}): OldWayProvider['questions'] {
  const credentials = basic(endpoints.clientId, endpoints.clientSecret)
  return [
    async (token) => (await ask(endpoints.userinfo, `Bearer ${token}`)).status === 200,
    async (token) => {
      const body = new URLSearchParams({ token })
      const answer = await ask(endpoints.introspection, credentials, body)
      return answer.status === 200 && answer.body['active'] === true
    },
  ]
}

/** `GET /user` for the person, `GET /user/repos` for the scopes: FastMCP's two calls. */
export function gitHubQuestions(apiUrl: string): OldWayProvider['questions'] {
  return ['/user', '/user/repos'].map(
    (path) => async (token: string) =>
      (await ask(`${apiUrl}${path}`, `Bearer ${token}`)).status === 200,
  )
}

async function ask(
  url: string,
  authorization: string,
  body?: URLSearchParams,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization, accept: 'application/json', 'user-agent': OLD_WAY_USER_AGENT },
    ...(body === undefined ? {} : { body }),
    redirect: 'manual',
    signal: AbortSignal.timeout(QUESTION_TIMEOUT_MS),
  })
  const answer: unknown = await response.json().catch(() => undefined)
  const isObject = typeof answer === 'object' && answer !== null
  return { status: response.status, body: isObject ? { ...answer } : {} }
}

/** FastMCP's answer, whatever the reason was. */
function refuse(response: ServerResponse): void {
  const body = JSON.stringify({
    error: 'invalid_token',
    error_description:
      'Authentication failed. The provided bearer token is invalid, expired, or no longer recognized by the server.',
  })
  response.writeHead(401, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'www-authenticate': 'Bearer error="invalid_token"',
  })
  response.end(body)
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  target: URL,
  agent: Agent,
): void {
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !HOP_BY_HOP.includes(name)),
  )
  const onward = send(target, { method: request.method ?? 'GET', headers, agent }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => {
    if (response.headersSent) response.destroy()
    else response.writeHead(502).end()
  })
  request.pipe(onward)
}
