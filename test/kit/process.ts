/**
 * Child processes for tests: started with an explicit environment, watched line by line, ended by
 * their own pid. Nothing here polls or sleeps: a wait ends with a line, an exit or its deadline.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const LINE_DEADLINE_MS = 60_000
const STOP_GRACE_MS = 5_000
const KEPT_LINES_MAX = 2_000

export interface ProcessOptions {
  readonly command: string
  readonly args: readonly string[]
  /** Added to a small clean environment (PATH, HOME, LANG); nothing else is inherited. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Shown in failures. */
  readonly name: string
}

export interface RunningProcess {
  readonly pid: number
  /** Both outputs, in order of arrival, the newest `KEPT_LINES_MAX`. */
  readonly lines: readonly string[]
  /** Resolves with the first line, seen or to come, that matches; rejects at exit or deadline. */
  line(pattern: RegExp, deadlineMs?: number): Promise<RegExpExecArray>
  /** Resolves when the process has ended; the code is `null` after a signal. */
  readonly exited: Promise<number | null>
  /** SIGTERM to this pid, SIGKILL after five seconds. Safe to call twice. */
  stop(): Promise<void>
  /** SIGKILL to this pid at once. */
  kill(): Promise<void>
}

/** A test that failed before its `try` still leaves nothing running. */
const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

interface Waiter {
  readonly pattern: RegExp
  readonly resolve: (match: RegExpExecArray) => void
  readonly reject: (error: Error) => void
}

export function startProcess(options: ProcessOptions): RunningProcess {
  const child = spawn(options.command, [...options.args], {
    cwd: options.cwd,
    env: cleanEnvironment(options.env ?? {}),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  living.add(child)
  child.once('close', () => living.delete(child))
  const lines: string[] = []
  const waiters = new Set<Waiter>()
  const exited = watchExit(child)
  const onLine = (line: string): void => {
    lines.push(line)
    if (lines.length > KEPT_LINES_MAX) lines.shift()
    for (const waiter of waiters) {
      const match = waiter.pattern.exec(line)
      if (match === null) continue
      waiters.delete(waiter)
      waiter.resolve(match)
    }
  }
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', onLine)
  }
  const failure = (why: string): Error =>
    new Error(`${options.name} ${why}. Its last lines:\n${lines.slice(-40).join('\n')}`)
  void exited.then((code) => {
    for (const waiter of waiters) waiter.reject(failure(`ended (${code}) before ${waiter.pattern}`))
    waiters.clear()
  })
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name)
    await exited
  }
  return {
    pid: child.pid ?? 0,
    lines,
    exited,
    line: (pattern, deadlineMs = LINE_DEADLINE_MS) =>
      waitForLine({ pattern, deadlineMs, lines, waiters, failure, ended: child.exitCode !== null }),
    async stop() {
      const hard = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
      await signal('SIGTERM')
      clearTimeout(hard)
    },
    kill: () => signal('SIGKILL'),
  }
}

/** Runs a command to its end; the code is `null` after a signal or past the deadline. */
export async function runProcess(
  options: ProcessOptions & { readonly deadlineMs: number },
): Promise<{ code: number | null; output: string }> {
  const running = startProcess(options)
  const hard = setTimeout(() => void running.kill(), options.deadlineMs)
  const code = await running.exited
  clearTimeout(hard)
  return { code, output: running.lines.join('\n') }
}

function cleanEnvironment(
  extra: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'TZ'].map(
    (name) => [name, process.env[name]] as const,
  )
  const merged = { ...Object.fromEntries(kept), ...extra }
  return Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function watchExit(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('close', (code) => resolve(code))
    // A command that does not exist emits `error` and no `close`.
    child.once('error', () => resolve(null))
  })
}

function waitForLine(wait: {
  pattern: RegExp
  deadlineMs: number
  lines: readonly string[]
  waiters: Set<Waiter>
  failure: (why: string) => Error
  ended: boolean
}): Promise<RegExpExecArray> {
  for (const line of wait.lines) {
    const match = wait.pattern.exec(line)
    if (match !== null) return Promise.resolve(match)
  }
  if (wait.ended) return Promise.reject(wait.failure(`has ended without ${wait.pattern}`))
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      wait.waiters.delete(waiter)
      reject(wait.failure(`gave no line ${wait.pattern} within ${wait.deadlineMs} ms`))
    }, wait.deadlineMs)
    const waiter: Waiter = {
      pattern: wait.pattern,
      resolve: (match) => {
        clearTimeout(timer)
        resolve(match)
      },
      reject: (error) => {
        clearTimeout(timer)
        reject(error)
      },
    }
    wait.waiters.add(waiter)
  })
}
