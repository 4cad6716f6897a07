/**
 * The house, open: every room made once and wired, in the order in which they need each other. Nothing
 * here decides; what a room does is in the room.
 */
import { createLateApi } from './api/late-api.ts'
import { createLateOperations } from './api/late-operations.ts'
import { forgetCached } from './cache/caches.ts'
import { createQuickCache } from './cache/quick-cache.ts'
import { createSealedCache } from './cache/sealed-cache.ts'
import { createSteadyClock } from './cache/steady-clock.ts'
import type { SharedCache } from './cache/stored-facts.ts'
import type { Config } from './config.ts'
import { createTokenDoor, type TokenDoor } from './connectors/connections/auth-provider.ts'
import { createTokenAdmission } from './connectors/connections/token-admission.ts'
import { createHouseDiscover, type HouseDiscover } from './connectors/discovery/house-discover.ts'
import { createEmbeddedDoor, type EmbeddedDoor } from './connectors/embedded/embedded-door.ts'
import { createLateOutbound, type LateOutbound } from './connectors/late-outbound.ts'
import type { Lifecycle } from './connectors/lifecycle/lifecycle.ts'
import { isOutbound, outboundConnectors } from './connectors/lifecycle/outbound-connector.ts'
import { createLateConsents } from './connectors/made/late-consents.ts'
import type { MadeConnectors } from './connectors/made/made-connectors.ts'
import { type OpenMade, openMade } from './connectors/made/open-made.ts'
import type { Outbound } from './connectors/outbound.ts'
import { createDue, createOnUse } from './due.ts'
import { type Gateway, openGateway } from './gateway/open-gateway.ts'
import type { GatewayView } from './gateway/view.ts'
import { type Redirect, responseOf } from './issuer/answers.ts'
import { auditStep } from './issuer/audit.ts'
import { openClientDocuments } from './issuer/client-documents.ts'
import { createKeys, KEYS_POLL_MS, type Keys } from './issuer/keys.ts'
import { createPollOnUse } from './issuer/poll-on-use.ts'
import { createRevocationView, type RevocationView } from './issuer/revocation.ts'
import { createRevocationFeed, REVOCATION_FEED_PATH } from './issuer/revocation-feed.ts'
import { createIssuerRoutes, type IssuerRoutes } from './issuer/routes.ts'
import { openSignIns, type SignIns } from './issuer/sign-ins.ts'
import { clientAddress } from './middleware/client-address.ts'
import type { Guard } from './middleware/guard.ts'
import { openEgress } from './net/configured-egress.ts'
import type { Egress } from './net/egress.ts'
import { createOperations, type Operations } from './operations.ts'
import type { Bus, Platform, Store } from './ports.ts'
import { createProviderContexts } from './providers/contexts.ts'
import { DEVELOPMENT_TYPE } from './providers/development.ts'
import { type Mark, TENANT } from './records.ts'
import { connectorOf } from './vault/connection-rows.ts'
import { createHandOut } from './vault/hand-out.ts'
import type { Refresher } from './vault/refresh.ts'
import type { Renew } from './vault/renewals.ts'
import { createResealing } from './vault/resealing.ts'
import { createSealing, type Sealing } from './vault/sealing.ts'
import { openWebhooks, WEBHOOKS, type Webhooks } from './webhooks/room.ts'

export interface House {
  readonly config: Config
  readonly operations: Operations
  readonly view: GatewayView
  readonly guard: Guard
  readonly egress: Egress
  /** Where some connector has an authorization server. */
  readonly lifecycle: Lifecycle | undefined
  readonly discover: HouseDiscover['discover']
  readonly tokenDoor: TokenDoor
  readonly embedded: EmbeddedDoor
  fetch(request: Request): Promise<Response>
  /** A product's link, also part of `fetch`: a redirect as it is, for who writes it without `Response`. */
  link(request: Request): Promise<Response | Redirect> | undefined
  /** The answer for `/healthz` and `/readyz`; `undefined` for any other path. */
  health(path: string): Health | undefined
  /** Pages and endpoints of this house itself, not of a connector. */
  isOurs(path: string): boolean
  /** What a mounted house answers: all but `/`, `/healthz`, `/readyz`, which stay the application's. */
  handles(path: string): boolean
  onMark(listener: (mark: Mark) => void): () => void
  runDue(): Promise<void>
  close(): Promise<void>
}

/** Plain values: a listener that has just started answers probes without `Response`. */
export interface Health {
  readonly status: 200 | 503
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Rows removed by one sweep; the next is due after this wait, or at once when there are more. */
const SWEEP_ROWS = 100
const SWEEP_EVERY_MS = 60_000
const REVOCATION_DEADLINE_MS = 5_000
const WRITTEN_DEADLINE_MS = 25_000
const WRITTEN_POLL_MS = 50

type WayOut = ReturnType<Platform['openFetch']>

/** What every room below stands on. */
interface Ground {
  readonly config: Config
  readonly platform: Platform
  readonly store: Store
  readonly bus: Bus
  readonly outbound: WayOut
  readonly webhooks: Webhooks
  readonly sealing: Sealing
  /** Public documents that other nodes found, sealed. */
  readonly shared: SharedCache | undefined
  readonly keys: Keys
  readonly revocation: RevocationView
  readonly made: MadeConnectors
  readonly attachDuties: OpenMade['attach']
}

/** @throws {StoreError} when the store cannot be read. @throws {ConfigError} for a wrong sealing key. */
export async function openHouse(
  config: Config,
  platform: Platform,
  endpointPrefix: string,
  { store, bus }: Awaited<ReturnType<Platform['openStore']>>,
): Promise<House> {
  const outbound = platform.openFetch(config.egress)
  const webhooks = openWebhooks(config, platform, store)
  try {
    const opened = { store: webhooks.store, bus, outbound, webhooks }
    const [ground] = await Promise.all([
      layGround(config, webhooks.platform, opened),
      webhooks.load(),
    ])
    return await furnish(ground, endpointPrefix)
  } catch (error) {
    // A start that failed is tried again by the next request: nothing of it may stay open.
    await Promise.allSettled([outbound.close(), store.close()])
    throw error
  }
}

async function layGround(
  config: Config,
  platform: Platform,
  opened: Pick<Ground, 'store' | 'bus' | 'outbound' | 'webhooks'>,
): Promise<Ground> {
  const { runtime, emit } = platform
  const sealing = createSealing(
    config.sealingKeys.length === 0
      ? [await platform.developmentSealingKey(config.databaseUrl)]
      : config.sealingKeys,
    runtime,
  )
  const keys = createKeys({
    store: opened.store,
    sealing,
    runtime,
    onFailure: () => emit.event({ type: 'server.failed', reason: 'keys' }),
    audit: (detail) => auditStep({ runtime, config }, 'key.rotated', { detail }),
    onRotated: ({ kid, withdrawn }) =>
      emit.event({
        type: 'key.rotated',
        tenant: TENANT,
        reason: withdrawn.length > 0 ? 'emergency' : 'planned',
        withdrawn: withdrawn.length,
        ...(kid === undefined ? {} : { kid }),
      }),
  })
  const revocation = createRevocationView({
    store: opened.store,
    bus: opened.bus,
    runtime,
    emit,
    maxAgeSeconds: config.limits.revocationViewMaxAgeSeconds,
  })
  const {
    made,
    config: live,
    attach,
  } = openMade({ config, ...opened, ...platform, sealing, revocation })
  await Promise.all([keys.load(), revocation.load(), made.load()])
  // A withdrawn key must stop verifying here, not only be marked.
  revocation.onMark((mark) => {
    if (mark.kind === 'key') runtime.waitUntil(keys.load())
    if (mark.kind === 'cache' && mark.id === WEBHOOKS) runtime.waitUntil(opened.webhooks.load())
    if (mark.kind === 'cache') forgetCached(emit, mark.id)
  })
  return {
    config: live,
    platform,
    ...opened,
    sealing,
    shared: sharedCache(platform, sealing),
    keys,
    revocation,
    made,
    attachDuties: attach,
  }
}

function sharedCache({ cache, runtime }: Platform, sealing: Sealing): SharedCache | undefined {
  if (cache === undefined) return undefined
  const quick = createQuickCache(cache, runtime)
  return { cache: createSealedCache(quick, { sealing, runtime, purpose: 'facts' }), runtime }
}

async function furnish(ground: Ground, endpointPrefix: string): Promise<House> {
  const { config, platform, store, bus, outbound, keys, revocation } = ground
  const { runtime, emit, lock } = platform
  const { sharesPromises } = runtime
  const egress = openEgress(config, platform, outbound.fetch)
  ground.webhooks.begin({ sealing: ground.sealing, egress })
  const documentNeeds = { config, egress, runtime, emit, store, lock, shared: ground.shared }
  const contexts = await createProviderContexts(documentNeeds)
  const providers = config.providers.map((provider) => ({
    provider,
    context: contexts.of(provider),
  }))
  const signIns = await openSignIns(ground, providers)
  const { vault, proofs, refresher, renewals, duties, signals, upkeep } = signIns
  const { memberships } = upkeep
  ground.attachDuties(duties)
  const late = createLateOutbound({
    runtime,
    isNeeded: () => outboundConnectors(config).length > 0 || ground.made.parted().some(isOutbound),
    open: () => openConnecting(ground, egress, signIns),
  })
  await late.ensure()
  ground.made.onChange(() => runtime.waitUntil(late.ensure().catch(() => undefined)))
  const handOut = createHandOut({
    vault,
    refresher,
    nowMs: () => runtime.nowMs(),
    deadlineMs: config.limits.tokenCallTimeoutMs,
  })
  const documents = await openClientDocuments(documentNeeds)
  const consents = createLateConsents({
    ...{ ...ground, runtime, emit },
    egress: async () => egress,
    directory: ground.made,
  })
  const gateway = openGateway(ground, { proofs, memberships, late, consents })
  const { adopt } = gateway.authenticator
  const deps = {
    config,
    store,
    runtime,
    emit,
    bus,
    keys,
    vault,
    proofs,
    memberships,
    revocation,
    providers,
    duties,
    signals,
    assertionKeys: contexts.assertionKeys,
    handOut,
    documents,
    adopt,
    linking: () => late.opened()?.rooms,
    directory: ground.made,
  }
  if (providers.some(({ provider }) => provider.type === DEVELOPMENT_TYPE))
    emit.event({ type: 'server.warning', level: 'warn', reason: 'insecure_development_sign_in' })
  const api = createLateApi(() => ({
    ...{ ...deps, sealing: ground.sealing, clientAddress },
    ...opened,
  }))
  const issuer = createIssuerRoutes({ ...deps, clientAddress, endpointPrefix, api })
  const resealing = createResealing({
    ...{ store, runtime, lock, emit, sealing: ground.sealing },
    audit: (detail) => auditStep({ runtime, config }, 'key.rotated', { detail }),
  })
  const unfinished = createLateOperations(runtime, () => ({ ...deps, operations }))
  // Where promises are not shared a timer ends with its request: requests poll, `runDue` sweeps.
  if (sharesPromises) {
    keys.start()
    duties.start()
    await revocation.start()
    resealing.start()
    unfinished.start()
  }
  const sweep = createSweep(ground, gateway)
  const stopSweep = sharesPromises ? sweepEvery(platform, sweep) : () => undefined
  const pollOnUse = createPolling(ground)
  runtime.waitUntil(contexts.warm())
  const doors = openDoors(ground, gateway, issuer, refresher)
  const { house } = issuer
  const embedded = createEmbeddedDoor(() => {
    const connecting = late.opened()?.rooms
    return connecting && { ...house, connecting }
  })
  const finder = createHouseDiscover(
    { ...ground, ...platform, egress },
    () => late.opened()?.discovery,
  )
  const operations = createOperations({
    ...{ ...deps, signals, sealing: ground.sealing },
    lifecycle: async () => (await late.ensure())?.lifecycle,
    connections: late.connections,
    made: ground.made,
    consents,
    webhooks: ground.webhooks,
  })
  const opened: House = {
    config,
    operations,
    get lifecycle() {
      return late.opened()?.lifecycle
    },
    discover: finder.discover,
    embedded,
    tokenDoor: openTokenDoor(ground, late, memberships),
    view: gateway.view,
    guard: sharesPromises ? gateway.guard : polledGuard(gateway.guard, pollOnUse),
    egress,
    ...doors,
    async fetch(request) {
      if (!sharesPromises) await pollOnUse()
      return doors.fetch(request)
    },
    onMark: (listener) => revocation.onMark(listener),
    runDue: createDue({
      first: () => revocation.ensureFresh(REVOCATION_DEADLINE_MS),
      // What changed elsewhere is read, then what is due is done.
      next: [
        () => keys.runDue(),
        () => duties.run(),
        () => resealing.runDue(),
        () => unfinished.runDue(),
        () => ground.webhooks.runDue(),
        () => ground.made.load(),
        async () => (await late.ensure())?.lifecycle.runDue(),
        () => embedded.runDue(),
        () => renewals.runDue(renewWith(upkeep, late)),
      ],
      sweep,
    }),
    async close() {
      stopSweep()
      unfinished.stop()
      keys.stop()
      revocation.stop()
      await Promise.all([duties.stop(), resealing.stop(), late.close(), consents.close()])
      await finder.close()
      await Promise.all([proofs.close(), upkeep.close(), contexts.close(), documents.close()])
      await untilWritten(refresher, platform)
      await ground.webhooks.stop()
      await outbound.close()
      await store.close()
    },
  }
  return opened
}

/** What connectors with an authorization server take: loaded where there is one. */
async function openConnecting(
  { config, platform, ...ground }: Ground,
  egress: Egress,
  signIns: SignIns,
): Promise<Outbound> {
  const { runtime, emit, lock } = platform
  const { openOutbound } = await import('./connectors/outbound.ts')
  return openOutbound({ ...ground, ...signIns, config, runtime, emit, lock, egress })
}

/** Refreshes what is in use at the room that it belongs to. */
function renewWith(signIns: Pick<SignIns['upkeep'], 'renewDue'>, { tokens }: LateOutbound): Renew {
  return (vaultId, record) => {
    const connector = connectorOf(record.provider)
    if (connector === undefined) return signIns.renewDue(vaultId, record)
    return tokens.renewDue(vaultId, record.userId, connector)
  }
}

function openTokenDoor(
  { config, platform: { runtime }, store, revocation }: Ground,
  { tokens }: LateOutbound,
  memberships: SignIns['upkeep']['memberships'],
): TokenDoor {
  const admits = createTokenAdmission({ config, store, runtime, memberships })
  return createTokenDoor({ config, revocation, tokens, admits, nowMs: () => runtime.nowMs() })
}

/** Which room answers a path. */
function openDoors(
  { config, platform, store, revocation }: Ground,
  { view, proxy }: Gateway,
  issuer: IssuerRoutes,
  refresher: Refresher,
): Pick<House, 'fetch' | 'link' | 'health' | 'isOurs' | 'handles'> {
  // At the issuer itself, whatever moves below `prefix`: other processes know nothing but the issuer.
  const base = new URL(config.issuer).pathname.replace(/\/$/, '')
  const feedPath = base + REVOCATION_FEED_PATH
  const hasFeed = config.resources.some(({ credential }) => credential !== undefined)
  const feed = createRevocationFeed({ config, store, runtime: platform.runtime, revocation })
  const maxAgeMs = config.limits.revocationViewMaxAgeSeconds * 1000
  const isOurs = (path: string) => (hasFeed && path === feedPath) || issuer.handles(path)
  const health = (path: string): Health | undefined => {
    if (path === '/healthz') return healthAnswer(true)
    if (path !== '/readyz') return undefined
    // Tokens that a provider gave us and that are not on disk yet: not healthy (R7).
    return healthAnswer(revocation.ageMs() < maxAgeMs && refresher.unwritten() === 0)
  }
  return {
    health,
    link: issuer.link,
    async fetch(request) {
      const linked = issuer.link(request)
      if (linked !== undefined) return responseOf(await linked)
      const { pathname } = new URL(request.url)
      const answer = health(pathname)
      if (answer !== undefined) return new Response(answer.body, answer)
      if (hasFeed && pathname === feedPath) return feed(request)
      if (view.claims(pathname)) return proxy(request)
      if (issuer.handles(pathname)) return issuer.app.fetch(request)
      return view.route(pathname) === undefined ? issuer.app.fetch(request) : proxy(request)
    },
    isOurs: (path) => path === '/healthz' || path === '/readyz' || isOurs(path),
    handles: (path) =>
      path !== `${base}/` && (isOurs(path) || typeof view.route(path) === 'object'),
  }
}

/** One piece of clearing up; says whether there is more. */
function createSweep(
  { platform: { runtime }, store }: Ground,
  { table }: Gateway,
): () => Promise<boolean> {
  const untilMs = createSteadyClock(runtime)
  return async () => {
    table.sweep()
    return (await store.sweep(untilMs(), SWEEP_ROWS)).more
  }
}

/** What each request does where no timer polls: revocations, and behind it the signing keys. */
function createPolling({
  config,
  platform,
  keys,
  revocation,
}: Ground): () => Promise<unknown> | undefined {
  const { runtime } = platform
  const pollMarks = createPollOnUse(revocation, runtime, config.limits.revocationViewMaxAgeSeconds)
  const pollKeys = createOnUse(runtime, KEYS_POLL_MS, () => keys.runDue())
  return () => {
    pollKeys()
    return pollMarks()
  }
}

/** Waits for the revocations first when nothing else keeps them fresh. */
function polledGuard(guard: Guard, pollOnUse: () => Promise<unknown> | undefined): Guard {
  return {
    authenticate(authorization, options, memory, proof) {
      const pending = pollOnUse()
      if (pending === undefined) return guard.authenticate(authorization, options, memory, proof)
      return pending.then(() => guard.authenticate(authorization, options, memory, proof))
    },
  }
}

/** A house with a provider's answer in its hands stays open until it is on disk, within bounds (R7). */
async function untilWritten(refresher: Refresher, { runtime }: Platform): Promise<void> {
  const untilMs = runtime.monotonicMs() + WRITTEN_DEADLINE_MS
  while (refresher.unwritten() > 0 && runtime.monotonicMs() < untilMs) {
    await new Promise<void>((resolve) => runtime.after(WRITTEN_POLL_MS, resolve))
  }
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

function healthAnswer(ok: boolean): Health {
  return {
    status: ok ? 200 : 503,
    headers: { 'cache-control': 'no-store', 'content-type': 'text/plain' },
    body: ok ? 'ok\n' : 'not ready\n',
  }
}
