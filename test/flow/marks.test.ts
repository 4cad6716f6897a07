/**
 * Marks on two nodes: at once where they are made, elsewhere within the poll; signing keys rotated and
 * withdrawn while calls go on; what many grants cost.
 * @see flows.md sections 11 and 12, requirements REV-04, VAL-11, AS-17, threats J10 and V2
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Sql } from '../../src/adapters/sql.ts'
import { createSqlStore } from '../../src/adapters/sql-store.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { endByMark } from '../../src/issuer/endings.ts'
import {
  KEY_KEPT_AFTER_MS,
  KEY_LIFE_MS,
  KEY_PUBLISHED_AHEAD_MS,
  KEYS_POLL_MS,
} from '../../src/issuer/keys.ts'
import { REVOCATION_POLL_MS } from '../../src/issuer/revocation.ts'
import { guardOf } from '../../src/middleware/protectable.ts'
import type { Fetch } from '../../src/ports.ts'
import { TENANT } from '../../src/records.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import {
  CREDENTIAL,
  type Node,
  type Nodes,
  RESOURCE,
  type SignedIn,
  startNodes,
} from '../kit/nodes.ts'
import { createTestRuntime } from '../kit/runtime.ts'

/** Without a bus: the poll and what a busy moment adds. REV-04 allows 5 s. */
const ELSEWHERE_MS = REVOCATION_POLL_MS + 500
const HOUR_MS = 3_600_000

async function revoke(node: Node, clientId: string, token: string): Promise<void> {
  const answer = await node.post('/revoke', { client_id: clientId, token })
  expect(answer.status).toBe(200)
}

const ENDINGS: readonly [string, (node: Node, ada: SignedIn) => Promise<unknown>][] = [
  ['token', (node, ada) => revoke(node, ada.clientId, ada.access_token)],
  ['grant', (node, ada) => revoke(node, ada.clientId, ada.refresh_token)],
  ['user', (node, ada) => node.house.operations.revoke({ kind: 'user', id: ada.userId }, 'test')],
  [
    'client',
    (node, ada) => node.house.operations.revoke({ kind: 'client', id: ada.clientId }, 'test'),
  ],
  [
    'connector',
    (node) => node.house.operations.revoke({ kind: 'connector', id: RESOURCE }, 'test'),
  ],
  ['tenant', (node) => node.house.operations.revoke({ kind: 'tenant', id: TENANT }, 'test')],
  ['key', (node) => node.house.operations.rotateKeys({ emergency: true })],
]

describe('a mark on two nodes', () => {
  it.each(ENDINGS)(
    'REV-04 VAL-11: %s: refused at once here, within the poll elsewhere',
    async (_kind, end) => {
      const nodes = await startNodes({ nodes: 2 })
      const { first, second } = nodes
      const ada = await first.signIn()
      // Remembered on both: what a mark has to reach.
      expect(await first.call(ada.access_token)).toBe(200)
      expect(await second.call(ada.access_token)).toBe(200)
      await end(first, ada)
      expect(await first.call(ada.access_token)).toBe(401)
      await nodes.elapse(ELSEWHERE_MS)
      expect(await second.call(ada.access_token)).toBe(401)
    },
  )

  it('REV-04: a mark of a user lets nothing through whose clock is 2 s behind, and a later sign-in in', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second } = nodes
    const ada = await first.signIn()
    await first.house.operations.revoke({ kind: 'user', id: ada.userId }, 'test')
    await nodes.elapse(1_000)
    const early = await second.signIn()
    expect(await second.call(early.access_token)).toBe(401)
    await nodes.elapse(2_000)
    const later = await second.signIn()
    expect(await second.call(later.access_token)).toBe(200)
    expect(await first.call(later.access_token)).toBe(200)
  })

  it('I5: what was ended stays ended after a restart of every node', async () => {
    const nodes = await startNodes()
    const { first } = nodes
    const ada = await first.signIn()
    await first.house.operations.revoke({ kind: 'tenant', id: TENANT }, 'test')
    await first.close()
    const later = await nodes.add()
    expect(await later.call(ada.access_token)).toBe(401)
    expect((await later.refresh(ada)).status).toBe(400)
  })
})

describe('signing keys', () => {
  it('AS-17 J10: rotated under load on two nodes: no good token is refused at any moment', {
    timeout: 60_000,
  }, async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second } = nodes
    const ada = await first.signIn()
    const kids = new Set<string>()
    const statuses = new Map<number, number>()
    let tokens = { access_token: ada.access_token, refresh_token: ada.refresh_token }
    const round = async (): Promise<void> => {
      const turn = kids.size % 2 === 0 ? [first, second] : [second, first]
      for (const node of turn) {
        const answer = await node.refresh({ ...ada, ...tokens })
        expect(answer.status).toBe(200)
        tokens = (await answer.json()) as typeof tokens
        kids.add(kidOf(tokens.access_token))
        for (const other of nodes.nodes) {
          const status = await other.call(tokens.access_token)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }
    }
    await nodes.elapse(10_000)
    const { kid } = await first.house.operations.rotateKeys()
    await nodes.elapse(KEYS_POLL_MS + 1_000, 1_000)
    const start = nodes.runtime.nowMs()
    const end = start + KEY_PUBLISHED_AHEAD_MS + KEY_KEPT_AFTER_MS + 2 * HOUR_MS
    while (nodes.runtime.nowMs() < end) {
      // The wall clock leaps: keys and tokens live by it, and timers need not fire 300,000 times.
      nodes.runtime.jumpWallMs(2 * HOUR_MS)
      await nodes.elapse(REVOCATION_POLL_MS, REVOCATION_POLL_MS / 2)
      await round()
    }
    expect([...kids].at(-1)).toBe(kid)
    expect(kids.size).toBe(2)
    expect([...statuses.keys()]).toEqual([200])
    expect(statuses.get(200)).toBeGreaterThan(140)
    const jwks = await first.fetch(new Request('https://auth.example/.well-known/jwks.json'))
    expect(jwks.headers.get('cache-control')).toBe('public, max-age=300')
    const { keys } = (await jwks.json()) as { keys: { kid: string }[] }
    expect(keys.map((key) => key.kid)).toEqual([kid])
    expect(KEY_LIFE_MS).toBeGreaterThan(KEY_PUBLISHED_AHEAD_MS + KEY_KEPT_AFTER_MS)
  })

  it('J10: withdrawn in an emergency: 0 accepted on our nodes after 5 s, new tokens are good', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second } = nodes
    const people = [await first.signIn(), await second.signIn(), await first.signIn()]
    for (const { access_token } of people) {
      expect(await first.call(access_token)).toBe(200)
      expect(await second.call(access_token)).toBe(200)
    }
    const { withdrawn } = await second.house.operations.rotateKeys({ emergency: true })
    expect(withdrawn).toHaveLength(1)
    for (const { access_token } of people) expect(await second.call(access_token)).toBe(401)
    await nodes.elapse(5_000)
    for (const { access_token } of people) {
      expect(await first.call(access_token)).toBe(401)
      expect(await second.call(access_token)).toBe(401)
    }
    // Nobody has to sign in again: the refresh token is not signed by that key.
    const last = people.at(-1)
    if (last === undefined) throw new Error('nobody signed in')
    const answer = await first.refresh(last)
    const { access_token } = (await answer.json()) as { access_token: string }
    expect(kidOf(access_token)).not.toBe(kidOf(last.access_token))
    expect(await first.call(access_token)).toBe(200)
    expect(await second.call(access_token)).toBe(200)
  })

  it('J10: withdrawn on another node: protect() in another process refuses within 10 s, and lets new tokens in', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second } = nodes
    const ada = await first.signIn()
    const remote = await startProtected(nodes)
    expect(await remote.call(ada.access_token)).toBe(200)
    await second.house.operations.rotateKeys({ emergency: true })
    await nodes.elapse(10_000)
    expect(await remote.call(ada.access_token)).toBe(401)
    const answer = await first.refresh(ada)
    const { access_token } = (await answer.json()) as { access_token: string }
    expect(await remote.call(access_token)).toBe(200)
    remote.stop()
  })
})

/** A server of another process, as far as the network goes: it knows the issuer's addresses only. */
async function startProtected(nodes: Nodes) {
  const stopped = new AbortController()
  const { runtime } = nodes
  const fetch: Fetch = async ({ url, headers, signal }) => {
    const answer = await nodes.first.fetch(new Request(url, { headers, signal }))
    return { status: answer.status, headers: answer.headers, body: answer.body }
  }
  const guard = guardOf({
    issuer: 'https://auth.example',
    resource: RESOURCE,
    credential: CREDENTIAL,
    signal: stopped.signal,
    platform: {
      runtime,
      emit: createRecordingEmit(),
      openFetch: () => ({ fetch, close: async () => undefined }),
    },
  })
  await nodes.elapse(1_000)
  return {
    async call(accessToken: string): Promise<number> {
      const asked = Promise.resolve(guard.authenticate(`Bearer ${accessToken}`, {}))
      await nodes.elapse(1_000)
      const answer = await asked
      return answer.ok ? 200 : answer.refusal.status
    },
    stop: () => stopped.abort(),
  }
}

function kidOf(token: string): string {
  const header = Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8')
  return (JSON.parse(header) as { kid: string }).kid
}

describe('a hundred thousand grants', () => {
  it.each([
    ['client', 'client-1'],
    ['connector', RESOURCE],
    ['tenant', TENANT],
  ] as const)('V2: ended by %s in one commit of a handful of statements', async (kind, id) => {
    const runtime = createTestRuntime()
    const folder = await mkdtemp(join(tmpdir(), 'postern-many-'))
    const opened = await openSqlite({ path: join(folder, 'postern.db'), runtime })
    try {
      await opened.sql.write({
        sql: `INSERT INTO grants (tenant, id, user_id, client_id, resource, vault_id, state,
            code_digest, code_expires_at, refresh_generation, created_at, absolute_expires_at,
            expires_at, data, version)
          WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
          SELECT ?1, 'grt_' || i, 'usr_' || i, 'client-1', ?2, 'vlt_' || i, 'active',
            'digest', ?3, 0, ?3, ?4, ?4, '{}', 1 FROM n`,
        args: [TENANT, RESOURCE, runtime.nowMs(), runtime.nowMs() + HOUR_MS],
      })
      const statements: number[] = []
      const counting: Sql = {
        ...opened.sql,
        commit(batch) {
          statements.push(batch.length)
          return opened.sql.commit(batch)
        },
      }
      const marks: string[] = []
      const house = {
        store: createSqlStore(counting),
        runtime,
        emit: createRecordingEmit(),
        bus: opened.bus,
        config: { connectors: [], limits: { auditTtlDays: 400 } } as never,
        revocation: {
          markLocal: (mark: { id: string }) => marks.push(mark.id),
          marked: () => false,
        },
      }
      await endByMark(house, { kind, id }, 'test')
      expect(statements).toEqual([5])
      expect(marks).toEqual([id])
      const [left] = await opened.sql.read({
        sql: "SELECT COUNT(*) AS number FROM grants WHERE state <> 'ended'",
        args: [],
      })
      expect(left?.['number']).toBe(0)
      const { rows } = await house.store.grants.revocationsSince(0, 10)
      expect(rows).toHaveLength(1)
    } finally {
      await opened.store.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
