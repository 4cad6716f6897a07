/**
 * Client ID Metadata Documents: which `client_id` is the URL of one, and whether a document may be
 * believed. What a client may say of itself is judged as at registration; only a secret has no place
 * in a document that everybody reads.
 *
 * Pure; fetching and remembering is `issuer/client-documents.ts`. Never throws.
 * @see draft-ietf-oauth-client-id-metadata-document sections 3, 4.1 and 6
 */
import { OAuthError } from '../errors.ts'
import type { RedirectPolicy } from './redirect-uri.ts'
import { judgeRegistration, type RegisteredMetadata } from './registration.ts'
import { parseUrl, URL_MAX_CHARS } from './urls.ts'

export const CLIENT_DOCUMENT_MAX_BYTES = 5_120

export type DocumentUrlRefusal =
  | 'url_malformed'
  | 'url_fragment'
  | 'url_query'
  | 'url_path'
  | 'url_not_normal'
  | 'url_host'

/** Meant as a document URL: whatever starts so is never looked for anywhere else (REG-03). */
export function isDocumentUrl(clientId: string): boolean {
  return /^https:/i.test(clientId)
}

/**
 * Why `clientId` may not be fetched, or `undefined` when it may (REG-02, REG-18).
 *
 * @param documentHosts Empty: any. Else host names, `*.example.com` for all below it, or exact
 *   origins with their port.
 */
export function refuseDocumentUrl(
  clientId: string,
  documentHosts: readonly string[],
): DocumentUrlRefusal | undefined {
  const url = parseUrl(clientId)
  if (url === undefined || url.protocol !== 'https:') return 'url_malformed'
  if (clientId.includes('#')) return 'url_fragment'
  if (clientId.includes('?')) return 'url_query'
  if (url.pathname === '/') return 'url_path'
  // Also dot segments, user information, upper case and the default port: one text per document.
  if (url.href !== clientId || url.username !== '' || url.password !== '') return 'url_not_normal'
  if (url.hostname.endsWith('.')) return 'url_host'
  const isListed = documentHosts.length === 0 || documentHosts.some((entry) => names(entry, url))
  return isListed ? undefined : 'url_host'
}

function names(entry: string, url: URL): boolean {
  const listed = entry.toLowerCase()
  if (listed.includes('://')) return listed === url.origin
  // A host without a port is its standard port only: another port is another server.
  if (listed.startsWith('*.')) return url.port === '' && url.hostname.endsWith(listed.slice(1))
  return listed === url.host
}

/** What is kept of a document; the image is never shown, only watched for change (REG-16, REG-17). */
export interface ClientDocument extends RegisteredMetadata {
  readonly name: string
  readonly logoUri?: string
  /** Signs its requests where that is asked, and would come without a signature elsewhere. */
  readonly offersNone?: true
}

export type DocumentJudgement =
  | { readonly ok: true; readonly document: ClientDocument }
  | { readonly ok: false; readonly reason: string }

/** Only a document for exactly this URL, complete and without secrets (REG-06 to REG-08). */
export function judgeClientDocument(
  body: unknown,
  clientId: string,
  policy: RedirectPolicy,
): DocumentJudgement {
  const refuse = (reason: string): DocumentJudgement => ({
    ok: false,
    reason: `document_${reason}`,
  })
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return refuse('not_object')
  const read = (name: string): unknown =>
    Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined
  if (read('client_id') !== clientId) return refuse('client_id')
  if (typeof read('client_name') !== 'string') return refuse('client_name')
  for (const name of ['client_secret', 'client_secret_expires_at']) {
    if (Object.hasOwn(body, name)) return refuse(name)
  }
  const method = read('token_endpoint_auth_method') ?? 'none'
  if (method !== 'none' && method !== 'private_key_jwt') return refuse('auth_method')
  const logo = read('logo_uri')
  try {
    const metadata = judgeRegistration({ ...body, token_endpoint_auth_method: method }, policy)
    // A name of nothing but invisible characters leaves none.
    if (metadata.name === undefined) return refuse('client_name')
    const offered = read('token_endpoint_auth_methods_supported')
    const document: ClientDocument = {
      ...metadata,
      name: metadata.name,
      ...(typeof logo === 'string' ? { logoUri: logo.slice(0, URL_MAX_CHARS) } : {}),
      ...(method !== 'none' && Array.isArray(offered) && offered.includes('none')
        ? { offersNone: true }
        : {}),
    }
    return { ok: true, document }
  } catch (error) {
    if (error instanceof OAuthError) return refuse(error.reason)
    throw error
  }
}
