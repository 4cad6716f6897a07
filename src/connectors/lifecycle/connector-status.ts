/**
 * What people and programs are told about a connector: its state, what was found, and what is wrong on
 * which side (api.md section 3); and the same in lines for a terminal. Never a secret, a client id or a
 * token.
 */
import type { ConnectorConfig } from '../../config.ts'
import type { ConnectorProblem, Values } from '../../records.ts'
import type { Discovered, DiscoverySource } from '../discovery/discovery.ts'

export type ConnectorState = Values['connector']['state'] | 'disabled'

export interface ConnectorStatus {
  readonly name: string
  readonly url: string
  readonly auth: ConnectorConfig['auth']
  readonly state: ConnectorState
  /** Absent until something was found. */
  readonly discovery?: {
    readonly issuer: string
    /** Since the documents were fetched or renewed. */
    readonly ageSeconds: number
    readonly state: Discovered['state']
    readonly source: Discovered['source']
    /** ISO 8601: when this house looked last. */
    readonly checkedAt: string
  }
  readonly problems: readonly ConnectorProblem[]
  /** What an approval has to name. */
  readonly refusedOrigin?: string
}

/** Whose fault it is, for people. */
export const PARTIES: Readonly<Record<ConnectorProblem['party'], string>> = {
  server: 'at the server',
  'authorization-server': 'at the authorization server',
  here: 'here',
}

const SOURCES: Readonly<Record<DiscoverySource, string>> = {
  challenge: 'named in its refusal',
  path: 'found at its well-known path',
  root: 'found at the root of its host',
  'legacy-metadata': 'found by the rules of 2025-03-26',
  'legacy-endpoints': 'guessed by the rules of 2025-03-26',
  configuration: 'written in the configuration',
}

const NAME_CHARACTERS = 9
const STATE_CHARACTERS = 11

export function connectorLines(status: ConnectorStatus): readonly string[] {
  return [stateLine(status), ...status.problems.map(problemLine)]
}

function stateLine({ name, state, auth, url, discovery }: ConnectorStatus): string {
  const found =
    discovery === undefined
      ? url
      : `${discovery.issuer}   ${SOURCES[discovery.source]}, ${age(discovery.ageSeconds)} old`
  return `  ${name.padEnd(NAME_CHARACTERS)} ${state.padEnd(STATE_CHARACTERS)} ${auth}   ${found}`
}

function problemLine({ party, text, requirement }: ConnectorProblem): string {
  return `    fault ${PARTIES[party]}: ${text}   ${requirement}`
}

function age(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
