/** Reads a request body up to a limit: what is longer is refused, never buffered whole. */

/** Forms of the OAuth endpoints and our pages. */
export const FORM_BODY_MAX_BYTES = 65_536

/**
 * `undefined`: longer than `maxBytes`. Text is UTF-8; broken sequences become U+FFFD and match nothing.
 * A body that was cut off is empty: whoever sent it is gone, and half of it must mean nothing.
 */
export async function readBody(request: Request, maxBytes: number): Promise<string | undefined> {
  const announced = request.headers.get('content-length')
  if (Number(announced ?? '0') > maxBytes) return undefined
  // A server hands on no more than was announced, and on Node this needs no stream: half the cost of a form.
  if (announced !== null) {
    const text = await request.text().catch(() => '')
    return text.length > maxBytes ? undefined : text
  }
  if (request.body === null) return ''
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  const reader = request.body.getReader()
  for (;;) {
    const read = await reader.read().catch(() => undefined)
    if (read === undefined) return ''
    const { done, value } = read
    if (done) break
    sizeBytes += value.byteLength
    if (sizeBytes > maxBytes) {
      await reader.cancel()
      return undefined
    }
    chunks.push(value)
  }
  const whole = new Uint8Array(sizeBytes)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return new TextDecoder().decode(whole)
}

export function isForm(request: Request): boolean {
  const type = request.headers.get('content-type') ?? ''
  return type.split(';', 1)[0]?.trim().toLowerCase() === 'application/x-www-form-urlencoded'
}
