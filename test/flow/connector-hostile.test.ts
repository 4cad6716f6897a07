/** Servers of connectors that do harm within the grammar: loops, and what they name at others. */
import { describe, expect, it } from 'vitest'
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import { TENANT } from '../../src/records.ts'
import { AUTH, createOutboundWorld, NOTES, reply } from '../kit/outbound-world.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { openNode, targetOf } from './discovery-house.ts'

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

  it('I9: servers that no connector has fill no disk, and take no place of those that one has', async () => {
    const store = createMemoryStore()
    const runtime = createTestRuntime()
    const origin = 'https://many.example'
    const place = { runtime, store, lock: createMemoryLock(runtime), approvedOrigins: [] }
    const node = await openNode({
      ...place,
      fetch: async ({ url, method }) => {
        if (method === 'POST') return reply(401, {})
        const path = url.pathname.replace('/.well-known/oauth-protected-resource', '')
        if (path !== url.pathname) {
          return reply(200, { resource: origin + path, authorization_servers: [origin] })
        }
        return reply(200, {
          issuer: origin,
          authorization_endpoint: `${origin}/authorize`,
          token_endpoint: `${origin}/token`,
          response_types_supported: ['code'],
          code_challenge_methods_supported: ['S256'],
        })
      },
    })
    for (let index = 0; index < 1_100; index += 1) {
      await node.engine.read(targetOf(`${origin}/${index}`), { deadlineMs: 5_000 })
    }
    const ours = targetOf(`${origin}/ours`)
    node.engine.keepWarm(ours)
    await node.engine.read(ours, { deadlineMs: 5_000 })
    await runtime.elapseMs(60_000)
    expect(await store.count('fact', TENANT)).toBe(1_001)
    await node.close()
    // After a restart ours is found, wherever it stands among them.
    const again = await openNode({ ...place, fetch: () => Promise.reject(new Error('dead')) })
    expect(again.engine.peek(targetOf(`${origin}/ours`))?.state).toBe('fresh')
    await again.close()
  })
})
