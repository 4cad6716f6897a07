/**
 * Events as JSON lines on the console, which Workers keeps as logs. There is no scrape there, so
 * counters and gauges go nowhere. Never throws.
 */
import type { Config } from '../config.ts'
import { levelOf, tell } from '../events.ts'
import type { Emit } from '../ports.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

const RANK: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']
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
      const level = levelOf(event)
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
