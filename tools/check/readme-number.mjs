/**
 * The number of README's first screen is the one that was measured last: `docs/results/compare.json`,
 * the last line of `npm start -- --once --json`.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../run.mjs'

const { before, postern } = JSON.parse(
  readFileSync(join(ROOT, 'docs', 'results', 'compare.json'), 'utf8'),
)
const whole = (ms) => Math.round(ms).toLocaleString('en')
const expected = `**${whole(before.p50Ms)} ms -> ${whole(postern.p50Ms)} ms** per call`
if (!readFileSync(join(ROOT, 'README.md'), 'utf8').includes(expected)) {
  console.error(`README.md must say: ${expected}`)
  process.exitCode = 1
}
