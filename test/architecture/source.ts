/**
 * What the architecture rules need to know of a source file, read from its syntax tree: imports,
 * uses of globals, forbidden syntax. Nothing is executed, and comments and strings never count.
 */
import { posix } from 'node:path'
import { parseSync, visitorKeys } from 'oxc-parser'

export interface Import {
  readonly specifier: string
  /** True when nothing is left of it at run time (`import type`, `import('x').T`). */
  readonly typeOnly: boolean
  readonly line: number
}

/** A mention with its place, for a message that can be clicked. */
export interface Mention {
  readonly text: string
  readonly line: number
}

export interface SourceFile {
  /** From the repository's root, with forward slashes. */
  readonly path: string
  readonly lineCount: number
  readonly imports: readonly Import[]
  /** Globals used: `fetch()`, `Date.now`, `process`, ... ; a binding of that very name counts too. */
  readonly globals: readonly Mention[]
  /** `any`, `!`, `export default`, `vi.mock`, a marker of unfinished work. */
  readonly syntax: readonly Mention[]
}

interface Node {
  readonly type: string
  readonly start: number
  readonly [key: string]: unknown
}

const MEMBER_GLOBALS: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  performance: ['now', 'timeOrigin'],
  Math: ['random'],
}
const CALLED_GLOBALS = ['fetch', 'setTimeout', 'setInterval', 'setImmediate', 'Date']
const GLOBAL_OBJECTS = ['globalThis', 'self', 'window', 'global']
const WHOLE_GLOBALS = ['process', 'crypto', 'Buffer']
/** What the compare rule (SEC-10) reports. */
export const COMPARED_SECRET = 'a secret compared with ==='
const SECRET_NAME = /(?:^d|D)igest$|(?:^s|S)ecret$|(?:^v|V)erifier$|(?:^c|C)hallenge$/
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'HA' + 'CK'].join('|')})\\b`)

/** Parses one TypeScript file. @throws When it cannot be parsed, with the first error. */
export function readSource(path: string, text: string): SourceFile {
  const result = parseSync(path, text)
  const [error] = result.errors
  if (error !== undefined) throw new SyntaxError(`${path}: ${error.message}`)
  const starts = lineStarts(text)
  const lineOf = (offset: number) => starts.findLastIndex((start) => start <= offset) + 1
  const imports: Import[] = []
  const globals: Mention[] = []
  const syntax: Mention[] = []
  for (const node of walk(result.program)) {
    const line = lineOf(node.start)
    const imported = importOf(node)
    if (imported !== undefined) imports.push({ ...imported, line })
    const used = globalOf(node)
    if (used !== undefined) globals.push({ text: used, line })
    const forbidden = syntaxOf(node)
    if (forbidden !== undefined) syntax.push({ text: forbidden, line })
  }
  for (const comment of result.comments) {
    const marker = UNFINISHED.exec(comment.value)?.[1]
    if (marker !== undefined) syntax.push({ text: marker, line: lineOf(comment.start) })
  }
  const lineCount = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  return { path, lineCount, imports, globals, syntax }
}

/** Path of an imported file of this repository; undefined for packages. */
export function importedPath(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : undefined
}

/** Name of an imported package, without its subpath; undefined for files and `node:` modules. */
export function importedPackage(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined
  const [scopeOrName = '', name] = specifier.split('/')
  return scopeOrName.startsWith('@') ? `${scopeOrName}/${name}` : scopeOrName
}

function* walk(root: unknown): Generator<Node> {
  const waiting: unknown[] = [root]
  while (waiting.length > 0) {
    const node = waiting.pop()
    if (Array.isArray(node)) waiting.push(...node)
    else if (isNode(node)) {
      yield node
      for (const key of visitorKeys[node.type] ?? []) waiting.push(node[key])
    }
  }
}

function importOf(node: Node): Omit<Import, 'line'> | undefined {
  const specifier = literal(node.source)
  switch (node.type) {
    case 'ImportDeclaration':
      return specifier === undefined
        ? undefined
        : { specifier, typeOnly: node.importKind === 'type' }
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
      return specifier === undefined
        ? undefined
        : { specifier, typeOnly: node.exportKind === 'type' }
    case 'ImportExpression':
      return specifier === undefined ? undefined : { specifier, typeOnly: false }
    case 'TSImportType':
      return specifier === undefined ? undefined : { specifier, typeOnly: true }
    default:
      return undefined
  }
}

function globalOf(node: Node): string | undefined {
  if (node.type === 'MemberExpression') return globalMember(node)
  if (node.type === 'CallExpression') {
    const name = identifier(node.callee)
    return name !== undefined && CALLED_GLOBALS.includes(name) ? `${name}()` : undefined
  }
  if (node.type === 'Property' && identifier(node.value) === 'fetch' && node.shorthand === false) {
    return 'fetch()'
  }
  if (node.type === 'NewExpression' && identifier(node.callee) === 'Date') {
    return Array.isArray(node.arguments) && node.arguments.length === 0 ? 'new Date()' : undefined
  }
  return undefined
}

function globalMember(node: Node): string | undefined {
  const object = identifier(node.object)
  const property = identifier(node.property) ?? literal(node.property)
  if (object === undefined || property === undefined) return undefined
  if (GLOBAL_OBJECTS.includes(object)) {
    if (CALLED_GLOBALS.includes(property)) return `${property}()`
    if (WHOLE_GLOBALS.includes(property)) return property
    return MEMBER_GLOBALS[property]?.length === undefined ? undefined : `globalThis.${property}`
  }
  if (WHOLE_GLOBALS.includes(object)) return object
  return MEMBER_GLOBALS[object]?.includes(property) ? `${object}.${property}` : undefined
}

function syntaxOf(node: Node): string | undefined {
  switch (node.type) {
    case 'TSAnyKeyword':
      return 'any'
    case 'TSNonNullExpression':
      return '!'
    case 'PropertyDefinition':
    case 'VariableDeclarator':
      return node.definite === true ? '!' : undefined
    case 'ExportDefaultDeclaration':
      return 'export default'
    case 'ExportSpecifier':
      return identifier(node.exported) === 'default' ? 'export default' : undefined
    case 'CallExpression':
      return isMock(node.callee) ? 'vi.mock()' : undefined
    case 'BinaryExpression':
      return comparesSecrets(node) ? COMPARED_SECRET : undefined
    default:
      return undefined
  }
}

/** Two values of which one is named like a secret or its digest; a literal is no secret. */
function comparesSecrets(node: Node): boolean {
  if (node.operator !== '===' && node.operator !== '!==') return false
  const sides = [node.left, node.right]
  const isVariable = (side: unknown) =>
    isNode(side) && side.type !== 'Literal' && identifier(side) !== 'undefined'
  return sides.every(isVariable) && sides.some((side) => SECRET_NAME.test(lastName(side) ?? ''))
}

function lastName(value: unknown): string | undefined {
  if (!isNode(value)) return undefined
  if (value.type === 'ChainExpression') return lastName(value.expression)
  return value.type === 'MemberExpression' ? identifier(value.property) : identifier(value)
}

function isMock(callee: unknown): boolean {
  if (!isNode(callee) || callee.type !== 'MemberExpression') return false
  const method = identifier(callee.property)
  return identifier(callee.object) === 'vi' && (method === 'mock' || method === 'doMock')
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

function identifier(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' && typeof value.name === 'string'
    ? value.name
    : undefined
}

function literal(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Literal' && typeof value.value === 'string'
    ? value.value
    : undefined
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}
