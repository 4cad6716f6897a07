/**
 * Compares servers in one run: sides in rotating order, many short rounds, the lowest server CPU per
 * request and the best round's requests per second. A twin of the baseline (A/A) gives the noise.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { load, type Target } from './load.ts'

export interface Side {
  readonly name: string
  /** Process whose CPU counts; several where one server is several processes. */
  readonly pids: readonly number[]
  readonly target: Target
}

export interface Measured {
  readonly cpuUs: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface CompareOptions {
  readonly concurrency: number
  readonly rounds?: number
  readonly roundMs?: number
  readonly expectStatus?: number
}

const ROUNDS = 31
const ROUND_MS = 120
const WARM_MS = 600

/** CPU time of all threads of the processes, in nanoseconds (first number of schedstat). */
export function cpuNs(pids: readonly number[]): number {
  let total = 0
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      total += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    }
  }
  return total
}

export async function compare(
  sides: readonly Side[],
  options: CompareOptions,
): Promise<ReadonlyMap<string, Measured>> {
  const samples = new Map(sides.map((side) => [side.name, { cpu: [] as number[], rps: [] as number[], ms: [] as number[] }]))
  for (const side of sides) await round(side, options, WARM_MS)
  const rounds = options.rounds ?? ROUNDS
  for (let turn = 0; turn < rounds; turn++) {
    for (let offset = 0; offset < sides.length; offset++) {
      const side = sides[(turn + offset) % sides.length]
      if (side === undefined) continue
      const { cpuUs, requestsPerSecond, latenciesMs } = await round(side, options, options.roundMs ?? ROUND_MS)
      const sample = samples.get(side.name)
      sample?.cpu.push(cpuUs)
      sample?.rps.push(requestsPerSecond)
      sample?.ms.push(...latenciesMs)
    }
  }
  return new Map(
    [...samples].map(([name, sample]) => [
      name,
      {
        cpuUs: Math.min(...sample.cpu),
        requestsPerSecond: Math.max(...sample.rps),
        p50Ms: quantile(sample.ms, 0.5),
        p99Ms: quantile(sample.ms, 0.99),
      },
    ]),
  )
}

async function round(side: Side, options: CompareOptions, durationMs: number) {
  const before = cpuNs(side.pids)
  const result = await load(side.target, options.concurrency, durationMs)
  const used = cpuNs(side.pids) - before
  const expected = options.expectStatus ?? 200
  const wrong = [...result.statuses].find(([status]) => status !== expected)
  if (wrong !== undefined) throw new Error(`${side.name} answered ${wrong[0]}, expected ${expected}`)
  return {
    cpuUs: used / 1_000 / Math.max(1, result.requests),
    requestsPerSecond: result.requests / (result.elapsedMs / 1_000),
    latenciesMs: result.latenciesMs,
  }
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Reads a measured side; a missing one is a mistake of the benchmark. */
export function of(measured: ReadonlyMap<string, Measured>, name: string): Measured {
  const found = measured.get(name)
  if (found === undefined) throw new Error(`${name} was not measured`)
  return found
}
