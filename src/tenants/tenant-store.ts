/**
 * The store as one house sees it: the rooms of a house write and read the tenant `TENANT`, and here that
 * name becomes the tenant whose house it is, in every key, step, grant and mark, and back again.
 *
 * Nothing of another tenant comes out, and a key of another tenant is a bug of ours: `TypeError`. The
 * clock of revocations is one for all; its rows are filtered. The sweep is one for all and the outer
 * house's work. Closing is the business of who opened.
 */
import type { Key, Step, Store, Versioned } from '../ports.ts'
import { type Grant, type Kind, type Mark, TENANT } from '../records.ts'

/** Pages of others' marks read for one page of our own. */
const PAGES_MAX = 10_000

/**
 * @param tenant Whose rows are read and written; `TENANT` is the outer house's.
 * @param close What `close` does: others may be using the same store.
 */
export function tenantStore(store: Store, tenant: string, close: () => Promise<void>): Store {
  const outward = (name: string): string => {
    if (name === TENANT) return tenant
    throw new TypeError('a house asked for rows of another tenant')
  }
  const keyOf = ({ tenant: name, id }: Key): Key => ({ tenant: outward(name), id })
  const stepOf = (step: Step): Step =>
    step.verb === 'createGrant'
      ? { ...step, grant: { ...step.grant, tenant: outward(step.grant.tenant) } }
      : { ...step, key: keyOf(step.key) }
  const names = { outward, keyOf, stepOf }
  return {
    async get(kind, key) {
      const row = await store.get(kind, keyOf(key))
      return row === undefined ? undefined : inward(row)
    },
    create: async (kind, key, value) => store.create(kind, keyOf(key), value),
    put: async (kind, key, ifVersion, value) => store.put(kind, keyOf(key), ifVersion, value),
    consume: async (kind, key, attempt, nowMs) => store.consume(kind, keyOf(key), attempt, nowMs),
    remove: async (kind, key) => store.remove(kind, keyOf(key)),
    async list(kind, name, index, page) {
      return (await store.list(kind, outward(name), index, page)).map(inward)
    },
    count: async (kind, name) => store.count(kind, outward(name)),
    commit: async (steps) => store.commit(steps.map(stepOf)),
    async sweep(nowMs, max) {
      return tenant === TENANT ? store.sweep(nowMs, max) : { removed: 0, more: false }
    },
    grants: tenantGrants(store.grants, tenant, names),
    close,
  }
}

function inward<K extends Kind>(row: Versioned<K>): Versioned<K> {
  return { ...row, key: { tenant: TENANT, id: row.key.id } }
}

interface Names {
  outward(name: string): string
  keyOf(key: Key): Key
  stepOf(step: Step): Step
}

function tenantGrants(
  grants: Store['grants'],
  tenant: string,
  { outward, keyOf, stepOf }: Names,
): Store['grants'] {
  const grantOf = (grant: Grant): Grant => ({ ...grant, tenant: TENANT })
  const markOf = (mark: Mark): Mark => ({ ...mark, tenant: outward(mark.tenant) })
  return {
    async find(key) {
      const grant = await grants.find(keyOf(key))
      return grant === undefined ? undefined : grantOf(grant)
    },
    list: async (name, index, page) => (await grants.list(outward(name), index, page)).map(grantOf),
    redeem: async (key, ...rest) => grants.redeem(keyOf(key), ...rest),
    rotate: async (key, digest, candidate, at) =>
      grants.rotate(keyOf(key), digest, candidate, {
        ...at,
        ...(at.alsoWhenReused === undefined
          ? {}
          : { alsoWhenReused: at.alsoWhenReused.map(stepOf) }),
      }),
    end: async (key, cause, nowMs, markExpiresAtMs, also = []) =>
      grants.end(keyOf(key), cause, nowMs, markExpiresAtMs, also.map(stepOf)),
    revoke: async (given, also = []) =>
      grants.revoke('kind' in given ? markOf(given) : given.map(markOf), also.map(stepOf)),
    revocationsSince: (sequence, max) => ownRevocations(grants, tenant, sequence, max),
  }
}

/** A page that is not full means "that is all": so others' rows do not count towards it. */
async function ownRevocations(
  grants: Store['grants'],
  tenant: string,
  sequence: number,
  max: number,
): ReturnType<Store['grants']['revocationsSince']> {
  const wanted = Math.max(1, max)
  const own: Awaited<ReturnType<Store['grants']['revocationsSince']>>['rows'][number][] = []
  let after = sequence
  let epoch: number | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await grants.revocationsSince(after, wanted)
    // A store that was restored meanwhile: whoever asks begins again by these two numbers.
    const isOther = epoch !== undefined && answer.epoch !== epoch
    if (isOther || answer.sequence < after) return { ...answer, rows: [] }
    epoch = answer.epoch
    after = answer.sequence
    for (const row of answer.rows) if (row.tenant === tenant) own.push({ ...row, tenant: TENANT })
    const rows = own.slice(0, wanted)
    if (own.length > wanted) return { sequence: rows.at(-1)?.sequence ?? after, epoch, rows }
    if (own.length === wanted || answer.rows.length < wanted)
      return { sequence: after, epoch, rows }
  }
  throw new TypeError('the revocation clock runs without end')
}
