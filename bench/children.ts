/**
 * Servers of a benchmark as child processes, on the Node that runs the benchmark. Each is ended by
 * its own pid, also when a benchmark fails (`closeAll`).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { ChildMessage } from './servers/channel.ts'

const START_DEADLINE_MS = 60_000
const CALL_DEADLINE_MS = 240_000
const STOP_GRACE_MS = 3_000

export interface Child<Ready> {
  readonly pid: number
  readonly ready: Ready
  call<Result>(method: string, argument?: unknown): Promise<Result>
  stop(): Promise<void>
}

const open = new Set<() => Promise<void>>()

/** @param program File in `bench/servers/`, without `.ts`. */
export async function startChild<Ready extends object>(
  program: string,
  settings: object,
  execArgv: readonly string[] = [],
): Promise<Child<Ready>> {
  const file = fileURLToPath(new URL(`./servers/${program}.ts`, import.meta.url))
  const profiled =
    process.env.BENCH_PROFILE === program
      ? ['--cpu-prof', '--cpu-prof-dir=.cache/bench/profiles']
      : []
  const child = fork(file, [JSON.stringify(settings)], {
    execArgv: [...execArgv, ...profiled],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
  })
  const answers = new Map<number, (message: ChildMessage) => void>()
  let started: ((ready: unknown) => void) | undefined
  child.on('message', (message: ChildMessage) => {
    if ('ready' in message) started?.(message.ready)
    else answers.get(message.id)?.(message)
  })
  const stop = async (): Promise<void> => {
    open.delete(stop)
    await end(child)
  }
  open.add(stop)
  const ready = await within(START_DEADLINE_MS, `${program} did not start`, child, (resolve) => {
    started = resolve
  })
  let calls = 0
  return {
    pid: child.pid ?? 0,
    ready: ready as Ready,
    async call<Result>(method: string, argument?: unknown) {
      const id = ++calls
      const message = await within(
        CALL_DEADLINE_MS,
        `${program}.${method} gave no answer`,
        child,
        (resolve) => {
          answers.set(id, resolve as (message: ChildMessage) => void)
          child.send({ id, method, argument })
        },
      )
      answers.delete(id)
      const settled = message as { readonly result: Result } | { readonly error: string }
      if ('error' in settled) throw new Error(`${program}.${method}: ${settled.error}`)
      return settled.result
    },
    stop,
  }
}

/** Ends something that is not a child of `startChild` together with them. */
export function alsoClose(close: () => Promise<void>): void {
  open.add(close)
}

/** Ends everything that is still open, newest first. */
export async function closeAll(): Promise<void> {
  const closers = [...open].reverse()
  open.clear()
  for (const close of closers) await close().catch(() => {})
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    const hard = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
    child.once('exit', () => {
      clearTimeout(hard)
      resolve()
    })
    // Leaves through its own end, so that a profile is written.
    if (child.connected) child.disconnect()
    else child.kill('SIGTERM')
  })
}

function within(
  deadlineMs: number,
  failure: string,
  child: ChildProcess,
  start: (resolve: (value: unknown) => void) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void): void => {
      clearTimeout(timer)
      child.off('exit', onExit)
      then()
    }
    const onExit = (code: number | null): void =>
      settle(() => reject(new Error(`${failure}: it ended (${code})`)))
    const timer = setTimeout(
      () => settle(() => reject(new Error(`${failure} in ${deadlineMs} ms`))),
      deadlineMs,
    )
    child.once('exit', onExit)
    start((value) => settle(() => resolve(value)))
  })
}

/** A port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
