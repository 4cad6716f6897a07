/**
 * A connector's state in lines for a terminal: what was found, and each problem with the side it is on
 * and the rule it breaks.
 */
import type { ConnectorProblem } from '../records.ts'
import type { ConnectorStatus } from './connector-status.ts'
import type { DiscoverySource } from './discovery.ts'

const PARTIES: Readonly<Record<ConnectorProblem['party'], string>> = {
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

export function problemLine({ party, text, requirement }: ConnectorProblem): string {
  return `    fault ${PARTIES[party]}: ${text}   ${requirement}`
}

function age(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
