/**
 * What came in a request, judged by the schemas of its route: every wrong field is named, unknown ones
 * with the nearest that is known. Values are never repeated: one may be a secret.
 */
import { z } from 'zod'
import { nearest } from '../config/values.ts'
import { parseJson } from '../net/json.ts'
import { type FieldProblem, Problem } from './route.ts'

/** A refusal lists this many at most. */
const ERRORS_MAX = 20
const NAME_MAX_CHARS = 80
const WHOLE_NUMBER = /^-?\d{1,15}$/

export const LIST_QUERY = z.object({
  limit: z.int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(2048).optional(),
})

/** @throws {Problem} 422 */
export function judge<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const judged = schema.safeParse(value)
  if (judged.success) return judged.data
  throw fieldsProblem(judged.error.issues.flatMap((issue) => problemsOf(schema, issue)))
}

export function fieldsProblem(errors: readonly FieldProblem[]): Problem {
  const [first] = errors
  const detail = first === undefined ? 'A field is wrong.' : `${first.param}: ${first.detail}`
  return new Problem(422, 'ERR_API_FIELDS', detail, {
    ...(first === undefined ? {} : { param: first.param }),
    errors: errors.slice(0, ERRORS_MAX),
  })
}

function problemsOf(schema: z.ZodType, issue: z.core.$ZodIssue): readonly FieldProblem[] {
  const path = issue.path.map(String)
  const at = (name?: string) => shown([...path, ...(name === undefined ? [] : [name])].join('.'))
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(shapeAt(schema, path))
    // More are not told, and comparing names is not for nothing (D3).
    return issue.keys.slice(0, ERRORS_MAX).map((name) => ({
      param: at(name),
      code: 'ERR_API_FIELD_UNKNOWN',
      detail: unknownField(name, known),
    }))
  }
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined'))
    return [{ param: at(), code: 'ERR_API_FIELD_MISSING', detail: 'It is missing.' }]
  if (issue.code === 'invalid_union') {
    const inner = issue.errors.flat().filter((one) => one.path.length > 0)
    if (inner.length > 0)
      return inner.flatMap((one) =>
        problemsOf(schema, { ...one, path: [...issue.path, ...one.path] } as z.core.$ZodIssue),
      )
  }
  return [{ param: at(), code: 'ERR_API_FIELD_VALUE', detail: `${issue.message}.` }]
}

function unknownField(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  if (near !== undefined) return `It is not a field. Did you mean ${JSON.stringify(near)}?`
  return known.length === 0 ? 'No field is taken here.' : `Fields here: ${known.join(', ')}.`
}

function shown(name: string): string {
  return name.slice(0, NAME_MAX_CHARS)
}

/** The fields that the object at this path knows. */
function shapeAt(schema: z.ZodType, path: readonly string[]): Readonly<Record<string, z.ZodType>> {
  let at: z.ZodType | undefined = bare(schema)
  for (const name of path) {
    if (at instanceof z.ZodObject) at = bare(at.shape[name])
    else if (at instanceof z.ZodArray) at = bare(at.element as z.ZodType)
    else if (at instanceof z.ZodRecord) at = bare(at.valueType as z.ZodType)
    else return {}
  }
  return at instanceof z.ZodObject ? at.shape : {}
}

function bare(schema: z.ZodType | undefined): z.ZodType | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault)
    return bare(schema.unwrap() as z.ZodType)
  return schema
}

/**
 * Text of a query as the values that its schema takes. A parameter counts once.
 *
 * @throws {Problem} 422
 */
export function readQuery(
  schema: z.ZodObject,
  search: URLSearchParams,
): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = Object.create(null)
  const errors: FieldProblem[] = []
  for (const [name, text] of search) {
    if (name in values) {
      const detail = 'It is given twice.'
      errors.push({ param: shown(name), code: 'ERR_API_FIELD_VALUE', detail })
    }
    // No column of a store can hold it.
    if (text.includes('\0') || name.includes('\0')) {
      const detail = 'It has a NUL character.'
      errors.push({ param: shown(name), code: 'ERR_API_FIELD_VALUE', detail })
    }
    values[name] = readText(schema.shape[name], text)
  }
  if (errors.length > 0) throw fieldsProblem(errors)
  return values
}

function readText(schema: z.ZodType | undefined, text: string): unknown {
  const inner = bare(schema)
  if (inner instanceof z.ZodNumber) return WHOLE_NUMBER.test(text) ? Number(text) : text
  if (inner instanceof z.ZodBoolean) return text === 'true' || (text === 'false' ? false : text)
  return text
}

/** @throws {Problem} 400 for what is no JSON object, or has a name twice. */
export function readJson(text: string, contentType: string | null): unknown {
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json')
    throw new Problem(400, 'ERR_API_BODY', 'Content-Type is not application/json.')
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new Problem(400, 'ERR_API_BODY', error.message)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return plain(value)
  throw new Problem(400, 'ERR_API_BODY', 'The body is not a JSON object.')
}

/** With prototypes, as schemas expect; `__proto__` stays a member like any other. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
}
