/**
 * Which connector a request path belongs to.
 *
 * The endpoint of a connector is one exact path with no suffix, so nothing below it can leave its
 * resource (T1). `routes` patterns may end in `*`; the longest match wins. A path with two readings
 * (dots, escapes of separators, backslashes, doubled slashes, parameters) matches no pattern: it is
 * `ambiguous` and refused before anybody normalises it (G4). So is a public path that a careless
 * server could take for a protected one, or for the MCP endpoint itself.
 */
import { isNamedByFile } from '../config/approved-origins.ts'
import type { Config, ConnectorConfig } from '../config.ts'
import { challenge } from '../oauth/challenge.ts'
import { canonicalResource, protectedResourceMetadataPath } from '../oauth/urls.ts'
import type { ConnectorDirectory } from './directory.ts'

/** Where a call goes. Made once; pools are keyed by `addresses` and `origin`. */
export interface Upstream {
  readonly name: string
  readonly origin: string
  /** `approved`: the configuration file names this exact origin, private or not. */
  readonly addresses: 'approved' | 'public'
}

export interface Route {
  readonly kind: 'mcp' | 'protected' | 'public'
  readonly connector: ConnectorConfig
  readonly upstream: Upstream
  /** Path and query at the server; `undefined`: the path of the request, below the issuer's. */
  readonly upstreamPath: string | undefined
  /** Audience that a token needs here. */
  readonly resource: string
  /** `WWW-Authenticate` values, made once. */
  readonly challenges: {
    readonly missing: string
    readonly invalid: string
    readonly malformed: string
  }
  readonly resourceMetadata: string
}

export interface Connectors {
  readonly list: readonly ConnectorConfig[]
  /** @param path Path of the request target, without query. */
  route(path: string): Route | 'ambiguous' | undefined
  /** True for paths that are the gateway's before any of ours: exact endpoints, all below `/mcp/`. */
  claims(path: string): boolean
  /** Path at the server behind for a request path that matched a pattern. */
  strip(path: string): string
  /** Told of a server that no connector has any more. */
  onGone?(listener: (upstream: Upstream) => void): void
}

/** The one scope of a connector without a scope table (flows.md section 3). */
export const CALL_SCOPE = 'mcp'

/** The same, made anew whenever the directory says that another connector is there. */
export function createLiveConnectors(
  config: Parameters<typeof createConnectors>[0],
  directory: Pick<ConnectorDirectory, 'onChange'>,
): Connectors {
  let current = createConnectors(config)
  let upstreams = upstreamsOf(config)
  const listeners: ((upstream: Upstream) => void)[] = []
  directory.onChange(() => {
    current = createConnectors(config)
    const now = upstreamsOf(config)
    const gone = [...upstreams].filter(([key]) => !now.has(key))
    upstreams = now
    for (const [, upstream] of gone) for (const listener of listeners) listener(upstream)
  })
  return {
    onGone: (listener) => void listeners.push(listener),
    get list() {
      return current.list
    },
    route: (path) => current.route(path),
    claims: (path) => current.claims(path),
    strip: (path) => current.strip(path),
  }
}

function upstreamsOf(
  config: Parameters<typeof createConnectors>[0],
): ReadonlyMap<string, Upstream> {
  const all = config.connectors.filter(({ enabled }) => enabled)
  return new Map(
    all.map((connector) => {
      const { upstream } = sharedFacts(config.issuer, connector, isAllowed(config, connector))
      return [`${upstream.addresses} ${upstream.origin}`, upstream]
    }),
  )
}

function isAllowed(
  { egress }: Parameters<typeof createConnectors>[0],
  { url }: ConnectorConfig,
): boolean {
  return egress?.allowHosts.includes(url.origin) === true
}

export function createConnectors(
  config: Pick<Config, 'issuer' | 'connectors'> & Partial<Pick<Config, 'egress'>>,
): Connectors {
  const base = new URL(config.issuer).pathname.replace(/\/$/, '')
  const exact = new Map<string, Route>()
  const prefixes: { readonly prefix: string; readonly route: Route }[] = []
  const list = config.connectors.filter((connector) => connector.enabled)
  const isGuarded = createGuardedPaths(config.connectors)
  for (const connector of list) {
    const shared = sharedFacts(config.issuer, connector, isAllowed(config, connector))
    const { pathname, search } = connector.url
    exact.set(base + connector.path, { ...shared, kind: 'mcp', upstreamPath: pathname + search })
    for (const kind of ['protected', 'public'] as const) {
      for (const pattern of connector.routes[kind]) {
        const route: Route = { ...shared, kind, upstreamPath: undefined }
        if (pattern.endsWith('*')) prefixes.push({ prefix: base + pattern.slice(0, -1), route })
        else exact.set(base + pattern, route)
      }
    }
  }
  prefixes.sort((left, right) => right.prefix.length - left.prefix.length)
  const mcp = `${base}/mcp`
  const find = (path: string): Route | 'ambiguous' | undefined => {
    const found = exact.get(path)
    if (found !== undefined) return found
    if (isAmbiguousPath(path)) return 'ambiguous'
    return prefixes.find(({ prefix }) => path.startsWith(prefix))?.route
  }
  return {
    list,
    route(path) {
      const route = find(path)
      if (typeof route !== 'object' || route.kind !== 'public') return route
      return isGuarded(route.upstream.origin, path.slice(base.length)) ? 'ambiguous' : route
    },
    claims: (path) => exact.has(path) || path === mcp || path.startsWith(`${mcp}/`),
    strip: (path) => path.slice(base.length),
  }
}

function sharedFacts(
  issuer: string,
  connector: ConnectorConfig,
  isAllowed: boolean,
): Pick<Route, 'connector' | 'upstream' | 'resource' | 'challenges' | 'resourceMetadata'> {
  const resource = canonicalResource(connector.resource) ?? connector.resource
  const resourceMetadata = new URL(issuer).origin + protectedResourceMetadataPath(resource)
  const scope = CALL_SCOPE
  return {
    connector,
    resource,
    resourceMetadata,
    upstream: {
      name: connector.name,
      origin: connector.url.origin,
      // What the operator did not write down is a public server (I6).
      addresses: isNamedByFile(connector) || isAllowed ? 'approved' : 'public',
    },
    challenges: {
      missing: challenge({ resourceMetadata, scope }),
      invalid: challenge({ resourceMetadata, scope, error: 'invalid_token' }),
      malformed: challenge({ resourceMetadata, error: 'invalid_request' }),
    },
  }
}

interface LoosePattern {
  readonly text: string
  readonly isExact: boolean
  readonly isGuarded: boolean
}

/**
 * Whether the server behind may take a public path for one that needs a token: servers decode, fold
 * case and drop a trailing slash, each in its own way. What is disabled here stays guarded there.
 */
function createGuardedPaths(
  connectors: readonly ConnectorConfig[],
): (origin: string, path: string) => boolean {
  const origins = new Map<string, LoosePattern[]>()
  for (const { url, routes } of connectors) {
    const patterns = origins.get(url.origin) ?? []
    origins.set(url.origin, patterns)
    patterns.push({ text: looseReading(url.pathname), isExact: true, isGuarded: true })
    for (const kind of ['protected', 'public'] as const) {
      for (const pattern of routes[kind]) {
        const isExact = !pattern.endsWith('*')
        const text = isExact ? looseReading(pattern) : pattern.slice(0, -1).toLowerCase()
        patterns.push({ text, isExact, isGuarded: kind === 'protected' })
      }
    }
  }
  for (const patterns of origins.values()) patterns.sort(byStrength)
  return (origin, path) => {
    const read = looseReading(path)
    const found = origins
      .get(origin)
      ?.find(({ text, isExact }) => (isExact ? read === text : `${read}/`.startsWith(text)))
    return found?.isGuarded === true
  }
}

/** Exact before patterns, the longest first, and the guarded one of two equals. */
function byStrength(left: LoosePattern, right: LoosePattern): number {
  return (
    Number(right.isExact) - Number(left.isExact) ||
    right.text.length - left.text.length ||
    Number(right.isGuarded) - Number(left.isGuarded)
  )
}

/** Decoded, in lower case, without a query in disguise and without what some servers cut at the end. */
function looseReading(path: string): string {
  const read = (decoded(path) ?? path).toLowerCase()
  let end = read.search(/[?#]/)
  if (end < 0) end = read.length
  while (end > 0 && '/. '.includes(read.charAt(end - 1))) end -= 1
  return read.slice(0, end)
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** Printable ASCII that every server reads the same way: no `.` or `..` segment, in any spelling. */
export function isAmbiguousPath(path: string): boolean {
  return (
    !/^\/[\x21-\x7e]*$/.test(path) ||
    /[\\;<>"^`{|}#]|\/\/|\/\.{1,2}(?:\/|$)|%(?:2e|2f|5c|3b|25|0|1|7f)/i.test(path) ||
    (path.includes('%') && decoded(path) === undefined)
  )
}
