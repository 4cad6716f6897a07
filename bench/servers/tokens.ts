/** Fills `cache/token-table.ts` with sessions as real ones look, to weigh it (P18). */
import { createTokenTable } from '../../src/cache/token-table.ts'
import type { Session } from '../../src/issuer/authenticate.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { offer } from './channel.ts'

const runtime = createNodeRuntime()
const SHARED = [
  'tenant',
  'clientId',
  'resource',
  'scopes',
  'keyId',
  'provider',
  'identityIssuer',
  'groups',
] as const
const CLIENTS = 50

function session(at: number): Session {
  const digest = runtime.sha256(`token-${at}`)
  const id = digest.slice(0, 26)
  const login = `person-${at.toString(36)}`
  const issuedAtMs = Date.now()
  return {
    digest,
    tenant: 'default',
    userId: `usr_${id}`,
    clientId: `cli_${String(at % CLIENTS).padStart(26, '0')}`,
    grantId: `grt_${id}`,
    resource: 'https://auth.example.com/mcp/notes',
    scopes: ['mcp'],
    keyId: 'Zk3l0aVb5m1cOq7sTt9uXyA2dEf4gHi6jKl8mNoPqRs',
    jti: digest.slice(10),
    issuedAtMs,
    expiresAtMs: issuedAtMs + 3_600_000,
    vaultId: `vlt_${id}`,
    provider: 'openid',
    subject: login,
    identityIssuer: 'https://id.example.com',
    profile: {
      name: `Person ${login}`,
      email: `${login}@people.example`,
      emailVerified: true,
      login,
    },
    groups: ['engineering', 'maps'],
    authTimeSeconds: Math.floor(issuedAtMs / 1000),
  }
}

function memory(): number {
  global.gc?.()
  global.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

let kept: unknown

function weigh(count: number): { bytes: number; size: number; collectMs: number; setUs: number } {
  kept = undefined
  const before = memory()
  const table = createTokenTable<Session>({ max: count, runtime, shared: SHARED })
  const startedMs = performance.now()
  for (let at = 0; at < count; at++) {
    const made = session(at)
    table.set(made.digest, made)
  }
  const setUs = ((performance.now() - startedMs) * 1_000) / count
  kept = table
  const bytes = memory() - before
  const collectedMs = performance.now()
  global.gc?.()
  return { bytes, size: table.size(), collectMs: performance.now() - collectedMs, setUs }
}

function weighMap(count: number): { bytes: number } {
  kept = undefined
  const before = memory()
  const map = new Map<string, Session>()
  for (let at = 0; at < count; at++) {
    const made = session(at)
    map.set(made.digest, made)
  }
  kept = map
  return { bytes: memory() - before }
}

offer({}, { weigh, weighMap, keeps: () => kept !== undefined })
