/**
 * `postern doctor <url>`: walks the chain of an MCP server from outside, as a client would, and says
 * who has to correct what. The name of a connector looks at what this house has written down, too.
 *
 * Exit: 0 nothing wrong; 1 a fault was found; 2 usage; 3 somebody who is needed does not answer.
 */
import { existsSync } from 'node:fs'
import { defineCommand } from 'citty'
import { openSqliteForReading } from '../adapters/sqlite-reader.ts'
import { approvedOrigins, isOrigin } from '../config/approved-origins.ts'
import { type Config, type ConnectorConfig, parseConfig } from '../config.ts'
import { diagnose } from '../connectors/doctor/diagnose.ts'
import { exitCodeOf, reportLines, reportObject } from '../connectors/doctor/report.ts'
import { readStanding, type Standing } from '../connectors/doctor/standing.ts'
import { ConfigError } from '../errors.ts'
import { createEgress } from '../net/egress.ts'
import { type NodePlatform, node } from '../node/platform.ts'
import { parseUrl } from '../oauth/urls.ts'
import { loadConfiguration } from './configuration.ts'

export const doctorCommand = defineCommand({
  meta: {
    name: 'doctor',
    description:
      'Finds what is wrong with an MCP server, and whose fault it is. Example: postern doctor https://notes.example/mcp',
  },
  args: {
    url: {
      type: 'positional',
      description: 'URL of an MCP server, or name of a connector',
      required: true,
    },
    config: { type: 'string', description: 'Configuration file', valueHint: 'file' },
    origin: {
      type: 'string',
      description: 'Further origins that may be private or http, with commas',
      valueHint: 'origins',
    },
    register: { type: 'boolean', description: 'Registers a client for the test' },
    json: { type: 'boolean', description: 'Print one JSON object' },
    quiet: { type: 'boolean', description: 'Only the exit code' },
  },
  async run({ args }) {
    const { input, environment } = await loadConfiguration(args.config)
    const platform = node({ environment, log: { write: () => true } })
    const { readFile } = platform
    const files = readFile === undefined ? {} : { readFile }
    const config = parseConfig(input, { environment, ...files })
    const { url, connector } = targetOf(config, args.url)
    const origins = new Set([
      url.origin,
      ...originsIn(args.origin),
      ...ownOrigins(config, connector),
    ])
    const standing = connector && (await standingOf(config, platform, connector.name))
    const outbound = platform.openFetch(config.egress)
    const interrupted = new AbortController()
    try {
      const { runtime, emit } = platform
      const { connectTimeoutMs, metadataTimeoutMs: timeoutMs } = config.limits
      const egress = createEgress({
        fetch: outbound.fetch,
        runtime,
        emit,
        approvedOrigins: origins,
        allowHosts: config.egress.allowHosts.filter((entry) => !isOrigin(entry)),
        denyHosts: config.egress.denyHosts,
        connectTimeoutMs,
      })
      const { signal } = interrupted
      const deps = { egress, runtime, approvedOrigins: origins, timeoutMs, signal }
      const report = await diagnose(deps, {
        url,
        name: connector?.name ?? nameFor(url),
        house: config,
        register: args.register === true,
        ...(connector === undefined ? {} : { connector }),
        ...(standing === undefined ? {} : { standing }),
      })
      if (args.json) console.log(JSON.stringify(reportObject(report)))
      else if (!args.quiet) for (const line of reportLines(report)) console.log(line)
      process.exitCode = exitCodeOf(report)
    } finally {
      await outbound.close()
    }
  },
})

/** A URL that is some connector's is that connector. @throws {ConfigError} */
function targetOf(config: Config, text: string): { url: URL; connector?: ConnectorConfig } {
  const { connectors } = config
  const named = connectors.find(({ name }) => name === text)
  if (named !== undefined) return { url: named.url, connector: named }
  const url = parseUrl(text)
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.hash !== '' ||
    url.username !== ''
  )
    throw unknownTarget(text, connectors)
  const connector = connectors.find((one) => one.url.href === url.href)
  return { url, ...(connector === undefined ? {} : { connector }) }
}

function unknownTarget(text: string, connectors: Config['connectors']): ConfigError {
  const names = connectors.map(({ name }) => name).join(', ')
  return new ConfigError(
    'ERR_CONFIG_VALUE',
    `${JSON.stringify(text)} is no URL of a server, and no connector of the configuration.`,
    names === '' ? 'Write it with http:// or https://.' : `Write a URL, or one of: ${names}.`,
  )
}

function originsIn(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  return text.split(',').map((entry) => {
    const url = parseUrl(entry.trim())
    if (url !== undefined && /^https?:$/.test(url.protocol)) return url.origin
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FLAG',
      `--origin ${JSON.stringify(entry)} is no origin.`,
      'Write it like http://127.0.0.1:9000.',
    )
  })
}

/** What the file names for its connectors counts for those alone. */
function ownOrigins(config: Config, connector: ConnectorConfig | undefined): readonly string[] {
  return connector === undefined ? [] : [...approvedOrigins(config)]
}

/** As one would call it in the configuration. */
function nameFor({ hostname }: URL): string {
  const [label = ''] = hostname.split('.')
  return /^[a-z][a-z0-9-]{0,39}$/.test(label) ? label : 'main'
}

/** Read, never written; `undefined` where there is no store of this machine. */
async function standingOf(
  { databaseUrl }: Config,
  { runtime }: NodePlatform,
  name: string,
): Promise<Standing | undefined> {
  const path = databaseUrl.startsWith('sqlite:') ? databaseUrl.slice('sqlite:'.length) : undefined
  if (path === undefined || !existsSync(path)) return undefined
  const store = openSqliteForReading(path, runtime)
  try {
    return await readStanding(store, name)
  } finally {
    await store.close()
  }
}
