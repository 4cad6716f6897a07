/**
 * A small authorization server in the dialect of one product: real HTTP, real codes, tokens and
 * rotation; paths, bodies, answers and refusals as the product's documentation shows them.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Faults, readBody, startFaults } from '../../demo/doubles/faults.ts'
import { PEOPLE, type Person } from '../../demo/doubles/people.ts'
import { CLIENT } from './provider-house.ts'

export interface DoubleToken {
  readonly value: string
  readonly refreshToken: string | undefined
  readonly person: Person
  readonly scopes: readonly string[]
}

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface DoubleCall {
  /** Of the `Authorization: Bearer`, when it is live. */
  readonly token: DoubleToken | undefined
  /** Our client id and secret were right, in the place where this product wants them. */
  readonly isClient: boolean
  readonly parameters: Readonly<Record<string, unknown>>
  readonly url: URL
  find(value: unknown): DoubleToken | undefined
  drop(token: DoubleToken | undefined): void
}

export interface Dialect {
  readonly authorizePath: string
  readonly tokenPath: string
  readonly authentication: 'basic' | 'post'
  readonly body: 'form' | 'json'
  readonly scopeParameter?: string
  /** False: tokens without an end and without refresh tokens. */
  readonly isRotating: boolean
  tokenAnswer(token: DoubleToken, isRefresh: boolean): unknown
  refusal(what: 'code' | 'client' | 'refresh' | 'request'): Reply
  /** By `METHOD /path`. */
  readonly routes: Readonly<Record<string, (call: DoubleCall) => Reply>>
}

export interface ProductDouble extends Faults {
  playSignIn(url: URL, login: string): Promise<URL>
  revoke(login: string): number
  /** What came to the token endpoint last. */
  lastTokenParameters(): Readonly<Record<string, unknown>>
}

interface Code {
  readonly person: Person
  readonly scopes: readonly string[]
  readonly challenge: string | null
  readonly redirectUri: string | null
}

export async function startProductDouble(dialect: Dialect): Promise<ProductDouble> {
  const codes = new Map<string, Code>()
  const tokens = new Map<string, DoubleToken>()
  let last: Readonly<Record<string, unknown>> = {}

  const issue = (person: Person, scopes: readonly string[]): DoubleToken => {
    const value = `access-${randomBytes(12).toString('hex')}`
    const refreshToken = dialect.isRotating
      ? `refresh-${randomBytes(12).toString('hex')}`
      : undefined
    const token = { value, refreshToken, person, scopes }
    tokens.set(value, token)
    return token
  }
  const drop = (token: DoubleToken | undefined): void => {
    if (token !== undefined) tokens.delete(token.value)
  }
  const find = (value: unknown): DoubleToken | undefined =>
    [...tokens.values()].find((token) => token.value === value || token.refreshToken === value)

  const authorize = (url: URL, response: ServerResponse): void => {
    const query = url.searchParams
    const person = PEOPLE.find(({ login }) => login === query.get('double_person'))
    const isKnown =
      query.get('client_id') === CLIENT.clientId && query.get('response_type') === 'code'
    const redirectUri = query.get('redirect_uri')
    if (!isKnown || person === undefined || redirectUri !== CLIENT.redirectUris[0]) {
      response.writeHead(400).end('refused')
      return
    }
    const code = randomBytes(10).toString('hex')
    const scopes = (query.get(dialect.scopeParameter ?? 'scope') ?? '').split(/[ ,]/)
    codes.set(code, {
      person,
      scopes: scopes.filter((scope) => scope !== ''),
      challenge: query.get('code_challenge'),
      redirectUri,
    })
    const back = new URL(redirectUri)
    back.searchParams.set('code', code)
    back.searchParams.set('state', query.get('state') ?? '')
    response.writeHead(302, { location: back.href }).end()
  }

  const grant = (parameters: Readonly<Record<string, unknown>>): Reply => {
    if (parameters['grant_type'] === 'refresh_token') {
      const old = find(parameters['refresh_token'])
      if (old?.refreshToken !== parameters['refresh_token'] || old === undefined)
        return dialect.refusal('refresh')
      drop(old)
      return { status: 200, body: dialect.tokenAnswer(issue(old.person, old.scopes), true) }
    }
    const code = codes.get(String(parameters['code']))
    codes.delete(String(parameters['code']))
    const verifier = parameters['code_verifier']
    const isProven =
      code?.challenge === null ||
      createHash('sha256').update(String(verifier)).digest('base64url') === code?.challenge
    if (code === undefined || !isProven || parameters['redirect_uri'] !== code.redirectUri)
      return dialect.refusal('code')
    return { status: 200, body: dialect.tokenAnswer(issue(code.person, code.scopes), false) }
  }

  const handler = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://double')
    if (url.pathname === dialect.authorizePath) {
      authorize(url, response)
      return
    }
    const parameters = await parametersOf(request, dialect)
    const isClient = isOurClient(request, parameters ?? {}, dialect)
    if (url.pathname === dialect.tokenPath) {
      last = parameters ?? {}
      if (parameters === undefined) send(response, dialect.refusal('request'))
      else send(response, isClient ? grant(parameters) : dialect.refusal('client'))
      return
    }
    const route = dialect.routes[`${request.method} ${url.pathname}`]
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const token = bearer === undefined ? undefined : tokens.get(bearer)
    const call = { token, isClient, parameters: parameters ?? {}, url, find, drop }
    send(response, route?.(call) ?? { status: 404, body: { message: 'no such route' } })
  }

  const faults = await startFaults({
    handler,
    isFrontChannel: (path) => path === dialect.authorizePath,
  })
  return {
    ...faults,
    async playSignIn(url, login) {
      const asked = new URL(url)
      asked.searchParams.set('double_person', login)
      const response = await fetch(asked, { redirect: 'manual' })
      await response.body?.cancel()
      return new URL(response.headers.get('location') ?? 'about:blank')
    },
    revoke(login) {
      const doomed = [...tokens.values()].filter(({ person }) => person.login === login)
      for (const token of doomed) drop(token)
      return doomed.length
    },
    lastTokenParameters: () => last,
  }
}

/** `undefined` for a body in another form than the product takes. */
async function parametersOf(
  request: IncomingMessage,
  dialect: Dialect,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const body = await readBody(request)
  const type = request.headers['content-type'] ?? ''
  if (type === 'application/json') return JSON.parse(body) as Record<string, unknown>
  return dialect.body === 'json' && body !== ''
    ? undefined
    : Object.fromEntries(new URLSearchParams(body))
}

function isOurClient(
  request: IncomingMessage,
  parameters: Readonly<Record<string, unknown>>,
  { authentication }: Dialect,
): boolean {
  if (authentication === 'post') {
    return (
      parameters['client_id'] === CLIENT.clientId &&
      parameters['client_secret'] === CLIENT.clientSecret
    )
  }
  const pair = Buffer.from(`${CLIENT.clientId}:${CLIENT.clientSecret}`).toString('base64')
  return request.headers.authorization === `Basic ${pair}` && !('client_secret' in parameters)
}

function send(response: ServerResponse, { status, headers, body }: Reply): void {
  response.writeHead(status, {
    ...(body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
    ...headers,
  })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}
