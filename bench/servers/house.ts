/**
 * Postern as it is deployed, in a process of its own: a gateway in front of the upstream server, or
 * `mount` and `protect` inside the server of P1. Marks are in the store, metrics and call records on.
 *
 * What only a benchmark may do (mint tokens, copy grants, fill the memory of tokens) is done here,
 * with the house's own keys.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { createPostern, openingOf } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import type { Principal } from '../../src/index.ts'
import { mount, protect, serve } from '../../src/node/index.ts'
import { oidc } from '../../src/providers/index.ts'
import { TENANT } from '../../src/records.ts'
import { answerCall } from './answer.ts'
import { offer, readSettings } from './channel.ts'
import { createMint, fillMemory } from './mint.ts'
import { benchPlatform } from './platform.ts'
import { copyGrants, seedMarks } from './seed.ts'

export interface HouseSettings {
  readonly kind: 'gateway' | 'protect'
  readonly port: number
  readonly databasePath: string
  readonly sealingKey: string
  readonly provider: {
    readonly issuer: string
    readonly clientId: string
    readonly clientSecret: string
  }
  /** Servers behind the gateway by connector name. */
  readonly connectors: Readonly<Record<string, string>>
  /** Servers behind it that people connect, by connector name. */
  readonly linked?: Readonly<Record<string, string>>
  /** Port of the issuer's URL, where another node of the same house is. Default `port`. */
  readonly issuerPort?: number
  readonly marks: number
  readonly limits: NonNullable<PosternConfig['limits']>
}

const settings = readSettings<HouseSettings>()
const issuer = `http://127.0.0.1:${settings.issuerPort ?? settings.port}`
const resource = `${issuer}${settings.kind === 'protect' ? '/calls' : '/mcp/calls'}`

/** A product on the same host, whose own session is a cookie. */
const APP = 'product'
const personOf = (request: Request): string | undefined =>
  /(?:^|; )product=([a-z]+)/.exec(request.headers.get('cookie') ?? '')?.[1]

const counts = { records: 0 }
/** The same handler in the same process, for anyone. */
let openPort = 0
const platform = benchPlatform()
await seedMarks(settings, platform.runtime)

const config: PosternConfig = {
  issuer,
  listen: { port: settings.port, metricsPort: 0 },
  databaseUrl: `sqlite:${settings.databasePath}`,
  sealingKey: settings.sealingKey,
  allow: 'anyone',
  providers: [oidc({ id: 'openid', title: 'Bench provider', ...settings.provider })],
  connectors: {
    ...Object.fromEntries(
      Object.entries(settings.connectors).map(([name, url]) => [name, { url }]),
    ),
    ...Object.fromEntries(
      Object.entries(settings.linked ?? {}).map(([name, url]) => [name, { url, auth: 'oauth' }]),
    ),
  },
  ...(settings.kind === 'protect' ? { resources: [resource] } : {}),
  ...(settings.linked === undefined
    ? {}
    : { apps: { [APP]: { returnUrls: [issuer + '/'], user: personOf } } }),
  onEvent: (event) => {
    if (event.type === 'call.forwarded' || event.type === 'call.refused') counts.records += 1
  },
  limits: settings.limits,
}
const postern = createPostern(config, platform)
const opening = openingOf(postern)
if (opening === undefined) throw new Error('not a house')

if (settings.kind === 'gateway') {
  await serve(postern, { signals: false })
} else {
  await postern.ready()
  const guard = protect(postern, { resource })
  const server = createServer(
    // Warm, the principal is there at once; a handler that awaits it lets Node buffer the body first.
    mount(postern, (request, response) => {
      const answer = (principal: Principal | undefined) => {
        if (principal !== undefined) answerCall(request, response)
      }
      const principal = guard(request, response)
      if (principal instanceof Promise) void principal.then(answer)
      else answer(principal)
    }),
  )
  await new Promise<void>((resolve) => server.listen(settings.port, '127.0.0.1', resolve))
  const open = createServer(answerCall)
  await new Promise<void>((resolve) => open.listen(0, '127.0.0.1', resolve))
  openPort = (open.address() as AddressInfo).port
}
// The same stack as the pages, with the shortest answer that sends a browser on.
if (settings.linked !== undefined) openPort = await serveRedirect()
const house = await opening.open()
const mint = await createMint({
  ...settings,
  issuer,
  store: platform.opened(),
  runtime: platform.runtime,
})

offer(
  { port: settings.port, openPort, issuer, resource },
  {
    /** Copies the grant and the person behind a token `count` times and mints a token for each. */
    mint: ({ token, count }: { token: string; count: number }) => {
      const copies = copyGrants({ ...settings, grantId: mint.claimsOf(token).gid, count })
      return copies.map((copy) => mint.token(token, copy))
    },
    /** Copies grants only: rows for the store to find its way through. */
    copyGrants: ({ token, count }: { token: string; count: number }) =>
      copyGrants({ ...settings, grantId: mint.claimsOf(token).gid, count, withoutUsers: true })
        .length,
    /** Fills the memory of tokens through the house's own `judge` and `load`. */
    fill: ({ token, count, sample }: { token: string; count: number; sample: number }) =>
      fillMemory({ platform, house, mint, token, count, sample }),
    /** Nanoseconds of one warm `authenticate`, without any HTTP around it. */
    authenticateNs: ({ token, count }: { token: string; count: number }) => {
      const startedMs = performance.now()
      for (let at = 0; at < count; at++) house.guard.authenticate(`Bearer ${token}`, { resource })
      return ((performance.now() - startedMs) * 1e6) / count
    },
    /** Tokens of the one person's connection, asked for by many at once; the time until all have one. */
    getTokens: async ({ connector, count }: { connector: string; count: number }) => {
      const [person] = await platform.opened().list('user', TENANT, undefined, { max: 1 })
      const userId = person?.value.userId ?? ''
      const principal = { userId, tenant: TENANT } as Principal
      const startedMs = performance.now()
      const tokens = await Promise.all(
        Array.from({ length: count }, () => postern.getToken(principal, connector)),
      )
      const distinct = new Set(tokens.map(({ accessToken }) => accessToken))
      return { tookMs: performance.now() - startedMs, tokens: [...distinct] }
    },
    advance: (ms: number) => {
      platform.aheadMs += ms
    },
    writes: () => platform.writes(),
    records: () => counts.records,
    countClients: () => platform.opened().count('client', TENANT),
    metrics: () => platform.emit.metrics.text(),
    collect: () => {
      global.gc?.()
      return process.memoryUsage()
    },
  },
)

async function serveRedirect(): Promise<number> {
  const location = 'https://login.example/authorize?state=0123456789'
  const app = new Hono()
    .post('*', async (context) => {
      await context.req.text()
      return context.redirect(location, 303)
    })
    .get('*', (context) => context.redirect(location, 303))
  const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
