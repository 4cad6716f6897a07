/**
 * Reads an answer's body as UTF-8 text within a cap on decoded bytes.
 *
 * Over the cap, encoded, or not UTF-8: the socket is ended and the read rejects with `FetchFailure`;
 * nothing is handed out in part.
 */
import { FetchFailure } from './failure.ts'

/**
 * @param maxBytes Largest body accepted; its declared length is refused before reading.
 * @param exchange Aborted to destroy the socket when the body is refused.
 */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  headers: Headers,
  maxBytes: number,
  exchange: AbortController,
): Promise<string> {
  const refuse = (failure: FetchFailure): FetchFailure => {
    exchange.abort(failure)
    return failure
  }
  const coding = (headers.get('content-encoding') ?? '').trim().toLowerCase()
  if (coding !== '' && coding !== 'identity')
    throw refuse(new FetchFailure('ERR_UPSTREAM_BODY', 'encoded'))
  if (body === null) return ''
  if (Number(headers.get('content-length') ?? 0) > maxBytes) {
    throw refuse(new FetchFailure('ERR_UPSTREAM_TOO_LARGE', 'declared-length'))
  }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const reader = body.getReader()
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    bytes += value.byteLength
    if (bytes > maxBytes) throw refuse(new FetchFailure('ERR_UPSTREAM_TOO_LARGE', 'body'))
    text += decode(() => decoder.decode(value, { stream: true }), refuse)
  }
  return text + decode(() => decoder.decode(), refuse)
}

function decode(run: () => string, refuse: (failure: FetchFailure) => FetchFailure): string {
  try {
    return run()
  } catch (error) {
    throw refuse(new FetchFailure('ERR_UPSTREAM_BODY', 'not-utf-8', error))
  }
}
