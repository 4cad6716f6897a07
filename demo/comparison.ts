/**
 * The same tool call three ways: to the MCP server itself, the old way, and through Postern. Each
 * number comes from calls that were really made; provider calls are counted at the provider's socket.
 */

import type { CallResult, McpCaller, ToolCall } from './mcp-caller.ts'
import { OLD_WAY_USER_AGENT } from './old-way.ts'
import type { Exchange, Sockets } from './sockets.ts'

export const LANES = ['noAuth', 'before', 'postern'] as const
export type Lane = (typeof LANES)[number]
/** Servers of the demo that are watched. */
export type Server = 'openid' | 'github' | 'notes' | 'postern' | 'remote'

export interface Measured extends CallResult {
  readonly lane: Lane
  /** Exchanges at the provider that began and ended inside the call: what it waited for. */
  readonly providerCalls: number
}

export interface Summary {
  readonly calls: number
  /** Of calls that succeeded; absent while there is none. */
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly providerCalls: number
  readonly providerCallsPerRequest: number
}

export async function measure(options: {
  readonly lane: Lane
  readonly caller: McpCaller
  readonly tool: ToolCall
  readonly provider: Server
  readonly sockets: Sockets<Server>
}): Promise<Measured> {
  const { lane, caller, tool, provider, sockets } = options
  const result = await caller.call(tool)
  const endedMs = result.startedMs + result.durationMs
  const inside = ({ startedMs, endedMs: end = Number.POSITIVE_INFINITY }: Exchange): boolean =>
    startedMs >= result.startedMs && end <= endedMs
  const providerCalls = providerExchanges(sockets, provider, lane).filter(inside).length
  return { ...result, lane, providerCalls }
}

/** Everything that programs of one lane asked of a provider. */
export function providerExchanges(
  sockets: Sockets<Server>,
  provider: Server,
  lane: Lane,
): readonly Exchange<Server>[] {
  if (lane === 'noAuth') return []
  const isOldWay = lane === 'before'
  return sockets
    .exchanges()
    .filter(
      ({ at, isPage, userAgent }) =>
        at === provider && !isPage && (userAgent === OLD_WAY_USER_AGENT) === isOldWay,
    )
}

/** Where the time of one call through Postern went, by the clocks of the sockets it passed. */
export interface Timeline {
  /** Postern: from the request to the server's socket, authentication included. */
  readonly forwardMs: number
  readonly serverMs: number
  readonly backMs: number
}

export function timelineOf(sockets: Sockets<Server>, measured: Measured): Timeline | undefined {
  const passed = sockets
    .exchanges()
    .filter(({ call }) => call !== undefined && call === measured.call)
  const house = passed.find(({ at }) => at === 'postern')
  const server = passed.find(({ at }) => at === 'notes')
  if (house === undefined || server?.endedMs === undefined) return undefined
  return {
    forwardMs: server.startedMs - house.startedMs,
    serverMs: server.endedMs - server.startedMs,
    backMs: Math.max(0, (house.endedMs ?? server.endedMs) - server.endedMs),
  }
}

export function summarize(calls: readonly Measured[]): Summary {
  const times = calls.filter(isGood).map(({ durationMs }) => durationMs)
  const providerCalls = calls.reduce((sum, call) => sum + call.providerCalls, 0)
  return {
    calls: calls.length,
    ...(times.length === 0 ? {} : { p50Ms: percentile(times, 50), p99Ms: percentile(times, 99) }),
    providerCalls,
    providerCallsPerRequest: calls.length === 0 ? 0 : providerCalls / calls.length,
  }
}

export function isGood({ status, error }: CallResult): boolean {
  return status === 200 && error === undefined
}

/** Nearest rank: always one of the measured values. */
function percentile(values: readonly number[], rank: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1)] ?? 0
}
