/**
 * `doctor`: the whole chain as a client meets it, from the first call without a token to the doors for
 * new clients, judged by the same rules as our own discovery; and, for a connector of the
 * configuration, what this house has written down about it.
 *
 * Never throws for what others do: everything is in the report, with its party.
 */
import type { Config, ConnectorConfig } from '../../config.ts'
import {
  readLegacyServer,
  readServer,
  type ServerPins,
  tryEndpoints,
} from './authorization-steps.ts'
import { Chart, type DoctorDeps, Ended } from './chart.ts'
import { tryBrowsers, tryDoors } from './door-steps.ts'
import type { Report } from './report.ts'
import { meetServer, readResource } from './server-steps.ts'
import { type Standing, tellStanding } from './standing.ts'

export interface DoctorTarget {
  readonly url: URL
  /** As `connectors.<name>` in fixes. */
  readonly name: string
  /** Of the configuration. */
  readonly connector?: ConnectorConfig
  /** What the store knows of it; absent: it could not be read. */
  readonly standing?: Standing
  readonly house: Pick<Config, 'issuer' | 'prefix' | 'brand'>
  readonly register: boolean
}

export async function diagnose(deps: DoctorDeps, target: DoctorTarget): Promise<Report> {
  const { url, name, connector } = target
  const oauth = connector?.oauth
  const isConfigured = connector !== undefined
  const rules = { followsRedirects: oauth?.followMetadataRedirects ?? false }
  const chart = new Chart(deps, { url, name, isConfigured }, rules)
  let healthy = 'a client finds its authorization server and can register there'
  try {
    if (isConfigured) await tellStanding(chart, connector, target.standing)
    healthy = await walk(chart, target)
  } catch (error) {
    if (!(error instanceof Ended)) throw error
  }
  return chart.report(healthy)
}

async function walk(chart: Chart, target: DoctorTarget): Promise<string> {
  const { url, name, connector, standing } = target
  const oauth = connector?.oauth
  const auth = connector?.auth
  const strictResource = oauth?.strictResource ?? false
  const server = { url, strictResource, isOpen: auth === 'none' }
  const met = await meetServer(chart, server)
  if (auth === 'none') return 'it answers, and asks for no token'
  if (auth === 'identity' || auth === 'header')
    return 'it answers, and asks for the token that this house sends'
  if (oauth?.endpoints !== undefined)
    chart.note(`connectors.${name}.endpoints is set: this house does not go by what is found here`)
  const pins: ServerPins = {
    url,
    name,
    legacyDiscovery: oauth?.legacyDiscovery ?? true,
    accepted: standing?.row?.approvedOrigins ?? [],
    ...(oauth?.pinnedIssuer === undefined ? {} : { pinnedIssuer: oauth.pinnedIssuer }),
    ...(oauth === undefined ? {} : { oauth }),
  }
  const resource = await readResource(chart, server, met)
  const found =
    resource === undefined
      ? await readLegacyServer(chart, pins, met)
      : await readServer(chart, pins, resource)
  await tryEndpoints(chart, pins, found)
  await tryDoors(chart, target, found)
  // A connector's calls come from this house: what browsers may read does not matter.
  if (connector === undefined && resource !== undefined)
    await tryBrowsers(chart, target, met.named, found)
  return resource === undefined
    ? 'a client that knows the rules of 2025-03-26 gets in'
    : 'a client finds its authorization server and can register there'
}
