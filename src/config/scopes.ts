/**
 * Reads `connectors.<name>.scopes`: what a token needs for which tools (flows.md section 3). Everything
 * that could grant by mistake is a start-up error: unknown names, habitual names, patterns in the middle.
 */
import { HABITUAL_SCOPES, isScopeName, MCP_SCOPE } from '../oauth/scope.ts'
import {
  createScopeTable,
  PATTERNS_MAX,
  type ScopeRule,
  type ScopeTable,
  TABLE_SCOPES_MAX,
} from '../oauth/scope-table.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const RULE_FIELDS = ['title', 'tools', 'methods', 'implies', 'upstream']
const SCOPE_NAME_MAX_CHARS = 128
const PATTERN_MAX_CHARS = 256

/** @throws {ConfigError} naming the field. */
export function readScopes(at: string, value: unknown, sources: Sources): ScopeTable {
  const entries = Object.entries(read.record(at, value))
  if (entries.length === 0) throw read.invalid(at, 'a table with at least one scope, or absent')
  if (entries.length > TABLE_SCOPES_MAX) {
    throw read.invalid(at, `a table of at most ${TABLE_SCOPES_MAX} scopes`)
  }
  const rules = entries.map(([name, entry]) => readRule(at, name, entry, sources))
  const known = [MCP_SCOPE, ...rules.map(({ name }) => name)]
  for (const { name, implies } of rules) {
    for (const implied of implies) {
      if (known.includes(implied)) continue
      const near = read.nearest(implied, known)
      throw read.invalid(
        `${at}.${name}.implies`,
        `names of this table; it has no ${implied}`,
        near === undefined ? `Scopes here: ${known.join(', ')}.` : `Did you mean ${near}?`,
      )
    }
  }
  return createScopeTable(rules)
}

function readRule(at: string, name: string, entry: unknown, sources: Sources): ScopeRule {
  if (!isScopeName(name) || name.length > SCOPE_NAME_MAX_CHARS) {
    throw read.invalid(
      at,
      `scopes with names of RFC 6749 section 3.3: printable, no space, quote or backslash, at most ${SCOPE_NAME_MAX_CHARS} characters`,
    )
  }
  if (HABITUAL_SCOPES.has(name)) {
    throw read.invalid(`${at}.${name}`, 'another name: clients send this one out of habit')
  }
  const rule = `${at}.${name}`
  const input = read.record(rule, entry)
  read.refuseUnknown(rule, input, RULE_FIELDS)
  const tools = readPatterns(`${rule}.tools`, input.tools, sources)
  const methods = readPatterns(`${rule}.methods`, input.methods, sources)
  const implies =
    input.implies === undefined ? [] : read.list(`${rule}.implies`, input.implies, sources)
  const upstream = readUpstream(`${rule}.upstream`, input.upstream, sources)
  if (name === MCP_SCOPE && (tools.length > 0 || methods.length > 0)) {
    throw read.invalid(rule, 'without tools and methods: mcp is for what no other scope names')
  }
  const isEmpty = [tools, methods, implies, Object.keys(upstream)].every(
    ({ length }) => length === 0,
  )
  if (isEmpty && name !== MCP_SCOPE) {
    throw read.invalid(rule, 'good for something: give it tools, methods or implies')
  }
  return {
    name,
    ...(input.title === undefined
      ? {}
      : { title: read.text(`${rule}.title`, input.title, sources) }),
    tools,
    methods,
    implies,
    upstream,
  }
}

function readPatterns(at: string, value: unknown, sources: Sources): readonly string[] {
  if (value === undefined) return []
  const patterns = read.list(at, value, sources)
  if (patterns.length > PATTERNS_MAX) throw read.invalid(at, `at most ${PATTERNS_MAX} patterns`)
  for (const pattern of patterns) {
    if (
      pattern === '' ||
      pattern.length > PATTERN_MAX_CHARS ||
      pattern.slice(0, -1).includes('*')
    ) {
      throw read.invalid(at, 'exact names, or a prefix that ends in *')
    }
  }
  return patterns
}

function readUpstream(
  at: string,
  value: unknown,
  sources: Sources,
): Readonly<Record<string, readonly string[]>> {
  if (value === undefined) return {}
  const pairs = Object.entries(read.record(at, value)).map(([provider, scopes]) => {
    const names = read.list(`${at}.${provider}`, scopes, sources)
    if (names.length === 0 || !names.every(isScopeName)) {
      throw read.invalid(`${at}.${provider}`, 'a list of scopes of that provider')
    }
    return [provider, names] as const
  })
  return Object.fromEntries(pairs)
}

/** A provider that nobody can sign in with would silently need nothing. */
export function refuseUnknownProviders(
  connectors: readonly { readonly name: string; readonly scopes?: ScopeTable }[],
  providers: readonly { readonly id: string }[],
): void {
  const ids = providers.map(({ id }) => id)
  for (const { name, scopes } of connectors) {
    for (const rule of scopes?.rules ?? []) {
      const unknown = Object.keys(rule.upstream).find((id) => !ids.includes(id))
      if (unknown === undefined) continue
      throw read.invalid(
        `connectors.${name}.scopes.${rule.name}.upstream`,
        `by the id of a provider here; ${unknown} is none`,
        ids.length === 0 ? 'Configure the provider first.' : `Providers here: ${ids.join(', ')}.`,
      )
    }
  }
}
