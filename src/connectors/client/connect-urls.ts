/**
 * Where this house is a client: its callback, metadata document and keys, per connector. Each
 * connector is a context of its own (CLI-11), so that an answer that was meant for one cannot be
 * used as another's. Pure.
 */
import type { Config } from '../../config.ts'

type Place = Pick<Config, 'issuer' | 'prefix'>

/** Redirect URI of a connector, byte for byte. */
export function connectCallbackUrl({ issuer, prefix }: Place, connector: string): string {
  return `${issuer}${prefix}/connect/${connector}/callback`
}

/** Our `client_id` where metadata documents are believed (CLI-02). */
export function clientDocumentUrl({ issuer, prefix }: Place, connector: string): string {
  return `${issuer}${prefix}/connect/${connector}/client.json`
}

/** Public keys of our client assertions. */
export function connectJwksUrl({ issuer, prefix }: Place): string {
  return `${issuer}${prefix}/connect/jwks.json`
}
