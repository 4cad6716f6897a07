/**
 * The JSON object in an answer, if it is one: by its type and its text (S7). An HTML page with
 * status 200 is none.
 */
import { isObject, type JsonObject } from '../oauth/claims.ts'
import type { EgressResponse } from './egress.ts'
import { parseJson } from './json.ts'

/** The body as a JSON object, `undefined` for another type, a broken body or any other JSON value. */
export function readObject({
  headers,
  text,
}: Pick<EgressResponse, 'headers' | 'text'>): JsonObject | undefined {
  const type = (headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type !== 'application/json' && !/^application\/[a-z0-9.-]+\+json$/.test(type))
    return undefined
  return parseObject(text)
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
