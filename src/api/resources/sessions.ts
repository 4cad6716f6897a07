/** `sessions`: signed-in browsers. Ending one signs that browser out; its apps keep their grants. */
import { z } from 'zod'
import { auditStep } from '../../issuer/audit.ts'
import type { Step, Versioned } from '../../ports.ts'
import { TENANT } from '../../records.ts'
import { type ApiHouse, notFound, route } from '../route.ts'
import { isoTime, listRows, pageAnswer } from '../rows.ts'
import { idOf, pageOf, Time } from '../shapes.ts'

const READERS = ['read', 'manage'] as const

const SessionItem = z
  .object({
    id: idOf('ses').optional().describe('Absent of one that an older release made.'),
    userId: z.string(),
    provider: z.string(),
    createdAt: Time,
    lastSeenAt: Time,
    expiresAt: Time,
  })
  .meta({ id: 'Session' })

const Item = z.object({ id: idOf('ses') })

export function sessionRoutes(house: ApiHouse) {
  const isLiving = ({ value }: Versioned<'session'>) => value.expiresAtMs > house.runtime.nowMs()
  const find = async (id: string): Promise<Versioned<'session'>> => {
    const index = { name: 'purpose', value: id }
    const [row] = await house.store.list('session', TENANT, index, { max: 1 })
    if (row === undefined || !isLiving(row)) throw notFound('session')
    return row
  }
  return [
    route({
      ...{ method: 'GET', path: '/sessions', operationId: 'sessions.list', list: true },
      summary: 'Lists signed-in browsers.',
      roles: READERS,
      query: z.object({ user: z.string().min(1).max(320).optional().describe('`usr_...`') }),
      answers: { 200: { description: 'A page of sessions.', schema: pageOf(SessionItem) } },
      problems: [],
      async handle(call) {
        const { user } = call.query
        const index = user === undefined ? undefined : { name: 'userId', value: user }
        const page = await listRows(house, { kind: 'session', index, isMeant: isLiving }, call)
        return pageAnswer(page, sessionView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/sessions/{id}', operationId: 'sessions.find', roles: READERS },
      summary: 'One signed-in browser.',
      params: Item,
      answers: { 200: { description: 'The session.', schema: SessionItem } },
      problems: [],
      handle: async ({ params }) => ({ status: 200, body: sessionView(await find(params.id)) }),
    }),
    route({
      ...{ method: 'DELETE', path: '/sessions/{id}', operationId: 'sessions.end' },
      summary: 'Signs a browser out.',
      roles: ['manage'],
      params: Item,
      answers: { 204: { description: 'It is signed out.' } },
      problems: [],
      async handle({ params, caller }) {
        const row = await find(params.id)
        const { userId } = row.value
        const facts = { actor: caller.keyId, userId, detail: `session ${params.id}` }
        const removal: Step = { verb: 'remove', kind: 'session', key: row.key }
        await house.store.commit([removal, auditStep(house, 'signin.ended', facts)])
        await house.store.remove('origin', row.key)
        return { status: 204 }
      },
    }),
  ]
}

function sessionView({ value }: Versioned<'session'>): z.infer<typeof SessionItem> {
  const { sessionId, userId, provider } = value
  return {
    ...(sessionId === undefined ? {} : { id: sessionId }),
    ...{ userId, provider },
    createdAt: isoTime(value.createdAtMs),
    lastSeenAt: isoTime(value.lastSeenAtMs),
    expiresAt: isoTime(value.expiresAtMs),
  }
}
