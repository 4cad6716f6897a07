/** `users`: people who signed in here. Deleting one is an operation; what it did is its result. */
import { z } from 'zod'
import type { Versioned } from '../../ports.ts'
import { startOperation } from '../long-operations.ts'
import { type ApiHouse, notFound, route } from '../route.ts'
import { isoTime, listRows, pageAnswer } from '../rows.ts'
import { idOf, pageOf, Time } from '../shapes.ts'
import { Operation, operationView } from './operations.ts'

const READERS = ['read', 'manage'] as const
export const UserId = idOf('usr')
const STATES = ['active', 'disabled'] as const

export const UserItem = z
  .object({
    id: UserId,
    provider: z.string(),
    subject: z.string().describe('At the provider.'),
    state: z.enum(STATES),
    profile: z.object({
      name: z.string().optional(),
      email: z.string().optional(),
      emailVerified: z.boolean().optional(),
      login: z.string().optional(),
      pictureUrl: z.string().optional(),
    }),
    groups: z.array(z.string()),
    createdAt: Time,
    lastSignInAt: Time,
  })
  .meta({ id: 'User' })

const Item = z.object({ id: UserId })

export function userRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/users', operationId: 'users.list', list: true, roles: READERS },
      summary: 'Lists people who signed in here.',
      query: z.object({
        provider: z.string().min(1).max(64).optional(),
        email: z.string().min(1).max(320).optional().describe('To the letter.'),
        state: z.enum(STATES).optional(),
      }),
      answers: { 200: { description: 'A page of people.', schema: pageOf(UserItem) } },
      problems: [],
      async handle(call) {
        const { provider, email, state } = call.query
        const isMeant = ({ value }: Versioned<'user'>) =>
          (provider === undefined || value.provider === provider) &&
          (email === undefined || value.profile.email === email) &&
          (state === undefined || value.state === state)
        return pageAnswer(await listRows(house, { kind: 'user', isMeant }, call), userView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/users/{id}', operationId: 'users.find', roles: READERS },
      summary: 'One person.',
      params: Item,
      answers: { 200: { description: 'The person.', schema: UserItem } },
      problems: [],
      handle: async ({ params }) => ({
        status: 200,
        body: userView(await findPerson(house, params.id)),
      }),
    }),
    route({
      ...{ method: 'POST', path: '/users/{id}/offboard', operationId: 'users.offboard' },
      summary: 'Deletes a person: everything ends here at once, then at providers and servers.',
      roles: ['manage'],
      params: Item,
      answers: { 202: { description: 'It has begun.', schema: Operation } },
      problems: [],
      async handle({ params, caller }) {
        const person = await findPerson(house, params.id)
        const asked = { type: 'offboard', by: 'user', of: person.key.id } as const
        const started = await startOperation(house, asked, caller.keyId, params.id)
        return { status: 202, body: operationView(started) }
      },
    }),
  ]
}

/** @throws {Problem} 404 */
export async function findPerson(
  { operations }: Pick<ApiHouse, 'operations'>,
  userId: string,
): Promise<Versioned<'user'>> {
  const people = await operations.findPeople(userId)
  const person = people.find(({ value }) => value.userId === userId)
  if (person === undefined) throw notFound('user')
  return person
}

function userView({ value }: Versioned<'user'>): z.infer<typeof UserItem> {
  const { userId, provider, subject, state, profile, groups } = value
  return {
    ...{ id: userId, provider, subject, state, profile, groups: [...groups] },
    createdAt: isoTime(value.createdAtMs),
    lastSignInAt: isoTime(value.lastSignInAtMs),
  }
}
