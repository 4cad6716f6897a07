/**
 * Finds and reads the configuration of a command: `--config`, else `postern.config.{ts,mjs,json}` in
 * the working directory, else the environment alone; with `.env` and `.env.local`, which never win
 * over the real environment.
 */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import { ConfigError } from '../errors.ts'

const FILE_NAMES = ['postern.config.ts', 'postern.config.mjs', 'postern.config.json']
const ENVIRONMENT_FILES = ['.env.local', '.env']

export interface LoadedConfiguration {
  /** What the file exports, or `{}`. */
  readonly input: unknown
  readonly file: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

export async function loadConfiguration(given: string | undefined): Promise<LoadedConfiguration> {
  const environment = loadEnvironment()
  const file = given === undefined ? FILE_NAMES.find((name) => existsSync(name)) : given
  if (file === undefined) return { input: {}, file: undefined, environment }
  if (!existsSync(file)) {
    throw new ConfigError(
      'ERR_CONFIG_FILE',
      `there is no file ${file}.`,
      'Correct --config, or leave it out.',
    )
  }
  return { input: await readConfiguration(file), file, environment }
}

async function readConfiguration(file: string): Promise<unknown> {
  try {
    if (file.endsWith('.json')) return JSON.parse(readFileSync(file, 'utf8')) as unknown
    const loaded = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown }
    if (loaded.default !== undefined) return loaded.default
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const why = faultOf(error, file)
    throw new ConfigError('ERR_CONFIG_FILE', `${file} cannot be read: ${why}`, 'Correct the file.')
  }
  throw new ConfigError(
    'ERR_CONFIG_FILE',
    `${file} has no default export.`,
    'Write `export default { ... }`.',
  )
}

/** Where a JSON file is wrong, not what stands there: the platform quotes it, and it may be a secret. */
function faultOf(error: unknown, file: string): string {
  if (!(error instanceof Error)) return 'unknown'
  if (!file.endsWith('.json') || !(error instanceof SyntaxError))
    return error.message.split('\n')[0] ?? ''
  const where = /at position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)?.[0]
  return `it is not JSON${where === undefined ? '' : ` ${where}`}.`
}

function loadEnvironment(): Readonly<Record<string, string | undefined>> {
  let merged: Record<string, string | undefined> = { ...process.env }
  for (const file of ENVIRONMENT_FILES) {
    if (existsSync(file)) merged = { ...parseEnv(readFileSync(file, 'utf8')), ...merged }
  }
  return merged
}
