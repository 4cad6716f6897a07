/**
 * Which mutants there are, and which of them a seed draws.
 *
 * A mutant is drawn by the digest of the seed and of what it changes, not by its line, so the sample
 * of a seed stays the same while other lines come and go.
 */
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { load } from './packages.ts'

export const FOLDERS = ['src/issuer', 'src/oauth', 'src/vault'] as const

/** Lines and columns count from 0. */
export interface Place {
  readonly line: number
  readonly column: number
}

export interface Mutant {
  /** From the root of the repository. */
  readonly file: string
  readonly start: Place
  readonly end: Place
  readonly replacement: string
  readonly operator: string
  /** The replaced source text. */
  readonly original: string
  /** The whole first line it stands in. */
  readonly sourceLine: string
}

interface Instrumented {
  readonly fileName: string
  readonly location: { readonly start: Place; readonly end: Place }
  readonly mutatorName: string
  readonly replacement: string
}

type Instrumenter = new (
  log: object,
) => {
  instrument(
    files: readonly { name: string; mutate: boolean; content: string }[],
    options: object,
  ): Promise<{ readonly mutants: readonly Instrumented[] }>
}

const SILENT = { debug() {}, info() {}, warn() {}, isDebugEnabled: () => false }

/** Every mutant of the code under `under`, without the tests, in the order of the source. */
export async function listMutants(
  packages: string,
  under: readonly string[] = FOLDERS,
): Promise<readonly Mutant[]> {
  const module = await load<{ Instrumenter: Instrumenter }>(
    packages,
    '@stryker-mutator/instrumenter/dist/src/index.js',
  )
  const files = under
    .flatMap((path) => (path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.ts`)))
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.endsWith('.test.ts'))
    .sort()
    .map((name) => ({ name, mutate: true, content: readFileSync(name, 'utf8') }))
  const { mutants } = await new module.Instrumenter(SILENT).instrument(files, {
    ignorers: [],
    excludedMutations: [],
    plugins: null,
  })
  const lines = new Map(files.map(({ name, content }) => [name, content.split('\n')]))
  return mutants.map((mutant) => described(mutant, lines.get(mutant.fileName) ?? []))
}

function described(mutant: Instrumented, lines: readonly string[]): Mutant {
  const { start, end } = mutant.location
  return {
    file: mutant.fileName,
    start,
    end,
    replacement: mutant.replacement,
    operator: mutant.mutatorName,
    original: textBetween(lines, start, end),
    sourceLine: (lines[start.line] ?? '').trim(),
  }
}

function textBetween(lines: readonly string[], start: Place, end: Place): string {
  return lines
    .slice(start.line, end.line + 1)
    .map((line, index, part) => (index === part.length - 1 ? line.slice(0, end.column) : line))
    .map((line, index) => (index === 0 ? line.slice(start.column) : line))
    .join('\n')
}

/** Same place and same change: how a mutant is found again in another list. */
export function placeKey(mutant: Pick<Mutant, 'file' | 'start' | 'end' | 'replacement'>): string {
  const { file, start, end, replacement } = mutant
  return JSON.stringify([file, start.line, start.column, end.line, end.column, replacement])
}

/** The `count` mutants that `seed` draws, all of them when there are fewer. */
export function sample(
  mutants: readonly Mutant[],
  { seed, count }: { readonly seed: number; readonly count: number },
): readonly Mutant[] {
  const seen = new Map<string, number>()
  const drawn = mutants.map((mutant) => {
    const { file, sourceLine, original, replacement } = mutant
    const change = JSON.stringify([file, sourceLine, original, replacement])
    const occurrence = seen.get(change) ?? 0
    seen.set(change, occurrence + 1)
    const digest = createHash('sha256').update(`${seed}\n${occurrence}\n${change}`).digest('hex')
    return { mutant, digest }
  })
  return drawn
    .toSorted((one, other) => (one.digest < other.digest ? -1 : 1))
    .slice(0, count)
    .map(({ mutant }) => mutant)
}
