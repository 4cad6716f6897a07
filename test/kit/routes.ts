/**
 * Every route of a house, taken from the tables that serve it: the issuer's application, the pages of
 * linked accounts and of the widget, the REST API, and what the gateway and the house answer besides.
 * A route that is new in its table is new here.
 */
import { Hono } from 'hono'
import type { ApiHouse } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { CAPABILITIES } from '../../src/config/fields.ts'
import type { ConnectHouse } from '../../src/connectors/connect/connect-rooms.ts'
import { connectPages } from '../../src/connectors/connect/connect-routes.ts'
import { REVOCATION_FEED_PATH } from '../../src/issuer/revocation-feed.ts'
import { Secret } from '../../src/secret.ts'
import { createTestIssuer } from '../flow/sign-in-house.ts'

export interface ListedRoute {
  /** `ALL`: whatever comes. */
  readonly method: string
  /** Below the issuer; parameters as `:name` or `{name}`, `*` for any rest. */
  readonly path: string
}

const PREFIX = '/api/v1'
const APP = { name: 'shop', origins: [], returnUrls: [], confirm: 'widget' } as const

export function listRoutes(): readonly ListedRoute[] {
  const issuer = createTestIssuer({
    config: {
      enable: CAPABILITIES,
      apps: [APP],
      prefix: '',
      resources: [{ url: 'https://tools.example/mcp', credential: new Secret('c'.repeat(32)) }],
    },
  })
  const pages = new Hono()
  const house = { ...issuer.routes.house, connecting: {} } as unknown as ConnectHouse
  connectPages.addRoutes(pages, house, (_, serve) => serve())
  // A resource reads its house when it is asked.
  const api = apiRoutes({} as ApiHouse)
  const listed = [
    ...[...issuer.routes.app.routes, ...pages.routes].map(({ method, path }) => ({ method, path })),
    ...api.map(({ method, path }) => ({ method, path: PREFIX + path })),
    { method: 'GET', path: `${PREFIX}/openapi.json` },
    { method: 'ALL', path: '/mcp/:connector' },
    { method: 'GET', path: REVOCATION_FEED_PATH },
    { method: 'GET', path: '/healthz' },
    { method: 'GET', path: '/readyz' },
  ]
  const known = new Map(listed.map((route) => [`${route.method} ${route.path}`, route]))
  return [...known.values()].filter(({ path }) => path !== '*' && path !== '/*')
}
