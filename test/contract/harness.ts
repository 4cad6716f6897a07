/** Values and stores for the contract suite: every adapter of a port runs the same cases. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import type { Store } from '../../src/ports.ts'
import type { Grant, Values } from '../../src/records.ts'
import { TENANT } from '../../src/records.ts'
import { createTestRuntime, TEST_START_MS, type TestRuntime } from '../kit/runtime.ts'

export interface StoreSubject {
  readonly store: Store
  /** Closes and opens again on the same data; undefined where there is nothing to keep. */
  readonly restart?: () => Promise<Store>
  dispose(): Promise<void>
}
export interface StoreFixture {
  readonly name: string
  open(): Promise<StoreSubject>
}

export const NOW_MS = TEST_START_MS
export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'postern-store-'))
}

export async function openTemporarySqlite(
  runtime: TestRuntime = createTestRuntime(),
): Promise<StoreSubject & { path: string }> {
  const directory = temporaryDirectory()
  const path = join(directory, 'postern.db')
  let current = await openSqlite({ path, runtime })
  return {
    path,
    store: current.store,
    restart: async () => {
      await current.store.close()
      current = await openSqlite({ path, runtime })
      return current.store
    },
    dispose: async () => {
      await current.store.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export const STORES: readonly StoreFixture[] = [
  {
    name: 'memory',
    open: async () => ({ store: createMemoryStore(), dispose: async () => undefined }),
  },
  { name: 'SQLite file', open: () => openTemporarySqlite() },
]

export function key(id: string): { tenant: string; id: string } {
  return { tenant: TENANT, id }
}

export function user(name: string, state: 'active' | 'disabled' = 'active'): Values['user'] {
  return {
    userId: `user-${name}`,
    issuer: 'https://id.example',
    subject: name,
    provider: 'oidc',
    profile: { name },
    groups: [],
    state,
    createdAtMs: NOW_MS,
    lastSignInAtMs: NOW_MS,
  }
}

export function attempt(expiresAtMs: number = NOW_MS + 10 * MINUTE_MS): Values['attempt'] {
  return {
    transactionId: 'transaction',
    provider: 'oidc',
    verifierSealed: 'sealed',
    issuer: 'https://id.example',
    callbackPath: '/callback/oidc',
    expiresAtMs,
  }
}

export function session(userId: string): Values['session'] {
  return {
    userId,
    userKey: 'user-key',
    provider: 'oidc',
    issuer: 'https://id.example',
    vaultId: 'vault',
    authTimeSeconds: 1,
    createdAtMs: NOW_MS,
    lastSeenAtMs: NOW_MS,
    expiresAtMs: NOW_MS + HOUR_MS,
  }
}

export function fact(expiresAtMs: number): Values['fact'] {
  return { name: 'discovery', body: '{}', loadedAtMs: NOW_MS, expiresAtMs }
}

export function audit(detail: string): Values['audit'] {
  return { event: 'grant.ended', atMs: NOW_MS, detail, expiresAtMs: NOW_MS + HOUR_MS }
}

export function grant(id: string, rest: Partial<Grant> = {}): Grant {
  return {
    tenant: TENANT,
    id,
    userId: 'user-1',
    userKey: 'key-1',
    clientId: 'client-1',
    resource: 'https://mcp.example/mcp/notes',
    scopes: ['mcp'],
    vaultId: 'vault-1',
    sessionId: 'session-1',
    state: 'pending',
    redirectUri: 'http://127.0.0.1/callback',
    codeChallenge: 'challenge',
    codeDigest: `code-${id}`,
    codeExpiresAtMs: NOW_MS + MINUTE_MS,
    refreshGeneration: 0,
    authTimeSeconds: 1,
    createdAtMs: NOW_MS,
    absoluteExpiresAtMs: NOW_MS + 100 * HOUR_MS,
    expiresAtMs: NOW_MS + MINUTE_MS,
    version: 1,
    ...rest,
  }
}

export const IDLE_MS = 10 * HOUR_MS

/** An active grant whose refresh token has the digest `r0`. */
export async function activeGrant(
  store: Store,
  id: string,
  rest: Partial<Grant> = {},
): Promise<void> {
  await store.commit([{ verb: 'createGrant', grant: grant(id, rest) }])
  const outcome = await store.grants.redeem(key(id), `code-${id}`, 'r0', NOW_MS, NOW_MS + IDLE_MS)
  if (outcome !== 'active') throw new Error(`grant is ${outcome}`)
}

export function rotation(nowMs: number = NOW_MS): {
  nowMs: number
  graceMs: number
  idleExpiresAtMs: number
  markExpiresAtMs: number
} {
  return {
    nowMs,
    graceMs: MINUTE_MS,
    idleExpiresAtMs: nowMs + IDLE_MS,
    markExpiresAtMs: nowMs + HOUR_MS,
  }
}

export function candidate(name: string): { digest: string; sealedSuccessor: string } {
  return { digest: name, sealedSuccessor: `sealed-${name}` }
}

/** `count` callers at once, counted by what they got. */
export async function race<T>(
  count: number,
  call: (index: number) => Promise<T>,
): Promise<Map<string, number>> {
  const results = await Promise.all(Array.from({ length: count }, (_, index) => call(index)))
  const counted = new Map<string, number>()
  for (const result of results) {
    const name = typeof result === 'string' ? result : JSON.stringify(result)
    counted.set(name, (counted.get(name) ?? 0) + 1)
  }
  return counted
}
