/**
 * Which connectors are open to people of an embedding product: those that connect people and have no
 * `allow` of their own, because nobody here can say who of another product such a rule means (O6).
 */
import { OAuthError } from '../../errors.ts'
import { type ConnectHouse, linkable, type OpenConnector } from '../connect/connect-rooms.ts'

export function openToApps(house: ConnectHouse): readonly OpenConnector[] {
  return linkable(house).filter(isOpenToApps)
}

export function findOpenToApps(house: ConnectHouse, name: string): OpenConnector | undefined {
  return linkable(house).find((entry) => entry.connector.name === name && isOpenToApps(entry))
}

function isOpenToApps({ connector }: OpenConnector): boolean {
  return connector.allow === undefined || connector.allow === 'anyone'
}

/** @throws {OAuthError} `ERR_CONNECTOR_NOT_FOUND` for one that is not open to apps. */
export function requireOpenToApps(house: ConnectHouse | undefined, name: string): OpenConnector {
  const found = house && findOpenToApps(house, name)
  if (found !== undefined) return found
  throw new OAuthError(
    'invalid_request',
    `no connector ${JSON.stringify(name.slice(0, 64))} connects people of apps`,
    { status: 422, code: 'ERR_CONNECTOR_NOT_FOUND' },
  )
}
