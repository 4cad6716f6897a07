/**
 * The metrics of `api.md` section 7 as Prometheus series. Names and labels are a closed table;
 * an unknown name is a bug of ours and throws in tests, labels never carry a user, client or URL.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

const metric = (type: Metric['type'], help: string, ...labels: string[]): Metric => ({
  type,
  help,
  labels,
})

export const METRICS: Readonly<Record<string, Metric>> = {
  postern_http_requests_total: metric('counter', 'Requests answered.', 'route', 'method', 'status'),
  postern_http_request_duration_seconds: metric(
    'histogram',
    'Time to the end of the answer.',
    'route',
  ),
  postern_auth_refusals_total: metric('counter', 'Calls refused, by reason.', 'reason'),
  postern_proxy_upstream_duration_seconds: metric(
    'histogram',
    'Time to the first byte of a connector.',
    'connector',
  ),
  postern_remote_calls_total: metric(
    'counter',
    'Outbound exchanges of our own.',
    'operation',
    'outcome',
  ),
  postern_remote_call_duration_seconds: metric(
    'histogram',
    'Duration of our own outbound exchanges.',
    'operation',
  ),
  postern_hot_path_waits_total: metric(
    'counter',
    'Calls that waited for something cold.',
    'reason',
  ),
  postern_cache_reads_total: metric('counter', 'Reads of a loading cache.', 'cache', 'outcome'),
  postern_cache_age_seconds: metric('histogram', 'Age of what a loading cache served.', 'cache'),
  postern_cache_entries: metric('gauge', 'Entries of a cache.', 'cache'),
  postern_cache_bytes: metric('gauge', 'Bytes of a cache.', 'cache'),
  postern_breaker_state: metric('gauge', '0 closed, 1 half-open, 2 open.', 'connector', 'state'),
  postern_refreshes_total: metric('counter', 'Refreshes of upstream tokens.', 'outcome'),
  postern_refresh_waiters: metric('gauge', 'Callers that wait for a refresh.'),
  postern_revocation_lag_seconds: metric(
    'histogram',
    'From a revocation to its mark on this node.',
  ),
  postern_revocation_view_age_seconds: metric('gauge', 'Age of the revocation view.'),
  postern_signins_total: metric('counter', 'Sign-ins.', 'provider', 'outcome'),
  postern_streams_open: metric('gauge', 'Open event streams.'),
  postern_events_dropped_total: metric('counter', 'Log lines over the cap per second.'),
  postern_build_info: metric('gauge', 'Always 1.', 'version', 'engine'),
}

const BUCKETS_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30]

export interface Metrics {
  count(name: string, labels: Readonly<Record<string, string>> | undefined, by: number): void
  observe(name: string, value: number, labels: Readonly<Record<string, string>> | undefined): void
  gauge(name: string, value: number, labels: Readonly<Record<string, string>> | undefined): void
  text(): Promise<string>
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  const counters = new Map<string, Counter>()
  const gauges = new Map<string, Gauge>()
  const histograms = new Map<string, Histogram>()
  for (const [name, { type, help, labels }] of Object.entries(METRICS)) {
    const shared = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'counter') counters.set(name, new Counter(shared))
    else if (type === 'gauge') gauges.set(name, new Gauge(shared))
    else histograms.set(name, new Histogram({ ...shared, buckets: BUCKETS_SECONDS }))
  }
  return {
    count: (name, labels, by) => find(counters, name).inc(labels ?? {}, by),
    observe: (name, value, labels) => find(histograms, name).observe(labels ?? {}, value),
    gauge: (name, value, labels) => find(gauges, name).set(labels ?? {}, value),
    text: () => registry.metrics(),
  }
}

function find<T>(series: ReadonlyMap<string, T>, name: string): T {
  const found = series.get(name)
  if (found === undefined) throw new TypeError(`${name} is not in METRICS`)
  return found
}
