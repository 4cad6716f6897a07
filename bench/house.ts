/**
 * A house for a benchmark: the real product in a process of its own, a real OpenID provider, and Ada
 * signed in through both by playing their pages.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type OpenIdDouble, startOpenIdDouble } from '../demo/doubles/openid.ts'
import { refresh, signInAsClient } from '../demo/sign-in.ts'
import { createVisitor } from '../demo/visitor.ts'
import { alsoClose, type Child, freePort, startChild } from './children.ts'
import type { HouseSettings } from './servers/house.ts'

export interface BenchHouse {
  readonly child: Child<{
    readonly port: number
    /** `protect`: the same answers with nothing of ours in front. With `linked`: a static 303. */
    readonly openPort: number
    readonly issuer: string
    readonly resource: string
  }>
  readonly port: number
  readonly provider: OpenIdDouble
  /** Ada's token for the resource of `path`. */
  signIn(path: string): Promise<string>
  /** Access tokens that the house issues by its token endpoint, to eight clients. */
  issue(path: string, count: number): Promise<readonly string[]>
  /** Another node of this house: the same store and keys, a process and port of its own. */
  addNode(): Promise<BenchHouse['child']>
  /** A counter of the metrics listener; 0 when it was never counted. */
  metric(name: string): Promise<number>
}

const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const CLIENT = { clientId: 'postern', clientSecret: 'postern-bench-secret' }
const MARKS = 10_000

/** The path that a protected server of P1 answers, and the connector's of a gateway. */
export const PROTECTED_PATH = '/calls'
export const CALLS_PATH = '/mcp/calls'
export const STREAMS_PATH = '/mcp/streams'

export const PRESS = [
  /^allow and continue with bench provider$/i,
  /^continue as ada/i,
  /bench provider$/i,
  /^(re)?connect/i,
  /^continue/i,
]
/** Sign-ins whose refresh tokens are rotated side by side. */
const CHAINS = 8

export async function openBenchHouse(
  options: Pick<HouseSettings, 'kind'> &
    Partial<Pick<HouseSettings, 'connectors' | 'linked' | 'limits' | 'marks'>> & {
      readonly flags?: readonly string[]
    },
): Promise<BenchHouse> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-'))
  alsoClose(() => rm(folder, { recursive: true, force: true }))
  const provider = await startOpenIdDouble({
    clients: [
      { ...CLIENT, redirectUris: [`http://127.0.0.1:${port}/callback/openid`], name: 'Postern' },
    ],
  })
  alsoClose(() => provider.close())
  const settings: HouseSettings = {
    kind: options.kind,
    port,
    databasePath: join(folder, 'postern.db'),
    sealingKey: randomBytes(32).toString('base64url'),
    provider: { issuer: provider.issuer, ...CLIENT },
    connectors: options.connectors ?? {},
    marks: options.marks ?? MARKS,
    limits: options.limits ?? {},
    ...(options.linked === undefined ? {} : { linked: options.linked }),
  }
  const child = await startChild<BenchHouse['child']['ready']>('house', settings, options.flags)
  return {
    child,
    port,
    provider,
    async signIn(path) {
      const visitor = createVisitor({ press: PRESS })
      const resource = `http://127.0.0.1:${port}${path}`
      return (await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })).accessToken
    },
    addNode: async () =>
      startChild('house', { ...settings, port: await freePort(), issuerPort: port, marks: 0 }),
    async issue(path, count) {
      const resource = `http://127.0.0.1:${port}${path}`
      const chain = async (): Promise<string[]> => {
        const visitor = createVisitor({ press: PRESS })
        let client = await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })
        const tokens: string[] = []
        while (tokens.length < count / CHAINS) {
          client = await refresh(client)
          tokens.push(client.accessToken)
        }
        return tokens
      }
      return (await Promise.all(Array.from({ length: CHAINS }, chain))).flat()
    },
    async metric(name) {
      const text = await child.call<string>('metrics')
      const lines = text
        .split('\n')
        .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
  }
}
