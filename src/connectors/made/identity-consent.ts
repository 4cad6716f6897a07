/**
 * Whether the server of a connector that the API made wants to know our people: its own RFC 9728
 * document names its URL and our issuer. Until it does, it gets no JWT of ours (flows.md section 12).
 *
 * Answers from memory; asked behind, kept over restarts, and believed for a week while it is silent.
 */
import { createLoadingCache, type Loaded, type LoadingCache } from '../../cache/loading-cache.ts'
import { storedFacts } from '../../cache/stored-facts.ts'
import type { Config, ConnectorConfig } from '../../config.ts'
import type { Egress } from '../../net/egress.ts'
import {
  judgeResourceMetadata,
  type ProtectedResourceMetadata,
  resourceMetadataUrls,
} from '../../oauth/resource-metadata.ts'
import type { Emit, Runtime, Store } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import { needsConsent } from '../directory.ts'
import { createAsker } from '../discovery/discovery-exchange.ts'
import { Refusal } from '../discovery/discovery-problems.ts'
import type { ConnectorState } from '../lifecycle/connector-status.ts'

export interface IdentityConsents {
  /** From memory. `cold`: `look` first. */
  state(connector: ConnectorConfig): 'given' | 'refused' | 'cold'
  /** Asks where it is not known; a person or program that asks `anew` gets no remembered no. */
  look(connector: ConnectorConfig, options?: { readonly anew?: boolean }): Promise<void>
  /** For people: what is known now. */
  describe(connector: ConnectorConfig): {
    readonly state: ConnectorState
    readonly problems: readonly ConnectorProblem[]
  }
  /** Keeps those that there are warm, and forgets the others. */
  follow(): void
  close(): Promise<void>
}

export interface IdentityConsentsDeps {
  readonly config: Pick<Config, 'issuer' | 'limits' | 'connectors'>
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
  readonly store: Store
}

const NAME = 'identity-consent'
const FAILURE_SECONDS = 30
const ENTRIES_MAX = 1_000
const BYTES_MAX = 1_048_576
const REQUIREMENT = 'DSC-04, RFC 9728 section 3.3'

const REASONS = {
  absent: 'its server publishes no protected resource metadata, so it gets no identity of anybody',
  unreadable: 'what its server publishes as protected resource metadata cannot be used',
  resource: 'the protected resource metadata of its server names another URL than this one',
  issuer: 'the protected resource metadata of its server does not name this house',
} as const
type Reason = keyof typeof REASONS

export function createIdentityConsents(deps: IdentityConsentsDeps): IdentityConsents {
  const { config, runtime, emit, store } = deps
  const { limits } = config
  const kept: LoadingCache<true> = createLoadingCache<true>({
    name: NAME,
    load: (href, _previous, signal) => ask(deps, new URL(href), signal),
    freshSeconds: limits.discoveryTtlSeconds,
    staleSeconds: limits.discoveryStaleSeconds,
    staleIfErrorSeconds: limits.discoveryStaleIfErrorSeconds,
    negativeSeconds: FAILURE_SECONDS,
    failureSeconds: FAILURE_SECONDS,
    flightDeadlineMs: limits.discoveryTimeoutMs,
    entriesMax: ENTRIES_MAX,
    bytesMax: BYTES_MAX,
    runtime,
    emit,
    persist: storedFacts<true>(store, {
      name: NAME,
      lifeSeconds: limits.discoveryStaleIfErrorSeconds,
      max: ENTRIES_MAX,
    }),
  })
  const warm = new Set<string>()
  return {
    state({ url }) {
      const found = kept.peek(url.href)
      if (found.state === 'miss') return 'cold'
      if (found.state === 'stale') kept.renew(url.href)
      return 'value' in found ? 'given' : 'refused'
    },
    async look({ url }, { anew = false } = {}) {
      const deadlineMs = limits.discoveryTimeoutMs
      await kept.read(url.href, { deadlineMs, retryNegative: anew })
    },
    describe({ url }) {
      const found = kept.peek(url.href)
      if ('value' in found) return { state: 'ready', problems: [] }
      if (found.state === 'negative')
        return { state: 'degraded', problems: [problemOf(found.reason)] }
      return { state: 'unreachable', problems: [SILENT] }
    },
    follow() {
      const wanted = new Map(
        config.connectors.filter(needsConsent).map((connector) => [connector.url.href, connector]),
      )
      for (const href of warm) {
        if (wanted.has(href)) continue
        warm.delete(href)
        kept.drop(href)
      }
      for (const [href, connector] of wanted) {
        if (warm.has(href)) continue
        warm.add(href)
        kept.keepWarm(href, Number.POSITIVE_INFINITY)
        runtime.waitUntil(this.look(connector))
      }
    },
    close: () => kept.close(),
  }
}

const SILENT: ConnectorProblem = {
  party: 'server',
  code: 'ERR_CONNECTOR_UNREACHABLE',
  text: 'its server does not answer, so nobody knows whether it wants an identity of this house',
  requirement: REQUIREMENT,
}

function problemOf(reason: string): ConnectorProblem {
  const known: Reason = isReason(reason) ? reason : 'unreadable'
  const code = known === 'absent' ? 'ERR_DISCOVERY_ABSENT' : 'ERR_DISCOVERY_RESOURCE'
  return { party: 'server', code, text: REASONS[known], requirement: REQUIREMENT }
}

function isReason(text: string): text is Reason {
  return text in REASONS
}

async function ask(
  { config, egress, runtime }: IdentityConsentsDeps,
  url: URL,
  signal: AbortSignal,
): Promise<Loaded<true>> {
  const { discoveryTimeoutMs, metadataTimeoutMs } = config.limits
  const asker = createAsker({
    egress,
    runtime,
    signal,
    server: url,
    endsAtMs: runtime.monotonicMs() + discoveryTimeoutMs,
    metadataTimeoutMs,
    publicOnly: true,
    followsRedirects: false,
  })
  try {
    for (const at of resourceMetadataUrls(url)) {
      const answer = await asker.document(at, 'server', undefined)
      if (answer.kind !== 'document') continue
      // Nobody's prefix: the document speaks of this very URL.
      const judged = judgeResourceMetadata(answer.body, url, { strict: true, atRoot: false })
      if (judged.ok) return judgeIssuer(judged.document, config.issuer)
      return { outcome: 'no', reason: judged.reason === 'mismatch' ? 'resource' : 'unreadable' }
    }
    return { outcome: 'no', reason: 'absent' }
  } catch (error) {
    if (error instanceof Refusal) return { outcome: 'no', reason: 'unreadable' }
    return { outcome: 'unknown', error }
  }
}

function judgeIssuer(
  { authorization_servers = [] }: ProtectedResourceMetadata,
  issuer: string,
): Loaded<true> {
  return authorization_servers.includes(issuer)
    ? { outcome: 'yes', value: true }
    : { outcome: 'no', reason: 'issuer' }
}
