/**
 * Judges the package as npm would publish it: built, packed, then publint, the declaration check for
 * ESM users, and our own rule that nothing of the repository's tooling goes out.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT, runNode, runTool } from '../run.mjs'

const folder = mkdtempSync(join(tmpdir(), 'postern-pack-'))
try {
  process.exitCode = judge() ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function judge() {
  if (runNode(['tools/build.mjs']).status !== 0) return false
  const packed = spawnSync(
    'npm',
    ['pack', '--ignore-scripts', '--json', '--pack-destination', folder],
    { cwd: ROOT, encoding: 'utf8', shell: process.platform === 'win32' },
  )
  if (packed.status !== 0) {
    console.error(packed.stderr)
    return false
  }
  const tarball = join(folder, packedFile(packed.stdout))
  const lint = runTool('publint', 'publint', ['run', tarball, '--strict'])
  const types = runTool('@arethetypeswrong/cli', 'attw', [tarball, '--profile', 'esm-only'])
  return lint.status === 0 && types.status === 0 && manifestIsClean(tarball)
}

/** npm 10 answers a list, npm 11 and later may answer an object by package name. */
function packedFile(json) {
  const answer = JSON.parse(json)
  const [entry] = Array.isArray(answer) ? answer : Object.values(answer)
  return entry.filename
}

function manifestIsClean(tarball) {
  const unpacked = spawnSync('tar', ['-xOf', tarball, 'package/package.json'], { encoding: 'utf8' })
  const manifest = JSON.parse(unpacked.stdout)
  const leaks = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }).filter(
    (name) => name.startsWith('node-'),
  )
  for (const name of leaks) console.error(`the published package would depend on ${name}`)
  return leaks.length === 0
}
