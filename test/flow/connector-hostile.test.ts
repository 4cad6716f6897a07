/** Servers of connectors that do harm within the grammar: loops, and what they name at others. */
import { describe, expect, it } from 'vitest'
import { AUTH, createOutboundWorld, NOTES, reply } from '../kit/outbound-world.ts'

const MINUTE_MS = 60_000

describe('a hostile server of a connector', () => {
  it('DSC-17: that names what breaks at another origin keeps nobody from that origin', async () => {
    const { node, remote, pass } = createOutboundWorld()
    // `n0` says that its authorization server is a broken corner of the one that `notes` uses.
    remote.fault = ({ pathname }) => {
      if (pathname === '/.well-known/oauth-protected-resource/0/mcp') {
        const authorization_servers = [`${AUTH}/broken`]
        return reply(200, { resource: `${NOTES}/0/mcp`, authorization_servers })
      }
      return pathname.endsWith('/broken') ? reply(500, {}) : undefined
    }
    const { lifecycle, emit } = await node({ further: 1 })
    await pass(30 * MINUTE_MS)
    expect(emit.events.filter(({ type }) => type === 'breaker.opened')).toHaveLength(1)
    for (let seconds = 0; seconds < 60; seconds += 10) {
      const asked = lifecycle.discover('notes')
      await pass(10_000)
      expect(await asked).toMatchObject({ state: 'ready', problems: [] })
    }
  })

  it.each([
    ['has ended', -1],
    ['ends in two seconds', 2],
  ])('CLI-05: whose client secret %s is no loop of registrations', async (_, seconds) => {
    const { node, remote, pass, runtime } = createOutboundWorld()
    remote.fault = ({ pathname }) => {
      if (pathname !== '/register') return undefined
      return reply(201, {
        client_id: `client-${remote.count('/register')}`,
        client_secret: 'secret',
        client_secret_expires_at: Math.floor(runtime.nowMs() / 1000) + seconds,
      })
    }
    const { lifecycle } = await node()
    for (let click = 0; click < 100; click += 1) {
      const prepared = lifecycle.prepare('notes', { deadlineMs: 5_000, retry: true })
      await pass(100)
      expect((await prepared).ok).toBe(false)
    }
    await pass(60 * MINUTE_MS)
    // Ten seconds of wait, doubling to five minutes.
    expect(remote.count('/register')).toBeLessThanOrEqual(20)
    expect(lifecycle.status('notes')?.problems).toMatchObject([
      { party: 'authorization-server', code: 'ERR_CONNECTOR_REGISTRATION' },
    ])
  })
})
