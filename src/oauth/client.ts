/**
 * A client, whichever way it became known: from the configuration (static), by registration
 * (dynamic), or from the document that its identifier is the URL of (document).
 *
 * The issuer makes it from a record or the configuration; after that the type is the proof.
 */
import { OAuthError } from '../errors.ts'
import type { ClientKeySet } from './client-keys.ts'
import { isSameRedirect } from './redirect-uri.ts'
import type { AuthMethod } from './registration.ts'

export interface Client {
  readonly clientId: string
  readonly kind: 'static' | 'dynamic' | 'document'
  readonly name?: string
  readonly clientUri?: string
  readonly redirectUris: readonly string[]
  readonly authMethod: AuthMethod
  /** base64url SHA-256 of the secret; absent for public clients. */
  readonly secretDigest?: string
  /** Keys of a `private_key_jwt` client: its own set, or where that set is published. */
  readonly jwks?: ClientKeySet
  readonly jwksUri?: string
  /** Its document also offers `none`; see `ClientAssertionFacts.tokenEndpoint`. */
  readonly offersNone?: true
  readonly grantTypes: readonly string[]
  /** Scopes and resources beyond which it may not ask; absent: all. Static clients only (REG-29). */
  readonly scopes?: readonly string[]
  readonly resources?: readonly string[]
  readonly applicationType: 'native' | 'web'
  /** Changes when anything changes that a person agreed to (REG-16). */
  readonly fingerprint: string
}

interface Target {
  readonly resource: string
  readonly scopes: readonly string[]
  readonly defaultScopes?: readonly string[]
}

/** The resources that this client may ask for, each with the scopes that it may have there. */
export function targetsOf<T extends Target>(client: Client, targets: readonly T[]): readonly T[] {
  const { resources, scopes: mayHave } = client
  const named =
    resources === undefined
      ? targets
      : targets.filter(({ resource }) => resources.includes(resource))
  if (mayHave === undefined) return named
  const narrowed = (scopes: readonly string[]) => scopes.filter((scope) => mayHave.includes(scope))
  return named.map((target) => ({
    ...target,
    scopes: narrowed(target.scopes),
    ...(target.defaultScopes === undefined
      ? {}
      : { defaultScopes: narrowed(target.defaultScopes) }),
  }))
}

/**
 * What is left of a grant where the operator narrowed its client since.
 *
 * @throws {OAuthError} `invalid_target`, or `invalid_scope` when nothing is left.
 */
export function scopesLeft(
  client: Client,
  resource: string,
  scopes: readonly string[],
): readonly string[] {
  const [target] = targetsOf(client, [{ resource, scopes }])
  if (target === undefined) {
    throw new OAuthError('invalid_target', 'this client may not use this resource any more', {
      reason: 'resource_of_client',
    })
  }
  if (target.scopes.length > 0 || scopes.length === 0) return target.scopes
  throw new OAuthError('invalid_scope', 'this client may use none of these scopes any more', {
    reason: 'scope_of_client',
  })
}

export type RedirectMatch =
  | { matched: true; redirectUri: string }
  | { matched: false; reason: 'missing' | 'mismatch' }

/** Exact string, any port for loopback; absent only with a single registered URI (AZ-03, AZ-04). */
export function matchRedirectUri(client: Client, presented: string | undefined): RedirectMatch {
  if (presented === undefined) {
    const [only, ...others] = client.redirectUris
    return only === undefined || others.length > 0
      ? { matched: false, reason: 'missing' }
      : { matched: true, redirectUri: only }
  }
  return client.redirectUris.some((registered) => isSameRedirect(registered, presented))
    ? { matched: true, redirectUri: presented }
    : { matched: false, reason: 'mismatch' }
}
