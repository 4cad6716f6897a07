/**
 * First step of every `npm run` task: it brings the machine to where the task can run, then runs it.
 *
 * Installs the packages when they differ from the lock file, finds Node 24, and for tests installs
 * the Debian packages they need when it may. No dependency, and it runs on Node 20 itself.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installDebianPackages } from './debian.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const NODE_MAJOR = 24

const TASKS = {
  start: { command: ['demo/main.ts'] },
  example: { command: ['examples/control-plane/run.ts'] },
  test: { command: ['tools/test.mjs'], debian: true },
  'test:long': { command: ['tools/test.mjs', '--long'], debian: true },
  bench: { command: ['bench/main.ts'], debian: true },
  mutation: { command: ['tools/mutation/main.ts'] },
  check: { command: ['tools/check.mjs'] },
  fix: { command: ['tools/fix.mjs'] },
  build: { command: ['tools/build.mjs'] },
}

const [name, ...rest] = process.argv.slice(2)
const task = TASKS[name]
if (task === undefined) {
  stop(`tools/bootstrap.mjs: unknown task '${name}'; one of ${Object.keys(TASKS).join(', ')}`)
}
if (!packagesMatchLock()) installPackages()
if (task.debian) installDebianPackages()
run(findNode(), [...task.command, ...rest])

/** True when each package the lock demands for this machine is installed in the locked version. */
function packagesMatchLock() {
  const installedFile = join(ROOT, 'node_modules', '.package-lock.json')
  if (!existsSync(installedFile)) return false
  const installed = readPackages(installedFile)
  const wanted = readPackages(join(ROOT, 'package-lock.json'))
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.link) return true
    if (installed[path] === undefined) return entry.optional === true || entry.peer === true
    return installed[path].version === entry.version
  })
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages
}

function installPackages() {
  say('installing packages (npm ci)')
  const done = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
    env: { ...withoutNpmSettings(), PATH: pathOutsideRepository() },
  })
  if (done.status !== 0) stop('npm ci failed: see the lines above')
}

/** `npm run` hands its own settings down as variables; an install must read them afresh. */
function withoutNpmSettings() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^npm_(package|lifecycle|command)/.test(key)),
  )
}

/** `npm run` puts `node_modules/.bin` first, and with it a `node` that `npm ci` is about to delete. */
function pathOutsideRepository() {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(join(ROOT, 'node_modules')))
    .join(delimiter)
}

function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return process.execPath
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const file = process.platform === 'win32' ? 'node.exe' : 'node'
  const path = join(ROOT, 'node_modules', `node-${platform}-${process.arch}`, 'bin', file)
  if (existsSync(path)) return path
  return stop(
    `Node ${NODE_MAJOR} or newer must be installed on ${process.platform} ${process.arch}; this is ${process.version}.`,
  )
}

function run(node, command) {
  const child = spawn(node, command, {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: [dirname(node), process.env.PATH].join(delimiter),
      ...oldNode(),
    },
  })
  // The terminal sends an interrupt to the child as well; this process only waits for its end.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => stop(`${node} cannot be started: ${error.message}`))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
  })
}

/** Tells the tests of the launcher where an old Node is, when this machine has one. */
function oldNode() {
  const file = process.platform === 'win32' ? 'node.exe' : 'node'
  const found = pathOutsideRepository()
    .split(delimiter)
    .map((folder) => join(folder, file))
    .find((path) => existsSync(path))
  if (found === undefined) return {}
  const answer = spawnSync(found, ['--print', 'process.versions.node'], { encoding: 'utf8' })
  return Number.parseInt(answer.stdout, 10) < NODE_MAJOR ? { POSTERN_TEST_OLD_NODE: found } : {}
}

function say(text) {
  process.stderr.write(`postern: ${text}\n`)
}

function stop(text) {
  say(text)
  process.exit(2)
}
