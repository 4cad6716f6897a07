/**
 * What the pages of `/connect` stand on, and the two questions that each of them asks: may this person
 * use this connector, and is all in memory that a trip to its authorization server needs.
 */
import type { Hono } from 'hono'
import type { ConnectorConfig } from '../../config.ts'
import type { Redirect } from '../../issuer/answers.ts'
import { type IssuerHouse, mayUse, type Resource } from '../../issuer/house.ts'
import type { SignedIn } from '../../issuer/sessions.ts'
import type { Values } from '../../records.ts'
import type { ShownConnection } from '../../ui/connect.ts'
import type { AssertionKeys } from '../client/assertion-keys.ts'
import type { Registrations } from '../client/registration.ts'
import type { TokenCalls } from '../client/token-calls.ts'
import type { Connections } from '../connections/connections.ts'
import type { Lifecycle, Prepared } from '../lifecycle/lifecycle.ts'

export interface ConnectRooms {
  readonly lifecycle: Pick<Lifecycle, 'binding' | 'prepare' | 'status' | 'report'>
  readonly registrations: Pick<Registrations, 'peek' | 'find' | 'refused' | 'documentMethod'>
  readonly assertionKeys: Pick<AssertionKeys, 'jwks'>
  readonly tokenCalls: Pick<TokenCalls, 'exchange' | 'push' | 'revoke'>
  readonly connections: Pick<
    Connections,
    'find' | 'list' | 'connect' | 'connectWaiting' | 'giveBack' | 'end'
  >
  readonly pages: ConnectPages
}

/** The pages themselves: loaded only where somebody can link accounts. */
export interface ConnectPages {
  /** @param guarded Turns what fails unexpectedly into a page with a flow id. */
  addRoutes(app: Hono, house: ConnectHouse, guarded: Apology): void
  /** A product's link, `GET /connect/{connector}?app=...`. */
  link(
    house: ConnectHouse,
    http: Request,
    name: string,
    query: URLSearchParams,
  ): Promise<Response | Redirect>
  describe(house: ConnectHouse, signedIn: SignedIn): Promise<readonly ShownConnection[]>
}
export type Apology = (house: IssuerHouse, serve: () => Promise<Response>) => Promise<Response>

/** A house in which people link accounts. */
export interface ConnectHouse extends IssuerHouse {
  readonly connecting: ConnectRooms
}

export type OpenConnector = Resource & { readonly connector: ConnectorConfig }

/** Connectors to which people link accounts. */
export function linkable(house: IssuerHouse): readonly OpenConnector[] {
  return house.resources.flatMap((entry) =>
    entry.connector?.auth === 'oauth' ? [{ ...entry, connector: entry.connector }] : [],
  )
}

/** The same `allow` for list, page, callback and call (O6): `undefined` for unknown and forbidden alike. */
export function findOpen(
  house: IssuerHouse,
  user: Values['user'],
  name: string,
): OpenConnector | undefined {
  const entry = linkable(house).find(({ connector }) => connector.name === name)
  return entry !== undefined && mayUse(house, user, entry) ? entry : undefined
}

/** From memory where it is warm; else asked, within the deadline of a discovery. */
export async function readyFor(
  { connecting, config }: ConnectHouse,
  connector: string,
  retry = false,
): Promise<Prepared> {
  const binding = connecting.lifecycle.binding(connector)
  const client = binding === undefined ? undefined : connecting.registrations.peek(binding)
  if (binding !== undefined && client !== undefined) return { ok: true, binding, client }
  const deadlineMs = config.limits.discoveryTimeoutMs
  return connecting.lifecycle.prepare(connector, { deadlineMs, ...(retry ? { retry } : {}) })
}
