/**
 * Keeps the lock files complete for every platform and free of hosts. npm leaves out optional
 * packages that it could not look up, and `npm ci` then refuses the lock elsewhere. Their versions
 * are exact in the package that wants them, and their platform is in their name, so they are written
 * from there.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './run.mjs'

const FILES = [
  'package-lock.json',
  'test/clients/programs/package-lock.json',
  'test/workerd/programs/package-lock.json',
  'tools/mutation/package-lock.json',
]
const PLATFORM =
  /-(android|darwin|freebsd|linux|openharmony|win32|windows)-(arm64|arm|ia32|ppc64|riscv64|s390x|x64|64)(?:-(gnu|musl|msvc|eabi)\w*)?$/
/** As workerd names its packages. */
const NAMES = { windows: 'win32', 64: 'x64' }
const LIBC = { gnu: 'glibc', musl: 'musl' }

/** Faults of the lock files, one line each. */
export function lockFaults() {
  return FILES.flatMap((file) => faultsOf(file).map((fault) => `${file}: ${fault}`))
}

function faultsOf(file) {
  const { packages } = readLock(file)
  const hosts = Object.entries(packages)
    .filter(([, entry]) => /^https?:/.test(entry.resolved ?? ''))
    .map(([path]) => `${path} records where it was downloaded from`)
  const missing = missingPackages(packages).map(
    ({ path, wantedBy }) => `${path} is missing, wanted by ${wantedBy}`,
  )
  return [...hosts, ...missing]
}

/** Adds what is missing. @throws When a version or a platform cannot be told from the lock alone. */
export function completeLock() {
  for (const file of FILES) completeFile(file)
}

function completeFile(file) {
  const lock = readLock(file)
  const missing = missingPackages(lock.packages)
  if (missing.length === 0) return
  for (const { path, version, dev } of missing) lock.packages[path] = lockEntry(path, version, dev)
  const [root, ...others] = Object.entries(lock.packages)
  others.sort(([one], [other]) => one.localeCompare(other, 'en'))
  lock.packages = Object.fromEntries([root, ...others])
  writeFileSync(join(ROOT, file), `${JSON.stringify(lock, null, 2)}\n`)
}

function missingPackages(packages) {
  return Object.entries(packages).flatMap(([wantedBy, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !isReachable(packages, wantedBy, name))
      .map(([name, version]) => ({
        path: `node_modules/${name}`,
        version,
        wantedBy,
        dev: entry.dev,
      })),
  )
}

/** Node's look-up: beside the package that wants it, then in each folder above. */
function isReachable(packages, wantedBy, name) {
  const folders = [wantedBy]
  for (let folder = wantedBy; folder.includes('/node_modules/'); ) {
    folder = folder.slice(0, folder.lastIndexOf('/node_modules/'))
    folders.push(folder)
  }
  return ['', ...folders.map((folder) => `${folder}/`)].some(
    (prefix) => packages[`${prefix}node_modules/${name}`] !== undefined,
  )
}

function lockEntry(path, version, dev) {
  const [, os, cpu, abi] = PLATFORM.exec(path) ?? []
  if (os === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(`package-lock.json: ${path}@${version} must be added where npm can look it up`)
  }
  const libc = LIBC[abi]
  return {
    version,
    cpu: [NAMES[cpu] ?? cpu],
    ...(dev ? { dev } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [NAMES[os] ?? os],
  }
}

function readLock(file) {
  return JSON.parse(readFileSync(join(ROOT, file), 'utf8'))
}
