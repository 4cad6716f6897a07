/** Writes `src/client/operations.ts`: the table of calls and their types, from the table of routes. */
import { createDocument, takesIdempotencyKey } from '../../src/api/openapi.ts'
import type { ApiRoute } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { NO_HOUSE } from './openapi.ts'

export const path = 'src/client/operations.ts'

interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema | boolean
  readonly description?: string
}
interface Parameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly schema: Schema
}
interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** It has no method: it is read by tools. */
const LEFT_OUT = ['openapi']

/** Named shapes: `src/client/schemas.ts`. */
export function schemaLines(): readonly string[] {
  const document = createDocument(apiRoutes(NO_HOUSE)) as unknown as Document
  return Object.entries(document.components.schemas).map(
    ([name, schema]) => `export type ${name} = ${typeOf(schema, '')}\n`,
  )
}

export function generate(): string {
  const routes = apiRoutes(NO_HOUSE).filter(({ operationId }) => !LEFT_OUT.includes(operationId))
  // Made by `createDocument`, in the shape that OpenAPI gives it.
  const document = createDocument(routes) as unknown as Document
  const entries = routes.map((route) => tableEntry(route))
  const lines = methods(routes, document)
  const names = Object.keys(document.components.schemas).filter((name) =>
    lines.some((line) => new RegExp(`\\b${name}\\b`).test(line)),
  )
  return [
    '/**',
    ' * Calls of the REST API and their types. Generated from the table of routes (`src/api/table.ts`);',
    ' * `npm run fix` writes it again.',
    ' */',
    `import type { ${names.join(', ')} } from './schemas.ts'`,
    '',
    '/** Options of any call. */',
    'export interface CallOptions {',
    '  /** `ETag` of what was read: refused with 412 when it was changed meanwhile. */',
    '  readonly ifMatch?: string',
    '  /** Of a POST. Default: one that nobody has used. */',
    '  readonly idempotencyKey?: string',
    '  readonly signal?: AbortSignal',
    '}',
    '',
    '/** How each call is sent. */',
    'export const OPERATIONS = {',
    ...entries,
    '} as const',
    '',
    'export interface Calls {',
    ...lines,
    '}',
    '',
  ].join('\n')
}

function tableEntry(route: ApiRoute): string {
  const facts = [
    `method: '${route.method}'`,
    `path: '${route.path}'`,
    ...(route.body === undefined ? [] : ['hasBody: true']),
    ...(takesIdempotencyKey(route) ? ['isNamed: true'] : []),
    ...(route.operationId.endsWith('.find') ? ['mayBeAbsent: true'] : []),
  ]
  return `  '${route.operationId}': { ${facts.join(', ')} },`
}

/** Grouped by what stands before the dot of `operationId`. */
function methods(routes: readonly ApiRoute[], document: Document): readonly string[] {
  const groups = new Map<string, string[]>()
  for (const route of routes) {
    const [group = '', name] = route.operationId.split('.')
    const lines = method(route, name ?? group, document)
    groups.set(name === undefined ? '' : group, [
      ...(groups.get(name === undefined ? '' : group) ?? []),
      ...lines,
    ])
  }
  return [...groups].flatMap(([group, lines]) =>
    group === ''
      ? lines.map((line) => `  ${line}`)
      : [`  readonly ${group}: {`, ...lines.map((line) => `    ${line}`), '  }'],
  )
}

function method(route: ApiRoute, name: string, document: Document): readonly string[] {
  const operation = document.paths[route.path]?.[route.method.toLowerCase()]
  if (operation === undefined) throw new TypeError(route.operationId)
  const params = operation.parameters.filter((parameter) => parameter.in === 'path')
  const query = operation.parameters.filter((parameter) => parameter.in === 'query')
  const body = operation.requestBody?.content['application/json']?.schema
  const isOptional = query.every(({ required }) => !required)
  const args = [
    ...params.map((parameter) => `${parameter.name}: string`),
    ...(body === undefined ? [] : [`body: ${typeOf(body, '      ')}`]),
    ...(body !== undefined || query.length === 0
      ? []
      : [`query${isOptional ? '?' : ''}: ${queryType(query)}`]),
    'options?: CallOptions',
  ]
  return [
    `/** ${operation.summary} */`,
    `${name}(${args.join(', ')}): Promise<${answerType(route, operation)}>`,
  ]
}

function queryType(query: readonly Parameter[]): string {
  const fields = query.map(
    ({ name, required, schema }) => `readonly ${name}${required ? '' : '?'}: ${typeOf(schema, '')}`,
  )
  return `{ ${fields.join('; ')} }`
}

function answerType(route: ApiRoute, operation: Operation): string {
  const types = Object.keys(route.answers).map((status) => {
    const schema = operation.responses[status]?.content?.['application/json']?.schema
    return schema === undefined ? 'undefined' : typeOf(schema, '      ')
  })
  const absent = route.operationId.endsWith('.find') ? ['undefined'] : []
  return [...new Set([...types, ...absent])].join(' | ')
}

function typeOf(schema: Schema, indent: string): string {
  if (schema.$ref !== undefined) return schema.$ref.split('/').at(-1) ?? 'unknown'
  if (schema.const !== undefined) return literal(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ')
  const either = schema.anyOf ?? schema.oneOf
  if (either !== undefined) return either.map((one) => typeOf(one, indent)).join(' | ')
  switch (schema.type) {
    case 'string':
      return 'string'
    case 'integer':
    case 'number':
      return 'number'
    case 'boolean':
      return 'boolean'
    case 'null':
      return 'null'
    case 'array':
      return `readonly (${typeOf(schema.items ?? {}, indent)})[]`
    case 'object':
      return objectType(schema, indent)
    default:
      return 'unknown'
  }
}

function objectType(schema: Schema, indent: string): string {
  const fields = Object.entries(schema.properties ?? {})
  const rest = schema.additionalProperties
  if (fields.length === 0)
    return typeof rest === 'object' ? `Readonly<Record<string, ${typeOf(rest, indent)}>>` : 'object'
  const lines = fields.flatMap(([name, field]) => {
    const optional = schema.required?.includes(name) === true ? '' : '?'
    const told = field.description === undefined ? [] : [`${indent}  /** ${field.description} */`]
    return [...told, `${indent}  readonly ${name}${optional}: ${typeOf(field, `${indent}  `)}`]
  })
  return `{\n${lines.join('\n')}\n${indent}}`
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}
