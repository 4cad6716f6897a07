/**
 * What a tenant's house is given in the place of the platform and the store: its own part of each.
 *
 * The sealing keys are derived for it, so that a row copied from one tenant into another opens nowhere;
 * names of locks and of cached values begin with the tenant; events carry its name. Metrics stay those of
 * the process: sums over all houses, connectors told apart as `<tenant>/<connector>`.
 */
import type { Config } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Cache, Emit, Lock, Platform, Runtime } from '../ports.ts'
import { TENANT } from '../records.ts'
import { tenantStore } from './tenant-store.ts'

type Opened = Awaited<ReturnType<Platform['openStore']>>
type Labels = Readonly<Record<string, string>>

const KEY_BYTES = 32

/** The store of all houses of a process: opened by the first, closed by the last. */
export interface SharedStore {
  /** `close` gives back what this call has taken. */
  open(): Promise<Opened & { close(): Promise<void> }>
}

export function createSharedStore(platform: Platform, databaseUrl: string): SharedStore {
  let opened: Opened | undefined
  let opening: Promise<Opened> | undefined
  let users = 0
  const openNew = async (): Promise<Opened> => {
    const store = await platform.openStore(databaseUrl)
    opened ??= store
    return opened
  }
  const find = (): Promise<Opened> => {
    // A promise of one request cannot be awaited by another there; such a platform shares by itself.
    if (!platform.runtime.sharesPromises) return openNew()
    opening ??= openNew().finally(() => {
      opening = undefined
    })
    return opening
  }
  return {
    async open() {
      const { store, bus } = opened ?? (await find())
      users += 1
      let isOpen = true
      const close = async (): Promise<void> => {
        if (!isOpen) return
        isOpen = false
        users -= 1
        if (users > 0) return
        opened = undefined
        await store.close()
      }
      return { store, bus, close }
    },
  }
}

/** The parts of the outer house: its rows only, also of a database that others have used. */
export function outerPlatform(platform: Platform, shared?: SharedStore): Platform {
  return {
    ...platform,
    async openStore(databaseUrl) {
      if (shared === undefined) {
        const { store, bus } = await platform.openStore(databaseUrl)
        return { store: tenantStore(store, TENANT, () => store.close()), bus }
      }
      const { store, bus, close } = await shared.open()
      return { store: tenantStore(store, TENANT, close), bus }
    },
  }
}

/** @param sum Of the process: gauges of several houses are one number. */
export function tenantPlatform(
  platform: Platform,
  tenant: string,
  shared: SharedStore,
  sum: GaugeSum,
): Platform {
  const { runtime, lock, cache } = platform
  return {
    ...platform,
    emit: tenantEmit(platform.emit, tenant, sum),
    lock: tenantLock(lock, tenant),
    ...(cache === undefined ? {} : { cache: tenantCache(cache, tenant) }),
    async openStore() {
      const { store, bus, close } = await shared.open()
      return { store: tenantStore(store, tenant, close), bus }
    },
    developmentSealingKey: async (databaseUrl) =>
      tenantKey(await platform.developmentSealingKey(databaseUrl), tenant, runtime),
  }
}

/** Keys that seal for this tenant: nobody opens with them what another has sealed. */
export function withTenantKeys(config: Config, tenant: string, runtime: Runtime): Config {
  return {
    ...config,
    sealingKeys: config.sealingKeys.map((key) => tenantKey(key, tenant, runtime)),
  }
}

function tenantKey(key: Uint8Array, tenant: string, runtime: Runtime): Uint8Array {
  return runtime.hkdfSha256(key, `postern tenant ${tenant}`, KEY_BYTES)
}

function prefixOf(tenant: string): string {
  return `tenant/${tenant}/`
}

function tenantLock(lock: Lock, tenant: string): Lock {
  const prefix = prefixOf(tenant)
  return {
    ...(lock.reach === undefined ? {} : { reach: lock.reach }),
    acquire: (key, leaseMs, deadlineMs) => lock.acquire(prefix + key, leaseMs, deadlineMs),
    ...(lock.wait === undefined
      ? {}
      : { wait: async (key: string, waitMs: number) => lock.wait?.(prefix + key, waitMs) }),
  }
}

function tenantCache(cache: Cache, tenant: string): Cache {
  const prefix = prefixOf(tenant)
  return {
    stalenessSeconds: cache.stalenessSeconds,
    get: (key) => cache.get(prefix + key),
    set: (key, value, ttlSeconds) => cache.set(prefix + key, value, ttlSeconds),
    delete: (key) => cache.delete(prefix + key),
  }
}

function tenantEmit(emit: Emit, tenant: string, sum: GaugeSum): Emit {
  const named = new WeakMap<Labels, Labels>()
  const labelsOf = (labels: Labels | undefined): Labels | undefined => {
    if (labels?.connector === undefined || labels.connector === '') return labels
    // Callers keep their label objects, by which the registry finds a series at once: so do we.
    let own = named.get(labels)
    if (own === undefined) {
      own = { ...labels, connector: `${tenant}/${labels.connector}` }
      named.set(labels, own)
    }
    return own
  }
  const house = sum.join()
  return {
    event: (event) => emit.event({ ...event, tenant }),
    count: (metric, labels, by) => emit.count(metric, labelsOf(labels), by),
    observe: (metric, value, labels) => emit.observe(metric, value, labelsOf(labels)),
    gauge: (metric, value, labels) => house.gauge(metric, value, labelsOf(labels)),
  }
}

/** Gauges of several houses under one name: the sum, of an age the greatest. */
export interface GaugeSum {
  /** Called once for each house. */
  join(): Pick<Emit, 'gauge'>
}

export function createGaugeSum(emit: Emit): GaugeSum {
  const series = new Map<string, Map<object, number>>()
  return {
    join() {
      const house = {}
      return {
        gauge(metric, value, labels) {
          const name = `${metric} ${JSON.stringify(labels ?? {})}`
          const values = series.get(name) ?? new Map<object, number>()
          series.set(name, values)
          values.set(house, value)
          const all = [...values.values()]
          const isAge = metric.endsWith('_age_seconds')
          const total = isAge ? Math.max(...all) : all.reduce((left, right) => left + right, 0)
          emit.gauge(metric, total, labels)
        },
      }
    },
  }
}

/**
 * What a command needs to work in one house: its configuration, and its part of the platform.
 *
 * @param name Absent, or `default`: the outer house.
 * @throws {ConfigError} `ERR_CONFIG_VALUE`: there is no such tenant.
 */
export function tenantHouse(
  config: Config,
  platform: Platform,
  name: string = TENANT,
): { readonly config: Config; readonly platform: Platform } {
  if (name === TENANT) return { config, platform: outerPlatform(platform) }
  const tenant = config.tenants?.find((one) => one.tenant === name)
  if (tenant === undefined) throw unknownTenant(name)
  const shared = createSharedStore(platform, config.databaseUrl)
  return {
    config: withTenantKeys(tenant, name, platform.runtime),
    platform: tenantPlatform(platform, name, shared, createGaugeSum(platform.emit)),
  }
}

export function unknownTenant(name: string): ConfigError {
  const fix = 'Name it in tenants of the configuration.'
  return new ConfigError('ERR_CONFIG_VALUE', `there is no tenant ${name}.`, fix)
}
