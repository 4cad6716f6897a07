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
  prefix:
    | 'usr'
    | 'grt'
    | 'cli'
    | 'evt'
    | 'tkt'
    | 'vlt'
    | 'req'
    | 'dty'
    | 'con'
    | 'pcs'
    | 'key'
    | 'dlv'
    | 'whk'
    | 'opn'
    | 'ses',
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
  return lettersOf(runtime.randomBytes(count))
}

function lettersOf(bytes: Uint8Array): string {
  // 256 is a multiple of 32, so the low five bits of a random byte are uniform.
  let text = ''
  for (const byte of bytes) text += ALPHABET.charAt(byte & 31)
  return text
}

const TIME_CHARACTERS = 10

/**
 * An id whose order is the order of its time: ten letters of milliseconds, then 80 random bits.
 *
 * @param atMs Before the year 10889, so that it begins with a digit.
 */
export function createTimedId(runtime: Runtime, prefix: 'evt', atMs: number): string {
  return `${timePrefix(prefix, atMs)}${letters(runtime, ID_CHARACTERS - TIME_CHARACTERS)}`
}

/** Every id that was made before this time comes before it. */
export function timePrefix(prefix: 'evt', atMs: number): string {
  let left = Math.max(0, Math.trunc(atMs))
  let text = ''
  for (let index = 0; index < TIME_CHARACTERS; index += 1) {
    text = ALPHABET.charAt(left % ALPHABET.length) + text
    left = Math.floor(left / ALPHABET.length)
  }
  return `${prefix}_${text}`
}

/** The id of a thing that the configuration file names: the same on every node and after a restart. */
export function derivedId(
  runtime: Pick<Runtime, 'hkdfSha256'>,
  prefix: 'whk',
  name: string,
): string {
  const bytes = runtime.hkdfSha256(new TextEncoder().encode(name), prefix, ID_CHARACTERS)
  return `${prefix}_${lettersOf(bytes)}`
}

const DUE_DIGITS = 15

/** The key that puts rows into the order of the time when they are due. */
export function dueKey(runtime: Runtime, prefix: 'dty' | 'dlv', dueAtMs: number): Key {
  return key(`${String(dueAtMs).padStart(DUE_DIGITS, '0')}.${createId(runtime, prefix)}`)
}

/** The tenant is in every key. */
export function key(id: string): Key {
  return { tenant: TENANT, id }
}
