/**
 * `npm test`: builds, runs every suite and adds up what they say in one last line.
 *
 * Fails when a test fails, when no test ran, and with CI=true when a test was skipped, because there
 * every real server must be there. Each file in `tools/suites/` is a further suite: it exports `name`
 * and `run({ long })`, which resolves to `{ passed, failed, skipped }`. Arguments are vitest filters.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { writeLongReport } from './long-report.mjs'
import { ROOT, runNode, runTool } from './run.mjs'

const parameters = process.argv.slice(2)
const long = parameters.includes('--long')
const filters = parameters.filter((parameter) => parameter !== '--long')
const ci = process.env.CI === 'true'
if (long) process.env.POSTERN_TEST_LONG = '1'

const startedMs = performance.now()
const files = [...runBuild(), ...runVitest(), ...(await runFurtherSuites())]
const total = sum(files)
if (long && filters.length === 0) writeLongReport(files, total, performance.now() - startedMs)
report()

function runBuild() {
  const { status } = runNode(['tools/build.mjs'])
  process.env.POSTERN_TEST_BUILT = status === 0 ? '1' : ''
  return status === 0 ? [] : [failedSuite('build')]
}

function runVitest() {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'))
  const outputFile = join(folder, 'report.json')
  try {
    const { status } = runTool('vitest', 'vitest', [
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${outputFile}`,
      ...filters,
    ])
    if (!existsSync(outputFile)) return [failedSuite('vitest')]
    const results = JSON.parse(readFileSync(outputFile, 'utf8')).testResults.map(readFile)
    // An error outside of any test ends vitest with a failure that no test carries.
    const unnoticed = status !== 0 && sum(results).failed === 0 && results.length > 0
    return unnoticed ? [...results, failedSuite('vitest (error outside of a test)')] : results
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function readFile(result) {
  const tests = result.assertionResults
  const count = (status) => tests.filter((test) => test.status === status).length
  const passed = count('passed')
  const failed = count('failed')
  const skippedNames = tests
    .filter((test) => test.status !== 'passed' && test.status !== 'failed')
    .map((test) => test.fullName)
  return {
    name: relative(ROOT, result.name).replaceAll('\\', '/'),
    passed,
    // A file that cannot be loaded has no test to fail, and counts as one.
    failed: failed === 0 && result.status === 'failed' ? 1 : failed,
    skipped: skippedNames.length,
    skippedNames,
    elapsedMs: result.endTime - result.startTime,
  }
}

async function runFurtherSuites() {
  const folder = join(ROOT, 'tools', 'suites')
  if (!existsSync(folder) || filters.length > 0) return []
  const suites = []
  for (const file of readdirSync(folder).sort()) {
    const suite = await import(pathToFileURL(join(folder, file)).href)
    const suiteStartedMs = performance.now()
    const counts = await suite.run({ long }).catch((error) => {
      console.error(error)
      return { passed: 0, failed: 1, skipped: 0 }
    })
    suites.push({
      name: suite.name,
      skippedNames: [],
      elapsedMs: performance.now() - suiteStartedMs,
      ...counts,
    })
  }
  return suites
}

function failedSuite(name) {
  return { name, passed: 0, failed: 1, skipped: 0, skippedNames: [], elapsedMs: 0 }
}

function sum(list) {
  const add = (key) => list.reduce((number, entry) => number + (entry[key] ?? 0), 0)
  return { passed: add('passed'), failed: add('failed'), skipped: add('skipped') }
}

function report() {
  for (const file of files) {
    if (file.failed > 0) console.log(`FAILED ${file.name}: ${file.failed}`)
    for (const name of file.skippedNames) console.log(`SKIPPED ${file.name}: ${name}`)
  }
  const { passed, failed, skipped } = total
  if (ci && skipped > 0)
    console.log('CI=true allows no skipped test: something real is missing here.')
  const ok = failed === 0 && passed > 0 && !(ci && skipped > 0)
  process.exitCode = ok ? 0 : 1
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
}
