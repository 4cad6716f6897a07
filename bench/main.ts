/**
 * `npm run bench -- ID... [--json] [--write]`; `all` runs every row. With `--json` the last line of
 * each row is its figures, bars and verdict. Exit 0: every "must" holds; 1: one is missed; 2: usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { closeAll } from './children.ts'
import { type Benchmark, type Line, lineOf, table } from './report.ts'
import { P11, P12, P15 } from './rows/connecting.ts'
import { P13, P14 } from './rows/discovery.ts'
import { P4, P21 } from './rows/exchanges.ts'
import { P19 } from './rows/flood.ts'
import { A16, D3 } from './rows/floods.ts'
import { P8 } from './rows/go-proxy.ts'
import { P5 } from './rows/oauth-proxy.ts'
import { P1, P3 } from './rows/protect.ts'
import { P6, P7 } from './rows/proxy.ts'
import { P16, P18 } from './rows/scale.ts'
import { P20 } from './rows/start.ts'
import { P9, P10 } from './rows/streams.ts'
import { W1 } from './rows/workers.ts'

const ROWS: readonly Benchmark[] = [
  P1,
  P3,
  P4,
  P5,
  P6,
  P7,
  P8,
  P9,
  P10,
  P11,
  P12,
  P13,
  P14,
  P15,
  P16,
  P18,
  P19,
  P20,
  P21,
  A16,
  D3,
  W1,
]
const FLAGS = ['--json', '--write']
const RESULTS = new URL('../docs/results/bench.json', import.meta.url)

process.exitCode = await main(process.argv.slice(2))

async function main(words: readonly string[]): Promise<number> {
  const flags = words.filter((word) => word.startsWith('--'))
  const ids = words.filter((word) => !word.startsWith('--')).map((word) => word.toUpperCase())
  const rows = ids.includes('ALL') ? ROWS : ROWS.filter(({ id }) => ids.includes(id))
  const unknown = [
    ...flags.filter((flag) => !FLAGS.includes(flag)),
    ...ids.filter((id) => id !== 'ALL' && !ROWS.some((row) => row.id === id)),
  ]
  if (rows.length === 0 || unknown.length > 0) {
    const known = ROWS.map(({ id }) => id).join(', ')
    process.stderr.write(
      `${unknown.map((word) => `unknown: ${word}\n`).join('')}Usage: npm run bench -- ID... [--json] [--write]\nIDs: ${known}, or all\n`,
    )
    return 2
  }
  const lines: Line[] = []
  for (const row of rows) lines.push(await runRow(row, flags.includes('--json')))
  if (flags.includes('--write')) write(lines)
  return lines.every(({ pass }) => pass) ? 0 : 1
}

async function runRow(row: Benchmark, json: boolean): Promise<Line> {
  const startedMs = performance.now()
  try {
    const report = await row.run()
    const line = lineOf(row.id, report)
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0)
    process.stdout.write(`${table(row.id, row.title, report)}\n  took ${seconds} s\n`)
    if (json) process.stdout.write(`${JSON.stringify(line)}\n`)
    return line
  } catch (error) {
    // A row that cannot run has missed its bars; the others still run.
    process.stderr.write(
      `${row.id} failed: ${error instanceof Error ? error.stack : String(error)}\n`,
    )
    const line = { id: row.id, figures: {}, must: {}, aim: {}, control: {}, pass: false }
    if (json) process.stdout.write(`${JSON.stringify(line)}\n`)
    return line
  } finally {
    await closeAll()
  }
}

function write(lines: readonly Line[]): void {
  const machine = {
    node: process.version,
    processors: cpus().length,
    model: cpus()[0]?.model ?? '',
  }
  mkdirSync(new URL('.', RESULTS), { recursive: true })
  const date = new Date().toISOString().slice(0, 10)
  writeFileSync(RESULTS, `${JSON.stringify({ date, machine, rows: lines }, undefined, 2)}\n`)
  process.stdout.write(`written to ${fileURLToPath(RESULTS)}\n`)
}
