/**
 * Which route a path means: exact segments win over parameters, whatever the order of the table. A path
 * that exists with other methods is told apart from one that does not.
 */
import type { ApiRoute, Method } from './route.ts'

export interface Matched {
  readonly route: ApiRoute
  readonly params: Readonly<Record<string, string>>
}
export type Match =
  | Matched
  /** 405: what the path takes. */
  | { readonly allow: readonly Method[] }
  | undefined

const SEGMENTS_MAX = 8
const PARAM_MAX_CHARS = 512

interface Entry {
  readonly segments: readonly string[]
  readonly routes: Map<Method, ApiRoute>
}

/** @throws {TypeError} for two routes of one method and path. */
export function createRouter(routes: readonly ApiRoute[]): (method: string, path: string) => Match {
  const entries = new Map<string, Entry>()
  for (const route of routes) {
    const segments = route.path.split('/').slice(1)
    const shape = segments.map((segment) => (isParam(segment) ? '{}' : segment)).join('/')
    const entry = entries.get(shape) ?? { segments, routes: new Map() }
    if (entry.routes.has(route.method)) throw new TypeError(`${route.method} ${route.path} twice`)
    entry.routes.set(route.method, route)
    entries.set(shape, entry)
  }
  const sorted = [...entries.values()].sort(
    (left, right) => params(left.segments) - params(right.segments),
  )
  return (method, path) => {
    const given = decode(path)
    const entry = given && sorted.find(({ segments }) => fits(segments, given))
    if (given === undefined || entry === undefined) return undefined
    const route = entry.routes.get((method === 'HEAD' ? 'GET' : method) as Method)
    if (route === undefined) return { allow: [...entry.routes.keys()] }
    const names = route.path.split('/').slice(1)
    const values = names.flatMap((name, index) =>
      isParam(name) ? [[name.slice(1, -1), given[index] ?? ''] as const] : [],
    )
    return { route, params: Object.fromEntries(values) }
  }
}

function isParam(segment: string): boolean {
  return segment.startsWith('{')
}

function params(segments: readonly string[]): number {
  return segments.filter(isParam).length
}

function fits(segments: readonly string[], given: readonly string[]): boolean {
  return (
    segments.length === given.length &&
    segments.every((segment, index) => isParam(segment) || segment === given[index])
  )
}

/** `undefined`: no path of ours, whatever it says. */
function decode(path: string): readonly string[] | undefined {
  const parts = path.split('/').slice(1)
  if (parts.length > SEGMENTS_MAX) return undefined
  try {
    const segments = parts.map(decodeURIComponent)
    const isText = segments.every(
      (segment) => segment !== '' && segment.length <= PARAM_MAX_CHARS && !/\p{Cc}/u.test(segment),
    )
    return isText ? segments : undefined
  } catch {
    return undefined
  }
}
