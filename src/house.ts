/**
 * The house, open: every room made once and wired, in the order in which they need each other. Nothing
 * here decides; what a room does is in the room.
 */
import { createBreakers } from './cache/breaker.ts'
import { createTokenTable } from './cache/token-table.ts'
import type { Config } from './config.ts'
import { createConnectors } from './connectors/connectors.ts'
import { createCredentials } from './connectors/credentials.ts'
import { createGuard } from './gateway/guard.ts'
import { createProxy } from './gateway/proxy.ts'
import { createSessionIds } from './gateway/session-id.ts'
import { createView, type GatewayView } from './gateway/view.ts'
import { createAuthenticator, type Session } from './issuer/authenticate.ts'
import { createKeys } from './issuer/keys.ts'
import { createPollOnUse } from './issuer/poll-on-use.ts'
import { createProofs, type Proofs } from './issuer/proof.ts'
import { createRevocationView } from './issuer/revocation.ts'
import { createRevocationFeed, REVOCATION_FEED_PATH } from './issuer/revocation-feed.ts'
import { createIssuerRoutes } from './issuer/routes.ts'
import { createUpstream, proofsIn, refreshUpstream } from './issuer/upstream.ts'
import { clientAddress } from './middleware/client-address.ts'
import type { Guard } from './middleware/guard.ts'
import { createEgress, type Egress } from './net/egress.ts'
import { canonicalResource } from './oauth/urls.ts'
import type { Platform } from './ports.ts'
import { createProviderContexts } from './providers/contexts.ts'
import type { Mark } from './records.ts'
import { createRefresher } from './vault/refresh.ts'
import { createSealing } from './vault/sealing.ts'
import { createVault } from './vault/vault.ts'

export interface House {
  readonly config: Config
  readonly view: GatewayView
  readonly guard: Guard
  readonly egress: Egress
  fetch(request: Request): Promise<Response>
  /** Pages and endpoints of this house itself, not of a connector. */
  isOurs(path: string): boolean
  /** What a mounted house answers: all but `/`, `/healthz`, `/readyz`, which stay the application's. */
  handles(path: string): boolean
  onMark(listener: (mark: Mark) => void): () => void
  runDue(): Promise<void>
  close(): Promise<void>
}

/** Rows removed by one sweep; the next is due after this wait, or at once when there are more. */
const SWEEP_ROWS = 100
const SWEEP_EVERY_MS = 60_000
const MARK_SLACK_MS = 300_000
const REVOCATION_DEADLINE_MS = 5_000

/** @throws {StoreError} when the store cannot be opened. @throws {ConfigError} for a wrong sealing key. */
export async function openHouse(
  config: Config,
  platform: Platform,
  endpointPrefix: string,
): Promise<House> {
  const { runtime, emit, lock } = platform
  const { store, bus } = await platform.openStore(config.databaseUrl)
  const outbound = platform.openFetch(config.egress)
  const sealing = createSealing(
    config.sealingKeys.length === 0
      ? [await platform.developmentSealingKey(config.databaseUrl)]
      : config.sealingKeys,
    runtime,
  )
  const keys = createKeys({
    store,
    sealing,
    runtime,
    onFailure: () => emit.event({ type: 'server.failed', reason: 'keys' }),
  })
  const revocation = createRevocationView({
    store,
    bus,
    runtime,
    emit,
    maxAgeSeconds: config.limits.revocationViewMaxAgeSeconds,
  })
  await Promise.all([keys.load(), revocation.load()])

  const egress = createEgress({
    fetch: outbound.fetch,
    runtime,
    emit,
    approvedOrigins: approvedOrigins(config),
    allowHosts: config.egress.allowHosts,
    denyHosts: config.egress.denyHosts,
    connectTimeoutMs: config.limits.connectTimeoutMs,
    breakers: createBreakers({ runtime, emit }),
  })
  const contexts = await createProviderContexts({ config, egress, runtime, emit, store, lock })
  const providers = config.providers.map((provider) => ({
    provider,
    context: contexts.of(provider),
  }))
  const vault = createVault({ store, sealing, runtime })
  const refresher = createRefresher({
    vault,
    lock,
    runtime,
    emit,
    call: (record, tokens) => refreshUpstream(providers, record, tokens),
    revoke: async (record, tokens) => {
      const asked = providers.find(({ provider }) => provider.issuer === record.issuer)
      await asked?.provider.revoke?.(asked.context, tokens)
    },
    incident: (provider) => proofs.incident(provider),
  })
  const upstream = createUpstream({
    vault,
    refresher,
    providers,
    store,
    runtime,
    emit,
    revocation,
    publish: () => bus.publish(),
    refreshDeadlineMs: config.limits.tokenCallTimeoutMs,
    markLifeMs: config.limits.accessTokenTtlSeconds * 1000 + MARK_SLACK_MS,
  })
  const proofs: Proofs = createProofs({
    check: (vaultId, previous) => upstream.check(vaultId, previous?.etag),
    secondOpinion: (vaultId) => upstream.secondOpinion(vaultId),
    limits: config.limits,
    persist: proofsIn(store, config.limits.upstreamProofStaleIfErrorSeconds * 1000),
    runtime,
    emit,
  })
  proofs.onDead((vaultId, cause) => upstream.end(vaultId, cause))
  await proofs.start()

  const connectors = createConnectors(config)
  const credentials = createCredentials({ config, keys, runtime })
  const sessionIds = createSessionIds({ runtime, key: () => keys.mcpSessionKey() })
  const table = createTokenTable<Session>({
    max: config.limits.rememberedTokensMax,
    runtime,
    shared: [
      'tenant',
      'clientId',
      'resource',
      'scopes',
      'keyId',
      'provider',
      'identityIssuer',
      'groups',
    ],
  })
  const authenticator = createAuthenticator({
    runtime,
    emit,
    store,
    issuer: config.issuer,
    keys,
    table,
  })
  const view = createView({
    config,
    runtime,
    connectors,
    authenticator,
    credentials,
    sessionIds,
    proofs,
    revocation,
  })
  const guard = createGuard({
    view,
    emit,
    resources: config.resources.map(({ url }) => canonicalResource(url) ?? url),
  })
  const issuer = createIssuerRoutes({
    config,
    store,
    runtime,
    emit,
    bus,
    keys,
    vault,
    proofs,
    revocation,
    providers,
    clientAddress,
    endpointPrefix,
  })
  const proxy = createProxy({
    view,
    emit,
    runtime,
    send: outbound.send,
    firstByteTimeoutMs: config.limits.firstByteTimeoutMs,
  })
  const feed = createRevocationFeed({ config, store, runtime, revocation })

  // A withdrawn key must stop verifying here, not only be marked.
  revocation.onMark((mark) => {
    if (mark.kind === 'key') runtime.waitUntil(keys.load())
  })
  // Where promises are not shared a timer ends with its request: requests poll, `runDue` sweeps.
  const { sharesPromises } = runtime
  if (sharesPromises) {
    keys.start()
    await revocation.start()
  }
  const sweep = async (): Promise<boolean> => {
    table.sweep()
    return (await store.sweep(runtime.nowMs(), SWEEP_ROWS)).more
  }
  const stopSweep = sharesPromises ? sweepEvery(platform, sweep) : () => undefined
  const pollOnUse = createPollOnUse(revocation, runtime, config.limits.revocationViewMaxAgeSeconds)
  runtime.waitUntil(
    contexts.warm(
      config.providers.filter((entry) => entry.type === 'oidc').map((entry) => entry.issuer),
    ),
  )

  // At the issuer itself, whatever moves below `prefix`: other processes know nothing but the issuer.
  const base = new URL(config.issuer).pathname.replace(/\/$/, '')
  const hasFeed = config.resources.some(({ credential }) => credential !== undefined)
  const feedPath = base + REVOCATION_FEED_PATH
  const isOurs = (path: string) => (hasFeed && path === feedPath) || issuer.handles(path)
  return {
    config,
    view,
    guard: sharesPromises ? guard : polledGuard(guard, pollOnUse),
    egress,
    async fetch(request) {
      if (!sharesPromises) await pollOnUse()
      const { pathname } = new URL(request.url)
      if (pathname === '/healthz') return health(true)
      if (pathname === '/readyz')
        return health(revocation.ageMs() < config.limits.revocationViewMaxAgeSeconds * 1000)
      if (hasFeed && pathname === feedPath) return feed(request)
      if (view.claims(pathname)) return proxy(request)
      if (issuer.handles(pathname)) return issuer.app.fetch(request)
      return view.route(pathname) === undefined ? issuer.app.fetch(request) : proxy(request)
    },
    isOurs: (path) => path === '/healthz' || path === '/readyz' || isOurs(path),
    handles: (path) =>
      path !== `${base}/` && (isOurs(path) || typeof view.route(path) === 'object'),
    onMark: (listener) => revocation.onMark(listener),
    async runDue() {
      await revocation.ensureFresh(REVOCATION_DEADLINE_MS)
      await sweep()
    },
    async close() {
      stopSweep()
      keys.stop()
      revocation.stop()
      await Promise.all([proofs.close(), contexts.close()])
      await outbound.close()
      await store.close()
    },
  }
}

/** Waits for the revocations first when nothing else keeps them fresh. */
function polledGuard(guard: Guard, pollOnUse: () => Promise<unknown> | undefined): Guard {
  return {
    authenticate(authorization, options) {
      const pending = pollOnUse()
      if (pending === undefined) return guard.authenticate(authorization, options)
      return pending.then(() => guard.authenticate(authorization, options))
    },
  }
}

/** Everything the file names: its exact origins may be private, http, on any port. */
function approvedOrigins(config: Config): ReadonlySet<string> {
  return new Set([
    ...config.connectors.map((connector) => connector.url.origin),
    ...config.providers.flatMap((provider) => provider.approvedOrigins),
  ])
}

/** Runs `sweep` every minute, and again at once while it says that there is more. */
function sweepEvery({ runtime, emit }: Platform, sweep: () => Promise<boolean>): () => void {
  let cancel = (): void => {}
  const arm = (delayMs: number): void => {
    cancel = runtime.after(delayMs, () => runtime.waitUntil(run()))
  }
  const run = async (): Promise<void> => {
    const more = await sweep().catch(() => {
      emit.event({ type: 'server.failed', reason: 'sweep' })
      return false
    })
    arm(more ? 0 : SWEEP_EVERY_MS)
  }
  arm(SWEEP_EVERY_MS)
  return () => cancel()
}

function health(ok: boolean): Response {
  return new Response(ok ? 'ok\n' : 'not ready\n', {
    status: ok ? 200 : 503,
    headers: { 'cache-control': 'no-store', 'content-type': 'text/plain' },
  })
}
