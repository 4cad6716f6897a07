/**
 * The other side is gone at an awkward moment: the provider while somebody signs in or while Postern
 * starts, the MCP server behind while somebody calls.
 */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startServer } from '../kit/http.ts'
import { openPlane, type Plane, type ProviderKind } from '../kit/plane.ts'

const PROVIDERS: readonly ProviderKind[] = ['github', 'openid']
const TITLES = { github: 'GitHub', openid: 'OpenID' }
const DAY_SECONDS = 86_400
const TOKEN_CALL_MS = 10_000
const METADATA_MS = 3_000
/** The test moves the clock in steps and the pages before need none of it. */
const MARGIN_MS = 2_000
const BOUND_MS = 3_600_000
/** Longer than any test: the clock of Postern is the only one that ends it. */
const NEVER_MS = 600_000

describe.each(PROVIDERS)('signing in when %s', (kind) => {
  const page = new RegExp(`\\(50[234]\\): .*${TITLES[kind]} does not answer.*Try again`)

  it('F1: takes too long: a page with "Try again" by the deadline', async () => {
    const plane = await openPlane({ provider: kind })
    plane.provider.slow(NEVER_MS, 'back-channel')
    const sinceMs = plane.elapsedMs()
    await expect(plane.during(plane.signIn())).rejects.toThrow(page)
    expect(plane.elapsedMs() - sinceMs).toBeLessThanOrEqual(TOKEN_CALL_MS + MARGIN_MS)
    plane.provider.slow(0)
    expect((await plane.call(await plane.signIn())).status).toBe(200)
  })

  it('F3: answers 500 to the code: a page, no consent remembered as a sign-in, then it works', async () => {
    const plane = await openPlane({ provider: kind })
    const endpoint = kind === 'github' ? 'POST /login/oauth/access_token' : 'POST /token'
    plane.provider.answerWith(endpoint, { status: 500, body: '<h1>oops</h1>' })
    await expect(plane.during(plane.signIn())).rejects.toThrow(page)
    expect(plane.events.filter(({ type }) => type === 'signin.completed')).toEqual([])
    plane.provider.answerWith(endpoint, undefined)
    expect((await plane.call(await plane.signIn())).status).toBe(200)
  })
})

describe('signing in at an OpenID provider that never answered', () => {
  it.each(['dead', 'hanging'] as const)(
    'F2: %s since before the start: a page by the deadline',
    async (how) => {
      const plane = await openPlane({ provider: 'openid' })
      await plane.stop()
      forgetFacts(plane)
      if (how === 'dead') await plane.provider.kill()
      else plane.provider.hang()
      await plane.start()
      const sinceMs = plane.elapsedMs()
      await expect(plane.during(plane.signIn())).rejects.toThrow(
        /\(50[234]\): .*OpenID does not answer.*Try again/,
      )
      expect(plane.elapsedMs() - sinceMs).toBeLessThanOrEqual(METADATA_MS + MARGIN_MS)
      await plane.provider.revive()
      await plane.elapse(60_000)
      expect((await plane.call(await plane.signIn())).status).toBe(200)
    },
  )
})

describe.each(PROVIDERS)('a restart while %s is dead', (kind) => {
  it('A10: calls go on from the persisted proof, within its bound and no longer', async () => {
    const plane = await openPlane({
      provider: kind,
      limits: { accessTokenTtlSeconds: DAY_SECONDS },
    })
    const caller = await plane.signIn()
    expect((await plane.call(caller)).status).toBe(200)
    const provedMs = plane.elapsedMs()
    await plane.provider.kill()
    await plane.elapse(30_000)

    const statuses: number[] = []
    for (let quarter = 1; quarter <= 4; quarter++) {
      // A proof does not get younger by a restart.
      await plane.restart()
      statuses.push((await plane.call(caller)).status)
      const untilMs = provedMs + (quarter * BOUND_MS) / 4 - MARGIN_MS
      await plane.elapse(untilMs - plane.elapsedMs(), 2_000)
      statuses.push((await plane.call(caller)).status)
    }
    expect(statuses).toEqual(statuses.map(() => 200))
    await plane.elapse(2 * MARGIN_MS)
    const late = await plane.call(caller)
    expect(late.status).toBe(503)
    expect(late.text).not.toContain('invalid_token')
    await plane.provider.revive()
    await plane.elapse(90_000)
    expect((await plane.call(caller)).status).toBe(200)
  })
})

describe('an MCP server behind', () => {
  it.each([7, 'seven'])('refuses connections: 502 with a JSON-RPC error for id %j', async (id) => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    const caller = await plane.signIn()
    expect((await plane.call(caller, { id })).status).toBe(200)
    await plane.notes.close()
    const answer = await plane.call(caller, { id })
    expect(answer.status).toBe(502)
    expect(JSON.parse(answer.text)).toMatchObject({
      jsonrpc: '2.0',
      id,
      error: { code: expect.any(Number) },
    })
  })

  it('never answers: 504 with a JSON-RPC error by its deadline', async () => {
    const silent = await startServer(() => undefined)
    onTestFinished(() => silent.close())
    const plane = await openPlane({
      provider: 'github',
      clock: 'real',
      connectorUrl: `${silent.origin}/mcp`,
      limits: { firstByteTimeoutMs: 200 },
    })
    const answer = await plane.call(await plane.signIn(), { id: 'abc' })
    expect(answer.status).toBe(504)
    expect(JSON.parse(answer.text)).toMatchObject({
      jsonrpc: '2.0',
      id: 'abc',
      error: { message: expect.any(String) },
    })
  })
})

/** As on the first start of a house: nothing was ever discovered. */
function forgetFacts(plane: Plane): void {
  const database = new DatabaseSync(plane.databasePath)
  database.prepare(`DELETE FROM records WHERE kind = 'fact'`).run()
  database.close()
}
