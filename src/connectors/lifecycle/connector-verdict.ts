/**
 * What a look at a connector's servers means: the row that follows from the row before, and what is to
 * be told about the difference. Pure.
 *
 * What was accepted is never loosened here: a quarantine ends by an approval or by a newer document
 * that needs none. A problem of the documents ends by a newer document, not by another node's memory.
 */
import type { ConnectorConfig } from '../../config.ts'
import type { EventType } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import type { Discovered, DiscoveryResult } from '../discovery/discovery.ts'
import { acceptedBy, type Binding, bind, originOf } from './binding.ts'
import type { ConnectorRow } from './connector-rows.ts'

export interface Look {
  readonly connector: ConnectorConfig
  /** Digest of what the configuration says (`definitionOf`). */
  readonly definition: string
  readonly result: DiscoveryResult
  /** Why we are no client there; absent: we are, or nobody has asked yet. */
  readonly registration?: ConnectorProblem
  readonly nowMs: number
}

/** Of a registration: not a word on the documents. */
const REGISTRATION = 'ERR_CONNECTOR_REGISTRATION'

/** A row of another definition of the connector counts for nothing (O5). */
export function keptRow(
  row: ConnectorRow | undefined,
  definition: string,
): ConnectorRow | undefined {
  return row?.definition === definition ? row : undefined
}

export function judge(before: ConnectorRow | undefined, look: Look): ConnectorRow {
  const { connector, definition, result, nowMs } = look
  const kept = keptRow(before, definition)
  if (!result.ok) {
    if (kept?.state === 'quarantined' && kept.refusedOrigin !== undefined) return kept
    const state = result.state === 'refused' ? 'degraded' : 'unreachable'
    return { ...baseOf(look, kept), state, problems: [result.problem] }
  }
  const bound = bind(connector, result.discovered, kept)
  if (!bound.ok) {
    const { state, problems, refusedOrigin, refusedIssuer } = bound
    return {
      ...baseOf(look, kept),
      state: state === 'quarantined' ? 'quarantined' : 'degraded',
      problems,
      ...(refusedOrigin === undefined ? {} : { refusedOrigin }),
      ...(refusedIssuer === undefined ? {} : { refusedIssuer }),
    }
  }
  if (kept !== undefined && outlives(kept, result.discovered, nowMs)) return kept
  const problems = [result.discovered.problem, look.registration].filter(
    (problem) => problem !== undefined,
  )
  const { era, source } = result.discovered
  const { legacy: _, ...base } = baseOf(look, kept)
  return {
    ...base,
    ...acceptedBy(bound.binding, kept?.approvedOrigins ?? []),
    ...(source.startsWith('legacy-') ? { legacy: true } : {}),
    ...(era === undefined ? {} : { era }),
    state: problems.length === 0 ? 'ready' : 'degraded',
    problems,
  }
}

/** Secrets may go where this binding says: nothing has moved since it was accepted. */
export function isAccepted(row: ConnectorRow | undefined, binding: Binding): boolean {
  return (
    row?.state !== 'quarantined' &&
    row?.issuer === binding.issuer &&
    row.tokenOrigin === originOf(binding.server.token_endpoint)
  )
}

export interface ConnectorChange {
  readonly event: EventType
  /** Issuer, origin or code. */
  readonly reason: string
}

export function changesBetween(
  before: ConnectorRow | undefined,
  after: ConnectorRow,
): readonly ConnectorChange[] {
  const kept = keptRow(before, after.definition)
  const changes: ConnectorChange[] = []
  const tell = (event: EventType, reason: string): void => void changes.push({ event, reason })
  if (kept === undefined) tell('connector.created', before === undefined ? 'new' : 'redefined')
  if (after.issuer !== undefined && after.issuer !== kept?.issuer)
    tell('connector.discovered', after.issuer)
  if (after.state === 'quarantined') {
    if (kept?.state !== 'quarantined' || kept.refusedOrigin !== after.refusedOrigin)
      tell('connector.quarantined', after.refusedOrigin ?? 'approved')
  } else if (after.state !== kept?.state) {
    if (after.state !== 'ready') tell('connector.degraded', after.problems[0]?.code ?? after.state)
    else if (kept !== undefined) tell('connector.recovered', kept.state)
  }
  return changes
}

function baseOf(
  { connector, definition, nowMs }: Look,
  kept: ConnectorRow | undefined,
): Omit<ConnectorRow, 'state' | 'problems'> {
  return {
    connector: connector.name,
    url: connector.url.href,
    definition,
    approvedOrigins: kept?.approvedOrigins ?? [],
    ...(kept?.issuer === undefined ? {} : { issuer: kept.issuer }),
    ...(kept?.tokenOrigin === undefined ? {} : { tokenOrigin: kept.tokenOrigin }),
    ...(kept?.legacy === undefined ? {} : { legacy: kept.legacy }),
    ...(kept?.era === undefined ? {} : { era: kept.era }),
    ...(kept?.askedAtMs === undefined ? {} : { askedAtMs: kept.askedAtMs }),
    checkedAtMs: nowMs,
  }
}

/** Another node saw something worse, later than these documents were fetched. */
function outlives(kept: ConnectorRow, discovered: Discovered, nowMs: number): boolean {
  const isNewer = nowMs - discovered.ageSeconds * 1000 > kept.checkedAtMs
  if (isNewer || kept.state === 'ready') return false
  if (kept.state === 'quarantined') return kept.refusedOrigin !== undefined
  return kept.problems.some(({ code }) => code !== REGISTRATION)
}
