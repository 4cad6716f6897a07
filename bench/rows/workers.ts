/**
 * W1: the click of the story, in real workerd: a control plane that fetches the metadata of the remote
 * server on each initiation, the same with `createDiscover`, and the same with Postern whole.
 */
import { randomBytes } from 'node:crypto'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type Example, startExample, type Variant } from '../../examples/control-plane/start.ts'
import { freePort } from '../children.ts'
import { quantile } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const VARIANTS = ['before', 'discover', 'full'] as const satisfies readonly Variant[]
const REMOTE_DELAY_MS = 500
const ROUNDS = 15
/** Longer than a person waits. */
const PATIENCE_MS = 5_000
const PERSON = { id: 'ada', password: 'lovelace' }

interface Stage {
  readonly example: Example
  readonly remote: RemoteServer
  readonly cookie: string
  readonly link: string
}

export const W1: Benchmark = {
  id: 'W1',
  title: 'initiation in workerd, remote server at 500 ms and dead: plain fetch / warm',
  async run() {
    const stages = new Map<Variant, Stage>()
    try {
      for (const variant of VARIANTS) stages.set(variant, await openStage(variant))
      return await measure((variant) => {
        const stage = stages.get(variant)
        if (stage === undefined) throw new Error(`${variant} was not started`)
        return stage
      })
    } finally {
      for (const { example, remote } of stages.values()) {
        await example.worker.dispose()
        await remote.close()
      }
    }
  },
}

async function measure(stageOf: (variant: Variant) => Stage): ReturnType<Benchmark['run']> {
  const sides = [...VARIANTS, 'discover', 'full'] as const
  const times = sides.map((): number[] => [])
  const exchanges = { before: 0, discover: 0, full: 0 }
  for (const variant of VARIANTS) stageOf(variant).remote.slow(REMOTE_DELAY_MS)
  for (let round = 0; round < ROUNDS; round++) {
    for (const index of sides.keys()) {
      const at = (index + round) % sides.length
      const variant = sides[at] ?? 'before'
      const stage = stageOf(variant)
      const left = stage.example.worker.outboundExchanges.length
      times[at]?.push((await click(stage, 303)).tookMs)
      exchanges[variant] += stage.example.worker.outboundExchanges.length - left
    }
  }
  const dead = { before: 0, discover: 0, full: 0 }
  for (const variant of VARIANTS) {
    const stage = stageOf(variant)
    stage.remote.hang('accept')
    const { status, tookMs } = await click(stage)
    dead[variant] = tookMs
    if (variant !== 'before' && status !== 303) throw new Error(`${variant} answered ${status}`)
    await stage.remote.revive()
  }
  const p50 = (index: number): number => quantile(times[index] ?? [], 0.5)
  return {
    figures: {
      discover: p50(0) / p50(1),
      full: p50(0) / p50(2),
      beforeMs: p50(0),
      discoverMs: p50(1),
      fullMs: p50(2),
      beforeDeadMs: dead.before,
      discoverDeadMs: dead.discover,
      fullDeadMs: dead.full,
      beforeExchangesPerClick: exchanges.before / ROUNDS,
      discoverExchanges: exchanges.discover,
      fullExchanges: exchanges.full,
    },
    must: {
      discover: ['>=', 5],
      full: ['>=', 5],
      discoverExchanges: ['=', 0],
      fullExchanges: ['=', 0],
    },
    aim: { discover: ['>=', 20], full: ['>=', 20] },
    control: { discover: p50(3) / p50(1), full: p50(4) / p50(2) },
  }
}

async function openStage(variant: Variant): Promise<Stage> {
  const remote = await startRemoteServer()
  const secret = randomBytes(32).toString('base64url')
  const port = await freePort()
  const example = await startExample({ variant, port, notesUrl: remote.url, secret })
  const answer = await fetch(`${example.url}/login`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: example.url },
    body: new URLSearchParams(PERSON),
  })
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
  const settings = await (await fetch(`${example.url}/settings`, { headers: { cookie } })).text()
  const link = /href="(\/(?:authorize|connect)\/notes[^"]*)"/.exec(settings)?.[1] ?? ''
  const stage = { example, remote, cookie, link: link.replaceAll('&amp;', '&') }
  // Cold: whatever there is to find is found now.
  await click(stage, 303)
  return stage
}

async function click(
  { example, cookie, link }: Stage,
  expected?: number,
): Promise<{ status: number; tookMs: number }> {
  const startedMs = performance.now()
  const status = await fetch(`${example.url}${link}`, {
    redirect: 'manual',
    headers: { cookie },
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).then(
    async (answer) => {
      await answer.arrayBuffer()
      return answer.status
    },
    // Nobody waits longer: what hangs is counted as having taken so long.
    () => 0,
  )
  if (expected !== undefined && status !== expected)
    throw new Error(`a click was answered ${status}, expected ${expected}`)
  return { status, tookMs: performance.now() - startedMs }
}
