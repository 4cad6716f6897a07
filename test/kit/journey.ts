/**
 * A house with one remote server as its connector, and everybody who uses it: an operator who named
 * the server, a person who connects the account, and an official client that calls through the gateway.
 *
 * The house's clock is the test's, so tokens expire without waiting; it stands still while the server,
 * whose own clock is real, takes its time.
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { onTestFailed } from 'vitest'
import type { ReadingVisitor } from '../../demo/visitor.ts'
import type { ConnectorInput } from '../../src/config.ts'
import { type Connected, connectAccount, connectLinkIn, createPerson } from './connect.ts'
import { openPlane, type Plane } from './plane.ts'

/** Fake time between two settlings of the house while hours go by. */
const STEP_MS = 60_000
/** Second by second at the end: what is polled has been polled when the next call comes. */
const LAST_STEPS_MS = 10_000

export interface JourneyOptions {
  readonly url: string
  /** Origins of an authorization server that the server's URL does not name. */
  readonly origins?: readonly string[]
  readonly connector?: Partial<ConnectorInput>
  /** `auto`: 2026-07-28 where the server speaks it. Default `legacy`. */
  readonly era?: 'legacy' | 'auto'
}

/** What a call gave: the tool's text, or the link that it asks to open. */
export interface Called {
  readonly text: string
  readonly isError: boolean
  readonly link: string | undefined
}

export interface Journey {
  readonly plane: Plane<'github'>
  readonly person: ReadingVisitor
  /** As the configuration file names it. */
  readonly connector: string
  connect(link?: string): Promise<Connected>
  /** A new client, signed in anew, that starts a session and makes one call. */
  call(tool: string, parameters?: Readonly<Record<string, unknown>>): Promise<Called>
  /** The house's clock goes on. */
  elapse(seconds: number): Promise<void>
  /** Types of events of the connection and of revocations at its server, in order. */
  happened(): readonly string[]
}

export async function openJourney(options: JourneyOptions): Promise<Journey> {
  const plane = await openPlane({
    provider: 'github',
    connectorUrl: options.url,
    connector: { auth: 'oauth', ...options.connector },
    config: { egress: { allowHosts: [...(options.origins ?? [])] } },
  })
  onTestFailed(() => console.error(plane.events.map((event) => JSON.stringify(event)).join('\n')))
  const person = createPerson()
  const { issuer } = plane
  const connector = 'notes'
  return {
    plane,
    person,
    connector,
    connect: (link) =>
      connectAccount({ issuer, connector, ...(link === undefined ? {} : { link }) }, person),
    async call(tool, parameters = {}) {
      const { accessToken } = await plane.signIn()
      return await callOnce(plane, options.era ?? 'legacy', accessToken, tool, parameters)
    },
    async elapse(seconds) {
      await plane.elapse(seconds * 1_000 - LAST_STEPS_MS, STEP_MS)
      await plane.elapse(LAST_STEPS_MS)
    },
    happened: () =>
      plane.events
        .filter((event) => {
          const isOurs = 'provider' in event && event.provider === `connector:${connector}`
          return (
            event.type.startsWith('connection.') || (isOurs && /^revocation\./.test(event.type))
          )
        })
        .map(({ type }) => type),
  }
}

async function callOnce(
  { issuer, resource }: Plane<'github'>,
  mode: 'legacy' | 'auto',
  accessToken: string,
  name: string,
  parameters: Readonly<Record<string, unknown>>,
): Promise<Called> {
  const client = new Client({ name: 'journey', version: '1.0.0' }, { versionNegotiation: { mode } })
  const headers = { authorization: `Bearer ${accessToken}` }
  try {
    await client.connect(
      new StreamableHTTPClientTransport(new URL(resource), { requestInit: { headers } }),
    )
    const result = await client.callTool({ name, arguments: { ...parameters } })
    const text = (result.content as readonly { readonly text?: string }[])
      .map((block) => block.text ?? '')
      .join('')
    return { text, isError: result.isError === true, link: connectLinkIn(result, issuer) }
  } catch (error) {
    const link = connectLinkIn(error, issuer)
    if (link === undefined) throw error
    return { text: String(error), isError: true, link }
  } finally {
    await client.close()
  }
}
