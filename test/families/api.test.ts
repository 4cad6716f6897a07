/** Bad filters, sorts, page tokens and ids at the REST API (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import type { ApiHouse, ApiRoute } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { type ApiHouseKit, openApiHouse } from '../kit/api-house.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'

const FULL = 200
const HOUR_MS = 3_600_000
const READS = apiRoutes({} as ApiHouse).filter(
  ({ method, roles }) => method === 'GET' && roles.length > 0,
)
const PIECES = [
  "'",
  '"',
  ';--',
  "' OR '1'='1",
  "') UNION SELECT data FROM records--",
  '%',
  '_',
  '*',
  '\\',
  '\0',
  '\u2028',
  '\ud800',
  'é'.repeat(50),
  'a'.repeat(300),
  '-1',
  '1e3',
  '9'.repeat(30),
  '0x10',
  'null',
  'undefined',
  '[object Object]',
  '__proto__',
  'constructor',
  '../../users',
  'grace',
  'other',
  'app:other:grace',
  'usr_00000000000000000000000000',
  'con_AAAAAAAAAAAAAAAAAAAAAA',
  '{"$gt":""}',
  '\r\nSet-Cookie: a=b',
] as const
const NAMES = [
  'user',
  'app',
  'connector',
  'state',
  'limit',
  'cursor',
  'sort',
  'order',
  'orderBy',
  'tenant',
  'userId',
  'filter',
  'client',
  'since',
  'until',
  'actor',
  'event',
  'key',
  '__proto__',
  'user[]',
  'user[$ne]',
] as const

interface Case {
  readonly path: string
  readonly query: readonly (readonly [string, string])[]
}

function drawText(draw: Draw): string {
  return Array.from({ length: 1 + draw.whole(3) }, () => draw.pick(PIECES)).join('')
}

/** A cursor of ours with some of its characters changed, moved or cut. */
function drawCursor(draw: Draw, good: string): string {
  const at = draw.whole(good.length)
  const letter = draw.pick(['A', '_', '-', '.', '%'])
  return draw.pick([
    good.slice(0, at),
    good.slice(0, at) + letter + good.slice(at + 1),
    good.slice(at) + good.slice(0, at),
    good + good,
    btoa(drawText(draw).replace(/[^ -~]/g, '')),
  ])
}

function drawCase(draw: Draw, routes: readonly ApiRoute[], cursor: string): Case {
  const route = draw.pick(routes)
  const path = route.path.replace(/\{\w+\}/g, () =>
    encodeURIComponent(drawText(draw).toWellFormed()),
  )
  const query = Array.from({ length: draw.whole(4) }, () => {
    const name = draw.pick(NAMES)
    return [name, name === 'cursor' ? drawCursor(draw, cursor) : drawText(draw)] as const
  })
  return { path, query }
}

async function open(): Promise<{ house: ApiHouseKit; key: string; cursor: string }> {
  const page = { origins: ['https://app.example.com'], returnUrls: ['https://app.example.com/x'] }
  const house = await openApiHouse({ config: { apps: { dashboard: page, other: page } } })
  for (const user of ['ada', 'linus']) await house.link(user, HOUR_MS, 'dashboard')
  await house.link('grace', HOUR_MS, 'other')
  const { secret: key } = await house.makeKey({ role: 'read', app: 'dashboard' })
  const { body } = await house.ask('GET', '/connections?limit=1', { key })
  return { house, key, cursor: (body as { nextCursor: string }).nextCursor }
}

describe('B17', () => {
  it('M4, B17: 0 errors of the database and 0 foreign rows, whatever filters, sorts, cursors and ids say', async () => {
    const { house, key, cursor } = await open()
    const draw = createDraw()
    const cases = Array.from({ length: countOf(FULL) * 5 }, () => drawCase(draw, READS, cursor))
    await checkFamily(
      'B17',
      cases,
      async ({ path, query }) => {
        const search = new URLSearchParams(query.map(([name, value]) => [name, value]))
        for (const used of [key, house.keys.manage]) {
          const reply = await house.ask('GET', `${path}?${search}`, { key: used })
          expect([200, 403, 404, 422]).toContain(reply.status)
          if (used === key && reply.status === 200) {
            expect(reply.text).not.toContain('grace')
            expect(reply.text).not.toContain('"other"')
          }
        }
      },
      4,
    )
    const failed = house.platform.events.filter(({ type }) => type === 'server.failed')
    expect(failed).toEqual([])
    const { body } = await house.ask('GET', '/connections', { key })
    expect((body as { data: unknown[] }).data).toHaveLength(2)
  }, 120_000)
})
