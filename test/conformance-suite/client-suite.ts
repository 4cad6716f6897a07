/**
 * Runs one client scenario of the official conformance suite with our client program, the suite in a
 * process of its own and the program in another, and reads the checks that it wrote.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProcess } from '../kit/process.ts'
import type { Check } from './suite.ts'

const PACKAGE = new URL('../../node_modules/@modelcontextprotocol/conformance/', import.meta.url)
const PROGRAM = fileURLToPath(new URL('client-program.ts', import.meta.url))
const ORIGINS = new URL('client-origins.ts', import.meta.url).href
const CLIENT_DEADLINE_MS = 45_000
const SUITE_DEADLINE_MS = 60_000

/** Suite and program are two processes, mostly waiting for each other. */
const RUNS_MAX = 2

export interface ClientRun {
  /** Without the log of requests and answers. */
  readonly checks: readonly Check[]
  /** What suite and program said, for a failure's text. */
  readonly output: string
  /** 0 only when the suite itself calls the run a success. */
  readonly exitCode: number | null
}

/** @param extension A scenario outside of the revisions, played at this one's wire. */
export async function runClientScenario(
  scenario: string,
  revision: string,
  extension: boolean,
): Promise<ClientRun> {
  const leave = await enter()
  try {
    return await runNow(scenario, revision, extension)
  } finally {
    leave()
  }
}

let running = 0
const waiting: (() => void)[] = []

/** Waits for a place; what it gives frees the place. */
async function enter(): Promise<() => void> {
  if (running >= RUNS_MAX) await new Promise<void>((resolve) => waiting.push(resolve))
  else running += 1
  return () => {
    const next = waiting.shift()
    if (next === undefined) running -= 1
    else next()
  }
}

async function runNow(scenario: string, revision: string, extension: boolean): Promise<ClientRun> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-client-'))
  try {
    const { code, output } = await runProcess({
      name: `conformance client ${scenario}`,
      command: process.execPath,
      args: [
        '--import',
        ORIGINS,
        fileURLToPath(new URL('dist/index.js', PACKAGE)),
        'client',
        '--command',
        `${process.execPath} ${PROGRAM}`,
        '--scenario',
        scenario,
        '--spec-version',
        revision,
        ...(extension ? ['--force'] : []),
        '--timeout',
        String(CLIENT_DEADLINE_MS),
        '--output-dir',
        folder,
      ],
      env: { NO_COLOR: '1' },
      deadlineMs: SUITE_DEADLINE_MS,
    })
    return { checks: await readChecks(folder, output), output, exitCode: code }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readChecks(folder: string, output: string): Promise<readonly Check[]> {
  const files = await readdir(folder, { recursive: true })
  const file = files.find((name) => name.endsWith('checks.json'))
  if (file === undefined) throw new Error(`the suite ran nothing:\n${output.slice(-2_000)}`)
  const checks = JSON.parse(await readFile(join(folder, file), 'utf8')) as readonly Check[]
  return checks.filter(({ id }) => !/^(incoming|outgoing)-/.test(id))
}

/** Client scenarios of the authorization part that a revision requires, by the suite's own file. */
export async function requiredScenarios(revision: string): Promise<readonly string[]> {
  const text = await readFile(new URL(`requirements/${revision}.yaml`, PACKAGE), 'utf8')
  const list = /^client:\n((?: {2}- .*\n)+)/m.exec(text)?.[1] ?? ''
  return list
    .split('\n')
    .map((line) => line.replace('  - ', ''))
    .filter((name) => name.startsWith('auth/'))
}

/** Those that it runs and does not score. */
export async function unscoredScenarios(revision: string): Promise<readonly string[]> {
  const text = await readFile(new URL(`requirements/${revision}.yaml`, PACKAGE), 'utf8')
  const found = text.matchAll(/^ {2}- scenario: (auth\/\S+)\n {4}leg: client$/gm)
  return [...found].map(([, name = '']) => name)
}
