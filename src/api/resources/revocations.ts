/**
 * `revocations`: ends many things by one mark. What a selector covers ends with its grants, tokens and
 * accounts at connectors; those are revoked at their servers too.
 */
import { z } from 'zod'
import { externalUserId } from '../../connectors/embedded/app-space.ts'
import { TENANT } from '../../records.ts'
import { fieldsProblem } from '../fields.ts'
import { startOperation } from '../long-operations.ts'
import { type ApiHouse, notFound, Problem, route } from '../route.ts'
import { App, ConnectorName, isOurUserId, Time, User } from '../shapes.ts'
import { Operation, operationView } from './operations.ts'
import { findPerson } from './users.ts'

const SELECTORS = ['connector', 'user', 'client', 'tenant', 'issuedBefore', 'all'] as const

const Body = z.object({
  connector: ConnectorName.optional().describe('Of this connector.'),
  user: User.optional().describe("`usr_...` of who signed in here, or the product's own id."),
  app: App.optional().describe('Of a person who is named by their product. Default: the one app.'),
  client: z.string().min(1).max(2048).optional().describe('Client id.'),
  tenant: z.string().min(1).max(64).optional().describe('Name of this tenant, to be sure.'),
  issuedBefore: Time.optional().describe(
    'Grants made, tokens issued and accounts connected by then; what began later stays.',
  ),
  all: z.literal(true).optional(),
})

export function revocationRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'POST', path: '/revocations', operationId: 'revocations.create' },
      summary: 'Ends what exactly one of the fields covers.',
      roles: ['manage'],
      body: Body,
      answers: { 202: { description: 'It has begun.', schema: Operation } },
      problems: ['ERR_CONNECTOR_NOT_FOUND', 'ERR_APP_UNKNOWN'],
      async handle({ body, caller }) {
        const given = SELECTORS.filter((name) => body[name] !== undefined)
        const [by] = given
        if (by === undefined || given.length > 1) {
          const detail = `Give exactly one of ${SELECTORS.join(', ')}.`
          throw fieldsProblem([{ param: by ?? 'all', code: 'ERR_API_FIELD_VALUE', detail }])
        }
        const of = await subjectOf(house, by, body)
        const userId = by === 'user' ? of : undefined
        const asked = { type: 'revocation', by, of } as const
        const started = await startOperation(house, asked, caller.keyId, userId)
        return { status: 202, body: operationView(started) }
      },
    }),
  ]
}

/** @throws {Problem} 404, 422 */
async function subjectOf(
  house: ApiHouse,
  by: (typeof SELECTORS)[number],
  body: z.infer<typeof Body>,
): Promise<string> {
  const { config, runtime } = house
  const { connector = '', user = '', client = '', tenant = '', issuedBefore = '' } = body
  switch (by) {
    case 'connector':
      if (config.connectors.some(({ name }) => name === connector)) return connector
      throw new Problem(404, 'ERR_CONNECTOR_NOT_FOUND', 'There is no connector of this name.', {
        param: 'connector',
      })
    case 'user':
      if (isOurUserId(user) && body.app === undefined)
        return (await findPerson(house, user)).value.userId
      return externalUserId(config.apps, user, body.app)
    case 'client':
      return client
    case 'tenant':
      if (tenant === (config.tenant ?? TENANT)) return TENANT
      throw notFound('tenant')
    case 'issuedBefore': {
      const beforeMs = Date.parse(issuedBefore)
      if (beforeMs <= runtime.nowMs()) return String(beforeMs)
      const detail = 'It is in the future.'
      throw fieldsProblem([{ param: 'issuedBefore', code: 'ERR_API_FIELD_VALUE', detail }])
    }
    case 'all':
      return TENANT
  }
}
