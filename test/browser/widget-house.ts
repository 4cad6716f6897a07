/**
 * Embedded Connect as a product has it: a served house, a remote MCP server to link accounts at, and a
 * product's page on another origin whose backend makes the connect sessions.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import { serve } from '../../src/node/server.ts'
import { until } from '../kit/http.ts'
import { createWatchedPlatform, type SeenEvent } from '../kit/platform.ts'
import { freePort } from '../kit/postern.ts'
import { type HostPage, startHostPage } from './host-page.ts'

export interface WidgetHouse {
  readonly issuer: string
  readonly postern: Postern
  readonly remote: RemoteServer
  readonly host: HostPage
  /** Another product, that confirms from its backend. */
  readonly shop: HostPage
  readonly events: () => readonly SeenEvent[]
  /** The access token that the product would get, if there is one. */
  tokenOf(user: string): Promise<string | undefined>
  close(): Promise<void>
}

/** A fresh house with `notes`, found and registered. The page `host` is signed in as `ada`. */
export async function openWidgetHouse(): Promise<WidgetHouse> {
  const [remote, host, shop] = await Promise.all([
    startRemoteServer(),
    startHostPage(),
    startHostPage(),
  ])
  const folder = await mkdtemp(join(tmpdir(), 'postern-widget-'))
  const port = await freePort()
  const issuer = `http://localhost:${port}`
  const platform = createWatchedPlatform(undefined)
  const postern = createPostern(
    {
      issuer,
      listen: { port, metricsPort: 0 },
      databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
      connectors: { notes: { url: remote.url, auth: 'oauth', title: 'Notes' } },
      apps: {
        desk: { origins: [host.origin], returnUrls: [`${host.origin}/settings`] },
        own: { origins: [issuer] },
        shop: { origins: [shop.origin], returnUrls: [`${shop.origin}/`], confirm: 'backend' },
      },
      egress: { allowHosts: [remote.origin] },
      limits: { refusalsPerSecondMax: 1_000_000 },
    },
    platform,
  )
  const server = await serve(postern, { signals: false })
  host.issuer = issuer
  shop.issuer = issuer
  host.session = async () => (await postern.createConnectSession(sessionOf(host, 'desk'))).token
  shop.session = async () => (await postern.createConnectSession(sessionOf(shop, 'shop'))).token
  await until(() => remote.registrations() > 0, 'registration')
  await until(
    () => platform.events.some(({ type }) => type === 'connector.discovered'),
    'discovery',
  )
  return {
    issuer,
    postern,
    remote,
    host,
    shop,
    events: () => platform.events,
    tokenOf: (user) =>
      postern.getToken(user, 'notes', { app: 'desk' }).then(
        ({ accessToken }) => accessToken,
        () => undefined,
      ),
    async close() {
      await server.close()
      await Promise.all([remote.close(), host.close(), shop.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function sessionOf({ origin }: HostPage, app: 'desk' | 'shop') {
  const returnUrl = app === 'desk' ? `${origin}/settings` : `${origin}/`
  return { app, user: 'ada', origin, returnUrl }
}
