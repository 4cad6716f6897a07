/**
 * The one way out, as the configuration has it: which origins are approved, which hosts are allowed or
 * denied, one set of breakers for all that go out through it.
 */
import { createBreakers } from '../cache/breaker.ts'
import { allowedOrigins, approvedOrigins, isOrigin } from '../config/approved-origins.ts'
import type { Config } from '../config.ts'
import type { Fetch, Platform } from '../ports.ts'
import { createEgress, type Egress } from './egress.ts'

export function openEgress(
  config: Config,
  { runtime, emit }: Pick<Platform, 'runtime' | 'emit'>,
  fetch: Fetch,
): Egress {
  return createEgress({
    fetch,
    runtime,
    emit,
    approvedOrigins: approvedOrigins(config),
    allowedOrigins: allowedOrigins(config),
    allowHosts: config.egress.allowHosts.filter((entry) => !isOrigin(entry)),
    denyHosts: config.egress.denyHosts,
    connectTimeoutMs: config.limits.connectTimeoutMs,
    breakers: createBreakers({ runtime, emit }),
  })
}
