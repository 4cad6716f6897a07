/**
 * What ends here ends at the provider too: once, durably, without anybody waiting for it.
 * @see flows.md section 11, requirement REV-08, threat O15
 */
import { describe, expect, it } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { TENANT } from '../../src/records.ts'
import { type Node, type Nodes, startNodes } from '../kit/nodes.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

async function revoke(
  node: Node,
  { clientId, refresh_token }: Awaited<ReturnType<Node['signIn']>>,
) {
  const answer = await node.post('/revoke', { client_id: clientId, token: refresh_token })
  expect(answer.status).toBe(200)
}

async function storeOf(nodes: Nodes) {
  const path = nodes.config.databaseUrl.slice('sqlite:'.length)
  return openSqlite({ path, runtime: nodes.runtime })
}

function told(nodes: Nodes, type: string): readonly string[] {
  const events = nodes.nodes.flatMap(({ platform }) => platform.events)
  return events.filter((event) => event.type === type).map(({ reason }) => reason ?? '')
}

describe('the last grant of a sign-in ends', () => {
  it('REV-08: the provider sees one revocation, of the refresh token, and it is told', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    const ada = await first.signIn()
    await revoke(first, ada)
    await nodes.settle()
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
    expect(told(nodes, 'revocation.confirmed')).toContain('revoked_by_client')
    await nodes.elapse(10 * MINUTE_MS, 5_000)
    expect(remote.revocationsAsked).toBe(1)
    const { store } = await storeOf(nodes)
    const rows = await store.list('audit', TENANT, undefined, { max: 100 })
    const events = rows.map(({ value }) => value.event)
    expect(events).toEqual(expect.arrayContaining(['revocation.requested', 'revocation.confirmed']))
    const dump = JSON.stringify(await store.list('vault', TENANT, undefined, { max: 10 }))
    expect(dump).toContain('"ended"')
    expect(await store.count('duty', TENANT)).toBe(0)
    await store.close()
  })

  it('REV-08: nothing is revoked while another grant uses the sign-in', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    const ada = await first.signIn()
    const other = await first.signIn()
    await nodes.settle()
    // The second sign-in replaced the tokens of the first.
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
    await revoke(first, ada)
    await nodes.elapse(2 * MINUTE_MS, 5_000)
    expect(remote.revocationsAsked).toBe(1)
    expect(await first.call(other.access_token)).toBe(200)
    await revoke(first, other)
    await nodes.settle()
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada', 'upstream-refresh-2-of-ada'])
  })

  it('REV-08: replaced tokens stay where the provider would end the newer sign-in with them', async () => {
    const nodes = await startNodes({ provider: { revocationEnds: 'authorization' } })
    const { first, remote } = nodes
    await first.signIn()
    const ada = await first.signIn()
    await nodes.elapse(2 * MINUTE_MS, 5_000)
    expect(remote.revoked).toEqual([])
    await revoke(first, ada)
    await nodes.elapse(MINUTE_MS, 5_000)
    expect(remote.revoked).toEqual([])
    expect(await first.call(ada.access_token)).toBe(401)
  })

  it('REV-08 O15: a provider that is down: dead here at once, revoked within a minute of its return', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    const ada = await first.signIn()
    remote.isUp = false
    await revoke(first, ada)
    expect(await first.call(ada.access_token)).toBe(401)
    expect((await first.refresh(ada)).status).toBe(400)
    await nodes.elapse(3 * 60 * MINUTE_MS, 10_000)
    const tries = remote.revocationsAsked
    expect(tries).toBeGreaterThan(100)
    expect(tries).toBeLessThan(600)
    remote.isUp = true
    await nodes.elapse(MINUTE_MS, 5_000)
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
    expect(told(nodes, 'revocation.failed')).toEqual([])
  })

  it('REV-08: survives a restart, and is done by one node only', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    const ada = await first.signIn()
    remote.isUp = false
    await revoke(first, ada)
    await nodes.settle()
    await first.close()
    remote.isUp = true
    const later = await nodes.add()
    await nodes.elapse(2 * MINUTE_MS, 5_000)
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
    expect(later.platform.events.some(({ type }) => type === 'revocation.confirmed')).toBe(true)
  })

  it('REV-08: given up after 7 days, told and audited', { timeout: 60_000 }, async () => {
    const nodes = await startNodes()
    const { first, remote, runtime } = nodes
    const ada = await first.signIn()
    remote.isUp = false
    await revoke(first, ada)
    await nodes.settle()
    runtime.jumpWallMs(7 * DAY_MS)
    await nodes.elapse(MINUTE_MS, 5_000)
    expect(told(nodes, 'revocation.failed')).toEqual(['silent'])
    const tries = remote.revocationsAsked
    await nodes.elapse(10 * MINUTE_MS, 10_000)
    expect(remote.revocationsAsked).toBe(tries)
    const { store } = await storeOf(nodes)
    expect(await store.count('duty', TENANT)).toBe(0)
    await store.close()
  })

  it('V1 SEC-05: no upstream token is in the store in the clear while it waits', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    const ada = await first.signIn()
    remote.isUp = false
    await revoke(first, ada)
    await nodes.settle()
    const { store } = await storeOf(nodes)
    for (const kind of ['duty', 'vault', 'audit', 'session'] as const) {
      const dump = JSON.stringify(await store.list(kind, TENANT, undefined, { max: 100 }))
      expect(dump).not.toContain('upstream-refresh')
      expect(dump).not.toContain('upstream-access')
    }
    expect(await store.count('duty', TENANT)).toBe(1)
    await store.close()
  })
})

describe('a verdict and a newer sign-in', () => {
  it('REV-08: an older verdict never ends the tokens of a newer sign-in on another node', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second, remote } = nodes
    const ada = await first.signIn()
    for (const kind of ['access', 'refresh']) remote.refused.add(`upstream-${kind}-1-of-ada`)
    let status = await first.call(ada.access_token)
    for (let seconds = 0; status === 200 && seconds < 600; seconds += 1) {
      await nodes.elapse(1_000, 1_000)
      status = await first.call(ada.access_token)
    }
    // The first node doubts, and waits before it believes. Meanwhile, on the other one:
    expect(status).toBe(503)
    const again = await second.signIn()
    await nodes.elapse(30_000)
    expect(await second.call(again.access_token)).toBe(200)
    expect((await second.refresh(again)).status).toBe(200)
    expect(await first.call(again.access_token)).toBe(200)
  })
})
