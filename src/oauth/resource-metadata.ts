/**
 * Protected resource metadata of a remote MCP server, read as a client: where it is, whether it speaks
 * of the server that was asked, and which authorization servers it names.
 *
 * Never repairs a document: it is used as published or refused with a reason.
 * @see RFC 9728 sections 2, 3.1 and 3.3, requirements DSC-01, DSC-03, DSC-04
 */
import { isObject, type JsonObject } from './claims.ts'
import {
  isIssuer,
  isList,
  isShownText,
  isWord,
  memberWithControls,
  withoutNulls,
} from './published.ts'
import { parseUrl, protectedResourceMetadataPath } from './urls.ts'

/** A document as published (RFC 9728 section 2): the named members are checked, the rest is not. */
export interface ProtectedResourceMetadata {
  readonly resource: string
  readonly authorization_servers?: readonly string[]
  readonly scopes_supported?: readonly string[]
  readonly resource_name?: string
  readonly [member: string]: unknown
}

export type ResourceJudgement =
  | { readonly ok: true; readonly document: ProtectedResourceMetadata }
  /** `member`: which one is wrong, for an administrator. */
  | {
      readonly ok: false
      readonly reason: 'not_an_object' | 'error_object' | 'member' | 'mismatch' | 'no_server'
      readonly member?: string
    }

/** The identifier of a server by its URL: as written, without the slash of an empty path. */
export function resourceIdentifier(url: URL): string {
  return url.pathname === '/' && url.search === '' ? url.origin : url.href
}

/** Path-inserted location, then the root (DSC-01); one entry where they are the same. */
export function resourceMetadataUrls(url: URL): readonly URL[] {
  const inserted = new URL(protectedResourceMetadataPath(resourceIdentifier(url)), url.origin)
  const root = new URL('/.well-known/oauth-protected-resource', url.origin)
  return inserted.href === root.href ? [root] : [inserted, root]
}

/**
 * Judges a parsed document for the server at `url`.
 *
 * @param rule.strict Only the identifier itself. Otherwise a value of the same origin whose path is a
 *   prefix at a segment boundary counts too, and one trailing slash more or less (DSC-04).
 * @param rule.atRoot The document stood at the root location, which is built from the origin.
 */
export function judgeResourceMetadata(
  published: unknown,
  url: URL,
  rule: { readonly strict: boolean; readonly atRoot: boolean },
): ResourceJudgement {
  if (!isObject(published)) return { ok: false, reason: 'not_an_object' }
  const body = withoutNulls(published)
  const resource = body['resource']
  if (resource === undefined && 'error' in body) return { ok: false, reason: 'error_object' }
  if (typeof resource !== 'string') return { ok: false, reason: 'member', member: 'resource' }
  const member = faultyMember(body)
  if (member !== undefined) return { ok: false, reason: 'member', member }
  if (!isSameResource(resource, url, rule)) return { ok: false, reason: 'mismatch' }
  const servers = body['authorization_servers']
  if (!Array.isArray(servers) || servers.length === 0) return { ok: false, reason: 'no_server' }
  return { ok: true, document: body as ProtectedResourceMetadata }
}

/** Members that other rooms put into URLs, headers and pages must be able to stand there. */
function faultyMember(body: JsonObject): string | undefined {
  const controls = memberWithControls(body)
  if (controls !== undefined) return controls
  if (!isList(body['authorization_servers'], isIssuer)) return 'authorization_servers'
  if (!isList(body['scopes_supported'], isWord)) return 'scopes_supported'
  const name = body['resource_name']
  return name === undefined || isShownText(name) ? undefined : 'resource_name'
}

function isSameResource(
  resource: string,
  url: URL,
  { strict, atRoot }: { readonly strict: boolean; readonly atRoot: boolean },
): boolean {
  const named = parseUrl(resource)
  if (named === undefined || resource.includes('#') || named.origin !== url.origin) return false
  if (named.username !== '' || named.password !== '') return false
  // RFC 3986 section 6.2.3: an empty path and `/` are the same; everything else is to the letter.
  if (resource === url.href || resource === resourceIdentifier(url)) return true
  if (strict) return atRoot && (resource === url.origin || resource === `${url.origin}/`)
  if (named.search !== '') return named.href === url.href
  const path = named.pathname.replace(/\/$/, '')
  const asked = url.pathname.replace(/\/$/, '')
  return asked === path || asked.startsWith(`${path}/`)
}
