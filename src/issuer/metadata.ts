/**
 * What we publish: authorization server metadata (RFC 8414, OpenID locations too), keys (RFC 7517),
 * protected resource metadata (RFC 9728). All from local state, never a remote call (AS-18); built
 * from configuration and connectors, so no header of a request can change a byte (A19).
 */
import { DPOP_ALGORITHMS } from '../oauth/dpop.ts'
import { authorizationServerMetadata, protectedResourceMetadata } from '../oauth/metadata.ts'
import { issuerMetadataPaths, protectedResourceMetadataPath } from '../oauth/urls.ts'
import type { PublicDocument } from './answers.ts'
import { type IssuerHouse, RESOURCE_SCOPES } from './house.ts'
import { enabledGrantTypes } from './tokens.ts'

const METADATA_MAX_AGE_SECONDS = 3600
const JWKS_MAX_AGE_SECONDS = 300
const RESOURCE_METADATA_ROOT = '/.well-known/oauth-protected-resource'

/** The document at this path and query, or `undefined`. */
export type FindDocument = (url: URL) => PublicDocument | undefined

export function createMetadata(house: IssuerHouse): FindDocument {
  let documents = buildDocuments(house)
  house.directory?.onChange(() => {
    documents = buildDocuments(house)
  })
  const jwksPath = `${house.issuerUrl.pathname.replace(/\/$/, '')}/.well-known/jwks.json`
  return (url) => {
    if (url.pathname === jwksPath)
      return jsonDocument(house, house.keys.jwks(), JWKS_MAX_AGE_SECONDS)
    return documents.get(`${url.pathname}${url.search}`) ?? documents.get(url.pathname)
  }
}

function buildDocuments(house: IssuerHouse): ReadonlyMap<string, PublicDocument> {
  const documents = new Map<string, PublicDocument>()
  const { issuer } = house.config
  const server = jsonDocument(house, authorizationServer(house), METADATA_MAX_AGE_SECONDS)
  for (const path of issuerMetadataPaths(issuer)) documents.set(path, server)

  const ours = house.resources.filter(
    (entry) => new URL(entry.resource).origin === house.issuerUrl.origin,
  )
  for (const entry of ours) {
    const document = jsonDocument(
      house,
      protectedResourceMetadata({
        resource: entry.resource,
        issuer,
        scopes: RESOURCE_SCOPES,
        ...(entry.title === undefined ? {} : { name: entry.title }),
      }),
      METADATA_MAX_AGE_SECONDS,
    )
    documents.set(protectedResourceMetadataPath(entry.resource), document)
    // PR-03: older clients ask at the root; its `resource` still names the real endpoint.
    if (ours.length === 1) documents.set(RESOURCE_METADATA_ROOT, document)
  }
  return documents
}

function authorizationServer(house: IssuerHouse): Record<string, unknown> {
  return authorizationServerMetadata({
    issuer: house.config.issuer,
    registration: house.config.registration.dynamic,
    metadataDocuments: house.config.registration.metadataDocuments && house.documents !== undefined,
    revocation: true,
    introspection: true,
    grantTypes: [...enabledGrantTypes(house)],
    ...(house.config.enable.includes('dpop') ? { dpopAlgorithms: DPOP_ALGORITHMS } : {}),
    pushedRequests: house.config.enable.includes('pushed-requests'),
    scopes: RESOURCE_SCOPES,
    resources: house.resources.map((entry) => entry.resource),
    ...(house.endpointPrefix === undefined ? {} : { prefix: house.endpointPrefix }),
  })
}

export function jsonDocument(
  house: Pick<IssuerHouse, 'runtime'>,
  value: unknown,
  maxAgeSeconds: number,
): PublicDocument {
  const body = JSON.stringify(value)
  return {
    body,
    etag: `"${house.runtime.sha256(body).slice(0, 22)}"`,
    contentType: 'application/json',
    maxAgeSeconds,
  }
}
