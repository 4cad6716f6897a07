/**
 * Runs the official conformance suite as its users do (its own command) and reads what it wrote.
 *
 * The exit code proves nothing: a suite that ran no scenario ends with 0 as well. What counts are
 * the check files, compared by scenario and check id.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RunningProcess, runProcess, startProcess } from '../kit/process.ts'

const ENTRY = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url),
)
const SUITE_DEADLINE_MS = 240_000
/** `server-tools-list-2026-11-21T13-50-44-150Z`: the time is not part of the scenario. */
const FOLDER = /^(?:server-|authorization-server-|authorization-)?(.+?)-\d{4}-\d\d-\d\dT[\d-]+Z$/

export type Revision = '2025-11-25' | '2026-07-28'

export interface Check {
  readonly id: string
  readonly name: string
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO'
  readonly description?: string
  readonly errorMessage?: string
}

/** Scenario -> its checks, sorted by id and name. */
export type Results = Readonly<Record<string, readonly Check[]>>

/** All server scenarios that a revision requires or reports, at that revision's wire. */
export async function runServerSuite(url: string, revision: Revision): Promise<Results> {
  return await inFolder(async (folder) => {
    const { output } = await runProcess({
      ...command('server', '--url', url, '--requirements', revision, '--output-dir', folder),
      deadlineMs: SUITE_DEADLINE_MS,
    })
    return await readResults(folder, output)
  })
}

/**
 * Both authorization-server scenarios in one run, for they share what the first one fetched.
 *
 * @param visit Is given the URL that the suite asks a person to open.
 */
export async function runAuthorizationSuite(
  options: { issuer: string; clientId: string; resource: string; port: number },
  visit: (url: string) => Promise<unknown>,
): Promise<Results> {
  return await inFolder(async (folder) => {
    const suite: RunningProcess = startProcess(
      command(
        'authorization',
        '--url',
        options.issuer,
        '--client-id',
        options.clientId,
        '--resource',
        options.resource,
        '--port',
        String(options.port),
        '--output-dir',
        folder,
      ),
    )
    try {
      const line = await suite.line(/^(https?:\/\/\S+[?&]code_challenge=\S+)/)
      await visit(line[1] ?? '')
      await suite.exited
      return await readResults(folder, suite.lines.join('\n'))
    } finally {
      await suite.stop()
    }
  })
}

function command(...args: readonly string[]) {
  return {
    name: 'conformance',
    command: process.execPath,
    args: [ENTRY, ...args],
    env: { NO_COLOR: '1' },
  }
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readResults(folder: string, output: string): Promise<Results> {
  const results: Record<string, readonly Check[]> = {}
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith('checks.json')) continue
    const scenario = FOLDER.exec(entry.split('/').at(-2) ?? '')?.[1]
    if (scenario === undefined) throw new Error(`unknown result folder ${entry}`)
    const checks = JSON.parse(await readFile(join(folder, entry), 'utf8')) as Check[]
    results[scenario] = checks.toSorted((a, b) => key(a).localeCompare(key(b)))
  }
  if (Object.keys(results).length === 0)
    throw new Error(`the suite ran nothing:\n${output.slice(-2_000)}`)
  return results
}

function key(check: Check): string {
  return `${check.id} ${check.name}`
}

/** One line per check: what two runs must have in common. */
export function summarize(results: Results): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(results)
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([scenario, checks]) => [
        scenario,
        checks.map(({ id, name, status }) => `${id} ${name} ${status}`),
      ]),
  )
}

/** Distinct check ids per scenario: what the expectation file holds. */
export function checkIds(results: Results): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(results)
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([scenario, checks]) => [scenario, [...new Set(checks.map(({ id }) => id))].toSorted()]),
  )
}
