/**
 * Several houses in one process: the outer one, and one for each tenant. A request is answered by the
 * house at whose address it arrived, before anything else is looked at.
 *
 * All configurations are read at the start, so that a wrong one fails there. A tenant's house opens with
 * its first request, or behind the outer house's start, a few at a time: none waits for all the others.
 */
import type { Opening, Postern } from '../app.ts'
import type { Config } from '../config.ts'
import type { Health } from '../house.ts'
import {
  authenticateRequest,
  authInfoOf,
  type Guard,
  type GuardAnswer,
  type Principal,
} from '../middleware/guard.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Platform } from '../ports.ts'
import { TENANT } from '../records.ts'
import { createAddresses } from './addresses.ts'
import { BUSY_ANSWER, createBusy } from './busy.ts'
import {
  createGaugeSum,
  createSharedStore,
  outerPlatform,
  tenantPlatform,
  unknownTenant,
  withTenantKeys,
} from './tenant-platform.ts'

/** One house: what it does, and its inside. */
export interface OpenableHouse {
  readonly postern: Postern
  readonly opening: Opening
}

/** The tenants behind a `Postern`, for entries of this package. */
export interface TenantHouses {
  /** `undefined`: the outer house. @param path Without query. */
  find(host: string, path: string): Opening | undefined
  readonly all: readonly Opening[]
  /** As `House.health`, of all that are open. */
  health(path: string): Health | undefined
}

/** Houses that open at once: each reads its keys and marks. */
const OPENING_MAX = 4
/** Behind the first answers of the outer house; and again, when some could not be opened. */
const OPEN_BEHIND_MS = 250
const OPEN_AGAIN_MS = 30_000

/** @param create Makes one house of one configuration, opens nothing; tells when it has opened. */
export function createHouses(
  config: Config,
  platform: Platform,
  create: (config: Config, platform: Platform, onOpened?: () => void) => OpenableHouse,
): OpenableHouse {
  const shared = createSharedStore(platform, config.databaseUrl)
  const sum = createGaugeSum(platform.emit)
  const emit = { ...platform.emit, ...sum.join() }
  const tenants = (config.tenants ?? []).map((tenant) => {
    const name = nameOf(tenant)
    const own = tenantPlatform(platform, name, shared, sum)
    return named(create(withTenantKeys(tenant, name, platform.runtime), own), name)
  })
  const behind = createBehind(tenants, platform)
  const outer = create(config, outerPlatform({ ...platform, emit }, shared), behind.start)
  return join(outer, tenants, behind)
}

function nameOf({ tenant = TENANT }: Config): string {
  return tenant
}

function join(
  outer: OpenableHouse,
  tenants: readonly OpenableHouse[],
  behind: Behind,
): OpenableHouse {
  const all = [outer, ...tenants]
  const addresses = createAddresses<OpenableHouse>([
    [outer.opening.config, outer],
    ...tenants.map((tenant) => [tenant.opening.config, tenant] as const),
  ])
  const findTenant = byName(tenants)
  const ownerOf = (user: string | Principal): Postern =>
    typeof user === 'string' || user.tenant === TENANT ? outer.postern : findTenant(user.tenant)
  const guard = guardOfAll(outer, tenants)
  const health = healthOfAll(outer, tenants)
  const openAll = async (): Promise<void> => {
    await outer.postern.ready()
    await forEach(tenants, (tenant) => tenant.postern.ready())
  }
  const postern: Postern = {
    ...outer.postern,
    async fetch(request) {
      const { host, pathname } = new URL(request.url)
      const house = addresses.find(host, pathname)
      const answer = house === outer ? health(pathname) : undefined
      return answer === undefined ? fetchWithin(house, request) : new Response(answer.body, answer)
    },
    handles(url) {
      const parsed = URL.parse(url, outer.opening.config.issuer)
      if (parsed === null) return false
      return addresses.find(parsed.host, parsed.pathname).postern.handles(parsed)
    },
    authenticate: (request, options = {}) => authenticateRequest(guard, request, options),
    getToken: async (user, connector, options) => ownerOf(user).getToken(user, connector, options),
    authProvider: (user, connector) => ownerOf(user).authProvider(user, connector),
    tenant: findTenant,
    ready: openAll,
    async runDue() {
      await outer.postern.runDue()
      await forEach(tenants, (tenant) => tenant.postern.runDue())
    },
    async close() {
      behind.stop()
      await Promise.all(all.map((house) => house.postern.close()))
    },
  }
  const opening: Opening = {
    ...outer.opening,
    guard,
    mounted() {
      for (const house of all) house.opening.mounted()
    },
    tenants: {
      find(host, path) {
        const found = addresses.find(host, path)
        return found === outer ? undefined : found.opening
      },
      all: tenants.map((tenant) => tenant.opening),
      health,
    },
  }
  return { postern, opening }
}

/** Counts what waits for the house; a body that is still being read is its reader's. */
async function fetchWithin(
  { opening, postern }: OpenableHouse,
  request: Request,
): Promise<Response> {
  const leave = opening.busy === undefined ? () => undefined : opening.busy.enter()
  if (leave === undefined) return new Response(BUSY_ANSWER.body, BUSY_ANSWER)
  try {
    return await postern.fetch(request)
  } finally {
    leave()
  }
}

function byName(tenants: readonly OpenableHouse[]): (name: string) => Postern {
  const posterns = new Map(tenants.map(({ opening, postern }) => [nameOf(opening.config), postern]))
  return (name) => {
    const found = posterns.get(name)
    if (found !== undefined) return found
    throw unknownTenant(name)
  }
}

/** The resource says whose token it must be; the configuration has refused one of two houses. */
function guardOfAll(outer: OpenableHouse, tenants: readonly OpenableHouse[]): Guard {
  const owners = new Map<string, OpenableHouse>()
  for (const house of tenants) {
    for (const { url } of house.opening.config.resources)
      owners.set(canonicalResource(url) ?? url, house)
  }
  return {
    authenticate(authorization, options, memory, proof) {
      const { resource } = options
      const owner = resource && owners.get(canonicalResource(resource) ?? resource)
      return (owner || outer).opening.guard.authenticate(authorization, options, memory, proof)
    },
  }
}

/** The outer house's answer, unless some house that is open is not well. */
function healthOfAll(
  outer: OpenableHouse,
  tenants: readonly OpenableHouse[],
): (path: string) => Health | undefined {
  return (path) => {
    const answer = outer.opening.opened()?.health(path)
    if (answer === undefined) return undefined
    const others = tenants.map(({ opening }) => opening.opened()?.health(path))
    return [answer, ...others].find((one) => one !== undefined && one.status !== 200) ?? answer
  }
}

/** A tenant's house as the program sees it: its people carry its name, and others are not its people. */
function named(house: OpenableHouse, name: string): OpenableHouse {
  const inner = house.opening.guard
  const guard: Guard = {
    authenticate(authorization, options, memory, proof) {
      const answer = inner.authenticate(authorization, options, memory, proof)
      return answer instanceof Promise ? answer.then(rename) : rename(answer)
    },
  }
  const principals = new WeakMap<Principal, Principal>()
  const rename = (answer: GuardAnswer): GuardAnswer => {
    if (!answer.ok) return answer
    const principal = principals.get(answer.principal) ?? { ...answer.principal, tenant: name }
    principals.set(answer.principal, principal)
    return { ok: true, principal, authInfo: authInfoOf(answer.authInfo.token, principal) }
  }
  const own = (user: string | Principal): string | Principal => {
    if (typeof user === 'string' || user.tenant === name) return user
    throw new TypeError(`this person is not of the tenant ${name}`)
  }
  const { postern } = house
  const { config, platform } = house.opening
  const busy = createBusy(config.limits.tenantRequestsMax, platform.emit)
  return {
    postern: {
      ...postern,
      authenticate: (request, options = {}) => authenticateRequest(guard, request, options),
      getToken: async (user, connector, options) => postern.getToken(own(user), connector, options),
      authProvider: (user, connector) => postern.authProvider(own(user), connector),
    },
    opening: { ...house.opening, guard, busy },
  }
}

interface Behind {
  start(): void
  stop(): void
}

/** Opens the tenants when the outer house has: their duties wait for no request. */
function createBehind(tenants: readonly OpenableHouse[], { runtime, emit }: Platform): Behind {
  let cancel = (): void => {}
  let isStopped = false
  const arm = (delayMs: number): void => {
    cancel = runtime.after(delayMs, () => runtime.waitUntil(openAll()))
  }
  const openAll = async (): Promise<void> => {
    let failed = 0
    await forEach(tenants, async ({ postern, opening }) => {
      if (isStopped || opening.opened() !== undefined) return
      try {
        await postern.ready()
      } catch {
        failed += 1
        const tenant = nameOf(opening.config)
        emit.event({ type: 'server.failed', reason: 'tenant', tenant })
      }
    })
    if (failed > 0 && !isStopped) arm(OPEN_AGAIN_MS)
  }
  return {
    start() {
      isStopped = false
      // Without timers a house opens with its first request, and with `runDue`.
      if (runtime.sharesPromises) arm(OPEN_BEHIND_MS)
    },
    stop() {
      isStopped = true
      cancel()
    },
  }
}

/** At most `OPENING_MAX` at once; one that fails stops no other, and the first failure is thrown. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = []
  const queue = [...items]
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift())
      await work(item).catch((error: unknown) => void failures.push(error))
  }
  await Promise.all(Array.from({ length: OPENING_MAX }, lane))
  if (failures.length > 0) throw failures[0]
}
