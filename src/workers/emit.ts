/**
 * Events as JSON lines on the console, which Workers keeps as logs. There is no scrape there, so
 * counters and gauges go nowhere. Never throws.
 */
import type { Config } from '../config.ts'
import type { Emit, EventType, PosternEvent } from '../ports.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

const RANK: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']
const LEVELS: Partial<Readonly<Record<EventType, Level>>> = {
  'call.forwarded': 'debug',
  'cache.read': 'debug',
  'remote.called': 'debug',
  'provider.unreachable': 'warn',
  'provider.incident': 'error',
  'breaker.opened': 'warn',
  'connector.degraded': 'warn',
  'token.replayed': 'warn',
  'server.warning': 'warn',
  'server.failed': 'error',
}

export interface ConsoleEmit extends Emit {
  /** Takes the settings once they are parsed; until then warnings and errors are written. */
  configure(log: Config['log'], onEvent: Config['onEvent']): void
}

export function createConsoleEmit(output: Pick<Console, Level> = console): ConsoleEmit {
  let least = RANK.indexOf('warn')
  let onEvent: Config['onEvent']
  return {
    configure(log, listener) {
      least = RANK.indexOf(log.level)
      onEvent = listener
    },
    event(event) {
      const level = event.level ?? LEVELS[event.type] ?? 'info'
      const { type, level: _level, ...rest } = event
      if (RANK.indexOf(level) >= least)
        output[level](JSON.stringify({ level, event: type, ...rest }))
      tell(onEvent, event)
    },
    count: () => undefined,
    observe: () => undefined,
    gauge: () => undefined,
  }
}

function tell(listener: Config['onEvent'], event: PosternEvent): void {
  try {
    listener?.(event)
  } catch {
    // A listener's mistake must not become a failed request; it sees its own stack in its own tests.
  }
}
