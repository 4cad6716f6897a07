/** P1 and P3: `protect()` inside a server, against the same server without it. */
import { type Child, startChild } from '../children.ts'
import { type BenchHouse, openBenchHouse, PROTECTED_PATH } from '../house.ts'
import { cycle, mcpRequest, once, toolCall } from '../load.ts'
import { compare, type Measured, type Side } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const BODY = toolCall(150)
const ROUNDS_COLD = 21
/** Of the second way of measuring the same bar. */
const ROUNDS_AGAIN = 11
/** More than P3's rounds can send on a fast machine. */
const COLD_TOKENS = 60_000

type Plain = Child<{ readonly port: number }>

/** The very bytes that the protected side gets: reading a header is Node's work, not ours. */
function plainSide(name: string, plain: Plain, token?: string): Side {
  const { port } = plain.ready
  const request = mcpRequest({
    port,
    path: PROTECTED_PATH,
    body: BODY,
    ...(token === undefined ? {} : { token }),
  })
  return { name, pids: [plain.pid], target: cycle(port, [request]) }
}

function protectedRequest(house: BenchHouse, token: string): Buffer {
  return mcpRequest({ port: house.port, path: PROTECTED_PATH, body: BODY, token })
}

async function openSides() {
  const plain = await startChild<{ port: number }>('plain', {})
  const twin = await startChild<{ port: number }>('plain', {})
  const house = await openBenchHouse({ kind: 'protect' })
  const token = await house.signIn(PROTECTED_PATH)
  return {
    plain: plainSide('plain', plain, token),
    twin: plainSide('twin', twin, token),
    /** For the figure without a bar: a server that nobody sends a token. */
    bare: plainSide('bare', plain),
    house,
    token,
  }
}

const P1_CPU = ['<=', 1.15] as const
const P1_CPU_AIM = ['<=', 1.06] as const
const P1_RPS = ['>=', 0.88] as const
const P1_RPS_AIM = ['>=', 0.93] as const

/** The same server: one process that answers the same bytes with `protect` and, beside it, without. */
export const P1: Benchmark = {
  id: 'P1',
  title: 'authenticated / unauthenticated, own token warm, the same server',
  async run() {
    const { plain, bare, house, token } = await openSides()
    const pids = [house.child.pid]
    const bytes = (port: number) =>
      cycle(port, [mcpRequest({ port, path: PROTECTED_PATH, body: BODY, token })])
    const sides = [
      { name: 'open', pids, target: bytes(house.child.ready.openPort) },
      { name: 'protected', pids, target: bytes(house.port) },
      { name: 'open again', pids, target: bytes(house.child.ready.openPort) },
      plain,
      bare,
    ]
    const one = await compare(sides, { concurrency: 1 })
    const many = await compare(sides, { concurrency: 32 })
    const asleep = await compare(sides, {
      concurrency: 32,
      rounds: ROUNDS_AGAIN,
      clientSleeps: true,
    })
    const cpu = (of: (name: string) => Measured, name: string, base = 'open') =>
      of(name).cpuUs / of(base).cpuUs
    const rps = (of: (name: string) => Measured, name: string) =>
      of(name).requestsPerSecond / of('open').requestsPerSecond
    return {
      figures: {
        cpu1: cpu(one, 'protected'),
        cpu32: cpu(many, 'protected'),
        rps1: rps(one, 'protected'),
        rps32: rps(many, 'protected'),
        cpu32ClientAsleep: cpu(asleep, 'protected'),
        cpu32OtherProcess: cpu(many, 'protected', 'plain'),
        cpu32OtherProcessNoToken: cpu(many, 'protected', 'bare'),
        openCpu32Us: many('open').cpuUs,
        protectedCpu32Us: many('protected').cpuUs,
      },
      must: { cpu1: P1_CPU, cpu32: P1_CPU, rps1: P1_RPS, rps32: P1_RPS },
      aim: { cpu1: P1_CPU_AIM, cpu32: P1_CPU_AIM, rps1: P1_RPS_AIM, rps32: P1_RPS_AIM },
      control: {
        cpu1: cpu(one, 'open again'),
        cpu32: cpu(many, 'open again'),
        rps1: rps(one, 'open again'),
        rps32: rps(many, 'open again'),
      },
    }
  },
}

/** Rounds of tokens that the house issued; the first warms. */
const ISSUED_ROUNDS = 9
const ISSUED_REQUESTS = 1_000

export const P3: Benchmark = {
  id: 'P3',
  title: 'each token seen once, against no auth',
  async run() {
    const { plain, twin, house, token } = await openSides()
    const pids = [house.child.pid]
    const requests = (tokens: readonly string[]) =>
      once(
        house.port,
        tokens.map((each) => protectedRequest(house, each)),
      )
    const issued = requests(
      await house.issue(PROTECTED_PATH, (ISSUED_ROUNDS + 1) * ISSUED_REQUESTS),
    )
    const here = await compare([plain, { name: 'issued', pids, target: issued }, twin], {
      concurrency: 32,
      rounds: ISSUED_ROUNDS,
      requests: ISSUED_REQUESTS,
    })
    const foreign = requests(
      await house.child.call<string[]>('mint', { token, count: COLD_TOKENS }),
    )
    const elsewhere = await compare([plain, { name: 'verified', pids, target: foreign }], {
      concurrency: 32,
      rounds: ROUNDS_COLD,
    })
    return {
      figures: {
        cpu: here('issued').cpuUs / here('plain').cpuUs,
        cpuOfMedians: here('issued').cpuMedianUs / here('plain').cpuMedianUs,
        plainCpuUs: here('plain').cpuUs,
        issuedCpuUs: here('issued').cpuUs,
        verified: elsewhere('verified').cpuUs / elsewhere('plain').cpuUs,
        verifiedCpuUs: elsewhere('verified').cpuUs,
      },
      must: { cpu: ['<=', 5.5] },
      aim: { cpu: ['<=', 4.8] },
      control: { cpu: here('twin').cpuUs / here('plain').cpuUs },
    }
  },
}
