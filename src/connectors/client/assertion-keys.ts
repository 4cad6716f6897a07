/**
 * Keys by which this house proves itself at connectors' authorization servers (`private_key_jwt`).
 * Never a key that signs access tokens: whoever accepts one kind of JWT must not be shown the other.
 *
 * ES256, sealed, made at the first load, rotated with overlap: the next key is published before it
 * signs, the old one is published on. Read from memory; the store is asked again at most once a minute.
 * @see RFC 7523 section 3, draft-ietf-oauth-rfc7523bis section 4, requirement CLI-15
 */
import { encodeBase64url } from '../../oauth/base64url.ts'
import { signJwt } from '../../oauth/sign-jwt.ts'
import type { Step } from '../../ports.ts'
import {
  type KeyEntry,
  type KeyRowsDeps,
  keyStep,
  loadKeyRows,
  nextNumber,
  type PublicJwk,
  secretKey,
} from '../../vault/key-rows.ts'

export interface AssertionKeys {
  /** Reads or makes the first key. @throws {StoreError} @throws {ConfigError} */
  load(): Promise<void>
  /** What `/connect/jwks.json` says. */
  jwks(): Promise<{ readonly keys: readonly PublicJwk[] }>
  /**
   * One assertion for one request.
   *
   * @param audience The issuer identifier and nothing else: a token endpoint or a list could be shown
   *   to somebody else by the one who got it.
   */
  sign(clientId: string, audience: string): Promise<string>
}

export interface AssertionKeysDeps extends KeyRowsDeps {
  /** Audit row of a rotation, in its commit (I12). */
  readonly audit: (detail: string) => Step
  readonly onRotated?: (kid: string) => void
}

export const ASSERTION_LIFE_SECONDS = 60
/** Servers keep a fetched key set: a key is published this long before its first signature. */
export const ASSERTION_KEY_PUBLISHED_AHEAD_MS = 48 * 3_600_000
/** After its last signature; assertions live a minute, somebody's clock may not. */
export const ASSERTION_KEY_KEPT_AFTER_MS = 25 * 3_600_000
export const ASSERTION_KEY_LIFE_MS = 90 * 86_400_000
const REREAD_MS = 60_000
const CREATE_ATTEMPTS_MAX = 10
const JTI_BYTES = 16

export function createAssertionKeys(deps: AssertionKeysDeps): AssertionKeys {
  const { runtime } = deps
  let entries: readonly KeyEntry[] = []
  let readAtMs = Number.NEGATIVE_INFINITY

  const read = async (): Promise<void> => {
    entries = await loadKeyRows(deps, 'assertion')
    readAtMs = runtime.monotonicMs()
  }
  const load = async (): Promise<void> => {
    await read()
    for (let tries = 0; entries.length === 0 && tries < CREATE_ATTEMPTS_MAX; tries += 1) {
      const nowMs = runtime.nowMs()
      const { step } = keyStep(deps, 'assertion', 1, { publishedAtMs: nowMs, activeAtMs: nowMs })
      await deps.store.commit([step])
      await read()
    }
  }
  const renew = async (): Promise<void> => {
    if (runtime.monotonicMs() - readAtMs < REREAD_MS) return
    try {
      await load()
      if (await rotateWhenDue(deps, entries)) await read()
    } catch (error) {
      // What was read before is still right; the next call asks again.
      if (entries.length === 0) throw error
    }
  }
  return {
    load,
    async jwks() {
      await renew()
      return { keys: published(entries, runtime.nowMs()).map(({ jwk }) => jwk) }
    },
    async sign(clientId, audience) {
      await renew()
      const live = published(entries, runtime.nowMs())
      const signer = live.findLast(({ value }) => value.activeAtMs <= runtime.nowMs()) ?? live[0]
      if (signer === undefined) throw new TypeError('assertion keys are not loaded')
      return signAssertion(deps, signer, clientId, audience)
    },
  }
}

function published(entries: readonly KeyEntry[], nowMs: number): readonly KeyEntry[] {
  return entries.filter(({ value }) => (value.expiresAtMs ?? Infinity) > nowMs)
}

/** Rotated by use: a house that signs nothing needs no new key. @returns whether something was written. */
async function rotateWhenDue(
  deps: AssertionKeysDeps,
  entries: readonly KeyEntry[],
): Promise<boolean> {
  const newest = entries.at(-1)
  const nowMs = Math.trunc(deps.runtime.nowMs())
  const dueAtMs =
    (newest?.value.activeAtMs ?? 0) + ASSERTION_KEY_LIFE_MS - ASSERTION_KEY_PUBLISHED_AHEAD_MS
  if (newest === undefined || nowMs < dueAtMs) return false
  const activeAtMs = nowMs + ASSERTION_KEY_PUBLISHED_AHEAD_MS
  const expiresAtMs = activeAtMs + ASSERTION_KEY_KEPT_AFTER_MS
  const made = keyStep(deps, 'assertion', nextNumber(entries), { publishedAtMs: nowMs, activeAtMs })
  const ends = entries
    .filter(({ value }) => value.expiresAtMs === undefined)
    .map(({ id, version, value }): Step => {
      const ended = { ...value, retiredAtMs: activeAtMs, expiresAtMs }
      return { verb: 'put', kind: 'secret', key: secretKey(id), ifVersion: version, value: ended }
    })
  const audit = deps.audit(`assertion key ${made.kid}`)
  const { won } = await deps.store.commit([made.step, audit, ...ends])
  if (won) deps.onRotated?.(made.kid)
  return true
}

function signAssertion(
  { runtime }: Pick<AssertionKeysDeps, 'runtime'>,
  signer: KeyEntry,
  clientId: string,
  audience: string,
): string {
  const iat = Math.floor(runtime.nowMs() / 1000)
  const exp = iat + ASSERTION_LIFE_SECONDS
  const jti = encodeBase64url(runtime.randomBytes(JTI_BYTES))
  const claims = { iss: clientId, sub: clientId, aud: audience, iat, exp, jti }
  return signJwt('JWT', claims, signer, runtime)
}
