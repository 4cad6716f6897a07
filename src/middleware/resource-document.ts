/**
 * The RFC 9728 document of a server that uses `protect()`, served on that server's own host: at its
 * well-known path and, for older clients, at the root (PR-03). Built once, readable by any origin.
 */
import { documentAnswer, OPEN_CORS, type PublicDocument } from '../issuer/answers.ts'
import { RESOURCE_SCOPES } from '../issuer/house.ts'
import { protectedResourceMetadata } from '../oauth/metadata.ts'
import { protectedResourceMetadataPath } from '../oauth/urls.ts'
import type { Runtime } from '../ports.ts'

const MAX_AGE_SECONDS = 3_600
const PREFLIGHT_MAX_AGE_SECONDS = 86_400
export const ROOT_DOCUMENT_PATH = '/.well-known/oauth-protected-resource'

export interface ResourceDocument {
  readonly host: string
  /** Path and query. */
  readonly path: string
  answer(request: Request): Response
}

export function createResourceDocument(
  resource: string,
  issuer: string,
  runtime: Pick<Runtime, 'sha256'>,
): ResourceDocument {
  const body = JSON.stringify(
    protectedResourceMetadata({ resource, issuer, scopes: RESOURCE_SCOPES }),
  )
  const document: PublicDocument = {
    body,
    etag: `"${runtime.sha256(body).slice(0, 22)}"`,
    contentType: 'application/json',
    maxAgeSeconds: MAX_AGE_SECONDS,
  }
  return {
    host: new URL(resource).host,
    path: protectedResourceMetadataPath(resource),
    answer: (request) => answer(request, document),
  }
}

function answer(request: Request, document: PublicDocument): Response {
  if (request.method === 'OPTIONS') return preflight()
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return new Response(null, {
      status: 405,
      headers: { allow: 'GET, HEAD, OPTIONS', ...OPEN_CORS },
    })
  }
  const response = documentAnswer(request, document)
  response.headers.set('x-content-type-options', 'nosniff')
  return request.method === 'HEAD' ? new Response(null, response) : response
}

function preflight(): Response {
  const headers = {
    ...OPEN_CORS,
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'Authorization, Content-Type, MCP-Protocol-Version',
    'access-control-max-age': String(PREFLIGHT_MAX_AGE_SECONDS),
  }
  return new Response(null, { status: 204, headers })
}
