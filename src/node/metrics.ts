/**
 * The metrics as Prometheus series. Names and labels are a closed table: an unknown name is a bug of
 * ours and throws, labels never carry a user, client or URL.
 *
 * Our own registry, because each call adds to several series: here an addition is a look-up by the
 * labels object and a sum, about a tenth of what a general library takes.
 * @see Prometheus text exposition format 0.0.4
 */

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
  postern_webhook_deliveries_total: metric(
    'counter',
    'Requests to receivers of webhooks, by what became of them.',
    'outcome',
  ),
  postern_events_dropped_total: metric(
    'counter',
    'Log lines over the cap per second, and events that no webhook could be queued for.',
  ),
  postern_build_info: metric('gauge', 'Always 1.', 'version', 'engine'),
}

const BUCKETS_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30]
/** Label combinations of one series; all further ones share one that says `other`. */
const CHILDREN_MAX = 2_000

type Labels = Readonly<Record<string, string>>

export interface Metrics {
  count(name: string, labels: Labels | undefined, by: number): void
  observe(name: string, value: number, labels: Labels | undefined): void
  gauge(name: string, value: number, labels: Labels | undefined): void
  /** Prometheus text. */
  text(): Promise<string>
}

export function createMetrics(): Metrics {
  const series = new Map(
    Object.entries(METRICS).map(([name, definition]) => [name, new Series(name, definition)]),
  )
  const find = (name: string, type: Metric['type']): Series => {
    const found = series.get(name)
    if (found === undefined || found.type !== type) {
      throw new TypeError(`${name} is not a ${type} in METRICS`)
    }
    return found
  }
  return {
    count(name, labels, by) {
      find(name, 'counter').child(labels).value += by
    },
    observe: (name, value, labels) => find(name, 'histogram').child(labels).observe(value),
    gauge(name, value, labels) {
      find(name, 'gauge').child(labels).value = value
    },
    async text() {
      return [...series.values()].map((one) => one.text()).join('')
    },
  }
}

/** One label combination of a series. */
class Child {
  /** `a="b",c="d"`, escaped. */
  readonly labels: string
  value = 0
  observations = 0
  readonly buckets: number[] | undefined

  constructor(labels: string, isHistogram: boolean) {
    this.labels = labels
    this.buckets = isHistogram ? BUCKETS_SECONDS.map(() => 0) : undefined
  }

  observe(value: number): void {
    this.value += value
    this.observations += 1
    const { buckets } = this
    if (buckets === undefined) return
    for (let index = 0; index < BUCKETS_SECONDS.length; index += 1) {
      if (value <= (BUCKETS_SECONDS[index] ?? 0)) {
        buckets[index] = (buckets[index] ?? 0) + 1
        return
      }
    }
  }
}

class Series {
  readonly type: Metric['type']
  readonly #name: string
  readonly #metric: Metric
  readonly #children = new Map<string, Child>()
  /** Hot callers make their labels once: found without building a key. */
  readonly #known = new WeakMap<Labels, Child>()
  #bare: Child | undefined

  constructor(name: string, metric: Metric) {
    this.type = metric.type
    this.#name = name
    this.#metric = metric
  }

  child(labels: Labels | undefined): Child {
    if (labels === undefined) {
      this.#bare ??= this.#find({})
      return this.#bare
    }
    const known = this.#known.get(labels)
    if (known !== undefined) return known
    const found = this.#find(labels)
    this.#known.set(labels, found)
    return found
  }

  text(): string {
    if (this.#children.size === 0) return ''
    const lines = [`# HELP ${this.#name} ${this.#metric.help}`, `# TYPE ${this.#name} ${this.type}`]
    for (const child of this.#children.values()) lines.push(...this.#lines(child))
    return `${lines.join('\n')}\n`
  }

  #find(labels: Labels): Child {
    const values = this.#metric.labels.map((label) => labels[label] ?? '')
    const isFull = this.#children.size >= CHILDREN_MAX && !this.#children.has(values.join('\0'))
    const shown = isFull ? values.map(() => 'other') : values
    const key = shown.join('\0')
    const found = this.#children.get(key)
    if (found !== undefined) return found
    const text = this.#metric.labels.map((label, index) => `${label}="${escaped(shown[index])}"`)
    const made = new Child(text.join(','), this.type === 'histogram')
    this.#children.set(key, made)
    return made
  }

  #lines({ labels, value, buckets, observations }: Child): string[] {
    const name = this.#name
    const braced = labels === '' ? '' : `{${labels}}`
    if (buckets === undefined) return [`${name}${braced} ${value}`]
    const prefix = labels === '' ? '' : `${labels},`
    let total = 0
    const lines = buckets.map((count, index) => {
      total += count
      return `${name}_bucket{${prefix}le="${BUCKETS_SECONDS[index]}"} ${total}`
    })
    return [
      ...lines,
      `${name}_bucket{${prefix}le="+Inf"} ${observations}`,
      `${name}_sum${braced} ${value}`,
      `${name}_count${braced} ${observations}`,
    ]
  }
}

function escaped(value = ''): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
