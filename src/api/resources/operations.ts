/** `operations`: work that goes on behind its answer. Kept 7 days; restarts and other nodes finish it. */
import { z } from 'zod'
import { key } from '../../issuer/ids.ts'
import type { Versioned } from '../../ports.ts'
import { type ApiHouse, notFound, route } from '../route.ts'
import { isoTime, optionalTime } from '../rows.ts'
import { idOf, Time } from '../shapes.ts'

const Result = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
  .describe('What was done, and what waits.')

export const Operation = z
  .object({
    id: idOf('opn'),
    type: z.enum(['offboard', 'revocation']),
    state: z.enum(['running', 'done', 'failed']),
    done: z.int().describe('Steps that are done.'),
    total: z.int(),
    startedAt: Time,
    finishedAt: Time.optional(),
    result: Result.optional(),
  })
  .meta({ id: 'Operation' })

export function operationRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/operations/{id}', operationId: 'operations.find' },
      summary: 'How far an operation is.',
      roles: ['read', 'manage'],
      params: z.object({ id: idOf('opn') }),
      answers: { 200: { description: 'The operation.', schema: Operation } },
      problems: [],
      async handle({ params }) {
        const row = await house.store.get('operation', key(params.id))
        if (row === undefined) throw notFound('operation')
        return { status: 200, body: operationView(row) }
      },
    }),
  ]
}

export function operationView({
  key: { id },
  value,
}: Pick<Versioned<'operation'>, 'key' | 'value'>): z.infer<typeof Operation> {
  const { type, state, done, total, result } = value
  return {
    ...{ id, type, state, done, total },
    startedAt: isoTime(value.createdAtMs),
    ...optionalTime('finishedAt', value.finishedAtMs),
    ...(result === undefined ? {} : { result: { ...result } }),
  }
}
