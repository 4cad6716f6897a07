/**
 * `postern serve [mcp-url]`: starts the house from a file, from the environment, or from one URL.
 * Prints what it serves and one line `ready <issuer>` when it answers.
 */
import { defineCommand } from 'citty'
import { createPostern } from '../app.ts'
import { allowFromList } from '../config/environment.ts'
import type { PosternConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { node } from '../node/platform.ts'
import { banner, foundConnectors, probeConnectors, unreachable } from './banner.ts'
import { loadConfiguration } from './configuration.ts'

export const serveCommand = defineCommand({
  meta: {
    name: 'serve',
    description:
      'Starts Postern. Example: postern serve http://127.0.0.1:8000/mcp --provider github',
  },
  args: {
    mcpUrl: {
      type: 'positional',
      required: false,
      description: 'MCP endpoint of one server, served at /mcp',
    },
    config: { type: 'string', description: 'Configuration file', valueHint: 'file' },
    provider: { type: 'string', description: 'Identity provider: github', valueHint: 'name' },
    port: { type: 'string', description: 'Port to listen on', valueHint: 'n' },
    host: { type: 'string', description: 'Address to listen on', valueHint: 'address' },
    issuer: { type: 'string', description: 'Public URL', valueHint: 'url' },
    allow: { type: 'string', description: 'anyone, or e-mail addresses and domains with commas' },
    insecureDevelopmentSignIn: {
      type: 'boolean',
      description: 'Sign in by typing a name, without a password (loopback only)',
    },
    quiet: { type: 'boolean', description: 'Print only the ready line' },
  },
  async run({ args }) {
    refuseUnknownFlags(args)
    const loaded = await loadConfiguration(args.config)
    const input = withArguments(loaded.input, args)
    const platform = node({ environment: loaded.environment })
    const postern = createPostern(input, platform, overridesOf(args))
    // The store opens while the listeners are being loaded; `serve` tells what went wrong.
    postern.ready().catch(() => undefined)
    const { serve } = await import('../node/server.ts')
    const server = await serve(postern)
    if (!args.quiet) {
      const probes = await probeConnectors(server)
      for (const mistake of unreachable(server.config, probes))
        platform.emit.event({ type: 'server.warning', level: 'warn', ...mistake })
      for (const line of banner(server, probes)) console.log(line)
    }
    console.log(`ready ${server.config.issuer}`)
    if (!args.quiet) for (const line of await foundConnectors(server)) console.log(line)
    await server.closed
  },
})

const FLAGS = [
  'config',
  'provider',
  'port',
  'host',
  'issuer',
  'allow',
  'quiet',
  'insecureDevelopmentSignIn',
  'insecure-development-sign-in',
  'mcpUrl',
  'mcp-url',
  '_',
]

function refuseUnknownFlags(args: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(args).find((name) => !FLAGS.includes(name))
  if (unknown === undefined) return
  throw new ConfigError(
    'ERR_CONFIG_UNKNOWN_FLAG',
    `--${unknown} is not a flag of serve.`,
    'Run: postern serve --help',
  )
}

interface ServeArguments {
  readonly mcpUrl?: string | undefined
  readonly provider?: string | undefined
  readonly port?: string | undefined
  readonly host?: string | undefined
  readonly issuer?: string | undefined
  readonly allow?: string | undefined
  readonly insecureDevelopmentSignIn?: boolean | undefined
}

function overridesOf(args: ServeArguments): Readonly<Record<string, string>> {
  const overrides: Record<string, string> = {}
  if (args.port !== undefined) overrides['listen.port'] = args.port
  if (args.host !== undefined) overrides['listen.host'] = args.host
  if (args.issuer !== undefined) overrides.issuer = args.issuer
  if (args.insecureDevelopmentSignIn === true) overrides['insecureDevelopmentSignIn'] = 'true'
  return overrides
}

/** A URL on the command line is the one connector `main` at `/mcp`. */
function withArguments(input: unknown, args: ServeArguments): PosternConfig {
  // Shape and names are judged by the parser, whatever a file exports.
  const base = input as PosternConfig
  if (args.mcpUrl === undefined && args.provider === undefined && args.allow === undefined)
    return base
  return {
    ...base,
    ...(args.mcpUrl === undefined
      ? {}
      : { connectors: { main: { url: args.mcpUrl, path: '/mcp' } } }),
    ...(args.provider === undefined ? {} : { providers: [{ type: args.provider }] }),
    ...(args.allow === undefined
      ? {}
      : { allow: args.allow === 'anyone' ? 'anyone' : allowFromList(args.allow) }),
  }
}
