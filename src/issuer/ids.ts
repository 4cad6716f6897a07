/**
 * Random identifiers: a prefix that says what it names, and 130 bits in lower-case base 32
 * (Crockford's alphabet, so that people can read one aloud). Never `https://` (REG-03).
 */
import { encodeBase64url } from '../oauth/base64url.ts'
import type { Key, Runtime } from '../ports.ts'
import { TENANT } from '../records.ts'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const ID_CHARACTERS = 26
const FLOW_ID_CHARACTERS = 6
const SECRET_BYTES = 32

export function createId(
  runtime: Runtime,
  prefix: 'usr' | 'grt' | 'cli' | 'evt' | 'tkt' | 'vlt' | 'req' | 'dty' | 'con' | 'pcs',
): string {
  return `${prefix}_${letters(runtime, ID_CHARACTERS)}`
}

/** What a visitor reads out to who reads the log: `f_7K2M`, longer. Names a flow, authorizes nothing. */
export function createFlowId(runtime: Runtime): string {
  return `f_${letters(runtime, FLOW_ID_CHARACTERS).toUpperCase()}`
}

/** 256 random bits as base64url: cookies, `state`, client secrets. */
export function createSecret(runtime: Runtime): string {
  return encodeBase64url(runtime.randomBytes(SECRET_BYTES))
}

function letters(runtime: Runtime, count: number): string {
  // 256 is a multiple of 32, so the low five bits of a random byte are uniform.
  return Array.from(runtime.randomBytes(count), (byte) => ALPHABET[byte & 31]).join('')
}

/** The tenant is in every key. */
export function key(id: string): Key {
  return { tenant: TENANT, id }
}
