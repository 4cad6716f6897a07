/**
 * Pinned programs of others for tests (mcp-remote, the MCP Inspector, Cloudflare's authorization
 * server for Workers; wrangler), installed once into `.cache/programs/` (ignored by git) from `test/clients/programs/`
 * and `test/workerd/programs/`. Needs npm and a registry.
 *
 * The folder's name carries the digest of the lock, and it appears by one rename, so two test files
 * never see a half-made one. No install script runs, and no package of another platform is taken.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProcess } from './process.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CLIENT_PINS = join(ROOT, 'test/clients/programs')
const WORKER_PINS = join(ROOT, 'test/workerd/programs')
const CACHE = join(ROOT, '.cache/programs')
const INSTALL_DEADLINE_MS = 420_000
const INSTALL = [
  'ci',
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--prefer-offline',
  '--loglevel=error',
]
/** What an installation may take from the environment: where the registry is and how it is trusted. */
const INSTALL_VARIABLES =
  /^(npm_config_\w+|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy)$/i

const PROGRAMS = {
  'mcp-remote': 'mcp-remote/dist/proxy.js',
  'mcp-inspector': '@modelcontextprotocol/inspector/clients/launcher/build/index.js',
  'workers-oauth-provider': '@cloudflare/workers-oauth-provider/dist/oauth-provider.js',
} as const

/** Path of the script to start with this Node; of the last one, of the module to bundle. */
export type ProgramPaths = Readonly<Record<keyof typeof PROGRAMS, string>>

type Found<T> = { value: T } | { missing: string }

/** For `need()`: the programs, installed when they are not there yet (about ten seconds). */
export async function preparePrograms(): Promise<Found<ProgramPaths>> {
  const prepared = await prepareFolder(CLIENT_PINS, [...INSTALL, '--omit=optional'])
  if ('missing' in prepared) return prepared
  const paths = Object.entries(PROGRAMS).map(([name, path]) => [name, join(prepared.value, path)])
  return { value: Object.fromEntries(paths) as ProgramPaths }
}

/** For `need()`: the script of wrangler. Its bundler is a binary, an optional package of this platform. */
export async function prepareWrangler(): Promise<Found<string>> {
  const prepared = await prepareFolder(WORKER_PINS, INSTALL)
  if ('missing' in prepared) return prepared
  return { value: join(prepared.value, 'wrangler/bin/wrangler.js') }
}

/** Path of a `node_modules`. */
async function prepareFolder(pins: string, install: readonly string[]): Promise<Found<string>> {
  const lock = readFileSync(join(pins, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 12)
  const folder = join(CACHE, digest)
  if (!existsSync(folder)) {
    const failure = await installInto(folder, pins, install)
    if (failure !== undefined) return { missing: failure }
  }
  return { value: join(folder, 'node_modules') }
}

/** Returns why it failed, or nothing. */
async function installInto(
  folder: string,
  pins: string,
  install: readonly string[],
): Promise<string | undefined> {
  await mkdir(CACHE, { recursive: true })
  const work = await mkdtemp(join(CACHE, 'making-'))
  try {
    for (const file of ['package.json', 'package-lock.json'])
      await copyFile(join(pins, file), join(work, file))
    const kept = Object.entries(process.env).filter(([name]) => INSTALL_VARIABLES.test(name))
    const { code, output } = await runProcess({
      name: 'npm ci',
      command: 'npm',
      args: install,
      cwd: work,
      deadlineMs: INSTALL_DEADLINE_MS,
      env: Object.fromEntries(kept),
    })
    if (code === null && output === '') return 'no npm, or it did not end in time'
    if (code !== 0) return `npm ci failed:\n${output.slice(-800)}`
    // Lost the race: somebody else's folder has the same content.
    await rename(work, folder).catch(() => undefined)
    return existsSync(folder) ? undefined : `its packages could not be moved to ${folder}`
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
