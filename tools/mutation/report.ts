/**
 * What a run says: the score of each folder, and the changes that no test noticed.
 *
 * The score is the part of the mutants that failed a test or made it hang. Mutants listed in
 * `equivalent.json` cannot be noticed; they are left out of `score` and counted in `rawScore`.
 */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import type { Mutant } from './mutants.ts'
import type { Result } from './run.ts'

export const SCORE_BAR_PERCENT = 85
const SHOWN_LENGTH_MAX = 100
/** `RuntimeError`: the change breaks the module before a test can judge it, so every test fails. */
const DETECTED = ['Killed', 'Timeout', 'RuntimeError']

/** A change that makes no difference, found again by its line of source and what it replaces. */
interface Equivalent {
  readonly file: string
  readonly line: string
  readonly original: string
  readonly replacement: string
  readonly reason: string
}

interface Score {
  readonly mutants: number
  readonly detected: number
  readonly equivalent: number
  /** Percent, one decimal: detected of those that are not equivalent. */
  readonly score: number
  readonly rawScore: number
}

interface Survivor {
  readonly place: string
  readonly original: string
  readonly replacement: string
  readonly state: string
}

export interface Report extends Score {
  readonly date: string
  readonly node: string
  readonly processors: number
  readonly seed: number
  /** How many mutants there are in all. */
  readonly existing: number
  readonly elapsedSeconds: number
  readonly folders: Readonly<Record<string, Score>>
  readonly survivors: readonly Survivor[]
  readonly equivalents: readonly (Survivor & { readonly reason: string })[]
}

export function reportOf(
  results: readonly Result[],
  run: Pick<Report, 'seed' | 'existing' | 'elapsedSeconds'>,
): Report {
  const known = readEquivalents()
  const unnoticed = results.filter(({ state }) => !DETECTED.includes(state))
  const equivalents = unnoticed.flatMap((result) => {
    const reason = reasonOf(result.mutant, known)
    return reason === undefined ? [] : [{ ...survivor(result), reason }]
  })
  const survivors = unnoticed.filter(({ mutant }) => reasonOf(mutant, known) === undefined)
  const folders = Map.groupBy(results, ({ mutant }) => dirname(mutant.file))
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    processors: cpus().length,
    ...run,
    ...scoreOf(results, known),
    folders: Object.fromEntries(
      [...folders].sort().map(([folder, part]) => [folder, scoreOf(part, known)]),
    ),
    survivors: survivors.map(survivor).toSorted(byPlace),
    equivalents: equivalents.toSorted(byPlace),
  }
}

function scoreOf(results: readonly Result[], known: readonly Equivalent[]): Score {
  const detected = results.filter(({ state }) => DETECTED.includes(state)).length
  const equivalent = results.filter(
    ({ state, mutant }) => !DETECTED.includes(state) && reasonOf(mutant, known) !== undefined,
  ).length
  return {
    mutants: results.length,
    detected,
    equivalent,
    score: percent(detected, results.length - equivalent),
    rawScore: percent(detected, results.length),
  }
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.floor((part * 1_000) / whole) / 10
}

function reasonOf(mutant: Mutant, known: readonly Equivalent[]): string | undefined {
  return known.find(
    ({ file, line, original, replacement }) =>
      file === mutant.file &&
      line === mutant.sourceLine &&
      original === short(mutant.original) &&
      replacement === short(mutant.replacement),
  )?.reason
}

function readEquivalents(): readonly Equivalent[] {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'equivalent.json'), 'utf8'))
}

function survivor({ mutant, state }: Result): Survivor {
  return {
    place: `${mutant.file}:${mutant.start.line + 1}`,
    original: short(mutant.original),
    replacement: short(mutant.replacement),
    state,
  }
}

function byPlace(one: Survivor, other: Survivor): number {
  return one.place.localeCompare(other.place, 'en', { numeric: true })
}

function short(code: string): string {
  const line = code.replace(/\s+/g, ' ').trim()
  return line.length <= SHOWN_LENGTH_MAX ? line : `${line.slice(0, SHOWN_LENGTH_MAX)} ...`
}

export function text(report: Report): string {
  const rows = Object.entries({ ...report.folders, all: report }).map(
    ([name, { mutants, detected, equivalent, score, rawScore }]) =>
      `${name.padEnd(12)} ${score} % (${detected} of ${mutants}, ${equivalent} equivalent; ${rawScore} % raw)`,
  )
  const survivors = report.survivors.map(
    ({ place, original, replacement, state }) =>
      `${state === 'Survived' ? '' : `${state}: `}${place}\n  - ${original}\n  + ${replacement}`,
  )
  const run = `seed ${report.seed}, ${report.existing} mutants exist, took ${report.elapsedSeconds} s`
  return `${[...survivors, ...rows, run].join('\n')}\n`
}
