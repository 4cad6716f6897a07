/** `keys`: signing keys, and sealing anew. Nobody is shown a key. */
import { z } from 'zod'
import { auditStep } from '../../issuer/audit.ts'
import { type ApiHouse, route } from '../route.ts'
import { isoTime, optionalTime } from '../rows.ts'
import { pageOf, Time } from '../shapes.ts'

const KeyItem = z
  .object({
    id: z.string().describe('`kid`'),
    state: z.enum(['next', 'current', 'old']),
    publishedAt: Time,
    activeAt: Time,
    retiredAt: Time.optional(),
    expiresAt: Time.optional(),
  })
  .meta({ id: 'SigningKey' })

const Rotated = z
  .object({
    id: z.string().optional().describe('`kid` of the new signing key; absent: none was needed.'),
    withdrawn: z
      .array(z.string())
      .optional()
      .describe('Signing keys that verify nothing any more.'),
    resealed: z.int().optional(),
    left: z.int().optional().describe('In use just now: rotate again.'),
    unreadable: z.int().optional(),
  })
  .meta({ id: 'RotatedKeys' })

export function keyRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/keys', operationId: 'keys.list', roles: ['read', 'manage'] },
      summary: 'Lists signing keys.',
      answers: { 200: { description: 'The keys.', schema: pageOf(KeyItem) } },
      problems: [],
      async handle() {
        const data = house.operations.keys().map(({ kid, state, ...times }) => ({
          ...{ id: kid, state },
          publishedAt: isoTime(times.publishedAtMs),
          activeAt: isoTime(times.activeAtMs),
          ...optionalTime('retiredAt', times.retiredAtMs),
          ...optionalTime('expiresAt', times.expiresAtMs),
        }))
        return { status: 200, body: { data } }
      },
    }),
    route({
      ...{ method: 'POST', path: '/keys/rotate', operationId: 'keys.rotate', roles: ['manage'] },
      summary:
        'A new signing key; or seals again, with the first sealing key, what older ones sealed.',
      body: z.object({
        kind: z.enum(['signing', 'sealing']),
        emergency: z
          .boolean()
          .optional()
          .describe('Signing only: the old keys verify nothing any more, from now on.'),
      }),
      answers: { 200: { description: 'What was done.', schema: Rotated } },
      problems: [],
      async handle({ body: { kind, emergency = false }, caller }) {
        const detail = `keys.rotate ${kind}${emergency ? ' emergency' : ''}`
        await house.store.commit([auditStep(house, 'api.called', { actor: caller.keyId, detail })])
        if (kind === 'sealing') {
          const { resealed, left, unreadable } = await house.operations.reseal(() => undefined)
          return { status: 200, body: { resealed, left, unreadable } }
        }
        const { kid, withdrawn } = await house.operations.rotateKeys({ emergency })
        return {
          status: 200,
          body: { ...(kid === undefined ? {} : { id: kid }), withdrawn: [...withdrawn] },
        }
      },
    }),
  ]
}
