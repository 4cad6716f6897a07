/**
 * Runs mutants: each in memory, against the tests that reach it, until one fails.
 *
 * The packages work on a copy of the tree in `.cache/`, so the working tree is never changed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Mutant, placeKey } from './mutants.ts'
import { load } from './packages.ts'

const WORKERS = 2
/** Of one mutant, over the time its tests take without it. */
const TIMEOUT_MS = 20_000
const TIMEOUT_FACTOR = 3
const DRY_RUN_DEADLINE_MINUTES = 15
/** The last: the packages would rewrite it with a TypeScript that has an interface for programs. */
const NOT_IN_THE_COPY = ['.cache', '.postern', 'coverage', 'dist', 'test/workerd', 'tsconfig*.json']

export interface Result {
  readonly mutant: Mutant
  /** `Survived` and `NoCoverage` are the bad ones. */
  readonly state: string
  readonly elapsedMs: number
}

interface Outcome {
  readonly fileName: string
  /** Counts from 1, unlike before. */
  readonly location: Pick<Mutant, 'start' | 'end'>
  readonly replacement: string
  readonly status: string
  readonly duration?: number
}

type Stryker = new (options: object) => { runMutationTest(): Promise<readonly Outcome[]> }

export async function runMutants(
  packages: string,
  mutants: readonly Mutant[],
): Promise<readonly Result[]> {
  const { Stryker } = await load<{ Stryker: Stryker }>(
    packages,
    '@stryker-mutator/core/dist/src/index.js',
  )
  const work = mkdtempSync(join('.cache', 'mutants-'))
  const sampleFile = join(process.cwd(), work, 'sample.json')
  const keys = mutants.map((mutant) =>
    placeKey({ ...mutant, file: join(process.cwd(), mutant.file) }),
  )
  writeFileSync(sampleFile, JSON.stringify(keys))
  try {
    const outcomes = await new Stryker(
      settings(packages, { mutants, sampleFile, work }),
    ).runMutationTest()
    return paired(mutants, outcomes)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function settings(
  packages: string,
  { mutants, sampleFile, work }: { mutants: readonly Mutant[]; sampleFile: string; work: string },
): object {
  const plugin = join(packages, 'node_modules/@stryker-mutator/vitest-runner/dist/src/index.js')
  return {
    mutate: mutants.map(range),
    testRunner: 'vitest',
    vitest: { configFile: 'tools/mutation/vitest.config.ts', related: true, pool: 'threads' },
    plugins: [plugin, join(import.meta.dirname, 'only-sample.mjs')],
    checkers: ['only-sample'],
    postern: { sampleFile },
    concurrency: WORKERS,
    coverageAnalysis: 'perTest',
    timeoutMS: TIMEOUT_MS,
    timeoutFactor: TIMEOUT_FACTOR,
    dryRunTimeoutMinutes: DRY_RUN_DEADLINE_MINUTES,
    tempDirName: join(work, 'tree'),
    ignorePatterns: NOT_IN_THE_COPY,
    disableTypeChecks: false,
    reporters: process.stderr.isTTY ? ['progress'] : ['progress-append-only'],
    logLevel: 'info',
    thresholds: { high: 100, low: 0, break: null },
    warnings: { unknownOptions: false, slow: false },
    allowConsoleColors: false,
  }
}

/** The packages' form of a place: lines from 1, columns from 0. */
function range({ file, start, end }: Mutant): string {
  return `${file}:${start.line + 1}:${start.column}-${end.line + 1}:${end.column}`
}

function paired(mutants: readonly Mutant[], outcomes: readonly Outcome[]): readonly Result[] {
  const byPlace = new Map(
    outcomes.map((outcome) => {
      const { fileName, location, replacement } = outcome
      const file = relative(process.cwd(), fileName).replaceAll('\\', '/')
      const [start, end] = [fromZero(location.start), fromZero(location.end)]
      return [placeKey({ file, start, end, replacement }), outcome]
    }),
  )
  return mutants.map((mutant) => {
    const outcome = byPlace.get(placeKey(mutant))
    return { mutant, state: outcome?.status ?? 'Lost', elapsedMs: outcome?.duration ?? 0 }
  })
}

function fromZero({ line, column }: Mutant['start']): Mutant['start'] {
  return { line: line - 1, column: column - 1 }
}
