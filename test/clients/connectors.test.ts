/**
 * Servers that nobody here wrote, as connectors: FastMCP with its own `OAuthProxy` in front of GitHub,
 * and the demo server of the official 1.x package with its demo authorization server on another port.
 * Each is found, registered at, connected by a played person, called, refreshed and ended.
 */
import { describe, expect, it } from 'vitest'
import { readJson } from '../../demo/sign-in.ts'
import type { ConnectorInput } from '../../src/config.ts'
import { disconnectAccount } from '../kit/connect.ts'
import { openJourney } from '../kit/journey.ts'
import type { RunningProcess } from '../kit/process.ts'
import { startDemo, startFastMcp } from './remote-programs.ts'

const TEST_DEADLINE_MS = 600_000
/** GitHub's expiring tokens; FastMCP gives its own the same life. */
const GITHUB_TOKEN_SECONDS = 28_800
const DEMO_TOKEN_SECONDS = 3_600
const MARGIN_SECONDS = 60

/**
 * 2.13.1 with today's `mcp` gives a secret to who registers and then takes none, neither as Basic nor in
 * the form: an operator registers a public client by hand. 4.1 registers public clients by itself.
 */
const FASTMCP = [
  ['fastmcp-2', 'CLI-01', registerByHand],
  ['fastmcp-4', 'CLI-03', async () => undefined],
] as const

async function registerByHand(url: string): Promise<ConnectorInput['client']> {
  const answer = await readJson(new URL('/register', url).href, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Postern',
      redirect_uris: ['http://127.0.0.1:8414/connect/notes/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  })
  return { clientId: String(answer['client_id']), authMethod: 'none' }
}

/** Requests to this path in the server's own log. */
function asked({ lines }: RunningProcess, line: RegExp): number {
  return lines.filter((text) => line.test(text)).length
}

describe('remote servers of others, connected', () => {
  it.for(FASTMCP)(
    '%s %s CLI-18 CLI-20 GW-23 GW-24 GW-25: with its OAuthProxy in front of GitHub',
    {
      timeout: TEST_DEADLINE_MS,
    },
    async ([version, , register], context) => {
      const { url, child, github } = await startFastMcp(context, version)
      const calls = () => asked(child, /"POST \/mcp HTTP/)
      const refreshes = () => asked(child, /"POST \/token HTTP.*" 200/) - 1
      const client = await register(url)
      const journey = await openJourney({
        url,
        connector: client === undefined ? {} : { client },
      })
      const probes = calls()
      const before = await journey.call('whoami')
      expect(before).toMatchObject({
        isError: true,
        link: expect.stringContaining('/connect/notes'),
      })
      expect(calls(), 'nothing is sent without a connection').toBe(probes)

      const page = await journey.connect(before.link)
      expect(page, page.text).toMatchObject({ isConnected: true })
      // It refuses a loopback redirect of `application_type` web.
      expect(asked(child, /"POST \/register HTTP.*" 201/)).toBe(1)
      const first = await journey.call('whoami')
      expect(first).toEqual({
        isError: false,
        link: undefined,
        text: expect.stringContaining('ada'),
      })
      expect(refreshes()).toBe(0)

      // It rotates refresh tokens: the second works only when the first answer was kept.
      for (const round of [1, 2]) {
        await journey.elapse(GITHUB_TOKEN_SECONDS + MARGIN_SECONDS)
        expect((await journey.call('whoami')).text).toBe(first.text)
        expect(refreshes()).toBe(round)
      }

      // The person takes the access back at GitHub: 401, and no refresh helps.
      github.revokeEverybody()
      const refused = await journey.call('whoami')
      expect(refused).toMatchObject({ isError: true, link: expect.stringContaining('/connect/') })
      const again = await journey.connect(refused.link)
      expect(again, again.text).toMatchObject({ isConnected: true })
      expect((await journey.call('whoami')).text).toBe(first.text)

      const gone = await disconnectAccount(journey.plane.issuer, journey.person)
      expect(gone.text).toContain('This server cannot be told to end a token')
      const after = await journey.call('whoami')
      expect(after).toMatchObject({
        isError: true,
        link: expect.stringContaining('/connect/notes'),
      })
      expect(asked(child, /"POST \/register HTTP/)).toBe(1)
    },
  )

  it('CLI-07 CLI-16 DSC-07: the demo of the official package, which gives no refresh tokens', {
    timeout: TEST_DEADLINE_MS,
  }, async () => {
    const { url, origins } = await startDemo()
    const journey = await openJourney({ url, origins })
    const greet = () => journey.call('greet', { name: 'Ada' })
    const before = await greet()
    const page = await journey.connect(before.link)
    expect(page, page.text).toMatchObject({ isConnected: true })
    expect(await greet()).toEqual({ isError: false, link: undefined, text: 'Hello, Ada!' })

    await journey.elapse(DEMO_TOKEN_SECONDS + MARGIN_SECONDS)
    const expired = await greet()
    expect(expired).toMatchObject({
      isError: true,
      link: expect.stringContaining('/connect/notes'),
    })
    const again = await journey.connect(expired.link)
    expect(again, again.text).toMatchObject({ isConnected: true })
    expect(await greet()).toMatchObject({ isError: false, text: 'Hello, Ada!' })

    const gone = await disconnectAccount(journey.plane.issuer, journey.person)
    expect(gone.text).toContain('Disconnected')
    expect(await greet()).toMatchObject({ isError: true })
  })
})
