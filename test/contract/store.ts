/**
 * What every Store promises, for records: single winners, all or nothing, paging, sweep, restart.
 * The grants are in `grants.ts`. Run for each adapter by `store.test.ts`.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/ports.ts'
import { TENANT } from '../../src/records.ts'
import {
  attempt,
  fact,
  grant,
  key,
  MINUTE_MS,
  NOW_MS,
  race,
  type StoreFixture,
  type StoreSubject,
  session,
  user,
} from './harness.ts'

const CALLERS = 100

export function describeRecords(fixture: StoreFixture): void {
  describe(`records in ${fixture.name}`, () => {
    let subject: StoreSubject
    let store: Store
    beforeEach(async () => {
      subject = await fixture.open()
      store = subject.store
    })
    afterEach(() => subject.dispose())

    it('I3: lets one of 100 callers create a key', async () => {
      const won = await race(CALLERS, async (index) => {
        const result = await store.create('user', key('ada'), user(`ada-${index}`))
        return String(result.won)
      })
      expect(won).toEqual(
        new Map([
          ['true', 1],
          ['false', 99],
        ]),
      )
      expect((await store.get('user', key('ada')))?.version).toBe(1)
    })

    it('I4: lets one of 100 callers put on a version', async () => {
      await store.create('user', key('ada'), user('ada'))
      const won = await race(CALLERS, async (index) => {
        const result = await store.put('user', key('ada'), 1, user(`ada-${index}`))
        return String(result.won)
      })
      expect(won.get('true')).toBe(1)
      expect((await store.get('user', key('ada')))?.version).toBe(2)
      expect(await store.put('user', key('nobody'), 1, user('x'))).toEqual({ won: false })
    })

    it('I3: lets one of 100 attempts consume, and the others are replays', async () => {
      await store.create('attempt', key('state'), attempt())
      const won = await race(CALLERS, async (index) => {
        const result = await store.consume('attempt', key('state'), `caller-${index}`, NOW_MS)
        return typeof result === 'object' ? 'value' : String(result)
      })
      expect(won).toEqual(
        new Map([
          ['value', 1],
          ['replayed', 99],
        ]),
      )
    })

    it('SF1: gives the same attempt its value again, because its first answer may be lost', async () => {
      await store.create('attempt', key('state'), attempt())
      expect(await store.consume('attempt', key('state'), 'mine', NOW_MS)).toEqual(attempt())
      const later = NOW_MS + 11 * MINUTE_MS
      expect(await store.consume('attempt', key('state'), 'mine', later)).toEqual(attempt())
      expect(await store.consume('attempt', key('state'), 'other', later)).toBe('replayed')
    })

    it('does not consume what is unknown, or dead at its very millisecond', async () => {
      await store.create('attempt', key('state'), attempt(NOW_MS))
      expect(await store.consume('attempt', key('state'), 'mine', NOW_MS)).toBeUndefined()
      expect(await store.consume('attempt', key('other'), 'mine', NOW_MS)).toBeUndefined()
      expect(await store.consume('attempt', key('state'), 'mine', NOW_MS - 1)).toEqual(
        attempt(NOW_MS),
      )
    })

    it('SF3: commits all steps or none', async () => {
      await store.create('attempt', key('state'), attempt())
      await store.create('user', key('taken'), user('taken'))
      const steps = (name: string) =>
        [
          { verb: 'consume', kind: 'attempt', key: key('state'), attempt: name, nowMs: NOW_MS },
          { verb: 'create', kind: 'session', key: key(name), value: session('user-1') },
        ] as const
      const lost = await store.commit([
        ...steps('loser'),
        { verb: 'createGrant', grant: grant('lost') },
        { verb: 'remove', kind: 'user', key: key('nobody') },
      ])
      expect(lost).toEqual({ won: false })
      expect(await store.get('session', key('loser'))).toBeUndefined()
      expect(await store.grants.find(key('lost'))).toBeUndefined()
      const late = await store.commit([
        { verb: 'remove', kind: 'user', key: key('taken') },
        { verb: 'create', kind: 'session', key: key('s'), value: session('user-1') },
        { verb: 'put', kind: 'session', key: key('s'), ifVersion: 7, value: session('user-2') },
      ])
      expect(late).toEqual({ won: false })
      expect(await store.get('user', key('taken'))).toBeDefined()
      expect(await store.commit(steps('winner'))).toEqual({ won: true })
      expect(await store.get('session', key('winner'))).toBeDefined()
      expect(await store.consume('attempt', key('state'), 'late', NOW_MS)).toBe('replayed')
    })

    it('I3: lets one of 100 commits on one row win; the losers leave nothing', async () => {
      await store.create('attempt', key('state'), attempt())
      const won = await race(CALLERS, async (index) => {
        const result = await store.commit([
          {
            verb: 'consume',
            kind: 'attempt',
            key: key('state'),
            attempt: `c${index}`,
            nowMs: NOW_MS,
          },
          { verb: 'create', kind: 'session', key: key(`s${index}`), value: session('user-1') },
        ])
        return String(result.won)
      })
      expect(won).toEqual(
        new Map([
          ['true', 1],
          ['false', 99],
        ]),
      )
      expect(await store.count('session', TENANT)).toBe(1)
    })

    it('SF4: a commit that first writes its guard row cannot pass a change of that row', async () => {
      await store.create('user', key('ada'), user('ada'))
      const disable = store.put('user', key('ada'), 1, user('ada', 'disabled'))
      const signIn = store.commit([
        { verb: 'put', kind: 'user', key: key('ada'), ifVersion: 1, value: user('ada') },
        { verb: 'create', kind: 'session', key: key('s'), value: session('user-ada') },
      ])
      const [disabled, signedIn] = await Promise.all([disable, signIn])
      expect([disabled.won, signedIn.won].filter(Boolean)).toHaveLength(1)
      const sessions = await store.count('session', TENANT)
      expect(sessions).toBe(signedIn.won ? 1 : 0)
    })

    it('commits in opposite row order do not block each other', async () => {
      await store.create('user', key('a'), user('a'))
      await store.create('user', key('b'), user('b'))
      const both = (first: string, second: string) =>
        store.commit([
          { verb: 'put', kind: 'user', key: key(first), ifVersion: 1, value: user(first) },
          { verb: 'put', kind: 'user', key: key(second), ifVersion: 1, value: user(second) },
        ])
      const results = await Promise.all([both('a', 'b'), both('b', 'a')])
      expect(results.filter((result) => result.won)).toHaveLength(1)
    })

    it('lists by declared index in key order, page by page, without gap or duplicate', async () => {
      const ids = Array.from({ length: 57 }, (_, index) => `s${String(index).padStart(3, '0')}`)
      await Promise.all(
        [...ids].reverse().map((id) => store.create('session', key(id), session('user-1'))),
      )
      await store.create('session', key('s0005'), session('user-2'))
      await store.create('session', { tenant: 'other', id: 's000' }, session('user-1'))
      const seen: string[] = []
      let after: string | undefined
      for (let page = 0; page < 10; page += 1) {
        const rows = await store.list(
          'session',
          TENANT,
          { name: 'userId', value: 'user-1' },
          { after, max: 10 },
        )
        seen.push(...rows.map((row) => row.key.id))
        after = rows.at(-1)?.key.id
        // Inserts behind and before the cursor while paging.
        await store.create('session', key(`r${page}`), session('user-1'))
        if (rows.length < 10) break
      }
      expect(seen).toEqual(ids)
      const all = await store.list('session', TENANT, undefined, { max: 1_000 })
      expect(all.map((row) => row.key.id)).toContain('s0005')
      expect(await store.list('session', TENANT, undefined, { max: 0 })).toEqual([])
    })

    it('moves a row to another index value with its put', async () => {
      await store.create('session', key('s'), session('user-1'))
      await store.put('session', key('s'), 1, session('user-2'))
      const of = async (value: string) =>
        (await store.list('session', TENANT, { name: 'userId', value }, { max: 10 })).length
      expect([await of('user-1'), await of('user-2')]).toEqual([0, 1])
    })

    it('refuses an index that is not declared', async () => {
      const undeclared = store.list('session', TENANT, { name: 'clientId', value: 'x' }, { max: 1 })
      await expect(undeclared).rejects.toThrow(TypeError)
    })

    it('I2: keeps tenants, kinds and keys apart', async () => {
      await store.create('user', { tenant: 'a', id: 'b' }, user('one'))
      expect(await store.get('user', { tenant: 'b', id: 'a' })).toBeUndefined()
      expect(await store.get('user', { tenant: 'A', id: 'b' })).toBeUndefined()
      expect(await store.get('session', { tenant: 'a', id: 'b' })).toBeUndefined()
      expect((await store.create('user', { tenant: 'ab', id: '' }, user('two'))).won).toBe(true)
      expect((await store.create('user', { tenant: '', id: 'ab' }, user('three'))).won).toBe(true)
    })

    it('SF15: refuses lone surrogates and NUL in every key and searched column', async () => {
      for (const bad of ['a\ud800', '\udc00', 'a\0b']) {
        const refused = { code: 'ERR_STORE_VALUE', certainty: 'not-applied' }
        await expect(store.create('user', key(bad), user('x'))).rejects.toMatchObject(refused)
        await expect(store.get('user', { tenant: bad, id: 'x' })).rejects.toMatchObject(refused)
        await expect(store.create('session', key('x'), session(bad))).rejects.toMatchObject(refused)
        await expect(store.consume('attempt', key('x'), bad, NOW_MS)).rejects.toMatchObject(refused)
        await expect(
          store.commit([{ verb: 'createGrant', grant: grant('x', { clientId: bad }) }]),
        ).rejects.toMatchObject(refused)
      }
    })

    it('gives a value back exactly, whatever text is in it, and never shares it', async () => {
      const name = 'na\u00efve \u{1f511} \ud800 \0 " \\u0000'
      const value = { ...user('ada'), profile: { name } }
      await store.create('user', key('ada'), value)
      const first = await store.get('user', key('ada'))
      expect(first?.value).toEqual(value)
      const second = await store.get('user', key('ada'))
      expect(second?.value).not.toBe(first?.value)
    })

    it('refuses numbers that an engine would bend', async () => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, 1.5, 2 ** 53]) {
        await expect(store.create('attempt', key('x'), attempt(bad))).rejects.toMatchObject({
          code: 'ERR_STORE_VALUE',
        })
      }
    })

    it('sweeps 10 minutes past life, in batches, and says whether there is more', async () => {
      const dead = NOW_MS - 10 * MINUTE_MS
      await Promise.all(
        Array.from({ length: 250 }, (_, n) => store.create('fact', key(`d${n}`), fact(dead))),
      )
      await store.create('fact', key('kept'), fact(dead + 1))
      await store.create('user', key('forever'), user('forever'))
      const sweeps = [await store.sweep(NOW_MS, 100), await store.sweep(NOW_MS, 100)]
      expect(sweeps).toEqual([
        { removed: 100, more: true },
        { removed: 100, more: true },
      ])
      expect(await store.sweep(NOW_MS, 100)).toEqual({ removed: 50, more: false })
      expect(await store.count('fact', TENANT)).toBe(1)
      expect(await store.get('user', key('forever'))).toBeDefined()
    })

    it('asks for one to twenty steps', async () => {
      await expect(store.commit([])).rejects.toThrow(TypeError)
      const step = { verb: 'remove', kind: 'user', key: key('x') } as const
      await expect(store.commit(Array.from({ length: 21 }, () => step))).rejects.toThrow(TypeError)
    })

    it('I5: keeps everything over a restart', async () => {
      if (subject.restart === undefined) return
      await store.create('user', key('ada'), user('ada'))
      await store.create('attempt', key('state'), attempt())
      await store.consume('attempt', key('state'), 'mine', NOW_MS)
      const again = await subject.restart()
      expect((await again.get('user', key('ada')))?.value).toEqual(user('ada'))
      expect(await again.consume('attempt', key('state'), 'other', NOW_MS)).toBe('replayed')
    })
  })
}
