/**
 * Writes an answer of our own to a Node response, and ends answers whose request still uploads.
 *
 * A client that is still sending gets the whole answer, is read for a little while so that it can
 * see it, and is then cut off (T18): never megabytes of a refused upload.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Answer, corsHeaders } from '../gateway/answers.ts'
import type { Head } from '../gateway/headers.ts'

const LINGER_BYTES = 131_072
const LINGER_MS = 500

export function reply(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  options: { head: Head; requestId: string; corsOrigin?: string },
): void {
  if (response.headersSent || response.destroyed) return
  const headers = [...answer.headers, 'x-request-id', options.requestId]
  if (answer.status !== 204) headers.push('content-length', String(Buffer.byteLength(answer.body)))
  if (options.corsOrigin !== undefined) headers.push(...corsHeaders(options.corsOrigin))
  if (isUploading(request, options.head)) response.shouldKeepAlive = false
  response.writeHead(answer.status, headers)
  const body = request.method === 'HEAD' || answer.body === '' ? undefined : answer.body
  finish(request, response, options.head, body)
}

/**
 * The request has a body that has not arrived in full, and more of it than we would read to keep the
 * connection: a short one is usually in the same packet, and a new connection costs more than it. A
 * client that waits for `100 Continue` may send its body or not, so its connection ends.
 */
export function isUploading(request: IncomingMessage, head: Head): boolean {
  if (request.complete) return false
  return head.chunked || head.expect || (head.contentLength ?? 0) > LINGER_BYTES
}

/** Ends the answer; its head, with a length, has been written. */
export function finish(
  request: IncomingMessage,
  response: ServerResponse,
  head: Head,
  last: string | Buffer | undefined,
): void {
  if (!isUploading(request, head)) {
    if (last === undefined) response.end()
    else response.end(last)
    return
  }
  if (last !== undefined) response.write(last)
  else response.flushHeaders()
  linger(request, response)
}

function linger(request: IncomingMessage, response: ServerResponse): void {
  let left = LINGER_BYTES
  const done = (): void => {
    clearTimeout(timer)
    request.off('data', read)
    request.pause()
    if (!response.writableEnded) response.end()
    // What is still under way would keep a polite close waiting: the answer is out, so cut.
    response.once('finish', () => request.socket.destroySoon())
  }
  const read = (chunk: Buffer): void => {
    left -= chunk.length
    if (left <= 0) done()
  }
  const timer = setTimeout(done, LINGER_MS)
  timer.unref()
  request.removeAllListeners('data')
  request.on('data', read)
  request.once('end', done)
  request.once('close', done)
  request.resume()
}
