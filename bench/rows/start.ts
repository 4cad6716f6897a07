/** P20: the built product from start to first answer, and what it holds while nobody calls. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { alsoClose, end, freePort, startChild } from '../children.ts'
import { pause, residentBytes } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Inside the repository, so that the built files find their packages; beside `dist/`, not in it. */
const BUILT = join(ROOT, '.cache', 'bench', 'built')
const ROUNDS = 9
const START_DEADLINE_MS = 20_000
const IDLE_MS = 2_500
const TRY_MS = 2

export const P20: Benchmark = {
  id: 'P20',
  title: 'start to first answer / `node -e 0`; idle memory / a bare server',
  async run() {
    build()
    const port = await freePort()
    const folder = await mkdtemp(join(tmpdir(), 'postern-bench-'))
    alsoClose(() => rm(folder, { recursive: true, force: true }))
    writeFileSync(join(folder, 'postern.config.json'), JSON.stringify(configuration(port)))
    const firstMs = await timeStart(port, folder)
    const starts: number[] = []
    const bare: number[] = []
    const bareAgain: number[] = []
    for (let turn = 0; turn < ROUNDS; turn++) {
      bare.push(await timeNothing())
      starts.push(await timeStart(port, folder))
      bareAgain.push(await timeNothing())
    }
    const house = startHouse(folder)
    await answers(port)
    const plain = await startChild<{ port: number }>('plain', {})
    await answers(plain.ready.port)
    const twin = await startChild<{ port: number }>('plain', {})
    await answers(twin.ready.port)
    await pause(IDLE_MS)
    const resident = residentBytes(house.pid ?? 0)
    await end(house)
    return {
      figures: {
        start: Math.min(...starts) / Math.min(...bare),
        memory: resident / residentBytes(plain.pid),
        startMs: Math.min(...starts),
        bareStartMs: Math.min(...bare),
        firstStartMs: firstMs,
        residentMegabytes: resident / 1_048_576,
        bareResidentMegabytes: residentBytes(plain.pid) / 1_048_576,
      },
      must: { start: ['<=', 5], memory: ['<=', 1.8] },
      aim: { start: ['<=', 3], memory: ['<=', 1.4] },
      control: {
        start: Math.min(...bareAgain) / Math.min(...bare),
        memory: residentBytes(twin.pid) / residentBytes(plain.pid),
      },
    }
  },
}

/** What `npm pack` ships, made anew: the row measures the sources as they are. */
function build(): void {
  const script = `import { build } from ${JSON.stringify(join(ROOT, 'tools', 'build.mjs'))}
    process.exitCode = await build(${JSON.stringify(join(BUILT, 'dist'))})`
  const made = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (made.error !== undefined) throw made.error
  for (const part of ['package.json', 'bin']) {
    cpSync(join(ROOT, part), join(BUILT, part), { recursive: true })
  }
  if (made.status !== 0) {
    const said = `${made.stdout}${made.stderr}`.slice(0, 500)
    process.stderr.write(`the build has errors:\n${said}\n`)
  }
}

function configuration(port: number): object {
  return {
    issuer: `http://127.0.0.1:${port}`,
    listen: { port },
    databaseUrl: 'sqlite:postern.db',
    allow: 'anyone',
    connectors: { notes: { url: 'http://127.0.0.1:9/mcp' } },
    providers: [{ type: 'github', clientId: 'bench', clientSecret: 'bench-secret' }],
  }
}

function startHouse(folder: string): ChildProcess {
  const args = [
    join(BUILT, 'bin', 'postern.mjs'),
    'serve',
    '--config',
    'postern.config.json',
    '--quiet',
  ]
  const child = spawn(process.execPath, args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      // Compiled code is kept here: `firstStartMs` has none yet, the others find it.
      XDG_CACHE_HOME: folder,
      NODE_NO_WARNINGS: '1',
      POSTERN_LISTEN_METRICS_PORT: '0',
    },
  })
  alsoClose(() => end(child))
  return child
}

/** From the start of the process to its first answer. */
async function timeStart(port: number, folder: string): Promise<number> {
  const startedMs = performance.now()
  const child = startHouse(folder)
  await answers(port)
  const elapsedMs = performance.now() - startedMs
  await end(child)
  return elapsedMs
}

function timeNothing(): Promise<number> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' })
  return new Promise((resolve) => child.once('exit', () => resolve(performance.now() - startedMs)))
}

/** Resolves with the first byte of an answer at the port. */
async function answers(port: number): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS
  while (performance.now() < deadlineMs) {
    if (await tryOnce(port)) return
    await pause(TRY_MS)
  }
  throw new Error(`nothing answers at port ${port}`)
}

function tryOnce(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (answered: boolean): void => {
      socket.destroy()
      resolve(answered)
    }
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
    socket.on('data', () => settle(true))
    socket.on('connect', () =>
      socket.write(`GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`),
    )
  })
}
