/**
 * The product itself as a child process, as a user starts it: `serve --config <file>` on the Node
 * that runs the tests, in a folder of its own (database, sealing key), ready when it says so.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProcess } from './process.ts'

const ENTRY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const READY_DEADLINE_MS = 30_000

export interface ServedPostern {
  readonly issuer: string
  readonly lines: readonly string[]
  readonly folder: string
  close(): Promise<void>
}

/**
 * @param config What the file holds. `issuer` and `listen.port` must agree; see `freePort`.
 * @param env Secrets that the file names with `env:`.
 */
export async function servePostern(
  config: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string>> = {},
): Promise<ServedPostern> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-'))
  const file = join(folder, 'postern.config.json')
  await writeFile(file, JSON.stringify(config))
  const child = startProcess({
    name: 'postern serve',
    command: process.execPath,
    args: [ENTRY, 'serve', '--config', file],
    cwd: folder,
    env: { NO_COLOR: '1', ...env },
  })
  const close = async (): Promise<void> => {
    await child.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const ready = await child.line(/^ready (\S+)/, READY_DEADLINE_MS)
    return { issuer: ready[1] ?? '', lines: child.lines, folder, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A port that was free on the loopback a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
