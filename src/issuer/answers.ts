/**
 * Every answer of the authorization server: pages, redirects, JSON, with the headers each must have
 * (SEC-04, SEC-13, SEC-14, W1, W6). Nothing here decides anything.
 *
 * No `form-action`: browsers apply it to each redirect after a form, and ours lead to providers and
 * clients that no list can name beforehand.
 */
import type { Markup } from '../ui/layout.ts'

const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'none'",
  "style-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

const NO_STORE = 'no-store'

/** Headers of every answer of ours, public or not. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

export const COMMON_ENTRIES: readonly [string, string][] = Object.entries(COMMON_HEADERS)

/** Readable by any origin without credentials (SEC-14): metadata, keys, token, revocation, registration. */
export const OPEN_CORS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'WWW-Authenticate, Retry-After, DPoP-Nonce',
}

export async function pageAnswer(
  markup: Markup,
  status = 200,
  cookies: readonly string[] = [],
): Promise<Response> {
  const headers = withCookies(cookies)
  headers.set('content-type', 'text/html; charset=utf-8')
  return new Response(String(await markup), { status, headers })
}

/** 303 always: a redirect after a form never repeats its body (AZ-16). */
export function redirectAnswer(location: string, cookies: readonly string[] = []): Response {
  return new Redirect(location, cookies).toResponse()
}

/** For everybody but `node:http`, which writes a redirect as it is. */
export function responseOf(answer: Response | Redirect): Response {
  return answer instanceof Redirect ? answer.toResponse() : answer
}

/** A redirect that nobody has read yet: `node:http` writes it as it is, others take the `Response`. */
export class Redirect {
  readonly status = 303
  readonly location: string
  readonly cookies: readonly string[]

  constructor(location: string, cookies: readonly string[]) {
    this.location = location
    this.cookies = cookies
  }

  /** All headers, those of every answer included: each that is set later costs as much as the rest. */
  headers(): [string, string][] {
    const headers: [string, string][] = [...COMMON_ENTRIES, ['cache-control', NO_STORE]]
    for (const cookie of this.cookies) headers.push(['set-cookie', cookie])
    headers.push(['location', this.location])
    return headers
  }

  toResponse(): Response {
    return new Response(null, { status: this.status, headers: this.headers() })
  }
}

export function jsonAnswer(
  body: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(body, {
    status,
    headers: { 'cache-control': NO_STORE, pragma: 'no-cache', ...headers },
  })
}

/** A public document with a strong validator; 304 when the caller has it (AS-15). */
export function documentAnswer(request: Request, document: PublicDocument): Response {
  const headers = new Headers({
    'cache-control': `public, max-age=${document.maxAgeSeconds}`,
    etag: document.etag,
    ...OPEN_CORS,
  })
  if (knows(request.headers.get('if-none-match'), document.etag))
    return new Response(null, { status: 304, headers })
  headers.set('content-type', document.contentType)
  return new Response(document.body, { headers })
}

export interface PublicDocument {
  readonly body: string
  readonly etag: string
  readonly contentType: string
  readonly maxAgeSeconds: number
}

/** RFC 9110 section 13.1.2: weak comparison, a list, or `*`. */
function knows(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some((entry) => entry.trim().replace(/^W\//, '') === etag)
}

function withCookies(cookies: readonly string[]): Headers {
  const headers = new Headers({ 'cache-control': NO_STORE })
  for (const cookie of cookies) headers.append('set-cookie', cookie)
  return headers
}

export function preflight(methods: string): Response {
  const headers = {
    ...OPEN_CORS,
    'access-control-allow-methods': methods,
    'access-control-allow-headers': 'Authorization, Content-Type, DPoP, MCP-Protocol-Version',
    'access-control-max-age': '86400',
  }
  return new Response(null, { status: 204, headers })
}

export function methodNotAllowed(
  allow: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = { error: 'invalid_request', error_description: 'method not allowed' }
  return Response.json(body, {
    status: 405,
    headers: { allow, 'cache-control': 'no-store', ...headers },
  })
}
