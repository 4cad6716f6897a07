/**
 * The mutation testing packages, pinned by `package-lock.json` beside this file and installed once
 * into `.cache/mutation-<digest>/` (ignored by git). The folder appears by one rename.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const FILES = ['package.json', 'package-lock.json'] as const
const INSTALL_DEADLINE_MS = 300_000
/** vitest is a peer: the one of the repository is found in the folder above. */
const INSTALL = ['ci', '--legacy-peer-deps', '--ignore-scripts', '--loglevel=error']

/** Absolute path of the folder that holds `node_modules`. */
export async function preparePackages(root: string): Promise<string> {
  const digest = createHash('sha256')
  for (const file of FILES) digest.update(readFileSync(join(import.meta.dirname, file)))
  const cache = join(root, '.cache')
  const folder = join(cache, `mutation-${digest.digest('hex').slice(0, 12)}`)
  if (!existsSync(folder)) install(cache, folder)
  return folder
}

/** A module of a package in `folder`, by its path there: the package need not be known to us. */
export function load<Module>(folder: string, path: string): Promise<Module> {
  return import(pathToFileURL(join(folder, 'node_modules', path)).href)
}

function install(cache: string, folder: string): void {
  process.stderr.write('installing the mutation testing packages (npm ci)\n')
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, 'making-'))
  try {
    for (const file of FILES) cpSync(join(import.meta.dirname, file), join(work, file))
    const done = spawnSync('npm', INSTALL, {
      cwd: work,
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32',
      timeout: INSTALL_DEADLINE_MS,
    })
    if (done.status !== 0) throw new Error('npm ci failed: see the lines above')
    renameSync(work, folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
