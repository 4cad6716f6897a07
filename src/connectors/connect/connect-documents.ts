/**
 * What authorization servers fetch of us: one client metadata document per connector, and the keys of
 * our assertions, which never sign a token (flows.md section 6, CLI-02). For everybody to read, and
 * nothing in it that is not.
 */
import { documentAnswer, jsonAnswer, OPEN_CORS } from '../../issuer/answers.ts'
import { jsonDocument } from '../../issuer/metadata.ts'
import { clientDocument } from '../client/client-document.ts'
import type { ConnectHouse } from './connect-rooms.ts'

/** A server that keeps it knows our next key in time: that is published 48 h ahead. */
const DOCUMENT_MAX_AGE_SECONDS = 300

export async function showClientDocument(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const isOurs = house.config.connectors.some(
    (connector) => connector.name === name && connector.enabled && connector.oauth !== undefined,
  )
  // Nobody makes the store look for a name of their own.
  const { registrations } = house.connecting
  const method = isOurs ? await registrations.documentMethod(name) : undefined
  if (method === undefined) return jsonAnswer({ error: 'not_found' }, 404, OPEN_CORS)
  const document = clientDocument(house.config, name, method)
  return documentAnswer(http, jsonDocument(house, document, DOCUMENT_MAX_AGE_SECONDS))
}

export async function showAssertionKeys(house: ConnectHouse, http: Request): Promise<Response> {
  const keys = await house.connecting.assertionKeys.jwks()
  return documentAnswer(http, jsonDocument(house, keys, DOCUMENT_MAX_AGE_SECONDS))
}
