/** Starts the command of an installed package on this very Node, without a shell or the path. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * Runs `command` of package `name` in the repository and waits for it.
 *
 * @returns Exit status (1 when it could not start or was killed) and its output when captured.
 */
export function runTool(name, command, parameters, options = {}) {
  return runNode([toolPath(name, command), ...parameters], options)
}

/** Runs a script on this Node; `capture` collects both streams in `output` instead of showing them. */
export function runNode(parameters, { capture = false, cwd = ROOT, env = {}, timeoutMs } = {}) {
  const done = spawnSync(process.execPath, parameters, {
    cwd,
    encoding: 'utf8',
    stdio: capture ? 'pipe' : 'inherit',
    env: { ...process.env, ...env },
    timeout: timeoutMs,
    maxBuffer: 64 * 1024 * 1024,
  })
  const output = capture ? `${done.stdout ?? ''}${done.stderr ?? ''}` : ''
  const failure = done.error === undefined ? '' : `${done.error.message}\n`
  return { status: done.status ?? 1, output: output + failure, stdout: done.stdout ?? '' }
}

/** Path of the script behind a package's command. */
export function toolPath(name, command) {
  const folder = join(ROOT, 'node_modules', name)
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return join(folder, typeof bin === 'string' ? bin : bin[command])
}
