/**
 * The product's own sign-in: a password, and a cookie that is signed and ends after eight hours.
 * Simple on purpose: no throttle, no second factor, no sign-out everywhere.
 */
import type { Environment } from './environment.ts'

export interface Person {
  readonly id: string
  readonly name: string
}

const SESSION_SECONDS = 28_800
const PBKDF2_ROUNDS = 100_000
const HMAC = { name: 'HMAC', hash: 'SHA-256' } as const

interface PersonRow extends Person {
  readonly salt: string
  readonly password: string
}

/** Nobody's: an unknown name takes as long as a wrong password. */
const NOBODY: PersonRow = { id: '', name: '', salt: 'nobody', password: btoa('nobody') }

export async function findByPassword(
  { DB }: Environment,
  id: string,
  password: string,
): Promise<Person | undefined> {
  const row = await DB.prepare('SELECT id, name, salt, password FROM people WHERE id = ?1')
    .bind(id)
    .first<PersonRow>()
  const known = row ?? NOBODY
  const secret = await crypto.subtle.importKey('raw', bytes(password), 'PBKDF2', false, [
    'deriveKey',
  ])
  const rounds = { name: 'PBKDF2', hash: 'SHA-256', iterations: PBKDF2_ROUNDS }
  const key = await crypto.subtle.deriveKey(
    { ...rounds, salt: bytes(known.salt) },
    secret,
    { ...HMAC, length: 256 },
    false,
    ['verify'],
  )
  const isRight = await crypto.subtle.verify(HMAC, key, decode(known.password), bytes('password'))
  return isRight && row !== null ? { id: row.id, name: row.name } : undefined
}

/** A `Set-Cookie` line. */
export async function startSession(
  { SESSION_SECRET, PUBLIC_URL }: Environment,
  person: Person,
): Promise<string> {
  const ends = Math.floor(Date.now() / 1000) + SESSION_SECONDS
  const payload = `${encodeURIComponent(person.id)}.${ends}`
  const signature = await crypto.subtle.sign(HMAC, await signingKey(SESSION_SECRET), bytes(payload))
  const value = `${payload}.${encode(new Uint8Array(signature))}`
  return `${cookieName(PUBLIC_URL)}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${SESSION_SECONDS}${secure(PUBLIC_URL)}`
}

export function endSession({ PUBLIC_URL }: Environment): string {
  return `${cookieName(PUBLIC_URL)}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0${secure(PUBLIC_URL)}`
}

/** Who sent this request: no database, no network. */
export async function sessionPerson(
  request: Request,
  { SESSION_SECRET, PUBLIC_URL }: Environment,
): Promise<string | undefined> {
  const name = cookieName(PUBLIC_URL)
  const cookies = (request.headers.get('cookie') ?? '').split('; ')
  const value = cookies.find((cookie) => cookie.startsWith(`${name}=`))?.slice(name.length + 1)
  const [id, ends, signature, ...rest] = value?.split('.') ?? []
  if (id === undefined || ends === undefined || signature === undefined || rest.length > 0) return
  const key = await signingKey(SESSION_SECRET)
  const isOurs = await crypto.subtle.verify(HMAC, key, decode(signature), bytes(`${id}.${ends}`))
  return isOurs && Number(ends) > Date.now() / 1000 ? decodeURIComponent(id) : undefined
}

function signingKey(secret: string): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', bytes(secret), HMAC, false, ['sign', 'verify'])
}

function cookieName(publicUrl: string): string {
  return publicUrl.startsWith('https:') ? '__Host-product' : 'product'
}

function secure(publicUrl: string): string {
  return publicUrl.startsWith('https:') ? '; Secure' : ''
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

export function encode(data: Uint8Array): string {
  const text = btoa(String.fromCharCode(...data))
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function decode(text: string): Uint8Array<ArrayBuffer> {
  try {
    const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(plain, (character) => character.charCodeAt(0))
  } catch {
    return new Uint8Array()
  }
}
