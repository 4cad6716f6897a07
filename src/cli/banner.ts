/**
 * What `serve` tells at start: sign-in, connectors and whether they answer, store and revocation
 * bound, the command for a client, and every warning worth reading.
 */

import { ignoredEnvironment } from '../config/environment.ts'
import type { Config, ConnectorConfig } from '../config.ts'
import { connectorLines } from '../connectors/lifecycle/connector-status.ts'
import { connectorMistake, type Mistake, mistakeLines } from '../mistakes.ts'
import { knowsClientAddress } from '../node/client-address.ts'
import type { RunningServer } from '../node/server.ts'
import { DEVELOPMENT_TYPE } from '../providers/development.ts'

export type ProbeResult = 'reachable' | 'open' | 'unreachable'

/**
 * Asks each connector once whether it answers, and whether it answers without a token. Those with an
 * authorization server are found behind the start (`foundConnectors`).
 */
export async function probeConnectors(
  server: RunningServer,
): Promise<ReadonlyMap<string, ProbeResult>> {
  const enabled = server.config.connectors.filter(
    (connector) => connector.enabled && server.connectors?.status(connector.name) === undefined,
  )
  const results = await Promise.all(
    enabled.map(async (connector) => [connector.name, await probe(server, connector)] as const),
  )
  return new Map(results)
}

const INITIALIZE = JSON.stringify({
  jsonrpc: '2.0',
  id: 'postern-probe',
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'postern', version: '1' },
  },
})

async function probe(server: RunningServer, connector: ConnectorConfig): Promise<ProbeResult> {
  try {
    const answer = await server.probe(connector.url, INITIALIZE)
    return answer === 200 && connector.auth !== 'none' ? 'open' : 'reachable'
  } catch {
    return 'unreachable'
  }
}

export function banner(
  server: RunningServer,
  probes: ReadonlyMap<string, ProbeResult>,
): readonly string[] {
  const { config } = server
  const lines = [
    `Postern ${server.version}${config.development ? '  development (issuer is loopback: only this machine can sign in)' : ''}`,
    ...config.providers.map(
      (provider) =>
        `  sign-in   ${provider.title}    callback ${config.issuer}${provider.callbackPath}`,
    ),
    ...config.connectors.map((connector) => connectorLine(server, connector, probes)),
    `  store     ${config.databaseUrl.replace(':', ' ')}      revocation bound 0 s here, ${config.limits.upstreamProofStaleSeconds} s at ${config.providers[0]?.title ?? 'the provider'}`,
    ...warnings(server, probes).map((text) => `  warning   ${text}`),
  ]
  const first = config.connectors.find((connector) => connector.enabled)
  if (first !== undefined) {
    lines.push(
      `  clients   claude mcp add --transport http ${first.name} ${first.resource}      others: ${config.issuer}${config.prefix}/`,
    )
  }
  return lines
}

/** What the log says, too. */
export function unreachable(
  config: Config,
  probes: ReadonlyMap<string, ProbeResult>,
): readonly (Mistake & { readonly connector: string; readonly reason: string })[] {
  return config.connectors
    .filter(({ name }) => probes.get(name) === 'unreachable')
    .map((connector) => {
      const mistake = connectorMistake(connector)
      return { ...mistake, connector: connector.name, reason: mistake.code }
    })
}

/** What was found of each connector with an authorization server, and what is wrong on which side. */
export async function foundConnectors(server: RunningServer): Promise<readonly string[]> {
  await server.connectors?.looked()
  return (server.connectors?.list() ?? []).flatMap(connectorLines)
}

function connectorLine(
  server: RunningServer,
  connector: ConnectorConfig,
  probes: ReadonlyMap<string, ProbeResult>,
): string {
  const state = startState(server, connector, probes)
  return `  ${connector.name.padEnd(9)} ${connector.resource}  ->  ${connector.url}   ${connector.auth}   ${state}`
}

function startState(
  server: RunningServer,
  { name, enabled }: ConnectorConfig,
  probes: ReadonlyMap<string, ProbeResult>,
): string {
  if (!enabled) return 'disabled'
  const known = server.connectors?.status(name)
  if (known !== undefined) return known.discovery === undefined ? 'looking' : known.state
  return probes.get(name) === 'unreachable' ? 'unreachable' : 'reachable'
}

function warnings(
  server: RunningServer,
  probes: ReadonlyMap<string, ProbeResult>,
): readonly string[] {
  const { config } = server
  const found: string[] = []
  if (config.providers.some(({ type }) => type === DEVELOPMENT_TYPE)) {
    found.push(
      'insecureDevelopmentSignIn is on: whoever reaches this server signs in as anybody, without a password.',
    )
  }
  for (const mistake of unreachable(config, probes)) found.push(mistakeLines(mistake).join(' '))
  for (const connector of config.connectors) {
    if (probes.get(connector.name) === 'open') {
      found.push(
        `${connector.name} answers without a token: who reaches port ${connector.url.port || (connector.url.protocol === 'https:' ? '443' : '80')} skips sign-in. Run: postern doctor ${connector.url}`,
      )
    }
  }
  const ignored = ignoredEnvironment(server.environment)
  if (ignored.length > 0)
    found.push(`ignored, as Kubernetes sets them for a Service: ${ignored.join(', ')}`)
  if (!knowsClientAddress(config)) {
    found.push(
      'limits per address are off: listen.trustedProxies does not name the proxy in front of this server.',
    )
  }
  if (config.databaseUrl === 'memory:')
    found.push('the store is memory: everything is forgotten at exit')
  return found
}
