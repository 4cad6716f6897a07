/**
 * The numbers of README's first screen are those that were measured last: `docs/results/compare.json`,
 * the last line of `npm start -- --once --json`.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../run.mjs'

const { before, postern, initiation } = JSON.parse(
  readFileSync(join(ROOT, 'docs', 'results', 'compare.json'), 'utf8'),
)
const whole = (ms) => Math.round(ms).toLocaleString('en')
const { plainFetchMs, warmMs } = initiation
const expected = [
  `**${whole(before.p50Ms)} ms -> ${whole(postern.p50Ms)} ms** per call`,
  `**${whole(plainFetchMs)} ms -> ${whole(warmMs)} ms** per click`,
]
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
for (const words of expected) {
  if (readme.includes(words)) continue
  console.error(`README.md must say: ${words}`)
  process.exitCode = 1
}
