/** Go's `httputil.ReverseProxy` as a baseline: one small file, built once into `.cache/bench`. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { alsoClose, end } from './children.ts'

export interface GoProxy {
  readonly port: number
  readonly pid: number
}

const SOURCE = fileURLToPath(new URL('servers/reverse-proxy.go', import.meta.url))
const FOLDER = fileURLToPath(new URL('../.cache/bench/', import.meta.url))
const BUILD_TIMEOUT_MS = 300_000
const START_DEADLINE_MS = 10_000

export async function startGoProxy(target: string): Promise<GoProxy> {
  const child = spawn(buildProxy(), [target], { stdio: ['ignore', 'pipe', 'inherit'] })
  alsoClose(() => end(child))
  const port = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error('the Go proxy did not start')),
      START_DEADLINE_MS,
    )
    child.once('error', reject)
    child.stdout.once('data', (line: Buffer) => {
      clearTimeout(timer)
      resolve(Number(line.toString()))
    })
  })
  return { port, pid: child.pid ?? 0 }
}

function buildProxy(): string {
  const program = join(FOLDER, 'reverse-proxy')
  mkdirSync(FOLDER, { recursive: true })
  const { status, stderr } = spawnSync(findGo(), ['build', '-o', program, SOURCE], {
    encoding: 'utf8',
    timeout: BUILD_TIMEOUT_MS,
    env: { ...process.env, GOTOOLCHAIN: 'local', GO111MODULE: 'off', CGO_ENABLED: '0' },
  })
  if (status !== 0) throw new Error(`the Go proxy could not be built: ${stderr}`)
  return program
}

function findGo(): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/go/bin']
  const found = folders.map((folder) => join(folder, 'go')).find((path) => existsSync(path))
  if (found === undefined) throw new Error('go is missing: sudo apt-get install golang-go')
  return found
}
