/**
 * Our Client ID Metadata Document, one per connector, so that each is a client of its own (CLI-11,
 * CLI-14). Held to the rules that we hold others to: one that our own validator refuses is not offered.
 * Pure.
 * @see draft-ietf-oauth-client-id-metadata-document section 4.1, requirement CLI-02
 */
import type { Config } from '../../config.ts'
import {
  CLIENT_DOCUMENT_MAX_BYTES,
  judgeClientDocument,
  refuseDocumentUrl,
} from '../../oauth/client-document.ts'
import { clientDocumentUrl, connectCallbackUrl, connectJwksUrl } from './connect-urls.ts'

export type DocumentHouse = Pick<Config, 'issuer' | 'prefix' | 'brand'>
/** A document is for everybody to read: ways with a secret have no place in it. */
export type DocumentMethod = 'none' | 'private_key_jwt'

/** What every registration of ours says, whoever asks. */
export function ourMetadata(house: DocumentHouse, connector: string) {
  const { issuer, brand } = house
  const isPublic = issuer.startsWith('https:')
  return {
    client_name: brand.name,
    // RFC 7591 section 2: a page for people; a loopback page is nobody else's.
    ...(isPublic ? { client_uri: issuer } : {}),
    redirect_uris: [connectCallbackUrl(house, connector)],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    application_type: isPublic ? 'web' : 'native',
  } as const
}

export function clientDocument(house: DocumentHouse, connector: string, method: DocumentMethod) {
  return {
    client_id: clientDocumentUrl(house, connector),
    ...ourMetadata(house, connector),
    token_endpoint_auth_method: method,
    ...(method === 'none'
      ? {}
      : { token_endpoint_auth_signing_alg: 'ES256', jwks_uri: connectJwksUrl(house) }),
  }
}

/** False for an issuer that nobody else can reach: http, or with a name that is no document's. */
export function canPublishDocument(
  house: DocumentHouse,
  connector: string,
  method: DocumentMethod,
): boolean {
  const url = clientDocumentUrl(house, connector)
  const document = clientDocument(house, connector, method)
  const bytes = new TextEncoder().encode(JSON.stringify(document)).byteLength
  return (
    refuseDocumentUrl(url, []) === undefined &&
    bytes <= CLIENT_DOCUMENT_MAX_BYTES &&
    judgeClientDocument(document, url, { redirectHosts: [] }).ok
  )
}
