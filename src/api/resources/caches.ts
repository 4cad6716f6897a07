/** `caches`: what this node remembers of others, by name; one key looked at, or forgotten on all nodes. */
import { z } from 'zod'
import { cachesOf } from '../../cache/caches.ts'
import { auditStep } from '../../issuer/audit.ts'
import { announceForget } from '../../issuer/forget.ts'
import { type ApiHouse, notFound, route } from '../route.ts'

const OUTCOMES = z.object({
  hit: z.int(),
  stale: z.int(),
  miss: z.int(),
  negative: z.int(),
  error: z.int(),
})
const Cache = z
  .object({
    name: z.string(),
    entries: z.int(),
    bytes: z.int(),
    outcomes: OUTCOMES.describe('Reads since the start of this node.'),
  })
  .meta({ id: 'Cache' })
const CacheKey = z
  .object({
    key: z.string(),
    state: z.enum(['hit', 'stale', 'miss', 'negative', 'error']),
    ageSeconds: z.number().optional(),
  })
  .meta({ id: 'CacheKey' })

const Item = z.object({ name: z.string().regex(/^[a-z0-9_-]{1,64}$/) })
const Key = z.object({ key: z.string().min(1).max(2048) })

export function cacheRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/caches', operationId: 'caches.list' },
      summary: 'The caches of the node that answers.',
      roles: ['read', 'manage'],
      answers: {
        200: { description: 'All of them.', schema: z.object({ data: z.array(Cache) }) },
      },
      problems: [],
      handle: async () => ({ status: 200, body: { data: summaries(house) } }),
    }),
    route({
      ...{ method: 'GET', path: '/caches/{name}', operationId: 'caches.find' },
      summary: 'One key of a cache of the node that answers; never its value.',
      roles: ['read', 'manage'],
      params: Item,
      query: Key,
      answers: { 200: { description: 'What a read would find.', schema: CacheKey } },
      problems: [],
      async handle({ params, query: { key } }) {
        const looks = named(house, params.name).map((cache) => cache.look(key))
        const found = looks.find(({ state }) => state !== 'miss') ?? { state: 'miss' as const }
        return { status: 200, body: { key, ...found } }
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/caches/{name}', operationId: 'caches.forget' },
      summary: 'Forgets one key, here at once and on the other nodes within seconds.',
      roles: ['manage'],
      params: Item,
      query: Key,
      answers: { 204: { description: 'It is forgotten, if it was there.' } },
      problems: [],
      async handle({ params, query: { key }, caller }) {
        named(house, params.name)
        const audit = auditStep(house, 'cache.forgotten', {
          ...{ detail: params.name, actor: caller.keyId },
        })
        await announceForget(house, `${params.name}:${key}`, [audit])
        return { status: 204 }
      },
    }),
  ]
}

function summaries({ emit }: ApiHouse): readonly z.infer<typeof Cache>[] {
  const byName = new Map<string, z.infer<typeof Cache>>()
  for (const cache of cachesOf(emit)) {
    const { name } = cache
    const { entries, bytes } = cache.size()
    const known = byName.get(name)
    const outcomes = { ...cache.outcomes() }
    for (const outcome of OUTCOMES.keyof().options)
      outcomes[outcome] += known?.outcomes[outcome] ?? 0
    byName.set(name, {
      name,
      entries: entries + (known?.entries ?? 0),
      bytes: bytes + (known?.bytes ?? 0),
      outcomes,
    })
  }
  return [...byName.values()]
}

function named({ emit }: ApiHouse, name: string) {
  const found = cachesOf(emit).filter((cache) => cache.name === name)
  if (found.length === 0) throw notFound('cache')
  return found
}
