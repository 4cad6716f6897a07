import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { LIMITS, type Limits } from '../config/fields.ts'
import type { ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import { createCredentials } from './credentials.ts'

const runtime = createTestRuntime()
const jwk = runtime.createSigningJwk()

function createWorld() {
  let signed = 0
  const limits = Object.fromEntries(
    Object.entries(LIMITS).map(([name, field]) => [name, field.default]),
  ) as unknown as Limits
  const keys = { kid: 'k1', key: runtime.importSigningKey(jwk) }
  const credentials = createCredentials({
    config: { issuer: 'https://auth.example.com', limits },
    keys: {
      current: () => {
        signed += 1
        return keys
      },
    },
    runtime,
  })
  return {
    credentials,
    keys,
    get signed() {
      return signed
    },
  }
}

const connector: ConnectorConfig = {
  name: 'notes',
  url: new URL('https://notes.example:8443/v1/mcp?team=1#x'),
  auth: 'identity',
  path: '/mcp/notes',
  resource: 'https://auth.example.com/mcp/notes',
  routes: { protected: [], public: [] },
  subject: 'postern',
  claims: [],
  enabled: true,
}

function session(change: Partial<Session> = {}): Session {
  return {
    digest: 'd1',
    tenant: 'default',
    userId: 'usr_1',
    clientId: 'cli_1',
    grantId: 'g',
    resource: '',
    scopes: ['mcp'],
    keyId: 'k1',
    jti: 'j',
    issuedAtMs: 0,
    expiresAtMs: runtime.nowMs() + 3_600_000,
    vaultId: 'v',
    subject: '42',
    profile: {
      name: 'Åda 💡',
      email: 'a@example.com',
      emailVerified: true,
      login: 'ada',
      pictureUrl: 'https://p',
    },
    groups: ['staff'],
    ...change,
  }
}

function claimsOf(made: ReturnType<ReturnType<typeof createWorld>['credentials']['credential']>) {
  if (typeof made === 'string') throw new Error(made)
  const payload = (made.headers[1] ?? '').split('.')[1] ?? ''
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

describe('identity JWT (flows.md section 12)', () => {
  it('the audience is the URL that is called, without query and fragment', () => {
    const claims = claimsOf(createWorld().credentials.credential(session(), connector))
    expect(claims).toMatchObject({
      iss: 'https://auth.example.com',
      aud: 'https://notes.example:8443/v1/mcp',
      sub: 'usr_1',
      client_id: 'cli_1',
      scope: 'mcp',
      act: { sub: 'https://auth.example.com' },
    })
    expect(Object.keys(claims).sort()).toEqual([
      'act',
      'aud',
      'client_id',
      'exp',
      'iat',
      'iss',
      'jti',
      'scope',
      'sub',
    ])
  })

  it('releases only what the connector names, under the configured names', () => {
    const released = {
      ...connector,
      claims: [
        'name',
        'email',
        'email_verified',
        'login',
        'preferred_username',
        'picture',
        'avatar_url',
        'groups',
      ] as const,
    }
    expect(claimsOf(createWorld().credentials.credential(session(), released))).toMatchObject({
      name: 'Åda 💡',
      email: 'a@example.com',
      email_verified: true,
      login: 'ada',
      preferred_username: 'ada',
      picture: 'https://p',
      avatar_url: 'https://p',
      groups: ['staff'],
    })
  })

  it('a claim can never overwrite ours, and a missing one is left out', () => {
    const claims = claimsOf(
      createWorld().credentials.credential(session({ profile: {} }), {
        ...connector,
        claims: ['name'],
      }),
    )
    expect('name' in claims).toBe(false)
  })

  it('is made once, reused until 80 % of its life, then anew', () => {
    const world = createWorld()
    const caller = session()
    const first = world.credentials.credential(caller, connector)
    runtime.advanceMs(239_000)
    expect(world.credentials.credential(caller, connector)).toBe(first)
    runtime.advanceMs(2_000)
    expect(world.credentials.credential(caller, connector)).not.toBe(first)
    expect(world.signed).toBe(2)
  })

  it("never outlives the caller's token", () => {
    const caller = session({ expiresAtMs: runtime.nowMs() + 30_000 })
    const { iat, exp } = claimsOf(createWorld().credentials.credential(caller, connector))
    expect(exp - iat).toBe(30)
  })

  it("I2: one per caller's token and connector", () => {
    const world = createWorld()
    const other = { ...connector, name: 'other', url: new URL('https://other.example/mcp') }
    const audiences = [connector, other].map(
      (to) => claimsOf(world.credentials.credential(session(), to)).aud,
    )
    expect(new Set(audiences).size).toBe(2)
    const second = session({ digest: 'd2', userId: 'usr_2' })
    expect(claimsOf(world.credentials.credential(second, connector)).sub).toBe('usr_2')
    expect(world.signed).toBe(3)
  })

  it('is forgotten when the server refused it', () => {
    const world = createWorld()
    const first = world.credentials.credential(session(), connector)
    world.credentials.forget(session(), connector)
    expect(world.credentials.credential(session(), connector)).not.toBe(first)
  })

  it("I10: the provider's subject, or nobody", () => {
    const migrated = { ...connector, subject: 'provider' as const }
    const { credentials } = createWorld()
    expect(claimsOf(credentials.credential(session(), migrated)).sub).toBe('42')
    const { subject: _, ...without } = session({ digest: 'd3' })
    expect(() => credentials.credential(without, migrated)).toThrow(TypeError)
  })

  it('I9: what is kept is bounded', () => {
    const world = createWorld()
    const kept = session({ digest: 'kept' })
    const first = world.credentials.credential(kept, connector)
    expect(world.credentials.credential(kept, connector)).toBe(first)
    expect(
      world.credentials.credential({ ...kept, digest: 'x' }, { ...connector, auth: 'none' }),
    ).toEqual({ headers: [] })
  })
})
