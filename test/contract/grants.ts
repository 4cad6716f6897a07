/**
 * What every GrantStore promises: redeem once, one successor per rotation, reuse ends the family,
 * revocation wins its races, and the revocation clock shows every mark to every reader.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/ports.ts'
import { type Mark, type MarkKind, TENANT } from '../../src/records.ts'
import {
  activeGrant,
  attempt,
  audit,
  candidate,
  grant,
  HOUR_MS,
  IDLE_MS,
  key,
  MINUTE_MS,
  NOW_MS,
  race,
  rotation,
  type StoreFixture,
  type StoreSubject,
} from './harness.ts'

const CALLERS = 64

function mark(kind: MarkKind, id: string, rest: Partial<Mark> = {}): Mark {
  return {
    tenant: TENANT,
    kind,
    id,
    issuedBeforeMs: NOW_MS + 1_000,
    expiresAtMs: NOW_MS + HOUR_MS,
    cause: 'test',
    ...rest,
  }
}

export function describeGrants(fixture: StoreFixture): void {
  describe(`grants in ${fixture.name}`, () => {
    let subject: StoreSubject
    let store: Store
    beforeEach(async () => {
      subject = await fixture.open()
      store = subject.store
    })
    afterEach(() => subject.dispose())

    const states = async (ids: readonly string[]): Promise<(string | undefined)[]> =>
      Promise.all(ids.map(async (id) => (await store.grants.find(key(id)))?.state))

    it('I3: lets one of 100 callers redeem a code', async () => {
      await store.commit([{ verb: 'createGrant', grant: grant('g') }])
      const outcomes = await race(100, (index) =>
        store.grants.redeem(key('g'), 'code-g', `r${index}`, NOW_MS, NOW_MS + IDLE_MS),
      )
      expect(outcomes).toEqual(
        new Map([
          ['active', 1],
          ['reused', 99],
        ]),
      )
    })

    it('SF1: lets the same caller redeem again, because its first answer may be lost', async () => {
      await activeGrant(store, 'g')
      const again = await store.grants.redeem(key('g'), 'code-g', 'r0', NOW_MS, NOW_MS + IDLE_MS)
      expect(again).toBe('active')
    })

    it('SF2: the used code names its grant for as long as the grant stays', async () => {
      await activeGrant(store, 'g')
      const later = NOW_MS + 5 * HOUR_MS
      const redeem = () => store.grants.redeem(key('g'), 'code-g', 'other', later, later)
      expect(await redeem()).toBe('reused')
      expect(await store.grants.end(key('g'), 'code reused', later, later + HOUR_MS)).toBe(true)
      expect(await redeem()).toBe('reused')
    })

    it('does not redeem a wrong, dead or never redeemed code of an ended grant', async () => {
      await store.commit([{ verb: 'createGrant', grant: grant('g') }])
      const redeem = (digest: string, nowMs: number) =>
        store.grants.redeem(key('g'), digest, 'r0', nowMs, nowMs + IDLE_MS)
      expect(await redeem('code-x', NOW_MS)).toBe('dead')
      expect(await redeem('code-g', NOW_MS + MINUTE_MS)).toBe('dead')
      expect(await store.grants.redeem(key('h'), 'code-h', 'r', NOW_MS, NOW_MS)).toBe('dead')
      await store.grants.end(key('g'), 'revoked', NOW_MS, NOW_MS + HOUR_MS)
      expect(await redeem('code-g', NOW_MS)).toBe('dead')
    })

    it('moves the end of life from the code to idle, never beyond absolute', async () => {
      await activeGrant(store, 'g')
      expect((await store.grants.find(key('g')))?.expiresAtMs).toBe(NOW_MS + IDLE_MS)
      await activeGrant(store, 'short', { absoluteExpiresAtMs: NOW_MS + HOUR_MS })
      expect((await store.grants.find(key('short')))?.expiresAtMs).toBe(NOW_MS + HOUR_MS)
      const at = rotation(NOW_MS + HOUR_MS)
      expect(await store.grants.rotate(key('short'), 'r0', candidate('r1'), at)).toEqual({
        outcome: 'dead',
      })
      await store.grants.rotate(key('g'), 'r0', candidate('r1'), at)
      expect((await store.grants.find(key('g')))?.expiresAtMs).toBe(NOW_MS + HOUR_MS + IDLE_MS)
    })

    it('EXT-05: binds a grant to a key with its code or its rotation, and changes nothing else', async () => {
      await store.commit([{ verb: 'createGrant', grant: grant('g') }])
      await activeGrant(store, 'h')
      const before = await store.grants.find(key('h'))
      const idleMs = NOW_MS + IDLE_MS
      const redeem = (digest: string, jkt: string) =>
        store.grants.redeem(key('g'), digest, 'r0', NOW_MS, idleMs, jkt)
      expect(await redeem('code-x', 'thief')).toBe('dead')
      expect((await store.grants.find(key('g')))?.jkt).toBeUndefined()
      expect(await redeem('code-g', 'k1')).toBe('active')
      expect(await store.grants.redeem(key('g'), 'code-g', 'r9', NOW_MS, idleMs, 'k2')).toBe(
        'reused',
      )
      expect(await store.grants.find(key('g'))).toMatchObject({ state: 'active', jkt: 'k1' })
      const wrong = { ...candidate('r7'), jkt: 'thief' }
      await store.grants.rotate(key('h'), 'r0', { ...candidate('r1'), jkt: 'k3' }, rotation())
      await store.grants.rotate(key('h'), 'r0', wrong, rotation())
      await store.grants.rotate(key('h'), 'r1', candidate('r2'), rotation())
      const { scopes, redirectUri, codeChallenge, userKey } = before ?? grant('h')
      expect(await store.grants.find(key('h'))).toMatchObject({
        jkt: 'k3',
        refreshCurrent: 'r2',
        scopes,
        redirectUri,
        codeChallenge,
        userKey,
      })
    })

    it('gives a grant back as it was written', async () => {
      const written = grant('g', { sessionId: undefined, cause: undefined })
      await store.commit([{ verb: 'createGrant', grant: written }])
      expect(await store.grants.find(key('g'))).toEqual(written)
      expect(await store.commit([{ verb: 'createGrant', grant: written }])).toEqual({ won: false })
    })

    it('R11: gives 64 callers with one token one successor', async () => {
      await activeGrant(store, 'g')
      const results = await Promise.all(
        Array.from({ length: CALLERS }, (_, n) =>
          store.grants.rotate(key('g'), 'r0', candidate(`r1-${n}`), rotation()),
        ),
      )
      const rotated = results.flatMap((result, n) => (result.outcome === 'rotated' ? [n] : []))
      expect(rotated).toHaveLength(1)
      const successor = `sealed-r1-${rotated[0]}`
      const others = results.filter((result) => result.outcome !== 'rotated')
      for (const result of others) {
        expect(result).toEqual({ outcome: 'replayed', sealedSuccessor: successor, generation: 1 })
      }
    })

    it('SF1: knows its own candidate again after a lost answer', async () => {
      await activeGrant(store, 'g')
      const mine = candidate('r1')
      const first = await store.grants.rotate(key('g'), 'r0', mine, rotation())
      expect(first).toEqual({ outcome: 'rotated', generation: 1 })
      const late = rotation(NOW_MS + 2 * MINUTE_MS)
      expect(await store.grants.rotate(key('g'), 'r0', mine, late)).toEqual(first)
    })

    it('A8: replays inside the grace until the successor is used, then ends the family', async () => {
      await activeGrant(store, 'g')
      const rotate = (presented: string, next: string, nowMs = NOW_MS) =>
        store.grants.rotate(key('g'), presented, candidate(next), rotation(nowMs))
      await rotate('r0', 'r1')
      expect(await rotate('r0', 'x', NOW_MS + MINUTE_MS - 1)).toMatchObject({ outcome: 'replayed' })
      await rotate('r1', 'r2')
      expect(await rotate('r0', 'x')).toEqual({ outcome: 'reused' })
      expect(await rotate('r2', 'x')).toEqual({ outcome: 'dead' })
      const ended = await store.grants.find(key('g'))
      expect(ended).toMatchObject({ state: 'ended', cause: 'reused' })
      expect(ended?.refreshCurrent).toBeUndefined()
      expect(ended?.refreshSuccessor).toBeUndefined()
      const { rows } = await store.grants.revocationsSince(0, 10)
      expect(rows).toMatchObject([{ kind: 'grant', id: 'g', expiresAtMs: NOW_MS + HOUR_MS }])
    })

    it('A8: ends the family at the end of the grace', async () => {
      await activeGrant(store, 'g')
      await store.grants.rotate(key('g'), 'r0', candidate('r1'), rotation())
      const late = rotation(NOW_MS + MINUTE_MS)
      expect(await store.grants.rotate(key('g'), 'r0', candidate('x'), late)).toEqual({
        outcome: 'reused',
      })
    })

    it('SF14: a grant without a live refresh token answers dead and writes nothing', async () => {
      await store.commit([{ verb: 'createGrant', grant: grant('g') }])
      expect(await store.grants.rotate(key('g'), 'r0', candidate('x'), rotation())).toEqual({
        outcome: 'dead',
      })
      expect(await store.grants.rotate(key('nobody'), 'r0', candidate('x'), rotation())).toEqual({
        outcome: 'dead',
      })
      expect((await store.grants.revocationsSince(0, 10)).rows).toEqual([])
      expect(await states(['g'])).toEqual(['pending'])
    })

    it('R8: a revocation that races rotations always leaves an ended grant', async () => {
      for (let round = 0; round < 20; round += 1) {
        const id = `g${round}`
        await activeGrant(store, id)
        await Promise.all([
          store.grants.rotate(key(id), 'r0', candidate('r1'), rotation()),
          store.grants.end(key(id), 'signed out', NOW_MS, NOW_MS + HOUR_MS),
          store.grants.rotate(key(id), 'r0', candidate('r2'), rotation()),
        ])
        expect(await states([id])).toEqual(['ended'])
        const late = await store.grants.rotate(key(id), 'r1', candidate('r3'), rotation())
        expect(late).toEqual({ outcome: 'dead' })
      }
    })

    it('ends a grant once, with its mark and the rows that belong to it', async () => {
      await activeGrant(store, 'g')
      const also = (name: string) =>
        [{ verb: 'create', kind: 'audit', key: key(name), value: audit(name) }] as const
      const end = (name: string) =>
        store.grants.end(key('g'), 'signed out', NOW_MS, NOW_MS + HOUR_MS, also(name))
      expect([await end('a'), await end('b')]).toEqual([true, false])
      expect(await store.get('audit', key('a'))).toBeDefined()
      expect(await store.get('audit', key('b'))).toBeUndefined()
      const { rows, sequence } = await store.grants.revocationsSince(0, 10)
      expect(rows).toEqual([
        {
          sequence: 1,
          tenant: TENANT,
          kind: 'grant',
          id: 'g',
          cause: 'signed out',
          issuedBeforeMs: NOW_MS + HOUR_MS,
          expiresAtMs: NOW_MS + HOUR_MS,
        },
      ])
      expect(sequence).toBe(1)
      expect(await store.grants.end(key('nobody'), 'x', NOW_MS, NOW_MS)).toBe(false)
    })

    it.each([
      ['grant', 'g1', ['g1']],
      ['user', 'user-2', ['g2']],
      ['client', 'client-1', ['g1', 'g2']],
      ['connector', 'https://mcp.example/mcp/notes', ['g1', 'g2']],
      ['tenant', TENANT, ['g1', 'g2', 'g3']],
      ['token', 'g1', []],
      ['key', 'g1', []],
    ] as const)('F12: one mark of kind %s ends exactly what it names', async (kind, id, ended) => {
      await activeGrant(store, 'g1')
      await store.commit([{ verb: 'createGrant', grant: grant('g2', { userId: 'user-2' }) }])
      const resource = 'https://mcp.example/mcp/mail'
      await activeGrant(store, 'g3', { clientId: 'client-3', resource, userId: 'user-3' })
      await activeGrant(store, 'new', { createdAtMs: NOW_MS + 2_000 })
      expect(await store.grants.revoke(mark(kind, id))).toEqual({ sequence: 1 })
      const ids = ['g1', 'g2', 'g3', 'new']
      const found = await states(ids)
      expect(ids.filter((_, n) => found[n] === 'ended')).toEqual(ended)
      const { rows } = await store.grants.revocationsSince(0, 10)
      expect(rows).toEqual([{ ...mark(kind, id), sequence: 1 }])
    })

    it('revokes nothing when a row that belongs to it is lost', async () => {
      await activeGrant(store, 'g')
      const also = [{ verb: 'remove', kind: 'user', key: key('nobody') }] as const
      await expect(store.grants.revoke(mark('user', 'user-1'), also)).rejects.toMatchObject({
        certainty: 'not-applied',
      })
      expect(await states(['g'])).toEqual(['active'])
      expect((await store.grants.revocationsSince(0, 10)).sequence).toBe(0)
    })

    it('writes several marks and what belongs to them in one commit', async () => {
      await activeGrant(store, 'g')
      const marks = [mark('key', 'key-1'), mark('user', 'user-1'), mark('key', 'key-2')]
      expect(await store.grants.revoke(marks)).toEqual({ sequence: 3 })
      expect(await states(['g'])).toEqual(['ended'])
      const { rows } = await store.grants.revocationsSince(0, 10)
      expect(rows).toEqual(marks.map((entry, index) => ({ ...entry, sequence: index + 1 })))
    })

    it('SF5: 100 revocations at once are 100 steps of the clock, seen in order and without gap', async () => {
      const seen: number[] = []
      let cursor = 0
      const poll = async (): Promise<void> => {
        const page = await store.grants.revocationsSince(cursor, 7)
        seen.push(...page.rows.map((row) => row.sequence))
        cursor = page.sequence
      }
      const writes = Promise.all(
        Array.from({ length: 100 }, (_, n) => store.grants.revoke(mark('token', `jti-${n}`))),
      )
      for (let n = 0; n < 20; n += 1) await poll()
      await writes
      for (let n = 0; n < 20; n += 1) await poll()
      expect(seen).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
      expect(cursor).toBe(100)
    })

    it('keeps the clock when marks are swept, marks 25 hours and grants 10 minutes past life', async () => {
      await activeGrant(store, 'g')
      await store.grants.revoke(mark('token', 'old', { expiresAtMs: NOW_MS }))
      await store.grants.revoke(mark('token', 'young', { expiresAtMs: NOW_MS + HOUR_MS }))
      await store.sweep(NOW_MS + IDLE_MS + 10 * MINUTE_MS - 1, 100)
      expect(await states(['g'])).toEqual(['active'])
      await store.sweep(NOW_MS + 25 * HOUR_MS - 1, 100)
      expect((await store.grants.revocationsSince(0, 10)).rows).toHaveLength(2)
      await store.sweep(NOW_MS + 25 * HOUR_MS, 100)
      const { rows, sequence, epoch } = await store.grants.revocationsSince(0, 10)
      expect(rows.map((row) => row.id)).toEqual(['young'])
      expect(sequence).toBe(2)
      expect(epoch).toBeGreaterThan(0)
      await store.sweep(NOW_MS + 26 * HOUR_MS, 100)
      expect((await store.grants.revocationsSince(0, 10)).sequence).toBe(2)
      expect(await states(['g'])).toEqual([undefined])
    })

    it('lists the grants of a user, client, vault record or session, page by page', async () => {
      for (let n = 0; n < 5; n += 1) await activeGrant(store, `g${n}`)
      await activeGrant(store, 'other', {
        userId: 'u',
        clientId: 'c',
        vaultId: 'v',
        sessionId: undefined,
      })
      const ids = async (name: 'userId' | 'clientId' | 'vaultId' | 'sessionId', value: string) =>
        (await store.grants.list(TENANT, { name, value }, { max: 10 })).map((found) => found.id)
      const five = ['g0', 'g1', 'g2', 'g3', 'g4']
      expect(await ids('userId', 'user-1')).toEqual(five)
      expect(await ids('clientId', 'client-1')).toEqual(five)
      expect(await ids('vaultId', 'vault-1')).toEqual(five)
      expect(await ids('sessionId', 'session-1')).toEqual(five)
      expect(await ids('vaultId', 'v')).toEqual(['other'])
      const index = { name: 'userId', value: 'user-1' } as const
      const page = await store.grants.list(TENANT, index, { after: 'g1', max: 2 })
      expect(page.map((found) => found.id)).toEqual(['g2', 'g3'])
    })

    it('I5: keeps grants, marks and the clock over a restart', async () => {
      if (subject.restart === undefined) return
      await activeGrant(store, 'g')
      await store.create('attempt', key('a'), attempt())
      await store.grants.revoke(mark('user', 'user-1'))
      const before = await store.grants.revocationsSince(0, 10)
      const again = await subject.restart()
      expect(await again.grants.revocationsSince(0, 10)).toEqual(before)
      expect((await again.grants.find(key('g')))?.state).toBe('ended')
      expect(await again.grants.revoke(mark('user', 'user-1'))).toEqual({ sequence: 2 })
    })
  })
}
