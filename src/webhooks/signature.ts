/**
 * Secrets and signatures of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes;
 * `v1,<base64 HMAC-SHA256 of id.timestamp.body>`.
 * @see https://github.com/standard-webhooks/standard-webhooks, section "Signature scheme"
 */
import type { Runtime } from '../ports.ts'

export const SECRET_PREFIX = 'whsec_'
export const SECRET_MIN_BYTES = 24
export const SECRET_MAX_BYTES = 64
const MADE_SECRET_BYTES = 32
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** The bytes of a secret; `undefined` when it is none. */
export function secretBytes(secret: string): Uint8Array<ArrayBuffer> | undefined {
  const encoded = secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : ''
  if (!BASE64.test(encoded) || encoded.length % 4 !== 0) return undefined
  const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0))
  const fits = bytes.length >= SECRET_MIN_BYTES && bytes.length <= SECRET_MAX_BYTES
  return fits ? bytes : undefined
}

export function makeSecret(runtime: Pick<Runtime, 'randomBytes'>): string {
  return `${SECRET_PREFIX}${toBase64(runtime.randomBytes(MADE_SECRET_BYTES))}`
}

export interface Signed {
  readonly id: string
  readonly timestampSeconds: number
  readonly body: string
}

export function signedText({ id, timestampSeconds, body }: Signed): string {
  return `${id}.${timestampSeconds}.${body}`
}

/** The three headers of one try. */
export function signatureHeaders(
  runtime: Pick<Runtime, 'hmacSha256'>,
  key: Uint8Array,
  signed: Signed,
): Readonly<Record<string, string>> {
  const signature = toBase64(runtime.hmacSha256(key, signedText(signed)))
  return {
    'webhook-id': signed.id,
    'webhook-timestamp': String(signed.timestampSeconds),
    'webhook-signature': `v1,${signature}`,
  }
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}
