/**
 * Which rule is shown by which test, read from the names of the tests: an id in the name of a test,
 * or of a `describe` around it, says that the test shows that rule. Nothing is executed here; that
 * the tests pass is what `npm test` says. Rules without a test carry a reason, or are missing.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, visitorKeys } from 'oxc-parser'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const TEST_FOLDERS = ['src', 'test', 'demo', 'tools']
const ID = /\b(?:[A-Z]{2,4}-\d{2}|[A-Z]\d{1,2})\b/g
/** A run of ids: "REG-05 to REG-08", "F1-F4". */
const ID_RANGE =
  /\b([A-Z]{2,4}-|[A-Z])(\d{1,2})(?:\s*(?:to|\.\.)\s*|\s*-\s*(?=[A-Z]))(?:\1)?(\d{1,2})\b/g
const RANGE_MAX = 40

export interface Rule {
  readonly id: string
  readonly level?: string
  readonly rule?: string
  readonly source?: string
  readonly part?: string
  readonly threat?: string
  readonly required?: string
  readonly shownBy?: string
}

export type State = 'shown' | 'left out' | 'missing'

export interface Shown {
  readonly rule: Rule
  readonly state: State
  readonly tests: number
  /** Files that hold the tests, without repetition. */
  readonly files: readonly string[]
  /** Why there is no test. */
  readonly reason?: string
}

/** The rules of one table with what shows each, in the order of the table. */
export function shownRules(table: 'requirements' | 'threats'): readonly Shown[] {
  const rules = readJson(`${table}.json`) as readonly Rule[]
  const reasons = readJson('reasons.json') as Readonly<Record<string, string>>
  memo ??= findTests()
  const found = memo
  return rules.map((rule) => {
    const tests = found.get(rule.id) ?? []
    const reason = reasons[rule.id]
    const state = tests.length > 0 ? 'shown' : reason === undefined ? 'missing' : 'left out'
    return {
      rule,
      state,
      tests: tests.length,
      files: [...new Set(tests)].sort(),
      ...(state === 'left out' && reason !== undefined ? { reason } : {}),
    }
  })
}

/** Ids that have a reason and a test, or a reason and no rule: a table that is no longer true. */
export function staleReasons(): readonly string[] {
  const all = [...shownRules('requirements'), ...shownRules('threats')]
  return Object.keys(readJson('reasons.json') as object).filter(
    (id) => !all.some(({ rule, state }) => rule.id === id && state === 'left out'),
  )
}

export function countStates(rows: readonly Shown[]): Readonly<Record<State, number>> {
  const count = (state: State) => rows.filter((row) => row.state === state).length
  return { shown: count('shown'), 'left out': count('left out'), missing: count('missing') }
}

/** One table row per rule; the pipe is the only character that Markdown would misread here. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

export function stateCell({ state, tests, files, reason }: Shown): string {
  if (state === 'missing') return '**missing** |'
  if (state === 'left out') return `left out | ${cell(reason ?? '')}`
  const named = files.slice(0, 3).map((file) => `\`${file}\``)
  const more = files.length > 3 ? ` and ${files.length - 3} more` : ''
  return `shown | ${tests}: ${named.join(', ')}${more}`
}

let memo: ReadonlyMap<string, readonly string[]> | undefined

/** Files by id, one entry per test. */
function findTests(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const file of TEST_FOLDERS.flatMap(testFiles)) {
    for (const name of testNames(readFileSync(join(ROOT, file), 'utf8'), file)) {
      for (const id of idsIn(name)) {
        const files = found.get(id) ?? []
        files.push(file)
        found.set(id, files)
      }
    }
  }
  return found
}

function testFiles(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules'))
    .sort()
}

export function idsIn(name: string): ReadonlySet<string> {
  const ids = new Set(name.match(ID) ?? [])
  for (const [, prefix = '', from = '', to = ''] of name.matchAll(ID_RANGE)) {
    const last = Math.min(Number(to), Number(from) + RANGE_MAX)
    for (let number = Number(from); number <= last; number += 1) {
      ids.add(`${prefix}${prefix.endsWith('-') ? String(number).padStart(2, '0') : number}`)
    }
  }
  return ids
}

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

/** Full names of the tests of a file: what `describe` says around a test is part of its name. */
function testNames(text: string, file: string): readonly string[] {
  const names: string[] = []
  const visit = (node: Node, around: string): void => {
    const called = node.type === 'CallExpression' ? calledName(node['callee'] as Node) : undefined
    let inside = around
    if (called !== undefined) {
      const title = textOf((node['arguments'] as readonly Node[])[0])
      if (called === 'describe') inside = `${around} ${title}`
      else names.push(`${around} ${title}`)
    }
    for (const child of childrenOf(node)) visit(child, inside)
  }
  visit(parseSync(file, text).program as unknown as Node, '')
  return names
}

/** `it(...)`, `test.each(...)(...)`, `describe.skipIf(...)(...)`: the word in front. */
function calledName(callee: Node): 'it' | 'describe' | undefined {
  if (callee.type === 'Identifier') {
    const { name } = callee
    if (name === 'it' || name === 'test') return 'it'
    return name === 'describe' ? 'describe' : undefined
  }
  if (callee.type === 'MemberExpression') {
    const property = callee['property'] as Node
    // `it.each([...])` alone is not the test yet: the call of its result is.
    const builds = ['each', 'for', 'skipIf', 'runIf'].includes(String(property['name']))
    return builds ? undefined : calledName(callee['object'] as Node)
  }
  if (callee.type === 'CallExpression') {
    const inner = callee['callee'] as Node
    return inner.type === 'MemberExpression' ? calledName(inner['object'] as Node) : undefined
  }
  return undefined
}

/** The text of a literal or template; expressions in it are left out. */
function textOf(node: Node | undefined): string {
  if (node === undefined) return ''
  if (node.type === 'Literal') return String(node['value'])
  if (node.type === 'TemplateLiteral') {
    const quasis = node['quasis'] as readonly { value: { raw: string } }[]
    return quasis.map(({ value }) => value.raw).join(' ')
  }
  if (node.type === 'BinaryExpression') {
    return textOf(node['left'] as Node) + textOf(node['right'] as Node)
  }
  return ''
}

function* childrenOf(node: Node): Iterable<Node> {
  for (const key of visitorKeys[node.type] ?? []) {
    const value = node[key]
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null) yield child as Node
    }
  }
}

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8'))
}
