/** The discovery engine as a house has it, with the Fetch port of Node, in front of the remote server double. */

import { LIMITS } from '../src/config/fields.ts'
import {
  type DiscoveryEngine,
  type DiscoveryTarget,
  openDiscovery,
} from '../src/connectors/discovery/discovery.ts'
import { createEgress, type Egress } from '../src/net/egress.ts'
import { createNodeFetch } from '../src/node/fetch.ts'
import { node } from '../src/node/index.ts'
import { createNodeRuntime } from '../src/node/runtime.ts'
import { alsoClose } from './children.ts'

export interface BenchDiscovery {
  readonly engine: DiscoveryEngine
  readonly egress: Egress
  readonly timeoutMs: number
}

export async function openBenchDiscovery(origin: string): Promise<BenchDiscovery> {
  const runtime = createNodeRuntime()
  const { emit } = node({ environment: {}, log: { write: () => true } })
  const opened = createNodeFetch()
  alsoClose(() => opened.close())
  const approvedOrigins = new Set([origin])
  // No breakers: a row asks a dead server again and again, and means to.
  const egress = createEgress({
    fetch: opened.fetch,
    runtime,
    emit,
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: LIMITS.connectTimeoutMs.default,
  })
  const timeoutMs = LIMITS.discoveryTimeoutMs.default
  const engine = await openDiscovery({
    egress,
    runtime,
    emit,
    limits: {
      discoveryTtlSeconds: LIMITS.discoveryTtlSeconds.default,
      discoveryStaleSeconds: LIMITS.discoveryStaleSeconds.default,
      discoveryStaleIfErrorSeconds: LIMITS.discoveryStaleIfErrorSeconds.default,
      discoveryTimeoutMs: timeoutMs,
      metadataTimeoutMs: LIMITS.metadataTimeoutMs.default,
    },
    approvedOrigins,
  })
  alsoClose(() => engine.close())
  return { engine, egress, timeoutMs }
}

export function targetOf(url: string): DiscoveryTarget {
  return {
    url: new URL(url),
    approved: true,
    oauth: { strictResource: false, legacyDiscovery: true, followMetadataRedirects: false },
    hasCredentials: false,
  }
}
