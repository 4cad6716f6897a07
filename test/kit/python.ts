/**
 * Pinned Python packages for tests, installed once into `.cache/python/` (ignored by git).
 *
 * Needs `python3` 3.10 or newer and either pip or the venv module (Debian: python3 and python3-pip
 * or python3-venv). The folder's name carries the digest of the pins and the Python version, and it
 * appears by one rename, so two test files never see a half-made one.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProcess } from './process.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CACHE = join(ROOT, '.cache/python')
const PROBE_DEADLINE_MS = 30_000
const INSTALL_DEADLINE_MS = 420_000
const VERSION_MIN = 10
/** What an installation may take from the environment: where the index is and how it is trusted. */
const INSTALL_VARIABLES =
  /^(PIP_.*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy)$/

/**
 * The pinned sets. `resolve`: the pins are constraints of what is asked for. Without it they are the
 * whole list, installed as it stands (see the comment in the file).
 */
const SETS = {
  'fastmcp-2': { pins: 'constraints-fastmcp-2.txt', resolve: 'fastmcp==2.13.1' },
  'fastmcp-4': { pins: 'constraints-fastmcp-4.txt', resolve: undefined },
  schemathesis: { pins: 'constraints-schemathesis.txt', resolve: undefined },
  'openapi-python-client': { pins: 'constraints-openapi-python-client.txt', resolve: undefined },
} as const

export interface PythonEnvironment {
  readonly executable: string
  /** To be merged into the child's environment. */
  readonly env: Readonly<Record<string, string>>
}

type Found = { value: PythonEnvironment } | { missing: string }

/** For `need()`: the environment of a pinned set, made when it is not there yet (about a minute). */
export async function preparePython(name: keyof typeof SETS): Promise<Found> {
  const version = await pythonVersion()
  if (version === undefined) {
    return {
      missing: `no python3 3.${VERSION_MIN} or newer; on Debian install python3 and python3-venv`,
    }
  }
  const set = SETS[name]
  const pins = join(ROOT, 'test/python', set.pins)
  const digest = createHash('sha256')
    .update(readFileSync(pins))
    .update(version)
    .digest('hex')
    .slice(0, 12)
  const folder = join(CACHE, `${name}-${digest}`)
  if (!existsSync(folder)) {
    const wanted = set.resolve === undefined ? ['--no-deps', '-r', pins] : ['-c', pins, set.resolve]
    const failure = await install(folder, wanted)
    if (failure !== undefined) return { missing: failure }
  }
  return {
    value: {
      executable: 'python3',
      env: { PYTHONPATH: folder, PYTHONUNBUFFERED: '1', PYTHONNOUSERSITE: '1', NO_COLOR: '1' },
    },
  }
}

/** `3.11`, or `undefined` when there is none or it is too old. */
async function pythonVersion(): Promise<string | undefined> {
  const script =
    'import sys; print("python 3.%d" % sys.version_info[1] if sys.version_info[0] == 3 else "")'
  const { code, output } = await python(['-c', script], PROBE_DEADLINE_MS)
  const minor = Number(/^python 3\.(\d+)$/m.exec(output)?.[1] ?? Number.NaN)
  return code === 0 && minor >= VERSION_MIN ? `3.${minor}` : undefined
}

/** Returns why it failed, or nothing. */
async function install(folder: string, wanted: readonly string[]): Promise<string | undefined> {
  await mkdir(CACHE, { recursive: true })
  const work = await mkdtemp(join(CACHE, 'making-'))
  try {
    const pip = await findPip(work)
    if (pip === undefined) return 'python3 has neither pip nor venv; on Debian install python3-venv'
    const target = join(work, 'packages')
    const args = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--target',
      target,
      ...wanted,
    ]
    const { code, output } = await python(args, INSTALL_DEADLINE_MS, pip)
    if (code !== 0) return `its packages could not be installed:\n${output.slice(-800)}`
    // Lost the race: somebody else's folder has the same content.
    await rename(target, folder).catch(() => undefined)
    return existsSync(folder) ? undefined : `its packages could not be moved to ${folder}`
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function findPip(work: string): Promise<string | undefined> {
  if ((await python(['-m', 'pip', '--version'], PROBE_DEADLINE_MS)).code === 0) return 'python3'
  const { code } = await python(['-m', 'venv', join(work, 'venv')], PROBE_DEADLINE_MS)
  return code === 0 ? join(work, 'venv/bin/python') : undefined
}

function python(args: readonly string[], deadlineMs: number, command = 'python3') {
  const kept = Object.entries(process.env).filter(([name]) => INSTALL_VARIABLES.test(name))
  return runProcess({ command, args, deadlineMs, name: 'python3', env: Object.fromEntries(kept) })
}
