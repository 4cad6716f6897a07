/**
 * A client, whichever way it became known: from the configuration (static) or by registration.
 *
 * After `staticClient` or `dynamicClient` the type is the proof; nobody looks at the record again.
 */
import type { Runtime } from '../ports.ts'
import type { Values } from '../records.ts'
import { isLoopbackRedirect, isPrivateUseRedirect, isSameRedirect } from './redirect-uri.ts'
import type { AuthMethod } from './registration.ts'

export { isLoopbackRedirect, isPrivateUseRedirect, redirectHost } from './redirect-uri.ts'
export {
  judgeRegistration,
  type RegisteredMetadata,
  registrationResponse,
} from './registration.ts'

export interface Client {
  readonly clientId: string
  readonly kind: 'static' | 'dynamic'
  readonly name?: string
  readonly clientUri?: string
  readonly redirectUris: readonly string[]
  readonly authMethod: AuthMethod
  /** base64url SHA-256 of the secret; absent for public clients. */
  readonly secretDigest?: string
  readonly grantTypes: readonly string[]
  readonly applicationType: 'native' | 'web'
  /** Changes when anything changes that a person agreed to (REG-16). */
  readonly fingerprint: string
}

/** A client of the configuration file: confidential (Basic) when it has a secret. */
export function staticClient(
  input: {
    readonly clientId: string
    readonly name?: string
    readonly redirectUris: readonly string[]
    readonly secret?: string
    /** Default with a secret `client_secret_basic`, without `none`. */
    readonly authMethod?: AuthMethod
  },
  runtime: Runtime,
): Client {
  const onDevice = (uri: string): boolean => isLoopbackRedirect(uri) || isPrivateUseRedirect(uri)
  return fingerprinted(
    {
      clientId: input.clientId,
      kind: 'static',
      ...(input.name === undefined ? {} : { name: input.name }),
      redirectUris: input.redirectUris,
      authMethod: input.authMethod ?? (input.secret === undefined ? 'none' : 'client_secret_basic'),
      ...(input.secret === undefined ? {} : { secretDigest: runtime.sha256(input.secret) }),
      grantTypes: ['authorization_code', 'refresh_token'],
      applicationType: input.redirectUris.some(onDevice) ? 'native' : 'web',
    },
    runtime,
  )
}

/** A registered client from its stored record. */
export function dynamicClient(
  clientId: string,
  record: Values['client'],
  runtime: Runtime,
): Client {
  return fingerprinted(
    {
      clientId,
      kind: 'dynamic',
      ...(record.name === undefined ? {} : { name: record.name }),
      ...(record.clientUri === undefined ? {} : { clientUri: record.clientUri }),
      redirectUris: record.redirectUris,
      authMethod: record.authMethod,
      ...(record.secretDigest === undefined ? {} : { secretDigest: record.secretDigest }),
      grantTypes: record.grantTypes,
      applicationType: record.applicationType,
    },
    runtime,
  )
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

function fingerprinted(client: Omit<Client, 'fingerprint'>, runtime: Runtime): Client {
  const agreed = JSON.stringify([
    client.kind,
    client.name ?? null,
    client.clientUri ?? null,
    client.redirectUris.toSorted(),
    client.authMethod,
    client.grantTypes.toSorted(),
    client.applicationType,
  ])
  return { ...client, fingerprint: runtime.sha256(agreed) }
}
