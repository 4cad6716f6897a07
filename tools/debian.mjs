/**
 * Debian packages that the tests talk to: real browser, real proxy, real Python client.
 *
 * Installs what is missing when it may (root, apt-get), else names each missing package loudly. A
 * test that needs one is skipped on a laptop and fails with CI=true (test/kit/needs.ts).
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const PACKAGES = [
  { name: 'chromium', present: () => onPath('chromium'), why: 'test/browser' },
  { name: 'nginx-light', present: () => onPath('nginx'), why: 'the baseline of bench and flows' },
  { name: 'python3', present: () => onPath('python3'), why: 'test/clients' },
  { name: 'golang-go', present: hasGo, why: 'test/vectors' },
  { name: 'python3-venv', present: hasVenv, why: 'test/clients' },
]

const INSTALL_TIMEOUT_MS = 15 * 60_000

/** Installs the packages of the table that are neither installed nor found on the path. */
export function installDebianPackages() {
  const missing = PACKAGES.filter((entry) => !entry.present() && !isInstalled(entry.name))
  if (missing.length === 0) return
  const names = missing.map((entry) => entry.name)
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    process.stderr.write(`postern: installing Debian packages: ${names.join(', ')}\n`)
    aptGet(['update', '-q'])
    aptGet(['install', '-q', '-y', '--no-install-recommends', ...names])
  }
  for (const entry of missing) {
    if (entry.present() || isInstalled(entry.name)) continue
    process.stderr.write(
      `\npostern: MISSING ${entry.name}: ${entry.why} cannot run. Try: sudo apt-get install ${entry.name}\n\n`,
    )
  }
}

function aptGet(command) {
  return spawnSync('apt-get', command, {
    stdio: ['ignore', 2, 2],
    timeout: INSTALL_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  }).status
}

function isInstalled(name) {
  const answer = spawnSync('dpkg-query', ['-s', name], { encoding: 'utf8' })
  return answer.status === 0 && /^Status: .* installed$/m.test(answer.stdout)
}

function hasGo() {
  return onPath('go') || existsSync('/usr/local/go/bin/go')
}

/** Debian splits `ensurepip` off python3; without it `python3 -m venv` makes no usable folder. */
function hasVenv() {
  return spawnSync('python3', ['-c', 'import ensurepip, venv'], { stdio: 'ignore' }).status === 0
}

function onPath(command) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
  return folders.some((folder) => existsSync(join(folder, command)))
}
