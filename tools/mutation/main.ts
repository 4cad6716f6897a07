/**
 * `npm run mutation [-- --seed N] [--count N] [--under FOLDER] [--json] [--write]`: how much the
 * tests notice.
 *
 * Changes one thing at a time in `src/oauth`, `src/issuer` and `src/vault`, in a seeded sample of all
 * the changes there are, and counts those that make a test fail. `--write` writes
 * `docs/results/mutation.json`. Exit 0: the score reaches the bar; 1: it does not; 2: usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { listMutants, sample } from './mutants.ts'
import { preparePackages } from './packages.ts'
import { reportOf, SCORE_BAR_PERCENT, text } from './report.ts'
import { runMutants } from './run.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const RESULTS = join(ROOT, 'docs', 'results')
const COUNT = 600
const SEED = 1
const USAGE =
  'Usage: npm run mutation -- [--seed N] [--count N] [--under src/FOLDER] [--json] [--write]\n'

process.chdir(ROOT)
process.exitCode = await main()

async function main(): Promise<number> {
  const options = readOptions()
  if (options === undefined) {
    process.stderr.write(USAGE)
    return 2
  }
  const packages = await preparePackages(ROOT)
  const startedMs = performance.now()
  const all = await listMutants(packages, options.under)
  const chosen = sample(all, options)
  process.stderr.write(`${chosen.length} of ${all.length} mutants\n`)
  const results = await runMutants(packages, chosen)
  const report = reportOf(results, {
    seed: options.seed,
    existing: all.length,
    elapsedSeconds: Math.round((performance.now() - startedMs) / 1_000),
  })
  process.stdout.write(text(report))
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  if (options.write) write(report)
  return report.score >= SCORE_BAR_PERCENT ? 0 : 1
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string', default: String(SEED) },
        count: { type: 'string', default: String(COUNT) },
        under: { type: 'string', multiple: true },
        json: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
      },
    })
    const [seed, count] = [Number(values.seed), Number(values.count)]
    if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || count < 1) return undefined
    return { ...values, seed, count }
  } catch {
    return undefined
  }
}

function write(report: object): void {
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, 'mutation.json')
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
  process.stdout.write(`written to ${file}\n`)
}
