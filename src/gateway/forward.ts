/** The headers that a forwarded call really carries: the client's, as cleaned, then ours. */
import type { Forward } from './decide.ts'
import { type Head, removeHeader } from './headers.ts'

/**
 * @param cleaned What `scanRaw` or `scanHeaders` let through; not changed.
 * @param framed The body is streamed, so its length must be said here.
 */
export function forwardHeaders(
  cleaned: readonly string[],
  head: Head,
  { route, credential, session, upstreamSessionId }: Forward,
  framed: boolean,
): string[] {
  const headers = cleaned.slice()
  if (credential !== undefined) {
    for (let index = 0; index < credential.headers.length; index += 2) {
      const name = credential.headers[index] ?? ''
      // `authorization` never passed; another header's secret must not stand beside a client's.
      if (name !== 'authorization') removeHeader(headers, name)
      headers.push(name, credential.headers[index + 1] ?? '')
    }
  }
  if (route.kind === 'mcp') {
    // A coding delays events and hides their ends.
    headers.push('accept-encoding', 'identity')
  } else if (head.acceptEncoding !== undefined) {
    headers.push('accept-encoding', head.acceptEncoding)
  }
  if (framed && !head.chunked && head.contentLength !== undefined && head.contentLength > 0) {
    headers.push('content-length', String(head.contentLength))
  }
  if (upstreamSessionId !== undefined && session !== undefined) {
    headers.push('mcp-session-id', upstreamSessionId)
    // A stream is resumed only inside the session that was just opened for this caller (GW-14).
    if (head.lastEventId !== undefined) headers.push('last-event-id', head.lastEventId)
  }
  return headers
}
