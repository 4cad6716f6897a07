/**
 * Compares servers in one run: sides in rotating order, many short rounds, the lowest server CPU per
 * request and the best round's requests per second. A side that runs twice (A/A) gives the noise.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { awake, type LoadResult, load, send, type Target } from './load.ts'

export interface Side {
  readonly name: string
  /** Processes whose CPU counts. */
  readonly pids: readonly number[]
  readonly target: Target
  /** Default 200. */
  readonly status?: number
}

export interface Measured {
  /** Lowest of all rounds. */
  readonly cpuUs: number
  readonly cpuMedianUs: number
  /** Best of all rounds. */
  readonly requestsPerSecond: number
  /** Of all requests. */
  readonly p50Ms: number
}

export interface CompareOptions {
  readonly concurrency: number
  readonly rounds?: number
  readonly roundMs?: number
  readonly warmMs?: number
  /** Rounds of exactly this many requests instead of a time: for targets that run out. */
  readonly requests?: number
  /** More processes than processors work on a request: the client sleeps while it waits. */
  readonly clientSleeps?: boolean
}

const ROUNDS = 31
const ROUND_MS = 120
const WARM_MS = 600

/** CPU time of all threads of the processes, in nanoseconds (first number of schedstat). */
export function cpuNs(pids: readonly number[]): number {
  let total = 0
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      try {
        const text = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8')
        total += Number(text.split(' ')[0])
      } catch {
        // A thread that has just ended has no more CPU to tell of.
      }
    }
  }
  return total
}

export async function compare(
  sides: readonly Side[],
  options: CompareOptions,
): Promise<(name: string) => Measured> {
  const samples = new Map(
    sides.map(({ name }) => [
      name,
      { cpu: [] as number[], rps: [] as number[], ms: [] as number[] },
    ]),
  )
  for (const side of sides) await round(side, options, options.warmMs ?? WARM_MS)
  for (let turn = 0; turn < (options.rounds ?? ROUNDS); turn++) {
    for (let offset = 0; offset < sides.length; offset++) {
      const side = sides[(turn + offset) % sides.length]
      if (side === undefined) continue
      const found = await round(side, options, options.roundMs ?? ROUND_MS)
      const sample = samples.get(side.name)
      sample?.cpu.push(found.cpuUs)
      sample?.rps.push(found.result.requests / (found.result.elapsedMs / 1_000))
      for (const ms of found.result.latenciesMs) sample?.ms.push(ms)
    }
  }
  return (name) => {
    const sample = samples.get(name)
    if (sample === undefined) throw new Error(`${name} was not measured`)
    return {
      cpuUs: Math.min(...sample.cpu),
      cpuMedianUs: quantile(sample.cpu, 0.5),
      requestsPerSecond: Math.max(...sample.rps),
      p50Ms: quantile(sample.ms, 0.5),
    }
  }
}

async function round(
  side: Side,
  { concurrency, requests, clientSleeps = false }: CompareOptions,
  durationMs: number,
): Promise<{ cpuUs: number; result: LoadResult }> {
  const before = cpuNs(side.pids)
  const work =
    requests === undefined
      ? load(side.target, concurrency, durationMs)
      : send(side.target, concurrency, requests)
  const result = await (clientSleeps ? work : awake(work))
  const usedNs = cpuNs(side.pids) - before
  requireStatus(side.name, result, side.status ?? 200)
  return { cpuUs: usedNs / 1_000 / Math.max(1, result.requests), result }
}

/** A server that answers something else is not the one that should be measured. */
export function requireStatus(name: string, { statuses }: LoadResult, expected: number): void {
  const wrong = [...statuses.keys()].find((status) => status !== expected)
  if (wrong !== undefined) throw new Error(`${name} answered ${wrong}, expected ${expected}`)
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Memory that a process really holds. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? Number.NaN) * 1_024
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
