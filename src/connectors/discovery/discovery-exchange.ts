/**
 * The exchanges of one discovery chain: one POST without a token, and GETs of metadata documents.
 *
 * Each ends within `metadataTimeoutMs` and within what is left of the chain; bodies are bounded, typed
 * and parsed strictly (NET-04). A redirect of a document is followed only where the connector says so,
 * three times at most, each hop judged as a new URL (NET-03). No credentials, ever (NET-05).
 * @see requirements DSC-12, DSC-13, DSC-15
 */
import { UpstreamError } from '../../errors.ts'
import type { Egress, EgressRequest, EgressResponse } from '../../net/egress.ts'
import { parseJson } from '../../net/json.ts'
import type { Runtime } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import { noDocument, refusalOf } from './discovery-problems.ts'

/** Newest revision of MCP that we speak of; a server that knows only older ones may refuse it. */
export const PROTOCOL_REVISION = '2026-07-28'
const METADATA_MAX_BYTES = 65_536
const REDIRECTS_MAX = 3
const VALIDATOR_MAX_CHARS = 512
/** Statuses of a document that is not there; a login wall counts (Appendix E). */
const UNAVAILABLE: ReadonlySet<number> = new Set([408, 425, 429])
/** With these the version header is not to blame. */
const PLAIN_ABSENT: ReadonlySet<number> = new Set([401, 404, 405, 410, 408, 425, 429])

/** What a later conditional request names (RFC 9110 section 13.1). */
export interface Validators {
  /** As asked, before redirects. */
  readonly url: string
  readonly etag?: string
  readonly lastModified?: string
}

export type Answer =
  | { readonly kind: 'document'; readonly body: unknown; readonly headers: Headers }
  | { readonly kind: 'unchanged'; readonly headers: Headers }
  | { readonly kind: 'absent'; readonly status: number }

export interface Asker {
  /** The server's own answer to a request without a token; `undefined`: none that says anything. */
  probe(url: URL): Promise<EgressResponse | undefined>
  /** @throws {Refusal} for what is no document. @throws {UpstreamError} for silence. */
  document(url: URL, party: ConnectorProblem['party'], known?: Validators): Promise<Answer>
}

export interface AskerNeeds {
  readonly egress: Egress
  readonly runtime: Pick<Runtime, 'monotonicMs'>
  readonly signal: AbortSignal
  /** Of the server that is asked about: it names all the rest. */
  readonly server: URL
  /** On the monotonic clock. */
  readonly endsAtMs: number
  readonly metadataTimeoutMs: number
  readonly publicOnly: boolean
  readonly followsRedirects: boolean
}

export function createAsker(needs: AskerNeeds): Asker {
  const exchange = (
    url: URL,
    request: Pick<EgressRequest, 'method' | 'headers' | 'body' | 'answersRedirects'>,
  ): Promise<EgressResponse> => {
    const leftMs = needs.endsAtMs - needs.runtime.monotonicMs()
    if (leftMs <= 0) throw failure('ERR_UPSTREAM_TIMEOUT', url)
    return needs.egress.exchange({
      operation: 'discovery',
      url,
      timeoutMs: Math.min(needs.metadataTimeoutMs, leftMs),
      maxBytes: METADATA_MAX_BYTES,
      signal: needs.signal,
      publicOnly: needs.publicOnly,
      namedBy: needs.server.href,
      ...request,
    })
  }
  const get = async (url: URL, headers: Readonly<Record<string, string>>) => {
    let at = url
    for (let hops = 0; ; hops++) {
      const answersRedirects = needs.followsRedirects && hops < REDIRECTS_MAX
      const answer = await exchange(at, { method: 'GET', headers, answersRedirects })
      if (answer.status < 300 || answer.status >= 400 || answer.status === 304) return answer
      const next = URL.parse(answer.headers.get('location') ?? '', at)
      if (next === null) throw failure('ERR_UPSTREAM_REDIRECT', at, answer.status)
      at = next
    }
  }
  return {
    async probe(url) {
      try {
        return await exchange(url, { method: 'POST', ...PROBE })
      } catch (error) {
        if (isSilence(error) || refusalOf(error, 'here', url)?.problem.code === ADDRESS) {
          throw refusalOf(error, 'here', url) ?? error
        }
        return undefined
      }
    },
    async document(url, party, known) {
      const headers = { 'mcp-protocol-version': PROTOCOL_REVISION, ...conditions(url, known) }
      try {
        let answer = await get(url, headers)
        if (isRefused(answer.status)) answer = await get(url, conditions(url, known))
        return read(answer, url, party, known)
      } catch (error) {
        throw refusalOf(error, party, url) ?? error
      }
    },
  }
}

const ADDRESS = 'ERR_DISCOVERY_ADDRESS'
/** `server/discover` of the modern era: harmless, and an older server refuses it before it does anything. */
const PROBE = {
  headers: {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    'mcp-protocol-version': PROTOCOL_REVISION,
    'mcp-method': 'server/discover',
  },
  body: JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'server/discover',
    params: {
      _meta: {
        'io.modelcontextprotocol/protocolVersion': PROTOCOL_REVISION,
        'io.modelcontextprotocol/clientInfo': { name: 'postern', version: '0' },
        'io.modelcontextprotocol/clientCapabilities': {},
      },
    },
  }),
}

/** Nothing else at this origin would be answered; a slow POST says nothing about documents. */
function isSilence(error: unknown): boolean {
  return !(error instanceof UpstreamError) || /_(CONNECT|DNS|TLS|BREAKER)$/.test(error.code)
}

/** Some servers refuse a version that they do not know (DSC-12). */
function isRefused(status: number): boolean {
  return status >= 400 && status < 500 && !PLAIN_ABSENT.has(status)
}

function conditions(url: URL, known: Validators | undefined): Record<string, string> {
  if (known === undefined || known.url !== url.href) return {}
  const { etag, lastModified } = known
  return {
    ...(etag === undefined ? {} : { 'if-none-match': etag }),
    ...(lastModified === undefined ? {} : { 'if-modified-since': lastModified }),
  }
}

function read(
  { status, headers, text }: EgressResponse,
  url: URL,
  party: ConnectorProblem['party'],
  known: Validators | undefined,
): Answer {
  if (status === 304 && known?.url === url.href) return { kind: 'unchanged', headers }
  if (status >= 400 && status < 500 && !UNAVAILABLE.has(status)) return { kind: 'absent', status }
  if (status > 200 && status < 300) throw noDocument(party, url, `it came with status ${status}`)
  if (status !== 200) throw failure('ERR_UPSTREAM_STATUS', url, status)
  const type = (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (!/^application\/(?:json|[\w.!#$&^-]+\+json)$/.test(type)) {
    throw noDocument(party, url, type.includes('html') ? 'it is a page' : 'its type is not JSON')
  }
  try {
    return { kind: 'document', body: parseJson(text), headers }
  } catch {
    throw noDocument(party, url, 'it cannot be read as JSON, or is nested too deeply')
  }
}

/** What to name when this document is asked for again. */
export function validatorsOf(url: URL, headers: Headers): Validators {
  const usable = (name: string): string | undefined => {
    const value = headers.get(name) ?? ''
    return value !== '' && value.length <= VALIDATOR_MAX_CHARS && /^[\x20-\x7e]+$/.test(value)
      ? value
      : undefined
  }
  const etag = usable('etag')
  const lastModified = usable('last-modified')
  return {
    url: url.href,
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
  }
}

function failure(
  code: 'ERR_UPSTREAM_TIMEOUT' | 'ERR_UPSTREAM_REDIRECT' | 'ERR_UPSTREAM_STATUS',
  { origin }: URL,
  status?: number,
): UpstreamError {
  const detail = { operation: 'discovery', origin }
  return new UpstreamError(code, status === undefined ? detail : { ...detail, status })
}
