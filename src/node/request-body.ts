/**
 * A request's body on its way through: small ones in one buffer, others as a stream with
 * back-pressure, neither beyond the limit. Keeps the first bytes, where a message's id is found.
 */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { SCAN_MAX_BYTES } from '../gateway/message.ts'

/** Up to here a body is buffered, so that a read-only call can be sent a second time. */
export const BUFFERED_MAX_BYTES = 65_536

export interface BodyOwner {
  bodyReady(body: Buffer | Readable | null): void
  bodyFault(fault: 'body_too_large' | 'body_broken'): void
}

export class RequestBody {
  readonly #request: IncomingMessage
  readonly #owner: BodyOwner
  readonly #maxBytes: number
  readonly #bufferedMaxBytes: number
  #chunks: Buffer[] = []
  #peeked: Buffer[] = []
  #peekedBytes = 0
  #bytes = 0
  #upload: Upload | undefined
  #done = false

  /** @param whole It must be judged before it goes on: never a stream, whatever its length. */
  constructor(request: IncomingMessage, owner: BodyOwner, maxBytes: number, whole = false) {
    this.#request = request
    this.#owner = owner
    this.#maxBytes = maxBytes
    this.#bufferedMaxBytes = whole ? maxBytes : BUFFERED_MAX_BYTES
  }

  /** @param contentLength `undefined` with chunked coding. */
  begin(contentLength: number | undefined): void {
    const request = this.#request
    request.on('data', (chunk: Buffer) => this.#read(chunk))
    request.once('end', () => this.#end())
    request.once('close', () => {
      if (!request.complete) this.#fail('body_broken')
    })
    if (contentLength !== undefined && contentLength > this.#bufferedMaxBytes) this.#stream()
  }

  /** First bytes, for the id of an error answer. */
  peek(): Buffer {
    return this.#peeked.length === 1 ? (this.#peeked[0] ?? EMPTY) : Buffer.concat(this.#peeked)
  }

  /** Nothing more is wanted; what still arrives is somebody else's to read. */
  abandon(): void {
    this.#done = true
    this.#chunks = []
    this.#upload?.destroy()
  }

  #read(chunk: Buffer): void {
    if (this.#done) return
    this.#bytes += chunk.length
    if (this.#bytes > this.#maxBytes) {
      this.#fail('body_too_large')
      return
    }
    if (this.#peekedBytes < SCAN_MAX_BYTES) {
      this.#peeked.push(chunk)
      this.#peekedBytes += chunk.length
    }
    if (this.#upload !== undefined) {
      if (!this.#upload.push(chunk)) this.#request.pause()
      return
    }
    this.#chunks.push(chunk)
    if (this.#bytes > this.#bufferedMaxBytes) this.#stream()
  }

  #stream(): void {
    const upload = new Upload(this.#request)
    this.#upload = upload
    for (const chunk of this.#chunks) upload.push(chunk)
    this.#chunks = []
    this.#owner.bodyReady(upload)
  }

  #end(): void {
    if (this.#done) return
    this.#done = true
    if (this.#upload !== undefined) {
      this.#upload.push(null)
      return
    }
    const chunks = this.#chunks
    this.#chunks = []
    const body = chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks)
    this.#owner.bodyReady(body.length === 0 ? null : body)
  }

  #fail(fault: 'body_too_large' | 'body_broken'): void {
    if (this.#done) return
    this.#done = true
    this.#owner.bodyFault(fault)
    this.#upload?.destroy()
  }
}

const EMPTY = Buffer.alloc(0)

class Upload extends Readable {
  readonly #request: IncomingMessage
  constructor(request: IncomingMessage) {
    super({ highWaterMark: BUFFERED_MAX_BYTES })
    this.#request = request
  }
  override _read(): void {
    this.#request.resume()
  }
}
