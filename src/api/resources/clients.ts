/** `clients`: apps that people sign in with. Those of the configuration file are read-only here. */
import { z } from 'zod'
import { OAuthError } from '../../errors.ts'
import type { ClientView } from '../../issuer/client-administration.ts'
import { fieldsProblem } from '../fields.ts'
import { type ApiHouse, notFound, Problem, route } from '../route.ts'
import { optionalTime, pageAnswer } from '../rows.ts'
import { pageOf, Time } from '../shapes.ts'

const READERS = ['read', 'manage'] as const
const REDIRECT_URIS_MAX = 10

const ClientItem = z
  .object({
    id: z.string(),
    name: z.string().optional(),
    redirectUris: z.array(z.string()),
    authMethod: z.string(),
    source: z.enum(['file', 'registered', 'operator']),
    createdAt: Time.optional(),
    usedAt: Time.optional(),
    expiresAt: Time.optional().describe('When it ends unless it is used.'),
  })
  .meta({ id: 'Client' })
const NewClient = ClientItem.extend({
  secret: z.string().optional().describe('Of a confidential client; shown once.'),
}).meta({ id: 'NewClient' })

const Item = z.object({ id: z.string().min(1).max(2048) })
const Name = z.string().min(1).max(128)
const RedirectUris = z.array(z.string().min(1).max(2048)).min(1).max(REDIRECT_URIS_MAX)

export function clientRoutes(house: ApiHouse) {
  return [...readRoutes(house), ...writeRoutes(house)]
}

function readRoutes(house: ApiHouse) {
  const clients = () => house.operations.clients
  return [
    route({
      ...{ method: 'GET', path: '/clients', operationId: 'clients.list', list: true },
      summary: 'Lists clients; those of the configuration file stand on the first page.',
      roles: READERS,
      answers: { 200: { description: 'A page of clients.', schema: pageOf(ClientItem) } },
      problems: [],
      async handle({ limit, after }) {
        const page = { max: limit, ...(after === undefined ? {} : { after }) }
        const { data, next } = await clients().list(page)
        return pageAnswer({ rows: data, next }, clientView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/clients/{id}', operationId: 'clients.find', roles: READERS },
      summary: 'One client.',
      params: Item,
      answers: { 200: { description: 'The client.', schema: ClientItem } },
      problems: [],
      async handle({ params }) {
        const client = await clients().find(params.id)
        if (client === undefined) throw notFound('client')
        return answerOf(client)
      },
    }),
  ]
}

function writeRoutes(house: ApiHouse) {
  const clients = () => house.operations.clients
  return [
    route({
      ...{ method: 'POST', path: '/clients', operationId: 'clients.create', roles: ['manage'] },
      summary: 'Makes a client.',
      body: z.object({
        name: Name,
        redirectUris: RedirectUris,
        confidential: z.boolean().optional().describe('With a secret. Default false.'),
      }),
      answers: { 201: { description: 'The client, and its secret.', schema: NewClient } },
      problems: [],
      async handle({ body, caller }) {
        const made = await judged(() => clients().create(body, caller.keyId))
        const { client, secret } = made
        const shown = secret === undefined ? {} : { secret }
        return { status: 201, body: { ...clientView(client), ...shown }, etag: '1' }
      },
    }),
    route({
      ...{ method: 'PATCH', path: '/clients/{id}', operationId: 'clients.update' },
      summary: 'Changes a client.',
      roles: ['manage'],
      params: Item,
      body: z.object({ name: Name.optional(), redirectUris: RedirectUris.optional() }),
      answers: { 200: { description: 'The client as it is now.', schema: ClientItem } },
      problems: ['ERR_CLIENT_IN_FILE', 'ERR_API_VERSION'],
      async handle({ params, body, caller, ifMatch }) {
        const by = { actor: caller.keyId, ifVersion: versionOf(ifMatch) }
        const change = Object.fromEntries(
          Object.entries(body).filter(([, value]) => value !== undefined),
        )
        const changed = await judged(() => clients().change(params.id, change, by))
        if (changed.outcome === 'changed') return answerOf(changed.client)
        if (changed.outcome === 'in_file') throw inFile()
        if (changed.outcome === 'unknown') throw notFound('client')
        throw new Problem(412, 'ERR_API_VERSION', 'The client has changed meanwhile.')
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/clients/{id}', operationId: 'clients.remove' },
      summary: 'Removes a client; its grants end with it.',
      roles: ['manage'],
      params: Item,
      answers: { 204: { description: 'It is removed.' } },
      problems: ['ERR_CLIENT_IN_FILE'],
      async handle({ params, caller }) {
        const removed = await clients().remove(params.id, caller.keyId)
        if (removed === 'in_file') throw inFile()
        if (removed === 'unknown') throw notFound('client')
        return { status: 204 }
      },
    }),
  ]
}

function inFile(): Problem {
  return new Problem(409, 'ERR_CLIENT_IN_FILE', 'The client stands in the configuration file.')
}

/** What names no version matches none. */
function versionOf(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined
  return /^\d{1,15}$/.test(ifMatch) ? Number(ifMatch) : -1
}

/** A redirect URI or name that nobody may register. @throws {Problem} 422 */
async function judged<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    const param = error.error === 'invalid_redirect_uri' ? 'redirectUris' : 'name'
    throw fieldsProblem([{ param, code: 'ERR_API_FIELD_VALUE', detail: `${error.description}.` }])
  }
}

function answerOf(client: ClientView) {
  const { version } = client
  const body = clientView(client)
  return { status: 200, body, ...(version === undefined ? {} : { etag: String(version) }) }
}

function clientView(client: ClientView): z.infer<typeof ClientItem> {
  const { id, name, redirectUris, authMethod, source } = client
  return {
    ...{ id, redirectUris: [...redirectUris], authMethod, source },
    ...(name === undefined ? {} : { name }),
    ...optionalTime('createdAt', client.createdAtMs),
    ...optionalTime('usedAt', client.usedAtMs),
    ...optionalTime('expiresAt', client.expiresAtMs),
  }
}
