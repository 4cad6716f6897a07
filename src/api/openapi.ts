/**
 * OpenAPI 3.1 of the table of routes: `GET /api/v1/openapi.json` and `docs/openapi.json`, to the letter the
 * same. Every status that can come is in it.
 */
import { z } from 'zod'
import type { ErrorCode } from '../error-codes.ts'
import { LIST_QUERY } from './fields.ts'
import { KEY_MAX_CHARS, KEY_PATTERN } from './idempotency.ts'
import { titleOf } from './problem.ts'
import { PROBLEM_STATUS } from './problem-status.ts'
import type { AnswerShape, ApiRoute } from './route.ts'

type Json = Readonly<Record<string, unknown>>

const PROBLEM = z
  .object({
    type: z.string().describe('Explains the code.'),
    title: z.string(),
    status: z.int(),
    code: z.string().regex(/^ERR_[A-Z_]+$/),
    detail: z.string(),
    param: z.string().optional(),
    errors: z
      .array(z.object({ param: z.string(), code: z.string(), detail: z.string() }))
      .optional(),
    connector: z.string().optional(),
    state: z.string().optional(),
    cause: z.string().optional(),
    requestId: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457. Further members may come.' })

const HEADERS = {
  'X-Request-Id': {
    description: 'Names this answer in the log.',
    schema: { type: 'string' },
  },
  'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 1 } },
  ETag: { description: 'Version, for `If-Match`.', schema: { type: 'string' } },
}

/** By the listener, before anybody has read the request. */
const HEAD_TOO_LARGE = { description: 'URL and headers have more than 16 KiB. No body.' }

export function createDocument(routes: readonly ApiRoute[]): Json {
  const schemas: Record<string, unknown> = {}
  const paths: Record<string, Record<string, unknown>> = {}
  schemaOf(PROBLEM, schemas)
  for (const route of routes) {
    const path = paths[route.path] ?? {}
    path[route.method.toLowerCase()] = operation(route, schemas)
    paths[route.path] = path
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version: '1.0.0',
      description:
        'Administration, connections and tokens. Times are ISO 8601 in UTC; what is absent has no value.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      {
        url: '{issuer}/api/v1',
        description: 'Below `prefix`, where the configuration has one.',
        variables: { issuer: { default: 'http://127.0.0.1:8414' } },
      },
    ],
    security: [{ apiKey: [] }],
    tags: [...new Set(routes.map(tagOf))].map((name) => ({ name })),
    paths,
    components: {
      schemas: sorted(schemas),
      headers: HEADERS,
      securitySchemes: {
        apiKey: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'ptk_...',
          description: 'An API key. Roles: `read`, `connect`, `tokens`, `manage`.',
        },
      },
    },
  }
}

export function tagOf({ path }: Pick<ApiRoute, 'path'>): string {
  return path.split('/')[1] ?? ''
}

function operation(route: ApiRoute, schemas: Record<string, unknown>): Json {
  const roles = route.roles.map((role) => `\`${role}\``).join(', ')
  return {
    operationId: route.operationId,
    summary: route.summary,
    description: route.roles.length === 0 ? 'Needs no key.' : `Needs a key of the role ${roles}.`,
    tags: [tagOf(route)],
    ...(route.roles.length === 0 ? { security: [] } : {}),
    parameters: parametersOf(route, schemas),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(strict(route.body), schemas) } },
          },
        }),
    responses: responsesOf(route, schemas),
  }
}

function parametersOf(route: ApiRoute, schemas: Record<string, unknown>): readonly Json[] {
  const query = { ...(route.list === true ? LIST_QUERY.shape : {}), ...route.query?.shape }
  const named = (place: 'path' | 'query', shape: Readonly<Record<string, z.ZodType>>) =>
    Object.entries(shape).map(([name, schema]) => {
      const { description, ...rest } = schemaOf(schema, schemas)
      const required = place === 'path' || !schema.safeParse(undefined).success
      return {
        ...{ name, in: place, required, schema: rest },
        ...(description === undefined ? {} : { description }),
      }
    })
  const header = (name: string, description: string, schema: Json) => ({
    ...{ name, in: 'header', required: false, description, schema },
  })
  return [
    ...named('path', route.params?.shape ?? {}),
    ...named('query', query),
    ...(takesIdempotencyKey(route)
      ? [
          header('Idempotency-Key', 'Runs once in 24 h, however often it is sent.', {
            ...{ type: 'string', minLength: 1, maxLength: KEY_MAX_CHARS, pattern: KEY_PATTERN },
          }),
        ]
      : []),
    ...(route.versioned === true && route.method !== 'GET'
      ? [header('If-Match', 'The `ETag` that was read.', { type: 'string' })]
      : []),
  ]
}

export function takesIdempotencyKey(route: ApiRoute): boolean {
  return route.method === 'POST' && route.repeatable !== true
}

/** Codes that a route may answer with, by status. */
export function problemsOf(route: ApiRoute): ReadonlyMap<number, readonly ErrorCode[]> {
  const { method, roles, params } = route
  const hasBody = method !== 'GET'
  const codes: readonly ErrorCode[] = [
    ...(hasBody ? (['ERR_API_BODY', 'ERR_API_BODY_SIZE'] as const) : []),
    ...(roles.length === 0 ? [] : (['ERR_API_KEY', 'ERR_API_ROLE', 'ERR_API_RATE'] as const)),
    ...(roles.length === 0 ? [] : (['ERR_API_APP'] as const)),
    ...(params === undefined ? [] : (['ERR_API_NOT_FOUND'] as const)),
    ...(takesIdempotencyKey(route)
      ? (['ERR_API_IN_PROGRESS', 'ERR_API_IDEMPOTENCY_KEY'] as const)
      : []),
    ...(route.versioned === true && hasBody ? (['ERR_API_VERSION'] as const) : []),
    // A parameter that is not known is refused everywhere.
    'ERR_API_FIELDS',
    ...(route.list === true ? (['ERR_API_CURSOR'] as const) : []),
    ...route.problems,
    'ERR_API_UNEXPECTED',
    'ERR_API_UNAVAILABLE',
  ]
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of new Set(codes)) {
    const status = PROBLEM_STATUS[code]
    if (status === undefined) throw new TypeError(`${code} has no status in problem-status.ts`)
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return new Map([...byStatus].sort(([left], [right]) => left - right))
}

function responsesOf(route: ApiRoute, schemas: Record<string, unknown>): Json {
  const requestId = { 'X-Request-Id': { $ref: '#/components/headers/X-Request-Id' } }
  const good = Object.entries(route.answers).map(([status, shape]) => [
    status,
    {
      description: shape.description,
      headers: {
        ...requestId,
        ...(route.versioned === true && shape.schema !== undefined
          ? { ETag: { $ref: '#/components/headers/ETag' } }
          : {}),
      },
      ...contentOf(shape, schemas),
    },
  ])
  const bad = [...problemsOf(route)].map(([status, codes]) => [status, problemShape(status, codes)])
  return Object.fromEntries([...good, ...bad, ['431', HEAD_TOO_LARGE]])
}

function problemShape(status: number, codes: readonly ErrorCode[]): Json {
  const requestId = { $ref: '#/components/headers/X-Request-Id' }
  const wait = { 'Retry-After': { $ref: '#/components/headers/Retry-After' } }
  return {
    description: codes.map((code) => `${code}: ${titleOf(code)}.`).join(' '),
    headers: { 'X-Request-Id': requestId, ...(status === 429 || status === 503 ? wait : {}) },
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  }
}

function contentOf(shape: AnswerShape, schemas: Record<string, unknown>): Json {
  if (shape.schema === undefined) return {}
  const others = (shape.alsoTypes ?? []).map((type) => [type, { schema: { type: 'string' } }])
  return {
    content: {
      'application/json': { schema: schemaOf(shape.schema, schemas) },
      ...Object.fromEntries(others),
    },
  }
}

/** What the frame takes: no field that is not named. */
function strict(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodObject && z.globalRegistry.get(schema) === undefined
    ? schema.strict()
    : schema
}

/** Named schemas go to `schemas`; what is returned refers to them. */
function schemaOf(schema: z.ZodType, schemas: Record<string, unknown>): Record<string, unknown> {
  const wrapped = z.toJSONSchema(z.object({ it: schema }), { io: 'input' })
  for (const [name, definition] of Object.entries(wrapped.$defs ?? {})) {
    const { id: _, ...rest } = definition
    schemas[name] = moved(rest)
  }
  const found = moved(wrapped.properties?.['it'] ?? {})
  return found as Record<string, unknown>
}

/** Definitions of one schema become components of the document. */
function moved(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(moved)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      name === '$ref' && typeof inner === 'string'
        ? inner.replace('#/$defs/', '#/components/schemas/')
        : moved(inner),
    ]),
  )
}

function sorted(schemas: Json): Json {
  return Object.fromEntries(
    Object.entries(schemas).sort(([left], [right]) => (left < right ? -1 : 1)),
  )
}
