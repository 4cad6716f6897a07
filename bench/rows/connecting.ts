/** P11, P12 and P15: the click that connects an account, and a token that eight hundred callers want at once. */
import { LINKED, openConnecting } from '../connecting.ts'
import { cycle, once, send } from '../load.ts'
import { compare, quantile, requireStatus } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const ROUNDS = 15
const FORMS = 64
const CONCURRENCY = [1, 32] as const

/**
 * A product's link, which is where its authorize route was; beside it the button of our own page, which
 * reads a form, a session and a person first. The bar is the link's, one click at a time as people make
 * them; 32 at once are printed beside it.
 */
export const P11: Benchmark = {
  id: 'P11',
  title: 'initiation with cached discovery / a static 303 through the same HTTP stack: CPU',
  async run() {
    const { house, remote, presses, click } = await openConnecting()
    const pids = [house.child.pid]
    const { openPort } = house.child.ready
    remote.forget()
    const measured = []
    for (const concurrency of CONCURRENCY) {
      // One form starts one trip, however often it is sent: the same work each time.
      const made = await presses(FORMS)
      const first = made[0] ?? Buffer.alloc(0)
      const at = (port: number, requests: readonly Buffer[]) => ({
        pids,
        target: cycle(port, requests),
        status: 303,
      })
      const redirect = at(openPort, [click])
      const link = at(house.port, [click])
      measured.push(
        await compare(
          [
            { name: 'redirect', ...redirect },
            { name: 'link', ...link },
            { name: 'redirect of a form', ...at(openPort, [first]) },
            { name: 'press', ...at(house.port, made) },
            { name: 'redirect again', ...redirect },
            { name: 'link again', ...link },
          ],
          { concurrency, rounds: ROUNDS },
        ),
      )
    }
    const [one, many] = measured
    if (one === undefined || many === undefined) throw new Error('nothing was measured')
    const ratio = (of: typeof one, name: string, to: string) => of(name).cpuUs / of(to).cpuUs
    return {
      figures: {
        cpu1: ratio(one, 'link', 'redirect'),
        cpu32: ratio(many, 'link', 'redirect'),
        press1: ratio(one, 'press', 'redirect of a form'),
        press32: ratio(many, 'press', 'redirect of a form'),
        link1Us: one('link').cpuUs,
        link32Us: many('link').cpuUs,
        press32Us: many('press').cpuUs,
        redirect1Us: one('redirect').cpuUs,
        redirect32Us: many('redirect').cpuUs,
        remoteCalls: remote.total(),
      },
      must: { cpu1: ['<=', 4], remoteCalls: ['=', 0] },
      aim: { cpu1: ['<=', 2.5] },
      control: {
        redirect1: ratio(one, 'redirect again', 'redirect'),
        link1: ratio(one, 'link again', 'link'),
        redirect32: ratio(many, 'redirect again', 'redirect'),
        link32: ratio(many, 'link again', 'link'),
      },
    }
  },
}

const DEAD_ROUNDS = 31
const DEAD_PRESSES = 15

export const P12: Benchmark = {
  id: 'P12',
  title: 'initiation with the remote server dead / alive: time',
  async run() {
    const { house, remote, presses } = await openConnecting()
    const times = { alive: [] as number[], dead: [] as number[], again: [] as number[] }
    const made = await presses((DEAD_ROUNDS * 3 + 1) * DEAD_PRESSES)
    const target = once(house.port, made)
    const press = async (into: number[]): Promise<void> => {
      const result = await send(target, 1, DEAD_PRESSES)
      requireStatus('initiation', result, 303)
      into.push(...result.latenciesMs)
    }
    await press([])
    const states = ['alive', 'dead', 'again'] as const
    for (let round = 0; round < DEAD_ROUNDS; round++) {
      for (const at of states.keys()) {
        const state = states[(at + round) % states.length] ?? 'alive'
        if (state === 'dead') remote.hang('accept')
        await press(times[state])
        if (state === 'dead') await remote.revive()
      }
    }
    const median = (name: keyof typeof times): number => quantile(times[name], 0.5)
    const late = (name: keyof typeof times): number => quantile(times[name], 0.99)
    return {
      figures: {
        p50: median('dead') / median('alive'),
        p99: late('dead') / late('alive'),
        aliveP50Ms: median('alive'),
        deadP50Ms: median('dead'),
      },
      must: { p50: ['<=', 1.2] },
      aim: { p50: ['<=', 1.05] },
      control: { p50: median('again') / median('alive'), p99: late('again') / late('alive') },
    }
  },
}

const NODES = 8
const CALLERS = 100
const STORMS = 11
const TOKEN_SECONDS = 3_600
/** Of the refresh at the remote server: on the loopback alone, waking processes would be all. */
const REFRESH_MS = 300

export const P15: Benchmark = {
  id: 'P15',
  title: 'refresh storm, 8 nodes x 100 callers on one store: refresh calls; time / one refresh',
  async run() {
    const { house, remote, connect, advance } = await openConnecting()
    remote.settings.accessTokenSeconds = TOKEN_SECONDS
    const nodes = [house.child]
    while (nodes.length < NODES) nodes.push(await house.addNode())
    await connect()
    remote.settings.tokenDelayMs = () => REFRESH_MS
    const ask = async (
      count: number,
      of = nodes,
    ): Promise<{ refreshes: number; tookMs: number }> => {
      await advance(TOKEN_SECONDS * 1_000, nodes)
      const before = remote.tokenCalls.length
      const startedMs = performance.now()
      const answers = await Promise.all(
        of.map((node) =>
          node.call<{ tookMs: number; tokens: string[] }>('getTokens', {
            connector: LINKED,
            count,
          }),
        ),
      )
      const tookMs = performance.now() - startedMs
      const tokens = new Set(answers.flatMap((answer) => answer.tokens))
      if (tokens.size !== 1) throw new Error(`${tokens.size} tokens of one connection`)
      const refreshes = remote.tokenCalls
        .slice(before)
        .filter(([grantType]) => grantType === 'refresh_token').length
      return { refreshes, tookMs }
    }
    await ask(1)
    const storms = []
    const singles = []
    const again = []
    for (let round = 0; round < STORMS; round++) {
      storms.push(await ask(CALLERS))
      singles.push(await ask(1, [house.child]))
      again.push(await ask(1, [house.child]))
    }
    const median = (of: readonly { tookMs: number }[]): number =>
      quantile(
        of.map(({ tookMs }) => tookMs),
        0.5,
      )
    return {
      figures: {
        refreshesPerStormMax: Math.max(...storms.map(({ refreshes }) => refreshes)),
        refreshesPerStormMin: Math.min(...storms.map(({ refreshes }) => refreshes)),
        time: median(storms) / median(singles),
        stormMs: median(storms),
        oneRefreshMs: median(singles),
      },
      must: {
        refreshesPerStormMax: ['=', 1],
        refreshesPerStormMin: ['=', 1],
        time: ['<=', 1.5],
      },
      aim: { time: ['<=', 1.2] },
      control: { oneRefresh: median(again) / median(singles) },
    }
  },
}
