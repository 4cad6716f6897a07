/**
 * One server that answers as an OpenID product does, by its recorded shapes: documents, tokens, claims,
 * refusals. All public hosts of the product lead here; paths carry the host in front
 * (`POST /oauth2.googleapis.com/token`). Nobody is asked anything: `playSignIn` says who it is.
 */
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { SignJWT } from 'jose'
import { type Faults, readBody, startFaults } from '../../demo/doubles/faults.ts'
import { ADA, GRACE, type Person } from '../../demo/doubles/people.ts'

export type Claims = Readonly<Record<string, unknown>>

export interface Shape {
  /** `iss` of tokens for this person. */
  readonly issuer: string
  /** Members of the discovery document: absolute URLs of the real product. */
  readonly document: Claims & {
    readonly authorization_endpoint: string
    readonly token_endpoint: string
    readonly jwks_uri: string
  }
  readonly documentUrl: string
  readonly idToken: (person: Person) => Claims
  /** Claims of a JWT, or `opaque`. */
  readonly accessToken: ((person: Person, scope: string) => Claims) | 'opaque'
  readonly userinfo?: (person: Person) => Claims
  /** How credentials come: another way is `invalid_client`. */
  readonly clientAuthentication: 'basic' | 'post'
  /** Scopes as the answer names them. */
  readonly grant?: (scope: readonly string[]) => readonly string[] | undefined
  /** Refuses a token request, as the product's error page says. */
  readonly refuseToken?: (form: URLSearchParams) => string | undefined
  /** When a refresh token comes with a code. Default always. */
  readonly givesRefreshToken?: (authorization: URLSearchParams) => boolean
  readonly rotates: boolean
  readonly sendsIss?: boolean
  /** Answer to a userinfo call with a dead token. */
  readonly refusal: { readonly status: number; readonly headers?: Claims; readonly body?: string }
  /** Endpoints of its own, by `POST /host/path`. */
  readonly extra?: Readonly<Record<string, (asked: Asked) => Answered>>
}

export interface Asked {
  readonly form: URLSearchParams
  readonly person: Person | undefined
  readonly headers: IncomingMessage['headers']
}

export interface Answered {
  readonly status: number
  readonly body: unknown
}

export interface ShapeDouble extends Faults {
  playSignIn(url: URL, login: string): Promise<URL>
  revoke(login: string): number
  /** Forms that came to the token endpoint. */
  readonly tokenForms: readonly URLSearchParams[]
  /** Signs with the product's key: a token the test makes up. */
  sign(claims: Claims, header?: { readonly kid?: string }): Promise<string>
  /** The next access tokens and ID tokens say this as well. */
  say(changes: { readonly idToken?: Claims; readonly accessToken?: Claims }): void
}

const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })
const KEY_ID = 'recorded-1'
const PEOPLE = [ADA, GRACE]
const LIFE_SECONDS = 3_600

interface Issued {
  readonly login: string
  readonly scope: string
}

export async function startShape(
  shape: Shape,
  client: { readonly clientId: string; readonly clientSecret: string },
  nowMs: () => number,
): Promise<ShapeDouble> {
  const codes = new Map<string, Issued & { readonly request: URLSearchParams }>()
  const access = new Map<string, Issued>()
  const refresh = new Map<string, Issued>()
  const tokenForms: URLSearchParams[] = []
  let said: { readonly idToken?: Claims; readonly accessToken?: Claims } = {}
  const nowSeconds = () => Math.floor(nowMs() / 1_000)
  const sign: ShapeDouble['sign'] = (claims, header = {}) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: header.kid ?? KEY_ID })
      .sign(KEY.privateKey)

  const mint = async (issued: Issued, nonce?: string): Promise<Record<string, unknown>> => {
    const person = personOf(issued.login)
    const times = { iat: nowSeconds(), exp: nowSeconds() + LIFE_SECONDS }
    const claims =
      shape.accessToken === 'opaque'
        ? undefined
        : {
            iss: shape.issuer,
            ...times,
            jti: randomUUID(),
            ...shape.accessToken(person, issued.scope),
          }
    const accessToken =
      claims === undefined
        ? `opaque-${randomUUID()}`
        : await sign({ ...claims, ...said.accessToken })
    access.set(accessToken, issued)
    const scope = (shape.grant ?? ((asked) => asked))(issued.scope.split(' '))
    return {
      access_token: accessToken,
      id_token: await sign({
        iss: shape.issuer,
        aud: client.clientId,
        ...times,
        ...(nonce === undefined ? {} : { nonce }),
        ...shape.idToken(person),
        ...said.idToken,
      }),
      token_type: 'Bearer',
      expires_in: LIFE_SECONDS,
      ...(scope === undefined ? {} : { scope: scope.join(' ') }),
    }
  }
  const withRefresh = (issued: Issued): { refresh_token: string } => {
    const refreshToken = `refresh-${randomUUID()}`
    refresh.set(refreshToken, issued)
    return { refresh_token: refreshToken }
  }

  const token = async ({ form, headers }: Asked): Promise<Answered> => {
    tokenForms.push(form)
    const error = (word: string, status = 400) => ({ status, body: { error: word } })
    if (!isClient(shape, client, form, headers)) return error('invalid_client', 401)
    const refused = shape.refuseToken?.(form)
    if (refused !== undefined) return error('invalid_request')
    if (form.get('grant_type') === 'refresh_token') {
      const presented = form.get('refresh_token') ?? ''
      const issued = refresh.get(presented)
      if (issued === undefined) return error('invalid_grant')
      if (shape.rotates) refresh.delete(presented)
      const renewed = shape.rotates ? withRefresh(issued) : {}
      return { status: 200, body: { ...(await mint(issued)), ...renewed } }
    }
    const code = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    if (code === undefined || !(await fits(code.request, form.get('code_verifier') ?? '')))
      return error('invalid_grant')
    const gives = shape.givesRefreshToken?.(code.request) ?? true
    const answer = await mint(code, code.request.get('nonce') ?? undefined)
    return { status: 200, body: { ...answer, ...(gives ? withRefresh(code) : {}) } }
  }
  const revoke = ({ form }: Asked): Answered => {
    const issued = refresh.get(form.get('token') ?? '') ?? access.get(form.get('token') ?? '')
    if (issued !== undefined) end(issued.login)
    return { status: 200, body: {} }
  }
  const end = (login: string): number => {
    const dead = [access, refresh].flatMap((map) =>
      [...map].filter(([, issued]) => issued.login === login).map(([name]) => map.delete(name)),
    )
    return dead.length
  }

  const routes: Record<string, (asked: Asked) => Answered | Promise<Answered>> = {
    [endpoint('GET', shape.documentUrl)]: () => ({ status: 200, body: shape.document }),
    [endpoint('GET', shape.document.jwks_uri)]: () => ({
      status: 200,
      body: {
        keys: [
          { ...KEY.publicKey.export({ format: 'jwk' }), kid: KEY_ID, alg: 'RS256', use: 'sig' },
        ],
      },
    }),
    [endpoint('POST', shape.document.token_endpoint)]: token,
    ...optional('POST', shape.document['revocation_endpoint'], revoke),
    ...optional('GET', shape.document['userinfo_endpoint'], ({ person }) =>
      person === undefined
        ? { status: 0, body: undefined }
        : { status: 200, body: shape.userinfo?.(person) ?? {} },
    ),
    ...shape.extra,
  }
  const authorizePath = pathOf(shape.document.authorization_endpoint)
  const faults = await startFaults({
    isFrontChannel: (path) => path === authorizePath,
    async handler(request, response) {
      const url = new URL(request.url ?? '/', 'http://double')
      if (url.pathname === authorizePath) return authorize(url.searchParams, request, response)
      const route = routes[`${request.method} ${url.pathname}`]
      const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '')
      const login = access.get(bearer)?.login
      const answer = await route?.({
        form: new URLSearchParams(await readBody(request)),
        person: login === undefined ? undefined : personOf(login),
        headers: request.headers,
      })
      if (answer === undefined) response.writeHead(404).end()
      else if (answer.status === 0) refuse(shape, response)
      else
        response
          .writeHead(answer.status, { 'content-type': 'application/json' })
          .end(JSON.stringify(answer.body))
    },
  })
  const authorize = (
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): void => {
    const code = randomUUID()
    codes.set(code, {
      login: String(request.headers['x-person']),
      scope: query.get('scope') ?? '',
      request: query,
    })
    const back = new URL(query.get('redirect_uri') ?? '')
    back.searchParams.set('code', code)
    back.searchParams.set('state', query.get('state') ?? '')
    if (shape.sendsIss === true) back.searchParams.set('iss', shape.issuer)
    response.writeHead(302, { location: back.href }).end()
  }
  return {
    ...faults,
    tokenForms,
    sign,
    say(changes) {
      said = changes
    },
    revoke: end,
    async playSignIn(url, login) {
      const target = new URL(`${faults.origin}${pathOf(url.href)}${url.search}`)
      const response = await fetch(target, { redirect: 'manual', headers: { 'x-person': login } })
      return new URL(response.headers.get('location') ?? '')
    },
  }
}

/** `/host/path`: where an address of the product is found at the double. */
export function pathOf(address: string): string {
  const { host, pathname } = new URL(address)
  return `/${host}${pathname}`
}

export function endpoint(method: 'GET' | 'POST', address: string): string {
  return `${method} ${pathOf(address)}`
}

function optional(
  method: 'GET' | 'POST',
  address: unknown,
  route: (asked: Asked) => Answered,
): Record<string, (asked: Asked) => Answered> {
  return typeof address === 'string' ? { [endpoint(method, address)]: route } : {}
}

function personOf(login: string): Person {
  const person = PEOPLE.find((entry) => entry.login === login)
  if (person === undefined) throw new Error(`nobody is called ${login}`)
  return person
}

function refuse({ refusal }: Shape, response: ServerResponse): void {
  const headers = { 'content-type': 'application/json', ...refusal.headers }
  response.writeHead(refusal.status, headers as Record<string, string>).end(refusal.body)
}

function isClient(
  shape: Shape,
  client: { readonly clientId: string; readonly clientSecret: string },
  form: URLSearchParams,
  headers: IncomingMessage['headers'],
): boolean {
  if (shape.clientAuthentication === 'basic') {
    const expected = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')
    return headers.authorization === `Basic ${expected}`
  }
  return (
    form.get('client_id') === client.clientId && form.get('client_secret') === client.clientSecret
  )
}

async function fits(request: URLSearchParams, verifier: string): Promise<boolean> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  return Buffer.from(digest).toString('base64url') === request.get('code_challenge')
}
