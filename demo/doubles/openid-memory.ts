/** Everything the OpenID double remembers, in one map that can be searched and cut from outside. */
import type { AdapterInstance } from 'oidc-provider'

export interface Entry {
  readonly model: string
  readonly id: string
  readonly payload: Record<string, unknown>
  readonly expiresAtMs: number | undefined
}

export interface Memory {
  /** A constructor-less factory, as `oidc-provider` takes one. */
  readonly adapter: (model: string) => AdapterInstance
  set(model: string, id: string, payload: Record<string, unknown>): void
  /** Returns how many entries went. */
  remove(match: (entry: Entry) => boolean): number
}

export function createMemory(): Memory {
  const entries = new Map<string, Entry>()
  const key = (model: string, id: string): string => `${model}:${id}`
  const live = (entry: Entry | undefined): Record<string, unknown> | undefined =>
    entry === undefined || (entry.expiresAtMs !== undefined && entry.expiresAtMs <= Date.now())
      ? undefined
      : entry.payload
  const findBy = async (model: string, name: string, value: string) =>
    live(
      [...entries.values()].find((entry) => entry.model === model && entry.payload[name] === value),
    )
  const remove = (match: (entry: Entry) => boolean): number => {
    let removed = 0
    for (const [name, entry] of entries) if (match(entry) && entries.delete(name)) removed++
    return removed
  }
  return {
    remove,
    set(model, id, payload) {
      entries.set(key(model, id), { model, id, payload, expiresAtMs: undefined })
    },
    adapter: (model) => ({
      async upsert(id, payload, expiresIn) {
        const expiresAtMs = expiresIn === undefined ? undefined : Date.now() + expiresIn * 1_000
        entries.set(key(model, id), { model, id, payload, expiresAtMs })
      },
      find: async (id) => live(entries.get(key(model, id))),
      findByUid: (uid) => findBy(model, 'uid', uid),
      findByUserCode: (userCode) => findBy(model, 'userCode', userCode),
      async consume(id) {
        const entry = entries.get(key(model, id))
        if (entry !== undefined) entry.payload['consumed'] = Math.floor(Date.now() / 1_000)
      },
      async destroy(id) {
        entries.delete(key(model, id))
      },
      async revokeByGrantId(grantId) {
        remove((entry) => entry.payload['grantId'] === grantId)
      },
    }),
  }
}
