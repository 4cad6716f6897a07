/**
 * `postern explain [token]`: what a token says and what would be refused about it, by the database and
 * keys of this machine. Reads the store without writing, never prints the token.
 *
 * Exit: 0 a call with it would go through; 1 it would be refused; 2 usage; 3 no store.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defineCommand } from 'citty'
import { openSqliteForReading } from '../adapters/sqlite-reader.ts'
import { type Config, parseConfig } from '../config.ts'
import { ConfigError, StoreError } from '../errors.ts'
import {
  type ExplainDeps,
  type Explanation,
  explainToken,
  TOKEN_MAX_CHARS,
} from '../issuer/explain.ts'
import { createKeys } from '../issuer/keys.ts'
import { type NodePlatform, node } from '../node/platform.ts'
import type { Platform, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { tenantHouse } from '../tenants/tenant-platform.ts'
import { tenantStore } from '../tenants/tenant-store.ts'
import { createSealing } from '../vault/sealing.ts'
import { loadConfiguration } from './configuration.ts'

export const explainCommand = defineCommand({
  meta: {
    name: 'explain',
    description:
      'Says what a token is and what would be refused about it. Example: pbpaste | postern explain',
  },
  args: {
    token: { type: 'positional', required: false, description: 'Default: standard input' },
    config: { type: 'string', description: 'Configuration file', valueHint: 'file' },
    resource: { type: 'string', description: 'Server URL that it is used at', valueHint: 'url' },
    json: { type: 'boolean', description: 'One JSON object' },
    quiet: { type: 'boolean', description: 'Only the exit code' },
    tenant: { type: 'string', description: 'In the house of this tenant', valueHint: 'name' },
  },
  async run({ args }) {
    const token = readToken(args.token ?? (await readInput()))
    const { input, environment } = await loadConfiguration(args.config)
    const platform = node({ environment })
    const { readFile } = platform
    const parsed = parseConfig(input, {
      environment,
      ...(readFile === undefined ? {} : { readFile }),
    })
    const { config, platform: own } = tenantHouse(parsed, platform, args.tenant)
    const opened = openStore(config, platform)
    const store = tenantStore(opened, config.tenant ?? TENANT, () => opened.close())
    try {
      const deps = await openDeps(config, own, store)
      const explanation = await explainToken(deps, token, args.resource)
      if (args.json) console.log(JSON.stringify(asObject(explanation)))
      else if (!args.quiet) for (const line of linesOf(explanation)) console.log(line)
      process.exitCode = explanation.problems.length === 0 ? 0 : 1
    } finally {
      await store.close()
    }
  },
})

async function readInput(): Promise<string> {
  if (process.stdin.isTTY) console.error('Paste the token, then Enter and Ctrl-D:')
  let text = ''
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin) {
    text += String(chunk)
    if (text.length > TOKEN_MAX_CHARS) break
  }
  return text
}

/** As it is copied: with `Bearer`, quotes or line ends around it. */
function readToken(text: string): string {
  const token = text
    .trim()
    .replace(/^["']|["']$/g, '')
    .replace(/^(?:authorization:\s*)?(?:bearer|dpop)\s+/i, '')
    .trim()
  if (token !== '' && token.length <= TOKEN_MAX_CHARS && !/\s/.test(token)) return token
  throw new ConfigError(
    'ERR_CONFIG_VALUE',
    'there is no token on standard input, or more than one.',
    'Run: postern explain < file',
  )
}

function openStore({ databaseUrl }: Config, { runtime }: NodePlatform): Store {
  // A store in memory belongs to its process.
  if (!databaseUrl.startsWith('sqlite:'))
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
  return openSqliteForReading(sqlitePath(databaseUrl), runtime)
}

function sqlitePath(databaseUrl: string): string {
  return databaseUrl.slice('sqlite:'.length)
}

async function openDeps(config: Config, platform: Platform, store: Store): Promise<ExplainDeps> {
  const { runtime } = platform
  const sealing = createSealing(await sealingKeys(config, platform), runtime)
  const keys = createKeys({ store, sealing, runtime })
  await keys.load()
  return { config, runtime, keys, store }
}

/** The made key of a loopback issuer is read; here nothing is made. */
async function sealingKeys(config: Config, platform: Platform): Promise<readonly Uint8Array[]> {
  if (config.sealingKeys.length > 0) return config.sealingKeys
  if (!existsSync(join(dirname(sqlitePath(config.databaseUrl)), 'sealing-key'))) {
    throw new ConfigError(
      'ERR_CONFIG_SEALING_KEY',
      'there is no sealing key beside the database.',
      'Run this where the server runs, or set POSTERN_SEALING_KEY.',
    )
  }
  return [await platform.developmentSealingKey(config.databaseUrl)]
}

const LABEL_CHARS = 18

function linesOf({ form, ours, facts, problems }: Explanation): readonly string[] {
  const verdict =
    problems.length === 0
      ? `ok: a call with this ${form} goes through, as far as this machine knows.`
      : `${ours ? `refused: this ${form} would not go through.` : `not ours: this ${form} was not made by this server.`}`
  return [
    verdict,
    ...facts.map(([label, text]) => `  ${label.padEnd(LABEL_CHARS)}${text}`),
    ...problems.flatMap(({ code, problem, fix }) => [
      `  ${code === undefined ? problem : `${code}: ${problem}`}`,
      ...(fix === undefined ? [] : [`    ${fix}`]),
    ]),
  ]
}

function asObject(explanation: Explanation): object {
  const { form, ours, facts, problems } = explanation
  return { ok: problems.length === 0, form, ours, facts: Object.fromEntries(facts), problems }
}
