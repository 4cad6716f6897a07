/** `grants`: what people and clients were given: user x client x one resource. Never a token of one. */
import { z } from 'zod'
import { endGrant } from '../../issuer/endings.ts'
import { key } from '../../issuer/ids.ts'
import { type Grant, TENANT } from '../../records.ts'
import { fieldsProblem } from '../fields.ts'
import { type ApiHouse, notFound, route } from '../route.ts'
import { isoTime, pageAnswer } from '../rows.ts'
import { idOf, pageOf, Time } from '../shapes.ts'

const READERS = ['read', 'manage'] as const
const CAUSE = 'ended_by_operator'
const STATES = ['pending', 'active', 'ended'] as const

const GrantItem = z
  .object({
    id: idOf('grt'),
    userId: z.string(),
    clientId: z.string(),
    resource: z.string(),
    scopes: z.array(z.string()),
    state: z.enum(STATES),
    cause: z.string().optional(),
    createdAt: Time,
    expiresAt: Time.describe('When it ends unless it is used.'),
  })
  .meta({ id: 'Grant' })

const Item = z.object({ id: idOf('grt') })

export function grantRoutes(house: ApiHouse) {
  const find = async (id: string): Promise<Grant> => {
    const grant = await house.store.grants.find(key(id))
    if (grant === undefined) throw notFound('grant')
    return grant
  }
  return [
    route({
      ...{ method: 'GET', path: '/grants', operationId: 'grants.list', list: true, roles: READERS },
      summary: 'Lists the grants of a person or a client: one of them is named.',
      query: z.object({
        user: z.string().min(1).max(320).optional().describe('`usr_...`'),
        client: z.string().min(1).max(2048).optional(),
        state: z.enum(STATES).optional(),
      }),
      answers: { 200: { description: 'A page of grants.', schema: pageOf(GrantItem) } },
      problems: [],
      async handle({ query, limit, after }) {
        const index = indexOf(query)
        const page = { max: limit, ...(after === undefined ? {} : { after }) }
        const grants = await house.store.grants.list(TENANT, index, page)
        const next = grants.length < limit ? undefined : grants.at(-1)?.id
        const rows = grants.filter(({ clientId, state }) => {
          if (query.client !== undefined && clientId !== query.client) return false
          return query.state === undefined || state === query.state
        })
        return pageAnswer({ rows, next }, grantView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/grants/{id}', operationId: 'grants.find', roles: READERS },
      summary: 'One grant.',
      params: Item,
      answers: { 200: { description: 'The grant.', schema: GrantItem } },
      problems: [],
      handle: async ({ params }) => ({ status: 200, body: grantView(await find(params.id)) }),
    }),
    route({
      ...{ method: 'DELETE', path: '/grants/{id}', operationId: 'grants.end' },
      summary: 'Ends a grant: its tokens die here at once, on other nodes within the poll.',
      roles: ['manage'],
      params: Item,
      answers: { 204: { description: 'It has ended.' } },
      problems: [],
      async handle({ params, caller }) {
        const grant = await find(params.id)
        if (grant.state !== 'ended') await endGrant(house, grant, CAUSE, caller.keyId)
        return { status: 204 }
      },
    }),
  ]
}

function indexOf({ user, client }: { user?: string | undefined; client?: string | undefined }) {
  if (user !== undefined) return { name: 'userId', value: user } as const
  if (client !== undefined) return { name: 'clientId', value: client } as const
  const detail = 'Name a user or a client.'
  throw fieldsProblem([{ param: 'user', code: 'ERR_API_FIELD_MISSING', detail }])
}

function grantView(grant: Grant): z.infer<typeof GrantItem> {
  const { id, userId, clientId, resource, scopes, state, cause } = grant
  return {
    ...{ id, userId, clientId, resource, scopes: [...scopes], state },
    ...(cause === undefined ? {} : { cause }),
    createdAt: isoTime(grant.createdAtMs),
    expiresAt: isoTime(grant.expiresAtMs),
  }
}
