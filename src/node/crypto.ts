/**
 * The synchronous cryptography of a Runtime on `node:crypto`, shared by Node and Workers.
 *
 * Text goes in as UTF-8, results come out as base64url. Sealed values and signatures are accepted
 * only in canonical base64url, so that one value has one text. Keys are handed over as bare key
 * objects and signatures in DER, which both platforms take and which OpenSSL does fastest.
 */
import * as nodeCrypto from 'node:crypto'
import type { EcJwk, Runtime, SigningKey, VerifyKey } from '../ports.ts'

type Cryptography = Pick<
  Runtime,
  | 'randomBytes'
  | 'sha256'
  | 'hmacSha256'
  | 'hkdfSha256'
  | 'equal'
  | 'seal'
  | 'open'
  | 'createSigningJwk'
  | 'importSigningKey'
  | 'importVerifyKey'
  | 'sign'
  | 'verify'
>
const AES_KEY_BYTES = 32
const NONCE_BYTES = 12
const POOL_BYTES = 4_096
const POOLED_MAX_BYTES = 64
const TAG_BYTES = 16
/** ES256: r and s, 32 bytes each (RFC 7518 section 3.4). */
const SIGNATURE_CHARACTERS = 86
const INTEGER_BYTES = 32

export function createCryptography(): Cryptography {
  return {
    randomBytes: createRandomBytes(),
    sha256: (data) => nodeCrypto.hash('sha256', data, 'base64url'),
    hmacSha256,
    hkdfSha256: (secret, info, lengthBytes) =>
      new Uint8Array(nodeCrypto.hkdfSync('sha256', secret, '', info, lengthBytes)),
    equal,
    seal,
    open,
    createSigningJwk,
    importSigningKey: (jwk) =>
      asSigningKey(nodeCrypto.createPrivateKey({ key: { ...jwk }, format: 'jwk' })),
    importVerifyKey: ({ x, y }) =>
      asVerifyKey(
        nodeCrypto.createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' }),
      ),
    sign: (key, data) => {
      const der = nodeCrypto.sign('sha256', Buffer.from(data), fromSigningKey(key))
      return rawOf(der).toString('base64url')
    },
    verify: (key, data, signature) => {
      if (signature.length !== SIGNATURE_CHARACTERS) return false
      const raw = canonicalBytes(signature)
      if (raw === undefined) return false
      return nodeCrypto.verify('sha256', Buffer.from(data), fromVerifyKey(key), derOf(raw))
    },
  }
}

const HASH_BLOCK_BYTES = 64
/** Padded keys by the bytes they were made of, which nobody changes afterwards. */
const PADDED_KEYS = new WeakMap<Uint8Array, { inner: Buffer; outer: Buffer }>()

/**
 * HMAC (RFC 2104) from two one-shot digests: a tenth of `createHmac`, which makes and collects a
 * native object for every tag of a flood of forged tokens.
 */
function hmacSha256(key: Uint8Array, data: string | Uint8Array): Uint8Array {
  let padded = PADDED_KEYS.get(key)
  if (padded === undefined) {
    padded = { inner: padKey(key, 0x36), outer: padKey(key, 0x5c) }
    PADDED_KEYS.set(key, padded)
  }
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  const inner = digestBytes(Buffer.concat([padded.inner, bytes]))
  return digestBytes(Buffer.concat([padded.outer, inner]))
}

function padKey(key: Uint8Array, pad: number): Buffer {
  const block = Buffer.alloc(HASH_BLOCK_BYTES, pad)
  const short = key.byteLength > HASH_BLOCK_BYTES ? digestBytes(key) : key
  for (const [index, byte] of short.entries()) block[index] = byte ^ pad
  return block
}

function digestBytes(data: Uint8Array): Buffer {
  return Buffer.from(nodeCrypto.hash('sha256', data, 'base64url'), 'base64url')
}

/** r and s of 32 bytes each (RFC 7518 section 3.4) as an ASN.1 sequence of two integers. */
function derOf(raw: Buffer): Buffer {
  const r = derInteger(raw.subarray(0, INTEGER_BYTES))
  const s = derInteger(raw.subarray(INTEGER_BYTES))
  return Buffer.concat([Buffer.from([0x30, r.length + s.length]), r, s])
}

/** Without leading zeros, with one where the first bit would say "negative". */
function derInteger(bytes: Buffer): Buffer {
  let start = 0
  while (start < INTEGER_BYTES - 1 && bytes[start] === 0) start += 1
  const pad = (bytes[start] ?? 0) > 0x7f ? 1 : 0
  const length = INTEGER_BYTES - start + pad
  const der = Buffer.alloc(2 + length)
  der[0] = 0x02
  der[1] = length
  bytes.copy(der, 2 + pad, start)
  return der
}

/** The two integers of a P-256 signature, whose sequence is always under 128 bytes long. */
function rawOf(der: Buffer): Buffer {
  const raw = Buffer.alloc(2 * INTEGER_BYTES)
  let at = 2
  for (const end of [INTEGER_BYTES, 2 * INTEGER_BYTES]) {
    const length = der[at + 1] ?? 0
    const integer = der.subarray(at + 2, at + 2 + length)
    const kept = integer.length > INTEGER_BYTES ? integer.subarray(1) : integer
    kept.copy(raw, end - kept.length)
    at += 2 + length
  }
  return raw
}

function equal(left: string | Uint8Array, right: string | Uint8Array): boolean {
  const leftBytes = typeof left === 'string' ? Buffer.from(left) : left
  const rightBytes = typeof right === 'string' ? Buffer.from(right) : right
  if (leftBytes.byteLength !== rightBytes.byteLength) return false
  return nodeCrypto.timingSafeEqual(leftBytes, rightBytes)
}

/** Asking the platform is a system call each time: short values are cut from one answer, each byte once. */
function createRandomBytes(): (lengthBytes: number) => Uint8Array<ArrayBuffer> {
  let pool = new Uint8Array()
  let used = 0
  return (lengthBytes) => {
    if (lengthBytes > POOLED_MAX_BYTES) return new Uint8Array(nodeCrypto.randomBytes(lengthBytes))
    if (used + lengthBytes > pool.byteLength) {
      pool = nodeCrypto.randomFillSync(new Uint8Array(POOL_BYTES))
      used = 0
    }
    const taken = pool.slice(used, used + lengthBytes)
    pool.fill(0, used, used + lengthBytes)
    used += lengthBytes
    return taken
  }
}

const nonceBytes = createRandomBytes()

function seal(key: Uint8Array, plaintext: string, associatedData: string): string {
  const nonce = nonceBytes(NONCE_BYTES)
  const cipher = nodeCrypto.createCipheriv('aes-256-gcm', aesKey(key), nonce, {
    authTagLength: TAG_BYTES,
  })
  cipher.setAAD(Buffer.from(associatedData))
  const body = cipher.update(plaintext, 'utf8')
  // In this mode nothing is left at the end.
  cipher.final()
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')
}

function open(key: Uint8Array, sealed: string, associatedData: string): string | undefined {
  const secret = aesKey(key)
  const bytes = canonicalBytes(sealed)
  if (bytes === undefined || bytes.byteLength < NONCE_BYTES + TAG_BYTES) return undefined
  const end = bytes.byteLength - TAG_BYTES
  const decipher = nodeCrypto.createDecipheriv(
    'aes-256-gcm',
    secret,
    bytes.subarray(0, NONCE_BYTES),
    {
      authTagLength: TAG_BYTES,
    },
  )
  decipher.setAAD(Buffer.from(associatedData))
  decipher.setAuthTag(bytes.subarray(end))
  try {
    // workerd refuses an output encoding here: buffers only.
    const body = decipher.update(bytes.subarray(NONCE_BYTES, end))
    return Buffer.concat([body, decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

/** From bytes OpenSSL makes a key anew for each use: more than half of what a short text costs. */
const AES_KEYS = new WeakMap<Uint8Array, nodeCrypto.KeyObject>()

function aesKey(key: Uint8Array): nodeCrypto.KeyObject {
  const known = AES_KEYS.get(key)
  if (known !== undefined) return known
  if (key.byteLength !== AES_KEY_BYTES) throw new TypeError('a sealing key has 32 bytes')
  const made = nodeCrypto.createSecretKey(key)
  AES_KEYS.set(key, made)
  return made
}

/** Node's decoder forgives foreign characters and loose trailing bits; one value must have one text. */
function canonicalBytes(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

function createSigningJwk(): EcJwk {
  const { privateKey } = nodeCrypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y, d } = privateKey.export({ format: 'jwk' })
  if (x === undefined || y === undefined || d === undefined) {
    throw new TypeError('the platform made an incomplete P-256 key')
  }
  return { kty: 'EC', crv: 'P-256', x, y, d }
}

// The core sees opaque keys; these four are the only places that know what is inside.
const asSigningKey = (key: nodeCrypto.KeyObject): SigningKey => key as unknown as SigningKey
const fromSigningKey = (key: SigningKey): nodeCrypto.KeyObject =>
  key as unknown as nodeCrypto.KeyObject
const asVerifyKey = (key: nodeCrypto.KeyObject): VerifyKey => key as unknown as VerifyKey
const fromVerifyKey = (key: VerifyKey): nodeCrypto.KeyObject =>
  key as unknown as nodeCrypto.KeyObject
