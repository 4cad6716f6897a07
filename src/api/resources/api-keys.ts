/**
 * `api-keys`: who may use this API. A key is shown once. None makes one that may more than itself: a
 * restricted one only for its own app and connectors, one that ends only one that ends by then.
 */
import { z } from 'zod'
import { ConfigError, StoreError } from '../../errors.ts'
import {
  ADMIN_KEY_ID,
  type ApiKeyRow,
  createApiKey,
  endApiKey,
  findApiKey,
  type NewApiKey,
} from '../keys.ts'
import { appOf, requireConnector } from '../reach.ts'
import { type ApiCaller, type ApiHouse, notFound, Problem, ROLES, route } from '../route.ts'
import { isoTime, listRows, optionalTime, pageAnswer } from '../rows.ts'
import { App, ConnectorName, idOf, pageOf, Time } from '../shapes.ts'

const READERS = ['read', 'manage'] as const
const REACH = ['app', 'connectors'] as const
const CONNECTORS_MAX = 100
const CREATE_TRIES_MAX = 3

const ApiKeyItem = z
  .object({
    id: idOf('key'),
    name: z.string().optional(),
    role: z.enum(ROLES),
    app: App.optional(),
    connectors: z.array(ConnectorName).optional(),
    createdAt: Time,
    usedAt: Time.optional().describe('To the minute.'),
    expiresAt: Time.optional(),
  })
  .meta({ id: 'ApiKey' })
const NewKey = ApiKeyItem.extend({
  key: z.string().describe('`ptk_...`, shown once.'),
}).meta({ id: 'NewApiKey' })
const Item = z.object({ id: idOf('key') })

export function apiKeyRoutes(house: ApiHouse) {
  const find = async (caller: ApiCaller, id: string): Promise<ApiKeyRow> => {
    const row = await findApiKey(house, id)
    if (row === undefined || !mayReach(caller, row)) throw notFound('API key')
    return row
  }
  return [
    route({
      ...{ method: 'GET', path: '/api-keys', operationId: 'apiKeys.list', list: true },
      summary: 'Lists API keys. None is shown itself.',
      ...{ roles: READERS, reach: REACH },
      answers: { 200: { description: 'A page of keys.', schema: pageOf(ApiKeyItem) } },
      problems: [],
      async handle(call) {
        const isMeant = (row: ApiKeyRow) => mayReach(call.caller, row)
        return pageAnswer(await listRows(house, { kind: 'apiKey', isMeant }, call), keyView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/api-keys/{id}', operationId: 'apiKeys.find' },
      summary: 'One API key.',
      ...{ roles: READERS, reach: REACH },
      params: Item,
      answers: { 200: { description: 'The key.', schema: ApiKeyItem } },
      problems: [],
      handle: async ({ params, caller }) => ({
        status: 200,
        body: keyView(await find(caller, params.id)),
      }),
    }),
    route({
      ...{ method: 'POST', path: '/api-keys', operationId: 'apiKeys.create' },
      summary: 'Makes an API key.',
      ...{ roles: ['manage'], reach: REACH },
      body: z.object({
        name: z.string().min(1).max(128).optional(),
        role: z.enum(ROLES),
        app: App.optional(),
        connectors: z.array(ConnectorName).min(1).max(CONNECTORS_MAX).optional(),
        expiresAt: Time.optional(),
      }),
      answers: { 201: { description: 'The key, once.', schema: NewKey } },
      problems: ['ERR_API_LIMIT'],
      async handle({ body, caller }) {
        const { id, secret, value } = await create(house, caller, body)
        return { status: 201, body: { ...keyView({ key: { id }, value }), key: secret } }
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/api-keys/{id}', operationId: 'apiKeys.end' },
      summary: 'Ends an API key: here at once, on every other node within 5 s.',
      ...{ roles: ['manage'], reach: REACH },
      params: Item,
      answers: { 204: { description: 'It has ended.' } },
      problems: ['ERR_API_LAST_KEY'],
      async handle({ params, caller }) {
        await find(caller, params.id)
        const ended = await endApiKey(house, params.id, caller.keyId)
        if (ended === 'unknown') throw notFound('API key')
        if (ended === 'last')
          throw new Problem(409, 'ERR_API_LAST_KEY', 'It is the last key that manages.')
        house.apiKeys.forget(params.id)
        return { status: 204 }
      },
    }),
  ]
}

/** A restricted key reaches keys that may no more than itself. */
function mayReach(caller: ApiCaller, { value }: Pick<ApiKeyRow, 'value'>): boolean {
  if (caller.app !== undefined && value.app !== caller.app) return false
  const { connectors } = caller
  if (connectors === undefined) return true
  return value.connectors?.every((name) => connectors.includes(name)) === true
}

interface Wanted {
  readonly name?: string | undefined
  readonly role: NewApiKey['role']
  readonly app?: string | undefined
  readonly connectors?: readonly string[] | undefined
  readonly expiresAt?: string | undefined
}

/**
 * The row of the key that calls. One that was ended may be remembered for a while, and makes no other
 * that would outlive it.
 *
 * @returns `undefined`: the key of the configuration. @throws {Problem} 401
 */
async function makerOf(house: ApiHouse, { keyId }: ApiCaller): Promise<ApiKeyRow | undefined> {
  if (keyId === ADMIN_KEY_ID) return undefined
  const row = await findApiKey(house, keyId)
  if (row !== undefined) return row
  throw new Problem(401, 'ERR_API_KEY', 'The key was ended.', {
    headers: { 'www-authenticate': 'Bearer' },
  })
}

/** @throws {Problem} 403 for more than the caller's own. */
function narrowed(caller: ApiCaller, own: ApiKeyRow | undefined, body: Wanted): NewApiKey {
  const { name, role, expiresAt, connectors = caller.connectors } = body
  for (const connector of connectors ?? []) requireConnector(caller, connector)
  const app = appOf(caller, body.app)
  const endsMs = own?.value.expiresAtMs
  const asked = expiresAt === undefined ? undefined : Date.parse(expiresAt)
  if (endsMs !== undefined && asked !== undefined && asked > endsMs)
    throw new Problem(403, 'ERR_API_ROLE', 'A key makes none that outlives it.', {
      param: 'expiresAt',
    })
  const expiresAtMs = asked ?? endsMs
  return {
    role,
    ...(name === undefined ? {} : { name }),
    ...(app === undefined ? {} : { app }),
    ...(connectors === undefined ? {} : { connectors }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  }
}

async function create(house: ApiHouse, caller: ApiCaller, body: Wanted) {
  for (let tries = 1; ; tries += 1) {
    const own = await makerOf(house, caller)
    try {
      return await createApiKey(house, narrowed(caller, own, body), caller.keyId, own)
    } catch (error) {
      if (error instanceof ConfigError)
        throw new Problem(409, 'ERR_API_LIMIT', error.problem, { cause: error })
      // Its use was noted, or it was ended, in between.
      const isLost = error instanceof StoreError && error.certainty === 'not-applied'
      if (!isLost || tries >= CREATE_TRIES_MAX) throw error
    }
  }
}

function keyView({
  key: { id },
  value,
}: {
  readonly key: { readonly id: string }
  readonly value: ApiKeyRow['value']
}): z.infer<typeof ApiKeyItem> {
  const { name, role, app, connectors, createdAtMs, usedAtMs, expiresAtMs } = value
  return {
    ...{ id, role },
    ...(name === undefined ? {} : { name }),
    ...(app === undefined ? {} : { app }),
    ...(connectors === undefined ? {} : { connectors: [...connectors] }),
    createdAt: isoTime(createdAtMs),
    ...optionalTime('usedAt', usedAtMs),
    ...optionalTime('expiresAt', expiresAtMs),
  }
}
