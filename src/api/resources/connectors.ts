/**
 * `connectors`: what the file says and what this API made, with state and what is wrong on which side.
 * Those of the file are read-only. A key for some connectors sees and makes only those.
 */
import { z } from 'zod'
import { nearest } from '../../config/values.ts'
import type { ConnectorView } from '../../connectors/connector-administration.ts'
import { ConfigError } from '../../errors.ts'
import { Connector, ConnectorInput, ConnectorPatch } from '../connector-shapes.ts'
import { fieldsProblem } from '../fields.ts'
import { reaches } from '../reach.ts'
import {
  type ApiAnswer,
  type ApiCall,
  type ApiCaller,
  type ApiHouse,
  Problem,
  requireVersion,
  route,
} from '../route.ts'
import { pageAnswer } from '../rows.ts'
import { ConnectorName, pageOf } from '../shapes.ts'

const Item = z.object({ name: ConnectorName })
const REACH = ['connectors'] as const
const WRITE_PROBLEMS = ['ERR_CONNECTOR_IN_FILE', 'ERR_CONNECTOR_CHANGED'] as const

type Named = Pick<ApiCall<{ readonly name: string }>, 'params' | 'caller' | 'ifMatch'>

export function connectorRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/connectors', operationId: 'connectors.list', list: true },
      summary: 'Lists connectors by name.',
      ...{ roles: ['read', 'connect', 'manage'], reach: REACH },
      query: z.object({
        state: Connector.shape.state.optional(),
        auth: Connector.shape.auth.optional(),
        madeBy: Connector.shape.madeBy.optional(),
      }),
      answers: { 200: { description: 'A page of connectors.', schema: pageOf(Connector) } },
      problems: [],
      async handle({ query, caller, limit, after }) {
        const views = (await house.operations.connectors.list())
          .filter((view) => reaches(caller, { connector: view.name }))
          .filter(({ state }) => query.state === undefined || state === query.state)
          .filter(({ auth }) => query.auth === undefined || auth === query.auth)
          .filter(({ madeBy }) => query.madeBy === undefined || madeBy === query.madeBy)
          .filter(({ name }) => after === undefined || name > after)
          .sort((left, right) => (left.name < right.name ? -1 : 1))
        const rows = views.slice(0, limit)
        const next = views.length > limit ? rows.at(-1)?.name : undefined
        return pageAnswer({ rows, next }, connectorOf)
      },
    }),
    route({
      ...{ method: 'GET', path: '/connectors/{name}', operationId: 'connectors.find' },
      summary: 'One connector.',
      ...{ roles: ['read', 'connect', 'manage'], reach: REACH, versioned: true },
      params: Item,
      answers: { 200: { description: 'The connector.', schema: Connector } },
      problems: ['ERR_CONNECTOR_NOT_FOUND'],
      handle: async (call) => answerOf(200, await findConnector(house, call)),
    }),
    ...writeRoutes(house),
    ...actionRoutes(house),
  ]
}

function writeRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'PUT', path: '/connectors/{name}', operationId: 'connectors.put' },
      summary: 'Makes a connector or replaces it whole; asks its servers before it answers.',
      ...{ roles: ['manage'], reach: REACH, versioned: true },
      params: Item,
      body: ConnectorInput,
      answers: {
        200: { description: 'It was replaced; what was found.', schema: Connector },
        201: { description: 'It was made; what was found.', schema: Connector },
      },
      problems: [...WRITE_PROBLEMS, 'ERR_CONNECTOR_LIMIT'],
      async handle(call) {
        const { name } = requireReach(call)
        const options = await changeOf(house, call)
        const { created, connector } = await house.operations.connectors
          .put(name, call.body as never, options)
          .catch((error: unknown) => refuse(error, call))
        return answerOf(created ? 201 : 200, connector)
      },
    }),
    route({
      ...{ method: 'PATCH', path: '/connectors/{name}', operationId: 'connectors.update' },
      summary: 'Changes the named fields; `null` takes one away (RFC 7396).',
      ...{ roles: ['manage'], reach: REACH, versioned: true },
      params: Item,
      body: ConnectorPatch,
      answers: { 200: { description: 'What it is now.', schema: Connector } },
      problems: [...WRITE_PROBLEMS, 'ERR_CONNECTOR_NOT_FOUND'],
      async handle(call) {
        const { name } = requireReach(call)
        const options = await changeOf(house, call)
        const connector = await house.operations.connectors
          .update(name, { ...call.body }, options)
          .catch((error: unknown) => refuse(error, call))
        if (connector === undefined) throw unknown(name)
        return answerOf(200, connector)
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/connectors/{name}', operationId: 'connectors.remove' },
      summary: 'Removes a connector; its grants and connections end with it.',
      ...{ roles: ['manage'], reach: REACH, versioned: true },
      params: Item,
      answers: { 204: { description: 'It is gone.' } },
      problems: [...WRITE_PROBLEMS, 'ERR_CONNECTOR_NOT_FOUND'],
      async handle(call) {
        const { name } = requireReach(call)
        const options = await changeOf(house, call)
        if (!(await house.operations.connectors.remove(name, options))) throw unknown(name)
        return { status: 204 }
      },
    }),
  ]
}

function actionRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'POST', path: '/connectors/{name}/discover' },
      ...{ operationId: 'connectors.discover', repeatable: true },
      summary: 'Asks its servers anew.',
      ...{ roles: ['manage'], reach: REACH },
      params: Item,
      answers: { 200: { description: 'What was found.', schema: Connector } },
      problems: ['ERR_CONNECTOR_NOT_FOUND'],
      async handle(call) {
        const { name } = requireReach(call)
        const connector = await house.operations.connectors.discover(name)
        if (connector === undefined) throw unknown(name)
        return answerOf(200, connector)
      },
    }),
    route({
      ...{ method: 'POST', path: '/connectors/{name}/approve', operationId: 'connectors.approve' },
      summary: 'Lets its secrets go to an origin that was refused.',
      ...{ roles: ['manage'], reach: REACH },
      params: Item,
      body: z.object({
        origin: z
          .string()
          .min(1)
          .max(512)
          .meta({ examples: ['https://login.notes.example'] }),
      }),
      answers: { 200: { description: 'What it is now.', schema: Connector } },
      problems: ['ERR_CONNECTOR_NOT_FOUND', 'ERR_CONNECTOR_ORIGIN'],
      async handle(call) {
        const { refusedOrigin, name } = await findConnector(house, call)
        const connector = await house.operations.connectors.approve(name, call.body.origin)
        if (connector !== undefined) return answerOf(200, connector)
        const detail = `What was refused is ${refusedOrigin ?? 'nothing'}.`
        throw new Problem(409, 'ERR_CONNECTOR_ORIGIN', detail, { param: 'origin' })
      },
    }),
  ]
}

function answerOf(status: number, view: ConnectorView): ApiAnswer {
  const { version } = view
  return {
    status,
    body: connectorOf(view),
    ...(version === undefined ? {} : { etag: String(version) }),
  }
}

function connectorOf({
  definition,
  version: _,
  ...view
}: ConnectorView): Readonly<Record<string, unknown>> {
  return { ...definition, ...view }
}

/** @throws {Problem} 404, also for a connector that is not the key's. */
function requireReach({ caller, params: { name } }: Named): { readonly name: string } {
  if (!reaches(caller, { connector: name })) throw unknown(name)
  return { name }
}

async function findConnector(house: ApiHouse, call: Named): Promise<ConnectorView> {
  const { name } = requireReach(call)
  const view = await house.operations.connectors.find(name)
  if (view !== undefined) return view
  const names = (await house.operations.connectors.list()).map((known) => known.name)
  throw unknown(name, visibleNames(call.caller, names))
}

function visibleNames(caller: ApiCaller, names: readonly string[]): readonly string[] {
  return names.filter((connector) => reaches(caller, { connector }))
}

/** What is asked of the change: the version that was seen, and who asks. @throws {Problem} 412 */
async function changeOf(house: ApiHouse, { params, caller, ifMatch }: Named) {
  const actor = caller.keyId
  if (ifMatch === undefined) return { actor }
  const version = (await house.operations.connectors.find(params.name))?.version
  requireVersion({ ifMatch }, version === undefined ? undefined : String(version))
  return version === undefined ? { actor } : { actor, ifVersion: version }
}

function unknown(name: string, known: readonly string[] = []): Problem {
  const near = nearest(name, known)
  const hint = near === undefined ? '' : ` Did you mean ${JSON.stringify(near)}?`
  const detail = `There is no connector named ${JSON.stringify(name)}.${hint}`
  return new Problem(404, 'ERR_CONNECTOR_NOT_FOUND', detail, { param: 'connector' })
}

/** What the reader of the configuration refuses, told by the field. */
function refuse(error: unknown, { caller, params: { name } }: Named): never {
  if (!(error instanceof ConfigError)) throw error
  const start = `connectors.${name}.`
  const field = error.field ?? ''
  const param = field.startsWith(start) ? field.slice(start.length) : field
  // It names the other one, which the key may not see (O6).
  const isForeign = error.code === 'ERR_CONFIG_OVERLAP' && caller.connectors !== undefined
  const detail = isForeign ? 'The path is taken.' : `${error.problem} ${error.fix}`
  throw fieldsProblem([{ param, code: 'ERR_API_FIELD_VALUE', detail }])
}
