/**
 * What a warm call costs outside: nothing. Exchanges are counted at the provider's and the server's
 * sockets, durable writes at the store and by SQLite itself, seen from another connection.
 */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { until } from '../kit/http.ts'
import { callTool, openPlane, type Plane, type ProviderKind } from '../kit/plane.ts'

const PROVIDERS: readonly ProviderKind[] = ['github', 'openid']
const CALLS = 1_000
const CALLS_AT_ONCE = 10
const CALL_EVERY_MS = 400_000
const TWO_HOURS_MS = 7_200_000
const NIGHT_MS = 43_200_000
const COLD_CALLERS = 100
const DAY_SECONDS = 86_400

/** SQLite's own word on whether anybody else has committed. */
function watchCommits(plane: Plane): { version(): number; rows(kind: string): number } {
  const reader = new DatabaseSync(plane.databasePath, { readOnly: true })
  onTestFinished(() => reader.close())
  return {
    version: () => Number(reader.prepare('PRAGMA data_version').get()?.['data_version']),
    rows: (kind) =>
      Number(reader.prepare('SELECT count(*) AS n FROM records WHERE kind = ?').get(kind)?.['n']),
  }
}

describe.each(PROVIDERS)('warm calls of a person of %s', (provider) => {
  it('VAL-02 P4 P21: 1,000 calls make 0 exchanges of our own and 0 durable writes', async () => {
    const plane = await openPlane({ provider, clock: 'real' })
    const caller = await plane.signIn()
    expect((await plane.call(caller)).status).toBe(200)
    const database = watchCommits(plane)
    // The sign-in's own proof and documents are written behind it.
    const facts = provider === 'openid' ? 2 : 0
    await until(() => database.rows('proof') === 1 && database.rows('fact') === facts, 'facts')
    const before = {
      commits: database.version(),
      writes: { ...plane.writes },
      remote: await plane.metric('postern_remote_calls_total'),
      waits: await plane.metric('postern_hot_path_waits_total'),
      arrived: plane.notes.requests(),
    }
    plane.provider.forget()

    const statuses: number[] = []
    for (let made = 0; made < CALLS; made += CALLS_AT_ONCE) {
      const batch = Array.from({ length: CALLS_AT_ONCE }, () => plane.call(caller))
      for (const { status, text } of await Promise.all(batch)) {
        statuses.push(text.includes('Your notebook is empty') ? status : 0)
      }
    }

    expect(statuses).toEqual(Array.from({ length: CALLS }, () => 200))
    expect(plane.provider.exchanges()).toEqual({})
    expect(plane.notes.requests() - before.arrived).toBe(CALLS)
    expect(await plane.metric('postern_remote_calls_total')).toBe(before.remote)
    expect(await plane.metric('postern_hot_path_waits_total')).toBe(before.waits)
    expect(plane.writes).toEqual(before.writes)
    expect(database.version()).toBe(before.commits)
  })

  it('P4: a call every 400 s for two hours waits for nobody; the provider is asked behind', async () => {
    const plane = await openPlane({ provider, limits: { accessTokenTtlSeconds: DAY_SECONDS } })
    const caller = await plane.signIn()
    await plane.call(caller)
    const waits = await plane.metric('postern_hot_path_waits_total')
    plane.provider.forget()

    while (plane.elapsedMs() < TWO_HOURS_MS) {
      await plane.elapse(CALL_EVERY_MS)
      expect((await plane.call(caller)).status).toBe(200)
    }

    expect(await plane.metric('postern_hot_path_waits_total')).toBe(waits)
    expect(await plane.metric('postern_hot_path_waits_total', { reason: 'proof' })).toBe(0)
    // Asked ahead at 80 % of 300 s, less at most a tenth.
    expect(plane.provider.total()).toBeGreaterThanOrEqual(TWO_HOURS_MS / 240_000 - 1)
    // A call renews behind itself what is older than a minute.
    const callsMade = TWO_HOURS_MS / CALL_EVERY_MS
    expect(plane.provider.total()).toBeLessThanOrEqual(TWO_HOURS_MS / 216_000 + callsMade + 2)

    // Nobody answers there, and no fake time passes: this answer waited for nothing.
    plane.provider.hang()
    expect((await callTool(plane.resource, caller.accessToken)).status).toBe(200)
  })

  it('keeps nothing warm for a person who is not there: after an hour nobody is asked', async () => {
    const plane = await openPlane({ provider, limits: { accessTokenTtlSeconds: DAY_SECONDS } })
    await plane.call(await plane.signIn())
    await plane.elapse(3_900_000, 5_000)
    plane.provider.forget()
    await plane.elapse(7_200_000, 5_000)
    const proofs = provider === 'github' ? 'GET /user' : 'GET /me'
    expect(plane.provider.total(proofs)).toBe(0)
  })

  it(`C8: ${COLD_CALLERS} cold callers make one provider call`, async () => {
    const plane = await openPlane({ provider, limits: { accessTokenTtlSeconds: DAY_SECONDS } })
    const caller = await plane.signIn()
    await plane.stop()
    forgetProofs(plane)
    await plane.start()
    plane.provider.forget()

    const answers = await plane.during(
      Promise.all(Array.from({ length: COLD_CALLERS }, () => plane.call(caller))),
    )
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(plane.provider.total()).toBe(1)
  })

  it(`C8: ${COLD_CALLERS} callers after a night make one provider call`, async () => {
    const plane = await openPlane({ provider, limits: { accessTokenTtlSeconds: DAY_SECONDS } })
    const caller = await plane.signIn()
    await plane.call(caller)
    await plane.elapse(NIGHT_MS, 20_000)
    plane.provider.forget()

    const answers = await plane.during(
      Promise.all(Array.from({ length: COLD_CALLERS }, () => plane.call(caller))),
    )
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    // At an OpenID provider the refresh is the proof; its documents are old as well, and asked behind.
    const documents =
      provider === 'github' ? {} : { 'GET /.well-known/openid-configuration': 1, 'GET /jwks': 1 }
    const proof = provider === 'github' ? { 'GET /user': 1 } : { 'POST /token': 1 }
    expect(plane.provider.exchanges()).toEqual({ ...proof, ...documents })
  })
})

/** As if the house had died before its proofs were written behind. */
function forgetProofs(plane: Plane): void {
  const database = new DatabaseSync(plane.databasePath)
  database.prepare(`DELETE FROM records WHERE kind = 'proof'`).run()
  database.close()
}
