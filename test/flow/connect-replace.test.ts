/** The person comes back with another account than the connection had: which one is it to be? */
import { describe, expect, it } from 'vitest'
import { TENANT } from '../../src/records.ts'
import {
  type ConnectTestHouse,
  createConnectHouse,
  link,
  signedIn,
  userIdOf,
} from './connect-house.ts'
import { GRACE, locationOf, ticketOf, Visitor } from './sign-in-house.ts'

describe('another account than before', () => {
  async function comeAs(house: ConnectTestHouse, visitor: Visitor, subject: string) {
    const remote = house.remote()
    remote.answer = (code) => ({
      outcome: 'yes',
      subject,
      tokens: { accessToken: `upstream-${subject}-${code}`, tokenType: 'Bearer' },
    })
    return link(visitor)
  }

  async function waiting() {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    expect(locationOf(await comeAs(house, visitor, 'ada@notes'))).toBe('/connect?done=connected')
    const answer = await comeAs(house, visitor, 'root@notes')
    const path = locationOf(answer)
    expect(path).toMatch(/^\/connect\/notes\/replace\?handle=/)
    const userId = await userIdOf(house)
    return { house, visitor, path, userId }
  }

  it('changes nothing until the person has said so; then the old tokens end', async () => {
    const { house, visitor, path, userId } = await waiting()
    expect((await house.connections.list(userId))[0]?.accountSubject).toBe('ada@notes')
    const page = await (await visitor.get(path)).text()
    expect(page).toContain('This is another account at Notes')
    expect(page).toContain('ada@notes')
    expect(page).toContain('root@notes')
    expect(page).not.toContain('upstream-')
    const form = { ticket: ticketOf(page), decision: 'replace' }
    const done = await visitor.post('/connect/notes/replace', form)
    expect(locationOf(done)).toBe('/connect?done=connected')
    expect((await house.connections.list(userId))[0]?.accountSubject).toBe('root@notes')
    const again = await visitor.post('/connect/notes/replace', form)
    expect(again.status).toBeGreaterThanOrEqual(400)
    const rows = await house.store.list('connecting', TENANT, undefined, { max: 10 })
    expect(JSON.stringify(rows)).not.toContain('upstream-')
  })

  it('keeps the one that was there, and gives the new tokens back', async () => {
    const { house, visitor, path, userId } = await waiting()
    const page = await (await visitor.get(path)).text()
    const form = { ticket: ticketOf(page), decision: 'keep' }
    const answers = await Promise.all([
      visitor.post('/connect/notes/replace', form),
      visitor.post('/connect/notes/replace', form),
    ])
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 400])
    expect((await house.connections.list(userId))[0]?.accountSubject).toBe('ada@notes')
    await house.runtime.settle()
    expect(house.remote().revoked).toEqual(['upstream-root@notes-code-1'])
  })

  it('O1 W2: is asked of nobody else, from no other site, and not for longer than ten minutes', async () => {
    const { house, visitor, path } = await waiting()
    const grace = await signedIn(house, GRACE)
    expect((await grace.get(path)).status).toBe(400)
    expect((await new Visitor(house).get(path)).status).toBe(400)
    expect((await visitor.get(path.replace('/notes/', '/tasks/'))).status).toBe(400)
    const form = { ticket: ticketOf(await (await visitor.get(path)).text()), decision: 'replace' }
    const at = '/connect/notes/replace'
    expect((await visitor.post(at, form, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await grace.post(at, form)).status).toBe(403)
    house.runtime.advanceMs(600_001)
    expect((await visitor.post(at, form)).status).toBe(400)
    expect((await visitor.get(path)).status).toBe(400)
  })

  it('O15: nobody answers for ten minutes: the new tokens are given back', async () => {
    const { house, userId } = await waiting()
    await house.runtime.elapseMs(600_000)
    expect(house.remote().revoked).toEqual(['upstream-root@notes-code-1'])
    expect(await house.store.count('connecting', TENANT)).toBe(0)
    expect((await house.connections.list(userId))[0]?.accountSubject).toBe('ada@notes')
    expect(house.runtime.rejections).toEqual([])
  })

  it.each([
    ['in time', 60_000],
    ['long after', 3_600_000],
  ])('O15: also by a process that starts %s', async (_how, ms) => {
    const { house } = await waiting()
    // The process dies: its timers are nobody's.
    house.runtime.jumpWallMs(ms)
    const { store, deps } = house
    const later = createConnectHouse({ store, deps: { keys: deps.keys } })
    later.runtime.jumpWallMs(house.runtime.nowMs() - later.runtime.nowMs())
    await later.runtime.elapseMs(600_000)
    expect(later.remote().revoked).toEqual(['upstream-root@notes-code-1'])
    await house.runtime.elapseMs(600_000)
    expect(house.remote().revoked).toEqual([])
  })

  it('O15, DSC-20: the server has another issuer when the answer comes: the new tokens are given back', async () => {
    const { house, visitor, path } = await waiting()
    const form = { ticket: ticketOf(await (await visitor.get(path)).text()), decision: 'replace' }
    const remote = house.remote()
    remote.binding = { ...remote.binding, issuer: 'https://other.example' }
    expect((await visitor.post('/connect/notes/replace', form)).status).toBe(502)
    await house.runtime.settle()
    expect(remote.revoked).toEqual(['upstream-root@notes-code-1'])
  })

  it('a server that does not say who it is connects without a question', async () => {
    const { house, visitor } = await waiting()
    house.remote().answer = () => ({
      outcome: 'yes',
      tokens: { accessToken: 'upstream-x', tokenType: 'Bearer' },
    })
    expect(locationOf(await link(visitor))).toBe('/connect?done=connected')
  })
})
