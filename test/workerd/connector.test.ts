/**
 * A server on Cloudflare's authorization server for Workers, in real workerd, as a connector. It names
 * the scope that a call lacks with a 403, and ends tokens at its token endpoint.
 */
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest'
import { disconnectAccount } from '../kit/connect.ts'
import { openJourney } from '../kit/journey.ts'
import { need } from '../kit/needs.ts'
import { freePort } from '../kit/postern.ts'
import { preparePrograms } from '../kit/programs.ts'
import { startWorker } from './start-worker.ts'

const TEST_DEADLINE_MS = 600_000
const TOKEN_SECONDS = 3_600
const MARGIN_SECONDS = 60

async function startProvider(context: TestContext): Promise<string> {
  const paths = need(context, 'the authorization server for Workers', await preparePrograms())
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const worker = await startWorker({
    entry: new URL('connector-server.worker.ts', import.meta.url),
    alias: { 'virtual:workers-oauth-provider': paths['workers-oauth-provider'] },
    port,
    origin,
    bindings: { TEST_ORIGIN: origin },
    options: { kvNamespaces: ['OAUTH_KV'] },
  })
  onTestFinished(() => worker.dispose())
  return `${origin}/mcp`
}

describe('a server on workers-oauth-provider, connected', () => {
  it('CLI-08 CLI-09 CLI-18 CLI-23: connect, call, more scope, refresh, disconnect', {
    timeout: TEST_DEADLINE_MS,
  }, async (context) => {
    const url = await startProvider(context)
    const journey = await openJourney({ url, era: 'auto' })
    const before = await journey.call('whoami')
    const page = await journey.connect(before.link)
    expect(page, page.text).toMatchObject({ isConnected: true })
    expect(await journey.call('whoami')).toEqual({ isError: false, link: undefined, text: 'ada' })

    const lacking = await journey.call('add_note')
    expect(lacking).toMatchObject({
      isError: true,
      link: expect.stringContaining('/connect/notes'),
    })
    const more = await journey.connect(lacking.link)
    expect(more, more.text).toMatchObject({ isConnected: true })
    expect(await journey.call('add_note')).toMatchObject({ isError: false, text: 'kept' })
    expect(await journey.call('whoami')).toMatchObject({ isError: false, text: 'ada' })

    await journey.elapse(TOKEN_SECONDS + MARGIN_SECONDS)
    expect(await journey.call('add_note')).toMatchObject({ isError: false, text: 'kept' })
    expect(journey.happened().filter((type) => type === 'connection.refreshed')).toHaveLength(1)

    const gone = await disconnectAccount(journey.plane.issuer, journey.person)
    expect(gone.text).toContain('the server is being told')
    await journey.elapse(MARGIN_SECONDS)
    expect(journey.happened()).toContain('revocation.confirmed')
    expect(await journey.call('whoami')).toMatchObject({ isError: true })
  })
})
