/**
 * The scopes that one connector defines: what each is needed for, what it implies, what it needs at a
 * provider (flows.md section 3).
 *
 * A call needs every scope that matches it; what no scope names needs `mcp`: other calls, answers to
 * the server, event streams, the end of a session, further paths. Pure; decided once per message.
 */
import { MCP_SCOPE } from './scope.ts'

/** Scopes of one connector, `mcp` not counted. */
export const TABLE_SCOPES_MAX = 63
/** Patterns of one scope, tools and methods each. */
export const PATTERNS_MAX = 256

export interface ScopeRule {
  readonly name: string
  /** In words, for the consent page. */
  readonly title?: string
  /** Exact names, or a prefix with `*`. */
  readonly tools: readonly string[]
  /** JSON-RPC methods, in the same form. */
  readonly methods: readonly string[]
  readonly implies: readonly string[]
  /** Scopes needed at a provider, by the provider's id. */
  readonly upstream: Readonly<Record<string, readonly string[]>>
}

export interface ScopeTable {
  readonly rules: readonly ScopeRule[]
  /** `mcp` first. */
  readonly names: readonly string[]
  /** What a scope stands for, itself included. */
  readonly reach: ReadonlyMap<string, ReadonlySet<string>>
}

/** @param rules Every implied name is a rule's or `mcp`; cycles are allowed. */
export function createScopeTable(rules: readonly ScopeRule[]): ScopeTable {
  const byName = new Map(rules.map((rule) => [rule.name, rule]))
  const names = [...new Set([MCP_SCOPE, ...byName.keys()])]
  const reachOf = (name: string): ReadonlySet<string> => {
    // A set is walked in the order of insertion, additions included: each name once, cycles or not.
    const reached = new Set([name])
    for (const one of reached) {
      for (const implied of byName.get(one)?.implies ?? []) reached.add(implied)
    }
    return reached
  }
  return { rules, names, reach: new Map(names.map((name) => [name, reachOf(name)])) }
}

/** What one message asks for; `tool` of `tools/call` only. */
export interface Operation {
  /** Absent for an answer to the server's own request. */
  readonly method?: string | undefined
  readonly tool?: string | undefined
}

/** Every scope that this operation needs; never empty. */
export function neededScopes(
  { rules }: ScopeTable,
  { method, tool }: Operation,
): readonly string[] {
  const needed: string[] = []
  for (const { name, tools, methods } of rules) {
    const named =
      (tool !== undefined && tools.some((pattern) => matches(pattern, tool))) ||
      (method !== undefined && methods.some((pattern) => matches(pattern, method)))
    if (named) needed.push(name)
  }
  return needed.length === 0 ? ONLY_MCP : needed
}

const ONLY_MCP: readonly string[] = [MCP_SCOPE]

function matches(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : pattern === text
}

/** A broader scope satisfies a narrower need (PR-11). */
export function coversScopes(
  { reach }: ScopeTable,
  granted: readonly string[],
  needed: readonly string[],
): boolean {
  return needed.every((name) =>
    granted.some((scope) => scope === name || reach.get(scope)?.has(name) === true),
  )
}

/** What the provider must be asked for besides its own, so that these scopes are worth something. */
export function upstreamScopes(
  table: ScopeTable | undefined,
  scopes: readonly string[],
  provider: string,
): readonly string[] {
  if (table === undefined) return []
  const reached = new Set(scopes.flatMap((scope) => [...(table.reach.get(scope) ?? [])]))
  const wanted = table.rules
    .filter(({ name }) => reached.has(name))
    .flatMap(
      ({ upstream }) => (Object.hasOwn(upstream, provider) ? upstream[provider] : undefined) ?? [],
    )
  return [...new Set(wanted)]
}

export interface UpstreamGrant {
  readonly provider: string
  /** What the person gave at the provider. */
  readonly granted: readonly string[]
  /** Scopes there that contain others. */
  readonly implied?: Readonly<Record<string, readonly string[]>>
}

/** The part of `scopes` that lacks nothing at the provider. Never a name more than was given. */
export function backedScopes(
  table: ScopeTable | undefined,
  scopes: readonly string[],
  { provider, granted, implied = {} }: UpstreamGrant,
): readonly string[] {
  if (table === undefined) return scopes
  const held = new Set(
    granted.flatMap((name) => [
      name,
      ...(Object.hasOwn(implied, name) ? (implied[name] ?? []) : []),
    ]),
  )
  return scopes.filter((scope) =>
    upstreamScopes(table, [scope], provider).every((name) => held.has(name)),
  )
}
