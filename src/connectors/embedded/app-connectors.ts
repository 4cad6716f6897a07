/**
 * Which connectors are open to people of an embedding product: those that connect people and have no
 * `allow` of their own, because nobody here can say who of another product such a rule means (O6).
 */
import type { ConnectorConfig } from '../../config.ts'
import { OAuthError } from '../../errors.ts'
import { type ConnectHouse, linkable, type OpenConnector } from '../connect/connect-rooms.ts'

export function openToApps(house: ConnectHouse): readonly OpenConnector[] {
  return linkable(house).filter(({ connector }) => isOpen(connector))
}

export function findOpenToApps(house: ConnectHouse, name: string): OpenConnector | undefined {
  const entry = house.resources.find(({ connector }) => connector?.name === name)
  const connector = entry?.connector
  if (entry === undefined || connector?.auth !== 'oauth' || !isOpen(connector)) return undefined
  return { ...entry, connector }
}

function isOpen({ allow }: ConnectorConfig): boolean {
  return allow === undefined || allow === 'anyone'
}

/** @throws {OAuthError} `ERR_CONNECTOR_NOT_FOUND` for one that is not open to apps. */
export function requireOpenToApps(house: ConnectHouse, name: string): OpenConnector {
  const found = findOpenToApps(house, name)
  if (found !== undefined) return found
  throw notOpen(`no connector ${JSON.stringify(name.slice(0, 64))} connects people of apps`)
}

/** @throws {OAuthError} `ERR_CONNECTOR_NOT_FOUND` where no connector connects anybody. */
export function requireHouse(house: ConnectHouse | undefined): ConnectHouse {
  if (house !== undefined) return house
  throw notOpen('no connector connects people')
}

function notOpen(problem: string): OAuthError {
  return new OAuthError('invalid_request', problem, {
    status: 404,
    code: 'ERR_CONNECTOR_NOT_FOUND',
  })
}
