/**
 * Reads `clients`: those an operator registers by hand, each with what it may do (REG-29). One way of
 * authenticating each; redirect URIs are held to the same forms as everybody's.
 */
import type { StaticClient } from '../config.ts'
import { readClientKeys, readKeysUri } from '../oauth/client-keys.ts'
import { refuseRedirectUri } from '../oauth/redirect-uri.ts'
import { canonicalResource } from '../oauth/urls.ts'
import { GRANT_TYPES, type GrantType } from './fields.ts'
import { readExchange } from './token-policies.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const FIELDS = [
  'name',
  'redirectUris',
  'secret',
  'jwks',
  'jwksUri',
  'grants',
  'scopes',
  'resources',
  'exchange',
]

export function readClients(value: unknown, sources: Sources): readonly StaticClient[] {
  return Object.entries(read.record('clients', value)).map(([clientId, entry]) => {
    const at = `clients.${clientId}`
    const input = read.record(at, entry)
    read.refuseUnknown(at, input, FIELDS)
    const grants = readGrants(`${at}.grants`, input.grants, sources)
    return {
      clientId,
      ...(input.name === undefined ? {} : { name: read.text(`${at}.name`, input.name, sources) }),
      redirectUris: readRedirectUris(`${at}.redirectUris`, input.redirectUris, grants, sources),
      ...readCredential(at, input, sources),
      ...(grants === undefined ? {} : { grants }),
      ...readNarrowing(at, input, sources),
      ...(input.exchange === undefined
        ? {}
        : { exchange: readExchange(`${at}.exchange`, input.exchange, sources) }),
    }
  })
}

function readRedirectUris(
  at: string,
  value: unknown,
  grants: readonly GrantType[] | undefined,
  sources: Sources,
): readonly string[] {
  const isNeeded = grants === undefined || grants.includes('authorization_code')
  if (value === undefined && !isNeeded) return []
  const uris = read.list(at, value, sources)
  if (uris.length === 0 && isNeeded) throw read.invalid(at, 'a list with at least one URI')
  for (const [index, uri] of uris.entries()) {
    // The operator names the scheme by writing it here; what is dangerous stays refused.
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(uri)?.[0] ?? ''
    const refusal = refuseRedirectUri(uri, { redirectHosts: [scheme] }, 'native')
    if (refusal !== undefined) {
      throw read.invalid(
        `${at}[${index}]`,
        'an https URI, an http loopback URI or one with a private-use scheme, in its normal form',
      )
    }
  }
  return uris
}

function readGrants(
  at: string,
  value: unknown,
  sources: Sources,
): readonly GrantType[] | undefined {
  if (value === undefined) return undefined
  const names = read.list(at, value, sources)
  if (names.length === 0) throw read.invalid(at, 'a list with at least one grant type')
  return names.map((name, index) => read.choice(`${at}[${index}]`, name, GRANT_TYPES, sources))
}

/** A secret, keys, or where the keys are: one of them, or none for a public client. */
function readCredential(
  at: string,
  input: Readonly<Record<string, unknown>>,
  sources: Sources,
): Pick<StaticClient, 'secret' | 'jwks' | 'jwksUri'> {
  const given = ['secret', 'jwks', 'jwksUri'].filter((name) => input[name] !== undefined)
  if (given.length > 1) {
    throw read.invalid(at, `given one credential, not ${given.join(' and ')}`)
  }
  if (input.secret !== undefined) {
    return { secret: read.secret(`${at}.secret`, input.secret, sources) }
  }
  if (input.jwks !== undefined) {
    const jwks = readClientKeys(input.jwks)
    if (jwks !== undefined) return { jwks }
    throw read.invalid(`${at}.jwks`, 'a set of public keys: EC P-256, Ed25519, or RSA of 2048 bits')
  }
  if (input.jwksUri === undefined) return {}
  const jwksUri = readKeysUri(read.text(`${at}.jwksUri`, input.jwksUri, sources))
  if (jwksUri === undefined) throw read.invalid(`${at}.jwksUri`, 'an https URL')
  return { jwksUri }
}

function readNarrowing(
  at: string,
  input: Readonly<Record<string, unknown>>,
  sources: Sources,
): Pick<StaticClient, 'scopes' | 'resources'> {
  const listed = (name: 'scopes' | 'resources'): readonly string[] | undefined =>
    input[name] === undefined ? undefined : read.list(`${at}.${name}`, input[name], sources)
  const scopes = listed('scopes')
  const resources = listed('resources')?.map((resource, index) => {
    const canonical = canonicalResource(resource)
    if (canonical !== undefined) return canonical
    throw read.invalid(`${at}.resources[${index}]`, 'the absolute URL of a resource of this house')
  })
  return {
    ...(scopes === undefined ? {} : { scopes }),
    ...(resources === undefined ? {} : { resources }),
  }
}
