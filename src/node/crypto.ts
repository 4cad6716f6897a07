/**
 * The synchronous cryptography of a Runtime on `node:crypto`, shared by Node and Workers.
 *
 * Text goes in as UTF-8, results come out as base64url. Sealed values and signatures are accepted
 * only in canonical base64url, so that one value has one text. The two platforms differ in one
 * thing, how a key is handed to `sign` and `verify`: that is the parameter.
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
type SignInput = Parameters<typeof nodeCrypto.sign>[2]
type VerifyInput = Parameters<typeof nodeCrypto.verify>[2]

/** What `sign` and `verify` of one platform take for a JWK. Made once per key, used per call. */
export interface KeyInputs {
  signing(privateJwk: EcJwk): SignInput
  verifying(publicJwk: EcJwk): VerifyInput
}

const AES_KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** ES256: r and s, 32 bytes each (RFC 7518 section 3.4). */
const SIGNATURE_CHARACTERS = 86
const DSA_ENCODING = 'ieee-p1363'

/** Node: key objects, imported once. */
export const KEY_OBJECTS: KeyInputs = {
  signing: (jwk) => ({
    key: nodeCrypto.createPrivateKey({ key: { ...jwk }, format: 'jwk' }),
    dsaEncoding: DSA_ENCODING,
  }),
  verifying: (jwk) => ({
    key: nodeCrypto.createPublicKey({ key: { ...jwk }, format: 'jwk' }),
    dsaEncoding: DSA_ENCODING,
  }),
}

/** Workers: `sign` refuses key objects there, but takes the JWK itself. */
export const KEY_MEMBERS: KeyInputs = {
  signing: (jwk) => ({ key: { ...jwk }, format: 'jwk', dsaEncoding: DSA_ENCODING }),
  verifying: (jwk) => ({ key: { ...jwk }, format: 'jwk', dsaEncoding: DSA_ENCODING }),
}

export function createCryptography(keys: KeyInputs): Cryptography {
  return {
    randomBytes: (lengthBytes) => new Uint8Array(nodeCrypto.randomBytes(lengthBytes)),
    sha256: (data) => nodeCrypto.hash('sha256', data, 'base64url'),
    hmacSha256: (key, data) => nodeCrypto.createHmac('sha256', key).update(data).digest(),
    hkdfSha256: (secret, info, lengthBytes) =>
      new Uint8Array(nodeCrypto.hkdfSync('sha256', secret, '', info, lengthBytes)),
    equal,
    seal,
    open,
    createSigningJwk,
    importSigningKey: (jwk) => asSigningKey(keys.signing(jwk)),
    importVerifyKey: (jwk) =>
      asVerifyKey(keys.verifying({ kty: 'EC', crv: 'P-256', x: jwk.x, y: jwk.y })),
    sign: (key, data) =>
      nodeCrypto.sign('sha256', Buffer.from(data), fromSigningKey(key)).toString('base64url'),
    verify: (key, data, signature) => {
      if (signature.length !== SIGNATURE_CHARACTERS) return false
      const bytes = canonicalBytes(signature)
      if (bytes === undefined) return false
      return nodeCrypto.verify('sha256', Buffer.from(data), fromVerifyKey(key), bytes)
    },
  }
}

function equal(left: string | Uint8Array, right: string | Uint8Array): boolean {
  const leftBytes = typeof left === 'string' ? Buffer.from(left) : left
  const rightBytes = typeof right === 'string' ? Buffer.from(right) : right
  if (leftBytes.byteLength !== rightBytes.byteLength) return false
  return nodeCrypto.timingSafeEqual(leftBytes, rightBytes)
}

function seal(key: Uint8Array, plaintext: string, associatedData: string): string {
  requireAesKey(key)
  const nonce = nodeCrypto.randomBytes(NONCE_BYTES)
  const cipher = nodeCrypto.createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(Buffer.from(associatedData))
  const body = cipher.update(Buffer.from(plaintext))
  const end = cipher.final()
  return Buffer.concat([nonce, body, end, cipher.getAuthTag()]).toString('base64url')
}

function open(key: Uint8Array, sealed: string, associatedData: string): string | undefined {
  requireAesKey(key)
  const bytes = canonicalBytes(sealed)
  if (bytes === undefined || bytes.byteLength < NONCE_BYTES + TAG_BYTES) return undefined
  const end = bytes.byteLength - TAG_BYTES
  const decipher = nodeCrypto.createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
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

function requireAesKey(key: Uint8Array): void {
  if (key.byteLength !== AES_KEY_BYTES) throw new TypeError('a sealing key has 32 bytes')
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
const asSigningKey = (input: SignInput): SigningKey => input as unknown as SigningKey
const fromSigningKey = (key: SigningKey): SignInput => key as unknown as SignInput
const asVerifyKey = (input: VerifyInput): VerifyKey => input as unknown as VerifyKey
const fromVerifyKey = (key: VerifyKey): VerifyInput => key as unknown as VerifyInput
