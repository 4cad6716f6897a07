/**
 * A tenant's view of a store is a Store, and nothing that one tenant does is seen by another, whatever
 * they do in whatever order: three views of one store against three stores.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import type { Store } from '../../src/ports.ts'
import { TENANT } from '../../src/records.ts'
import { tenantStore } from '../../src/tenants/tenant-store.ts'
import {
  audit,
  fact,
  grant,
  HOUR_MS,
  IDLE_MS,
  key,
  MINUTE_MS,
  NOW_MS,
  STORES,
  session,
  user,
} from './harness.ts'

const view = (store: Store, tenant: string) => tenantStore(store, tenant, async () => undefined)
const TENANTS = [TENANT, 'acme', 'other'] as const
const IDS = ['one', 'two', 'three'] as const

type Operation =
  | { verb: 'get' | 'create' | 'remove' | 'commit' | 'createGrant' | 'find'; id: string }
  | { verb: 'put'; id: string; version: number }
  | { verb: 'consume'; id: string; attempt: string }
  | { verb: 'redeem' | 'end' | 'rotate'; id: string }
  | { verb: 'list' | 'listGrants' | 'count' | 'since' }
  | { verb: 'revoke'; kind: 'user' | 'client' | 'tenant' | 'grant'; id: string }

const anyId = fc.constantFrom(...IDS)
const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    verb: fc.constantFrom('get', 'create', 'remove', 'commit', 'createGrant', 'find'),
    id: anyId,
  }),
  fc.record({ verb: fc.constant('put'), id: anyId, version: fc.nat(3) }),
  fc.record({ verb: fc.constant('consume'), id: anyId, attempt: fc.constantFrom('a', 'b') }),
  fc.record({ verb: fc.constantFrom('redeem', 'end', 'rotate'), id: anyId }),
  fc.record({ verb: fc.constantFrom('list', 'listGrants', 'count', 'since') }),
  fc.record({
    verb: fc.constant('revoke'),
    kind: fc.constantFrom('user', 'client', 'tenant', 'grant'),
    id: fc.constantFrom('user-1', 'client-1', TENANT, ...IDS),
  }),
)

/** What a house does, and what it sees of it; sequences aside, which are of the one clock. */
async function perform(store: Store, operation: Operation): Promise<unknown> {
  const { grants } = store
  switch (operation.verb) {
    case 'get':
      return store.get('user', key(operation.id))
    case 'create':
      return store.create('user', key(operation.id), user('ada'))
    case 'put':
      return store.put('user', key(operation.id), operation.version, user('eve'))
    case 'consume':
      await store.create('attempt', key(operation.id), {
        transactionId: operation.id,
        provider: 'oidc',
        verifierSealed: 'sealed',
        issuer: 'https://id.example',
        callbackPath: '/callback/oidc',
        expiresAtMs: NOW_MS + MINUTE_MS,
      })
      return store.consume('attempt', key(operation.id), operation.attempt, NOW_MS)
    case 'remove':
      return store.remove('user', key(operation.id))
    case 'commit':
      return store.commit([
        { verb: 'create', kind: 'session', key: key(operation.id), value: session('user-ada') },
        { verb: 'put', kind: 'user', key: key(operation.id), ifVersion: 1, value: user('bob') },
        { verb: 'remove', kind: 'user', key: key('two') },
      ])
    case 'createGrant':
      return store.commit([{ verb: 'createGrant', grant: grant(operation.id) }])
    case 'find':
      return grants.find(key(operation.id))
    case 'redeem':
      return grants.redeem(
        key(operation.id),
        `code-${operation.id}`,
        'r0',
        NOW_MS,
        NOW_MS + IDLE_MS,
      )
    case 'rotate':
      return grants.rotate(
        key(operation.id),
        'r0',
        { digest: 'r1', sealedSuccessor: 'sealed' },
        {
          nowMs: NOW_MS,
          graceMs: 0,
          idleExpiresAtMs: NOW_MS + IDLE_MS,
          markExpiresAtMs: NOW_MS + HOUR_MS,
          alsoWhenReused: [
            {
              verb: 'create',
              kind: 'audit',
              key: key(`reused-${operation.id}`),
              value: audit('reused'),
            },
          ],
        },
      )
    case 'end':
      return grants.end(key(operation.id), 'over', NOW_MS, NOW_MS + HOUR_MS)
    case 'revoke':
      await grants.revoke({
        tenant: TENANT,
        kind: operation.kind,
        id: operation.id,
        issuedBeforeMs: NOW_MS,
        expiresAtMs: NOW_MS + HOUR_MS,
      })
      return undefined
    case 'list':
      return Promise.all([
        store.list('user', TENANT, undefined, { max: 10 }),
        store.list('user', TENANT, { name: 'userId', value: 'user-ada' }, { max: 2 }),
        store.list('audit', TENANT, undefined, { max: 10 }),
      ])
    case 'listGrants':
      return grants.list(TENANT, { name: 'userId', value: 'user-1' }, { max: 10 })
    case 'count':
      return store.count('user', TENANT)
    case 'since':
      return (await grants.revocationsSince(0, 1_000)).rows.map(({ sequence: _, ...mark }) => mark)
  }
}

describe('tenants of one store', () => {
  for (const fixture of STORES) {
    it(`O5, I2: three tenants in ${fixture.name} see what three stores would show: 0 foreign rows`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(2), anyOperation), { minLength: 1, maxLength: 60 }),
          async (operations) => {
            const subject = await fixture.open()
            try {
              const seen = TENANTS.map((name) => view(subject.store, name))
              const alone = TENANTS.map(() => createMemoryStore())
              for (const [index, operation] of operations) {
                const [mine, model] = [seen[index], alone[index]]
                if (mine === undefined || model === undefined) throw new TypeError('three tenants')
                expect(await perform(mine, operation)).toEqual(await perform(model, operation))
              }
              for (const [index, mine] of seen.entries()) {
                for (const verb of ['list', 'listGrants', 'count', 'since'] as const) {
                  const model = alone[index]
                  expect(await perform(mine, { verb })).toEqual(
                    model === undefined ? undefined : await perform(model, { verb }),
                  )
                }
              }
            } finally {
              await subject.dispose()
            }
          },
        ),
        { numRuns: fixture.name === 'memory' ? 300 : 25 },
      )
    })
  }

  it('O5: the clock is one, the rows of a page are the own ones, and no page ends too early', async () => {
    const inner = createMemoryStore()
    const [acme, other] = [view(inner, 'acme'), view(inner, 'other')]
    const revoke = (store: Store, id: string) =>
      store.grants.revoke({
        tenant: TENANT,
        kind: 'user',
        id,
        issuedBeforeMs: NOW_MS,
        expiresAtMs: NOW_MS + HOUR_MS,
      })
    for (let index = 0; index < 10; index += 1) {
      for (let foreign = 0; foreign < 3; foreign += 1) await revoke(other, `foreign-${foreign}`)
      await revoke(acme, `own-${index}`)
    }
    const read: string[] = []
    let cursor = 0
    for (let page = 0; page < 100; page += 1) {
      const answer = await acme.grants.revocationsSince(cursor, 3)
      read.push(...answer.rows.map(({ id }) => id))
      expect(answer.rows.every(({ tenant }) => tenant === TENANT)).toBe(true)
      cursor = answer.sequence
      if (answer.rows.length < 3) break
    }
    expect(read).toEqual(Array.from({ length: 10 }, (_, index) => `own-${index}`))
    expect(cursor).toBe(40)
    expect((await acme.grants.revocationsSince(40, 3)).rows).toEqual([])
  })

  it('O5: a key of another tenant is a bug of ours, in every verb', async () => {
    const inner = createMemoryStore()
    const store = view(inner, 'acme')
    const foreign = { tenant: 'other', id: 'one' }
    await view(inner, 'other').create('user', key('one'), user('ada'))
    const at = { max: 10 }
    const rotating = {
      nowMs: NOW_MS,
      graceMs: 0,
      idleExpiresAtMs: NOW_MS,
      markExpiresAtMs: NOW_MS,
    }
    const mark = { kind: 'user', id: 'x', issuedBeforeMs: NOW_MS, expiresAtMs: NOW_MS } as const
    const remove = { verb: 'remove', kind: 'user', key: foreign } as const
    for (const asked of [
      () => store.get('user', foreign),
      () => store.get('user', { tenant: 'acme', id: 'one' }),
      () => store.create('fact', foreign, fact(NOW_MS)),
      () => store.put('user', foreign, 1, user('eve')),
      () => store.consume('attempt', foreign, 'a', NOW_MS),
      () => store.remove('user', foreign),
      () => store.list('user', 'other', undefined, at),
      () => store.count('user', 'other'),
      () => store.commit([remove]),
      () => store.commit([{ verb: 'createGrant', grant: grant('one', { tenant: 'other' }) }]),
      () => store.grants.find(foreign),
      () => store.grants.list('other', { name: 'userId', value: 'user-1' }, at),
      () => store.grants.redeem(foreign, 'code', 'r0', NOW_MS, NOW_MS),
      () => store.grants.rotate(foreign, 'r0', { digest: 'r1', sealedSuccessor: 's' }, rotating),
      () => store.grants.end(foreign, 'over', NOW_MS, NOW_MS),
      () => store.grants.end(key('one'), 'over', NOW_MS, NOW_MS, [remove]),
      () => store.grants.revoke({ ...mark, tenant: 'other' }),
      () => store.grants.revoke([{ ...mark, tenant: TENANT }], [remove]),
    ]) {
      await expect(asked(), String(asked)).rejects.toThrow(TypeError)
    }
    expect(await view(inner, 'other').count('user', TENANT)).toBe(1)
  })

  it('sweeps for all from the outer house', async () => {
    const inner = createMemoryStore()
    const [outer, acme] = [view(inner, TENANT), view(inner, 'acme')]
    await acme.create('fact', key('old'), fact(NOW_MS))
    const later = NOW_MS + HOUR_MS
    expect(await acme.sweep(later, 10)).toEqual({ removed: 0, more: false })
    expect(await outer.sweep(later, 10)).toEqual({ removed: 1, more: false })
  })
})
