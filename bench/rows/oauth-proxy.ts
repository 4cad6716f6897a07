/**
 * P5: a call with a sign-in, at Postern and at FastMCP's `OAuthProxy`, with one provider that takes 50 ms.
 * Its default remembers nothing of a token and asks the provider on each call; its opt-in cache does not.
 */
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { alsoClose } from '../children.ts'
import { CALLS_PATH, openBenchHouse, PROTECTED_PATH } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { compare, type Side } from '../measure.ts'
import { type PythonSide, startOAuthProxy } from '../oauth-proxy.ts'
import type { Benchmark } from '../report.ts'

const BODY = toolCall(150)
const PROVIDER_DELAY_MS = 50
const CACHE_SECONDS = 3_600
/** Long enough for several calls that each wait for the provider. */
const ROUND_MS = 500
const ROUNDS = 11

export const P5: Benchmark = {
  id: 'P5',
  title: 'a signed-in call / the same at FastMCP OAuthProxy, provider delayed 50 ms',
  async run() {
    const provider = await startOpenIdDouble()
    alsoClose(() => provider.close())
    const off = await startOAuthProxy({ provider, auth: true })
    const on = await startOAuthProxy({ provider, auth: true, cacheSeconds: CACHE_SECONDS })
    const open = await startOAuthProxy({ provider, auth: false })
    const house = await openBenchHouse({ kind: 'protect' })
    const token = await house.signIn(PROTECTED_PATH)
    const gateway = await openBenchHouse({
      kind: 'gateway',
      connectors: { calls: `http://127.0.0.1:${open.port}/mcp` },
    })
    const gatewayToken = await gateway.signIn(CALLS_PATH)
    provider.slow(PROVIDER_DELAY_MS, 'back-channel')
    gateway.provider.slow(PROVIDER_DELAY_MS, 'back-channel')
    house.provider.slow(PROVIDER_DELAY_MS, 'back-channel')
    const call = mcpRequest({ port: house.port, path: PROTECTED_PATH, body: BODY, token })
    const postern = { pids: [house.child.pid], target: cycle(house.port, [call]) }
    const inFront: Side = {
      name: 'gateway in front',
      pids: [gateway.child.pid],
      target: cycle(gateway.port, [
        mcpRequest({ port: gateway.port, path: CALLS_PATH, body: BODY, token: gatewayToken }),
      ]),
    }
    const ours: Side = { name: 'postern', ...postern }
    const sides = [
      ours,
      pythonSide('cache off', off),
      inFront,
      { name: 'postern again', ...postern },
    ]
    const slow = await compare(sides, {
      concurrency: 1,
      rounds: ROUNDS,
      roundMs: ROUND_MS,
      clientSleeps: true,
    })
    const cached = [ours, pythonSide('cache on', on), pythonSide('no auth', open), inFront]
    const again = [pythonSide('cache on again', on), { name: 'postern again', ...postern }]
    const fast = await compare([...cached, ...again], {
      concurrency: 32,
      rounds: ROUNDS,
      roundMs: ROUND_MS,
      clientSleeps: true,
    })
    const rps = (name: string): number => fast(name).requestsPerSecond
    return {
      figures: {
        p50CacheOff: slow('postern').p50Ms / slow('cache off').p50Ms,
        rpsCacheOn: rps('postern') / rps('cache on'),
        p50CacheOffSameServer: slow('gateway in front').p50Ms / slow('cache off').p50Ms,
        rpsCacheOnSameServer: rps('gateway in front') / rps('cache on'),
        posternP50Ms: slow('postern').p50Ms,
        theirsP50Ms: slow('cache off').p50Ms,
        posternRps: rps('postern'),
        theirsRps: rps('cache on'),
        theirsRpsWithoutAuth: rps('no auth'),
      },
      must: { p50CacheOff: ['<=', 0.02], rpsCacheOn: ['>=', 5] },
      aim: { p50CacheOff: ['<=', 0.005], rpsCacheOn: ['>=', 15] },
      control: {
        p50: slow('postern again').p50Ms / slow('postern').p50Ms,
        rps: rps('postern again') / rps('postern'),
        theirsRps: rps('cache on again') / rps('cache on'),
      },
    }
  },
}

function pythonSide(name: string, { port, pid, token }: PythonSide): Side {
  const given = token === undefined ? {} : { token }
  const request = mcpRequest({ port, path: '/mcp', body: BODY, ...given })
  return { name, pids: [pid], target: cycle(port, [request]) }
}
