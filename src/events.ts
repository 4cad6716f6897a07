/**
 * What every platform's log does alike: how loud an event is when it does not say so itself, and how
 * `onEvent` is told.
 */
import type { Config } from './config.ts'
import type { EventType, PosternEvent } from './ports.ts'

const LEVELS: Partial<Readonly<Record<EventType, 'debug' | 'warn' | 'error'>>> = {
  'call.forwarded': 'debug',
  'remote.called': 'debug',
  'provider.unreachable': 'warn',
  'provider.incident': 'error',
  'breaker.opened': 'warn',
  'connector.degraded': 'warn',
  'connector.quarantined': 'error',
  'token.replayed': 'warn',
  // As `signin.started`: nothing has changed yet, and every click is one.
  'connection.started': 'debug',
  'connection.refreshed': 'debug',
  'connection.reconnect': 'warn',
  'server.warning': 'warn',
  'server.failed': 'error',
}

export function levelOf(event: PosternEvent): 'debug' | 'info' | 'warn' | 'error' {
  return event.level ?? LEVELS[event.type] ?? 'info'
}

export function tell(listener: Config['onEvent'], event: PosternEvent): void {
  try {
    listener?.(event)
  } catch {
    // A listener's mistake must not become a failed request; it sees its own stack in its own tests.
  }
}
