/** The import rules of the house on the real files; rules and samples are in `architecture/`. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { HOT_PATH, hotPathLeaks, RULES } from './architecture/rules.ts'
import { readSource, type SourceFile } from './architecture/source.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const FILES = readFiles(['*.ts', '{src,test,demo,bench,tools,examples}/**/*.{ts,tsx}'])

function readFiles(patterns: string[]): ReadonlyMap<string, SourceFile> {
  const paths = globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**', '**/.venv/**'] })
  return new Map(
    paths
      .map((path) => path.replaceAll('\\', '/'))
      .map((path) => [path, readSource(path, readFileSync(`${ROOT}/${path}`, 'utf8'))]),
  )
}

function graph(texts: Readonly<Record<string, string>>): ReadonlyMap<string, SourceFile> {
  return new Map(Object.entries(texts).map(([path, text]) => [path, readSource(path, text)]))
}

describe.each(RULES)('$name', (rule) => {
  it('holds in every file', () => {
    const broken = [...FILES.values()].flatMap((file) =>
      rule.broken(file).map((mention) => `${file.path}:${mention}`),
    )
    expect(broken).toEqual([])
  })

  it.each(rule.bad)('fails on a bad sample (%s): %s', (path, text) => {
    expect(rule.broken(readSource(path, text))).not.toEqual([])
  })

  it.each(rule.good)('accepts a good sample (%s): %s', (path, text) => {
    expect(rule.broken(readSource(path, text))).toEqual([])
  })
})

describe('rules of the standards that are forms of the source', () => {
  it('SEC-10: nothing but Runtime.equal compares a secret, code, verifier or digest', () => {
    const rule = RULES.find(({ name }) => name.includes('SEC-10'))
    expect([...FILES.values()].flatMap((file) => rule?.broken(file) ?? [file.path])).toEqual([])
    // What the ports promise: in constant time for equal lengths.
    for (const path of ['src/node/crypto.ts', 'src/workers/runtime.ts'])
      expect(readFileSync(`${ROOT}/${path}`, 'utf8'), path).toMatch(
        /timingSafeEqual|createCryptography/,
      )
  })
})

describe('the hot path imports neither net/ nor providers/, through any file', () => {
  it('holds in every file', () => {
    expect(hotPathLeaks(FILES)).toEqual([])
  })

  it.each(HOT_PATH)('%s exists', (path) => {
    expect(existsSync(`${ROOT}/${path}`)).toBe(true)
  })

  it('fails when a file in between imports net/', () => {
    const files = graph({
      'src/gateway/decide.ts': "import { open } from '../vault/vault.ts'",
      'src/vault/vault.ts': "export * from '../net/egress.ts'",
    })
    expect(hotPathLeaks(files)).toEqual([
      'src/gateway/decide.ts -> src/vault/vault.ts -> src/net/egress.ts',
    ])
  })

  it('fails when providers/ is loaded late', () => {
    const files = graph({
      'src/issuer/authenticate.ts': "const late = await import('../providers/github.ts')",
    })
    expect(hotPathLeaks(files)).toHaveLength(1)
  })

  it('accepts the types of net/ and providers/', () => {
    const files = graph({
      'src/issuer/authenticate.ts': "import type { Provider } from '../providers/provider.ts'",
    })
    expect(hotPathLeaks(files)).toEqual([])
  })
})
