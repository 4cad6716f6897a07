/**
 * The hand-written half of a control plane: it becomes a client at the authorization server of a
 * remote MCP server, sends a person there, and keeps what comes back. What it asks for discovery is a
 * parameter: that is all that differs between `before.ts` and `worker.ts`.
 *
 * An initiation reads D1 (which server), discovers, reads KV (which client are we) and writes KV (what
 * to expect back). `Server-Timing` says how long each of them took.
 */
import { html } from 'hono/html'
import { createProduct, type Product, page, signedIn } from '../product/app.ts'
import type { Environment } from '../product/environment.ts'
import { encode } from '../product/sessions.ts'

/** RFC 8414, as far as it is needed here. */
export interface OAuthEndpoints {
  readonly issuer: string
  readonly authorization_endpoint: string
  readonly token_endpoint: string
  readonly registration_endpoint?: string
}
export type DiscoverOAuthEndpoints = (mcpServerUrl: string) => Promise<OAuthEndpoints>

interface Server {
  readonly name: string
  readonly title: string
  readonly url: string
}
interface Attempt {
  readonly person: string
  readonly server: Server
  readonly endpoints: OAuthEndpoints
  readonly clientId: string
  readonly verifier: string
}

const ATTEMPT_SECONDS = 600
const CLIENT_SECONDS = 2_592_000
const AES = 'AES-GCM'

export function createControlPlane(env: Environment, discover: DiscoverOAuthEndpoints): Product {
  const product = createProduct(env, async (context) => {
    const connected = await connectionsOf(env, context.get('person'))
    const { results } = await env.DB.prepare('SELECT name, title, url FROM servers').all<Server>()
    return html`<ul>${results.map(
      ({ name, title }) =>
        html`<li>${title}: ${connected.has(name) ? 'connected' : html`<a href="/authorize/${name}">connect</a>`}</li>`,
    )}</ul>`
  })

  product.get('/authorize/:server', signedIn(env), async (context) => {
    const clock = startClock()
    const server = await findServer(env, context.req.param('server'))
    clock('d1')
    if (server === undefined) return context.notFound()
    let endpoints: OAuthEndpoints
    try {
      endpoints = await discover(server.url)
    } catch {
      return page(context, html`<p>${server.title} cannot be connected at the moment.</p>`, 502)
    }
    clock('discover')
    const clientId = await findClient(env, endpoints)
    const [state, verifier] = [randomText(), randomText()]
    const attempt: Attempt = {
      person: context.get('person'),
      server,
      endpoints,
      clientId,
      verifier,
    }
    await env.KV.put(`attempt:${state}`, JSON.stringify(attempt), {
      expirationTtl: ATTEMPT_SECONDS,
    })
    const timing = clock('kv')
    const url = new URL(endpoints.authorization_endpoint)
    const query = {
      response_type: 'code',
      client_id: clientId,
      redirect_uri: callbackUrl(env),
      state,
      code_challenge: await challengeOf(verifier),
      code_challenge_method: 'S256',
      resource: server.url,
    }
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    context.header('server-timing', timing)
    return context.redirect(url.href, 303)
  })

  product.get('/callback', signedIn(env), async (context) => {
    const { state = '', code, iss } = context.req.query()
    const stored = await env.KV.get(`attempt:${state}`)
    await env.KV.delete(`attempt:${state}`)
    const attempt = stored === null ? undefined : (JSON.parse(stored) as Attempt)
    const isTheirs = attempt?.person === context.get('person')
    const isFromThere = iss === undefined || iss === attempt?.endpoints.issuer
    if (attempt === undefined || code === undefined || !isTheirs || !isFromThere)
      return page(context, html`<p>This did not work. <a href="/settings">Try again</a></p>`, 401)
    const tokens = await redeem(env, attempt, code)
    await keep(env, attempt, tokens)
    return context.redirect('/settings', 303)
  })
  return product
}

function findServer({ DB }: Environment, name: string): Promise<Server | undefined> {
  const statement = DB.prepare('SELECT name, title, url FROM servers WHERE name = ?1')
  return statement
    .bind(name)
    .first<Server>()
    .then((row) => row ?? undefined)
}

async function connectionsOf({ DB }: Environment, person: string): Promise<ReadonlySet<string>> {
  const statement = DB.prepare('SELECT server FROM connections WHERE person = ?1')
  const { results } = await statement.bind(person).all<{ server: string }>()
  return new Set(results.map(({ server }) => server))
}

/** Our client there: registered once (RFC 7591), then remembered. */
async function findClient(env: Environment, endpoints: OAuthEndpoints): Promise<string> {
  const key = `client:${endpoints.issuer}`
  const known = await env.KV.get(key)
  if (known !== null) return known
  if (endpoints.registration_endpoint === undefined) throw new Error('registration is closed')
  const answer = await fetch(endpoints.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Example product',
      redirect_uris: [callbackUrl(env)],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  })
  if (!answer.ok) throw new Error(`registration failed: ${answer.status}`)
  const { client_id: clientId } = (await answer.json()) as { client_id: string }
  await env.KV.put(key, clientId, { expirationTtl: CLIENT_SECONDS })
  return clientId
}

async function redeem(env: Environment, attempt: Attempt, code: string): Promise<string> {
  const answer = await fetch(attempt.endpoints.token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      client_id: attempt.clientId,
      redirect_uri: callbackUrl(env),
      code_verifier: attempt.verifier,
      resource: attempt.server.url,
    }),
  })
  if (!answer.ok) throw new Error(`token call failed: ${answer.status}`)
  return answer.text()
}

/** Sealed to its person and server: a row that is copied to another opens nowhere. */
async function keep(env: Environment, { person, server }: Attempt, tokens: string): Promise<void> {
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const additionalData = new TextEncoder().encode(`${person}\n${server.name}`)
  const key = await sealingKey(env)
  const plain = new TextEncoder().encode(tokens)
  const sealed = await crypto.subtle.encrypt({ name: AES, iv, additionalData }, key, plain)
  await env.DB.prepare(
    'INSERT OR REPLACE INTO connections (person, server, sealed, connected_at) VALUES (?1, ?2, ?3, ?4)',
  )
    .bind(person, server.name, `${encode(iv)}.${encode(new Uint8Array(sealed))}`, Date.now())
    .run()
}

async function sealingKey({ SESSION_SECRET }: Environment): Promise<CryptoKey> {
  const secret = new TextEncoder().encode(SESSION_SECRET)
  const base = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveKey'])
  const info = new TextEncoder().encode('tokens')
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info },
    base,
    { name: AES, length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

function callbackUrl({ PUBLIC_URL }: Environment): string {
  return `${PUBLIC_URL}/callback`
}

async function challengeOf(verifier: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  return encode(new Uint8Array(digest))
}

function randomText(): string {
  return encode(crypto.getRandomValues(new Uint8Array(32)))
}

/** The Workers clock stands still between two waits: what it shows is the waiting. */
function startClock(): (step: string) => string {
  const steps: string[] = []
  let lastMs = Date.now()
  return (step) => {
    const nowMs = Date.now()
    steps.push(`${step};dur=${nowMs - lastMs}`)
    lastMs = nowMs
    return steps.join(', ')
  }
}
