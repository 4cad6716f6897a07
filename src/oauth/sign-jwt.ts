/**
 * JWTs that this house signs: ES256, compact serialization (RFC 7515 section 7.1). Every payload is
 * ASCII, whatever the claims say.
 */
import type { Runtime, SigningKey } from '../ports.ts'

/** @param typ Which kind of JWT it is, so that one kind cannot stand for another (J3). */
export function signJwt(
  typ: 'at+jwt' | 'JWT',
  claims: object,
  { kid, key }: { readonly kid: string; readonly key: SigningKey },
  runtime: Pick<Runtime, 'sign'>,
): string {
  const input = `${encodeJson({ alg: 'ES256', typ, kid })}.${encodeJson(claims)}`
  return `${input}.${runtime.sign(key, input)}`
}

function encodeJson(value: object): string {
  const ascii = JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return btoa(ascii).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}
