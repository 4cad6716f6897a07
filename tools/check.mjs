/**
 * `npm run check`: everything that judges the source without running the product.
 *
 * One line per part and a verdict; the output of a part is shown only when it fails, its lines that
 * begin with `note` always. Each file in
 * `tools/check/` is a further part: it fails by a non-zero exit.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, runNode, runTool } from './run.mjs'

const PART_TIMEOUT_MS = 10 * 60_000
const options = { capture: true, timeoutMs: PART_TIMEOUT_MS }

const PARTS = [
  ['types', () => runTool('typescript', 'tsc', ['--noEmit', '-p', 'tsconfig.json'], options)],
  ['lint and format', () => runTool('@biomejs/biome', 'biome', ['ci', '.'], options)],
  ['unused code', () => runTool('knip', 'knip', ['--no-progress'], options)],
  [
    'import rules',
    () =>
      runTool('vitest', 'vitest', ['run', '--reporter=dot', 'test/architecture.test.ts'], options),
  ],
  ...furtherParts(),
]

function furtherParts() {
  return readdirSync(join(ROOT, 'tools', 'check'))
    .filter((file) => file.endsWith('.mjs'))
    .sort()
    .map((file) => [
      file.slice(0, -'.mjs'.length).replaceAll('-', ' '),
      () => runNode([join('tools', 'check', file)], options),
    ])
}

const failed = []
for (const [name, part] of PARTS) {
  const startedMs = performance.now()
  const { status, output } = part()
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1)
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`)
  for (const line of output.split('\n')) if (line.startsWith('note ')) console.log(`     ${line}`)
  if (status === 0) continue
  failed.push(name)
  console.log(output.trimEnd())
}
console.log(failed.length === 0 ? 'check passed' : `check failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
