/** Writes `docs/results/test-long.md`: what the last full run of the tests said, file by file. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './run.mjs'

export function writeLongReport(files, total, elapsedMs) {
  const folder = join(ROOT, 'docs', 'results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'test-long.md'), reportText(files, total, elapsedMs))
}

function reportText(files, total, elapsedMs) {
  const rows = files
    .toSorted((one, other) => one.name.localeCompare(other.name))
    .map((file) => `| ${file.name} | ${counts(file)} | ${(file.elapsedMs / 1_000).toFixed(1)} |`)
  return [
    '# Long test run',
    '',
    'Written by `npm run test:long`: counts in tests have their full value.',
    '',
    `Commit ${commit()}, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ` +
      `${process.platform} ${process.arch}, ${cpus().length} cores, ${Math.round(elapsedMs / 1_000)} s.`,
    '',
    '| file | passed | failed | skipped | seconds |',
    '|---|---|---|---|---|',
    ...rows,
    `| all | ${counts(total)} | ${Math.round(elapsedMs / 1_000)} |`,
    '',
  ].join('\n')
}

function counts({ passed, failed, skipped }) {
  return `${passed} | ${failed} | ${skipped}`
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: ROOT,
      encoding: 'utf8',
    }).trim()
  } catch {
    return 'unknown'
  }
}
