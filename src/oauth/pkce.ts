/**
 * Proof Key for Code Exchange, S256 and nothing else (RFC 7636).
 *
 * `plain` does not exist here, so a challenge is always 43 base64url characters.
 */
import type { Runtime } from '../ports.ts'
import { encodeBase64url } from './base64url.ts'

const VERIFIER_BYTES = 32

/** An S256 challenge: base64url of 32 bytes, no padding (RFC 7636 section 4.2). */
export function isCodeChallenge(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}

/** 43 to 128 unreserved characters (RFC 7636 section 4.1). */
export function isCodeVerifier(text: string): boolean {
  return /^[A-Za-z0-9._~-]{43,128}$/.test(text)
}

/** The challenge of a verifier. */
export function s256(verifier: string, runtime: Runtime): string {
  return runtime.sha256(verifier)
}

/** Constant time; false for a verifier outside the grammar, so that a short one never passes. */
export function matchesChallenge(verifier: string, challenge: string, runtime: Runtime): boolean {
  return isCodeVerifier(verifier) && runtime.equal(s256(verifier, runtime), challenge)
}

/** A verifier of our own, for the trip to a provider: 256 random bits. */
export function createVerifier(runtime: Runtime): string {
  return encodeBase64url(runtime.randomBytes(VERIFIER_BYTES))
}
