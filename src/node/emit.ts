/**
 * Log, metrics and the call stream on Node: `pino` for lines, our own registry for series.
 *
 * Never throws and never blocks a request. Lines over `LINES_PER_SECOND_MAX`, errors and all others
 * apart, are counted and dropped, so that a flood of refusals costs no disk (D5).
 */
import { pino } from 'pino'
import type { Config } from '../config.ts'
import { levelOf, tell } from '../events.ts'
import type { Emit, EventType, PosternEvent } from '../ports.ts'
import { createMetrics, type Metrics } from './metrics.ts'

const LINES_PER_SECOND_MAX = 200

export interface NodeEmit extends Emit {
  readonly metrics: Metrics
  /** Takes the settings once they are parsed; until then only errors are written. */
  configure(log: Config['log'], onEvent: Config['onEvent']): void
}

interface Line {
  readonly write: (level: 'debug' | 'info' | 'warn' | 'error', event: PosternEvent) => void
  readonly enabled: (level: string) => boolean
}

export function createNodeEmit(
  output: { write(line: string): unknown; isTTY?: boolean } = process.stdout,
): NodeEmit {
  const metrics = createMetrics()
  let line: Line = createLine({ level: 'error', format: 'auto' }, output)
  let onEvent: Config['onEvent']
  const dropped = () => metrics.count('postern_events_dropped_total', undefined, 1)
  // Of their own, so that a flood of refusals hides no error, and bounded, because errors come in floods too.
  const budgets = { error: createBudget(dropped), other: createBudget(dropped) }
  return {
    metrics,
    configure(log, listener) {
      line = createLine(log, output)
      onEvent = listener
    },
    event(event) {
      const level = levelOf(event)
      const mayWrite = budgets[level === 'error' ? 'error' : 'other']
      if (line.enabled(level) && mayWrite()) line.write(level, event)
      tell(onEvent, event)
      countSignIn(metrics, event)
    },
    count: (name, labels, by = 1) => metrics.count(name, labels, by),
    observe: (name, value, labels) => metrics.observe(name, value, labels),
    gauge: (name, value, labels) => metrics.gauge(name, value, labels),
  }
}

const SIGN_IN_OUTCOMES: Partial<Readonly<Record<EventType, string>>> = {
  'signin.completed': 'completed',
  'signin.refused': 'refused',
}

/** A sign-in at a provider; answers of this house alone name none. */
function countSignIn(metrics: Metrics, { type, provider }: PosternEvent): void {
  const outcome = SIGN_IN_OUTCOMES[type]
  if (outcome === undefined || provider === undefined) return
  metrics.count('postern_signins_total', { provider, outcome }, 1)
}

/** Lets LINES_PER_SECOND_MAX lines through in any clock second; what is over is counted. */
function createBudget(dropped: () => void): () => boolean {
  let second = 0
  let used = 0
  return () => {
    const now = Math.floor(performance.now() / 1000)
    if (now !== second) {
      second = now
      used = 0
    }
    if (used >= LINES_PER_SECOND_MAX) {
      dropped()
      return false
    }
    used++
    return true
  }
}

const RANK = ['debug', 'info', 'warn', 'error', 'silent']

function createLine(
  log: Config['log'],
  output: { write(line: string): unknown; isTTY?: boolean },
): Line {
  const enabled = (level: string) => RANK.indexOf(level) >= RANK.indexOf(log.level)
  const asText = log.format === 'text' || (log.format === 'auto' && output.isTTY === true)
  if (asText)
    return { enabled, write: (level, event) => output.write(`${textLine(level, event)}\n`) }
  const logger = pino(
    {
      level: log.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (text: string) => output.write(text) },
  )
  return {
    enabled,
    write: (level, { type, level: _, ...rest }) => logger[level]({ event: type, ...rest }),
  }
}

function textLine(level: string, { type, level: _, ...rest }: PosternEvent): string {
  const details = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        `${name}=${typeof value === 'string' && /\s/.test(value) ? JSON.stringify(value) : value}`,
    )
  return [new Date().toISOString().slice(11, 23), level.padEnd(5), type, ...details].join(' ')
}
