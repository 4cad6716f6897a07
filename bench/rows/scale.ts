/** P16 and P18: a million tokens, in the store and in memory. */
import { startChild } from '../children.ts'
import { type BenchHouse, openBenchHouse, PROTECTED_PATH } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { compare, type Side } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const SMALL = 1_000
const LARGE = 1_000_000
/** Tokens in turn: few, as one team's, and so many that most are not among the hot ones. */
const FEW = 1_000
const MANY = 50_000
const ROUNDS = 21

async function openFilled(
  count: number,
  sample: number,
): Promise<{ house: BenchHouse; tokens: readonly string[] }> {
  const house = await openBenchHouse({ kind: 'protect' })
  const token = await house.signIn(PROTECTED_PATH)
  await house.child.call('copyGrants', { token, count })
  return { house, tokens: await house.child.call<string[]>('fill', { token, count, sample }) }
}

function side(name: string, house: BenchHouse, tokens: readonly string[]): Side {
  const body = toolCall(150)
  const requests = tokens.map((token) =>
    mcpRequest({ port: house.port, path: PROTECTED_PATH, body, token }),
  )
  return { name, pids: [house.child.pid], target: cycle(house.port, requests) }
}

export const P16: Benchmark = {
  id: 'P16',
  title: 'warm request with 1 M tokens in store and memory / with 1 k',
  async run() {
    const small = await openFilled(SMALL, SMALL)
    const large = await openFilled(LARGE, MANY)
    const every = Math.floor(MANY / FEW)
    const few = large.tokens.filter((_, at) => at % every === 0)
    const of = await compare(
      [
        side('1 k', small.house, small.tokens),
        side('1 M', large.house, few),
        side('1 M, many', large.house, large.tokens),
        side('1 k again', small.house, small.tokens),
      ],
      { concurrency: 32, rounds: ROUNDS },
    )
    return {
      figures: {
        cpu: of('1 M').cpuUs / of('1 k').cpuUs,
        cpuManyCallers: of('1 M, many').cpuUs / of('1 k').cpuUs,
        smallCpuUs: of('1 k').cpuUs,
        largeCpuUs: of('1 M').cpuUs,
      },
      must: { cpu: ['<=', 1.25] },
      aim: { cpu: ['<=', 1.1] },
      control: { cpu: of('1 k again').cpuUs / of('1 k').cpuUs },
    }
  },
}

interface Weight {
  readonly bytes: number
  readonly size: number
  readonly collectMs: number
  readonly setUs: number
}

export const P18: Benchmark = {
  id: 'P18',
  title: 'memory per remembered token at 1 M, beside a Map of the same sessions',
  async run() {
    const child = await startChild('tokens', {}, ['--expose-gc'])
    const mapCount = LARGE / 5
    const map = await child.call<{ bytes: number }>('weighMap', mapCount)
    const first = await child.call<Weight>('weigh', LARGE)
    const again = await child.call<Weight>('weigh', LARGE)
    return {
      figures: {
        bytesPerToken: first.bytes / first.size,
        remembered: first.size,
        mapBytesPerToken: map.bytes / mapCount,
        collectMs: first.collectMs,
        setUs: first.setUs,
      },
      must: { bytesPerToken: ['<=', 300], remembered: ['=', LARGE] },
      aim: { bytesPerToken: ['<=', 80] },
      control: { bytesPerToken: again.bytes / again.size / (first.bytes / first.size) },
    }
  },
}
