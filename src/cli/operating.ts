/**
 * What the commands for operators share: the store of the configuration opened and closed again, the
 * question before something ends, and output as text or as one JSON object.
 *
 * Text and objects go to standard output, questions and progress to standard error.
 */
import { createInterface } from 'node:readline/promises'
import type { Config } from '../config.ts'
import { parseConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { node } from '../node/platform.ts'
import { type Operations, openOperations } from '../operations.ts'
import { tenantHouse } from '../tenants/tenant-platform.ts'
import { loadConfiguration } from './configuration.ts'

export const OPERATING_ARGS = {
  config: { type: 'string', description: 'Configuration file', valueHint: 'file' },
  json: { type: 'boolean', description: 'Print one JSON object' },
  yes: { type: 'boolean', description: 'Do not ask' },
  quiet: { type: 'boolean', description: 'Print no progress' },
  tenant: { type: 'string', description: 'In the house of this tenant', valueHint: 'name' },
} as const

/** Who did it, in the audit. */
export const ACTOR = 'cli'

export interface OperatingArguments {
  readonly config?: string | undefined
  readonly json?: boolean | undefined
  readonly yes?: boolean | undefined
  readonly quiet?: boolean | undefined
  /** Absent, or `default`: the outer house. */
  readonly tenant?: string | undefined
}

/** Runs `work` on the store and closes it whatever happens. */
export async function operate(
  args: OperatingArguments,
  work: (operations: Operations, config: Config) => Promise<void>,
): Promise<void> {
  const loaded = await loadConfiguration(args.config)
  const silent = { write: () => true }
  const platform = node({ environment: loaded.environment, log: silent })
  const { environment, readFile } = platform
  const config = parseConfig(loaded.input, {
    environment,
    ...(readFile === undefined ? {} : { readFile }),
  })
  if (config.databaseUrl === 'memory:') {
    throw new ConfigError(
      'ERR_CONFIG_DATABASE',
      'the store is memory: only the process that has it can reach it.',
      'Set databaseUrl to the file of the house, for example sqlite:.postern/postern.db.',
    )
  }
  const house = tenantHouse(config, platform, args.tenant)
  const opened = await openOperations(house.config, house.platform)
  try {
    await work(opened.operations, house.config)
  } finally {
    await opened.close()
  }
}

/** @throws {ConfigError} (exit 2) when nobody can be asked and `--yes` was not given. */
export async function confirmed(args: OperatingArguments, question: string): Promise<boolean> {
  if (args.yes === true) return true
  if (!process.stdin.isTTY) {
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FLAG',
      `this would ${question}, and nobody can be asked.`,
      'Add --yes.',
    )
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`This will ${question}. Go on? [y/N] `)
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

export function progress(args: OperatingArguments, text: string): void {
  if (args.quiet !== true) console.error(text)
}

/** One object for programs, or lines for people. */
export function print(args: OperatingArguments, value: object, lines: readonly string[]): void {
  if (args.json === true) console.log(JSON.stringify(value))
  else for (const line of lines) console.log(line)
}

/** The answer is no: exit 1 (api.md section 5). */
export function answerNo(args: OperatingArguments, reason: string): void {
  process.exitCode = 1
  if (args.json === true) console.log(JSON.stringify({ done: false, reason }))
  else console.error(reason)
}
