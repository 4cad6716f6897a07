/**
 * `postern serve` as a child process on one data folder, to be killed and started again. Everything
 * that it ever wrote to its outputs is kept, to be searched.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ENTRY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const READY_DEADLINE_MS = 60_000
/** What opens the sealed values; everything else in the folder may be read by anybody. */
const KEY_FILE = 'sealing-key'

export interface Served {
  /** Holds the database and its key; the configuration is elsewhere. */
  readonly dataFolder: string
  readonly databasePath: string
  /** Both outputs of all runs. */
  readonly output: () => string
  start(): Promise<void>
  /** SIGKILL to its own pid; resolves when it is gone. */
  kill(): Promise<void>
  stop(): Promise<void>
  /** Files of the data folder but the sealing key. */
  files(): Promise<readonly { readonly name: string; readonly bytes: Buffer }[]>
  close(): Promise<void>
}

export async function prepareServed(
  config: (databaseUrl: string) => Readonly<Record<string, unknown>>,
): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-served-'))
  const dataFolder = join(folder, 'data')
  await mkdir(dataFolder)
  const databasePath = join(dataFolder, 'postern.db')
  const file = join(folder, 'postern.config.json')
  await writeFile(file, JSON.stringify(config(`sqlite:${databasePath}`)))
  let output = ''
  let child: ChildProcess | undefined
  let gone: Promise<void> = Promise.resolve()
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child?.kill(signal)
    await gone
    child = undefined
  }
  return {
    dataFolder,
    databasePath,
    output: () => output,
    async start() {
      const { PATH, HOME, TMPDIR } = process.env
      const started = spawn(process.execPath, [ENTRY, 'serve', '--config', file], {
        cwd: folder,
        env: { PATH, HOME, TMPDIR, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      child = started
      gone = new Promise((resolve) => started.once('close', () => resolve()))
      await new Promise<void>((resolve, reject) => {
        let seen = ''
        const fail = (why: string): void =>
          reject(new Error(`serve ${why}:\n${seen.slice(-2_000)}`))
        const timer = setTimeout(() => fail('was not ready in time'), READY_DEADLINE_MS)
        const read = (chunk: Buffer): void => {
          output += chunk.toString('latin1')
          if (seen.length < 1_000_000) seen += chunk.toString('latin1')
          if (/^ready /m.test(seen)) {
            clearTimeout(timer)
            resolve()
          }
        }
        started.stdout.on('data', read)
        started.stderr.on('data', read)
        started.once('close', (code) => {
          clearTimeout(timer)
          fail(`ended (${code})`)
        })
      })
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async files() {
      const names = (await readdir(dataFolder)).filter((name) => name !== KEY_FILE)
      return await Promise.all(
        names.map(async (name) => ({ name, bytes: await readFile(join(dataFolder, name)) })),
      )
    },
    async close() {
      await end('SIGTERM')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
