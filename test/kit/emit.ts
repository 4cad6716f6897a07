/** An Emit that remembers everything, for assertions on events and counters. */
import type { Emit, EventType, PosternEvent } from '../../src/ports.ts'

export interface Observation {
  readonly metric: string
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
}

export interface RecordingEmit extends Emit {
  readonly events: PosternEvent[]
  readonly observations: Observation[]
  eventsOf(type: EventType): readonly PosternEvent[]
  /** Sum of a counter over all series that carry these labels. */
  counted(metric: string, labels?: Readonly<Record<string, string>>): number
  /** Last value of a gauge with exactly these labels. */
  gauged(metric: string, labels?: Readonly<Record<string, string>>): number | undefined
  /** Everything that was emitted, as text: to prove that a secret is not in it. */
  dump(): string
  clear(): void
}

export function createRecordingEmit(): RecordingEmit {
  const events: PosternEvent[] = []
  const counts: Observation[] = []
  const observations: Observation[] = []
  const gauges = new Map<string, number>()
  const gaugeKey = (metric: string, labels: Readonly<Record<string, string>>): string =>
    JSON.stringify([metric, Object.entries(labels).sort()])
  return {
    events,
    observations,
    event: (event) => {
      events.push(event)
    },
    count: (metric, labels = {}, by = 1) => {
      counts.push({ metric, value: by, labels })
    },
    observe: (metric, value, labels = {}) => {
      observations.push({ metric, value, labels })
    },
    gauge: (metric, value, labels = {}) => {
      gauges.set(gaugeKey(metric, labels), value)
    },
    eventsOf: (type) => events.filter((event) => event.type === type),
    counted: (metric, labels = {}) =>
      counts
        .filter((entry) => entry.metric === metric && carries(entry.labels, labels))
        .reduce((sum, entry) => sum + entry.value, 0),
    gauged: (metric, labels = {}) => gauges.get(gaugeKey(metric, labels)),
    dump: () => JSON.stringify([events, counts, observations, [...gauges]]),
    clear: () => {
      events.length = 0
      counts.length = 0
      observations.length = 0
      gauges.clear()
    },
  }
}

function carries(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value)
}
