/** The `postern` command run to its end with a configuration file: what it printed where, and its code. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ENTRY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const DEADLINE_MS = 30_000

export interface Ended {
  /** `null` after a signal. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * @param config What the file holds: a value, or its text as it is.
 * @param input Standard input; default none.
 * @param environment Variables besides those that every command has.
 */
export async function startCli(
  command: readonly string[],
  config: Readonly<Record<string, unknown>> | string,
  input?: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-cli-'))
  const file = join(folder, 'postern.config.json')
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config))
  const { PATH, HOME, TMPDIR } = process.env
  const child = spawn(process.execPath, [ENTRY, ...command, '--config', file], {
    cwd: folder,
    env: { PATH, HOME, TMPDIR, NO_COLOR: '1', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  // A command that reads nothing may be gone before it is written.
  child.stdin.on('error', () => undefined).end(input)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('utf8')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8')
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  await rm(folder, { recursive: true, force: true })
  return { code, stdout, stderr }
}
