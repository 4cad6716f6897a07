/**
 * The import rules and the forms of the house (style.md sections 2 and 3), one entry per rule.
 *
 * Each rule carries a sample that breaks it and one that keeps it, so that a rule which can no
 * longer fail is itself a failing test.
 */
import { builtinModules } from 'node:module'
import { COMPARED_SECRET, importedPackage, importedPath, type SourceFile } from './source.ts'

type Sample = readonly [path: string, text: string]

export interface Rule {
  readonly name: string
  /** What breaks the rule in this file, as `line: what`. */
  readonly broken: (file: SourceFile) => readonly string[]
  readonly bad: readonly Sample[]
  readonly good: readonly Sample[]
}

const FILE_LINES_MAX = 500
const FORBIDDEN_FOLDERS = ['utils', 'helpers', 'common', 'types']
const TEST = /(^test\/|\.test\.ts$)/
/** `verifyWebhook` and the client run in a product's own process, where there is no Runtime. */
const CLOCK_FILES = /^src\/(node|workers|cli|widget|react|client)\/|^src\/webhooks\/verify\.ts$/
/** Runs in the pages of others: nothing of the house goes there. */
const BROWSER_FOLDERS = /^src\/(widget|react)\//
const HOST_FOLDERS = /^src\/(node|cli)\/|^src\/adapters\/sqlite[^/]*\.ts$/
const FETCH_FILES =
  /^src\/(net\/egress|node\/fetch|workers\/fetch)\.ts$|^src\/(widget|ui\/browser|client)\//
/** Names of products: they appear only where a product is adapted or a process is started. */
const PRODUCT_PACKAGES = ['@hono/node-server', 'citty', 'express', 'ioredis', 'pg', 'pino', 'redis']
const OAUTH_PACKAGES = ['jose', 'zod']
const OAUTH_FILES = /^src\/(oauth\/.*|errors|records|secret)\.ts$/

const isSource = ({ path }: SourceFile) => path.startsWith('src/') && !TEST.test(path)

function globalsOutside(allowed: RegExp, names: readonly string[]): Rule['broken'] {
  return (file) =>
    !isSource(file) || allowed.test(file.path)
      ? []
      : file.globals
          .filter(({ text }) => names.includes(text))
          .map(({ text, line }) => `${line}: ${text}`)
}

function importsOutside(allowed: RegExp, isMeant: (specifier: string) => boolean): Rule['broken'] {
  return (file) =>
    !isSource(file) || allowed.test(file.path)
      ? []
      : file.imports
          .filter(({ specifier }) => isMeant(specifier))
          .map(({ specifier, line }) => `${line}: ${specifier}`)
}

function forbidsSyntax(text: string, exempt: RegExp = /^$/): Rule['broken'] {
  return (file) =>
    exempt.test(file.path)
      ? []
      : file.syntax.filter((mention) => mention.text === text).map(({ line }) => `${line}: ${text}`)
}

const isBuiltin = (specifier: string) =>
  specifier.startsWith('node:') || builtinModules.includes(importedPackage(specifier) ?? '')

export const RULES: readonly Rule[] = [
  {
    name: 'oauth/ imports only oauth/, errors, records, secret and the types of ports',
    broken: (file) =>
      !isSource(file) || !file.path.startsWith('src/oauth/')
        ? []
        : file.imports
            .filter((entry) => !isPure(file.path, entry))
            .map(({ specifier, line }) => `${line}: ${specifier}`),
    bad: [
      ['src/oauth/a.ts', "import { createEgress } from '../net/egress.ts'"],
      ['src/oauth/a.ts', "import { x } from '../ports.ts'"],
      ['src/oauth/a.ts', "import type { Config } from '../config.ts'"],
      ['src/oauth/a.ts', "import { Hono } from 'hono'"],
      ['src/oauth/a.ts', "const x = await import('../vault/vault.ts')"],
    ],
    good: [
      [
        'src/oauth/a.ts',
        "import { parseUrl } from './urls.ts'\nimport type { Runtime } from '../ports.ts'",
      ],
      [
        'src/oauth/a.ts',
        "import { OAuthError } from '../errors.ts'\nimport { jwtVerify } from 'jose'",
      ],
      ['src/oauth/a.test.ts', "import { it } from 'vitest'"],
    ],
  },
  {
    name: 'fetch() is called only in net/egress.ts, the Fetch ports and browser code',
    broken: globalsOutside(FETCH_FILES, ['fetch()']),
    bad: [
      ['src/providers/github.ts', 'const answer = await fetch(url)'],
      ['src/issuer/a.ts', 'const answer = await globalThis.fetch(url)'],
      ['src/issuer/a.ts', 'const options = { customFetch: fetch }'],
      ['src/node/carrier.ts', 'const answer = await fetch(url)'],
    ],
    good: [
      ['src/net/egress.ts', 'const answer = await fetch(url)'],
      ['src/app.ts', 'const answer = await app.fetch(request)\n// fetch(url)'],
    ],
  },
  {
    name: 'clocks, timers and randomness come only from the Runtime ports, and in browser code',
    broken: globalsOutside(CLOCK_FILES, [
      'Date.now',
      'new Date()',
      'Date()',
      'performance.now',
      'performance.timeOrigin',
      'Math.random',
      'setTimeout()',
      'setInterval()',
      'setImmediate()',
      'crypto',
      'globalThis.Date',
      'globalThis.performance',
      'globalThis.Math',
    ]),
    bad: [
      ['src/cache/a.ts', 'const nowMs = Date.now()'],
      ['src/cache/a.ts', 'const now = new Date()'],
      ['src/cache/a.ts', 'const nowMs = performance.now()'],
      ['src/cache/a.ts', 'setTimeout(renew, 5)'],
      ['src/cache/a.ts', 'globalThis.setTimeout(renew, 5)'],
      ['src/cache/a.ts', 'const jitter = Math.random()'],
      ['src/oauth/a.ts', 'crypto.getRandomValues(bytes)'],
      ['src/oauth/a.ts', 'const now = Date.now'],
    ],
    good: [
      ['src/cache/a.ts', 'const at = new Date(runtime.nowMs())\nruntime.setTimeout(renew, 5)'],
      ['src/node/runtime.ts', 'const nowMs = Date.now()'],
      ['src/cache/a.test.ts', 'const nowMs = Date.now()'],
    ],
  },
  {
    name: 'process is used only in node/, cli/ and adapters/sqlite*',
    broken: globalsOutside(HOST_FOLDERS, ['process']),
    bad: [['src/config.ts', 'const secret = process.env.SECRET']],
    good: [
      ['src/node/a.ts', 'const secret = process.env.SECRET'],
      ['src/config.ts', 'const secret = settings.process'],
    ],
  },
  {
    name: 'Buffer is used only in node/, cli/ and adapters/sqlite*',
    broken: globalsOutside(HOST_FOLDERS, ['Buffer']),
    bad: [['src/oauth/a.ts', "const bytes = Buffer.from('x')"]],
    good: [['src/node/a.ts', "const bytes = Buffer.from('x')"]],
  },
  {
    name: 'node: modules are imported only in node/, cli/, adapters/sqlite*; workers/ has node:crypto',
    broken: (file) =>
      importsOutside(
        HOST_FOLDERS,
        isBuiltin,
      )(file).filter(
        (entry) => !(file.path.startsWith('src/workers/') && entry.endsWith(' node:crypto')),
      ),
    bad: [
      ['src/oauth/a.ts', "import { createHash } from 'node:crypto'"],
      ['src/adapters/postgres.ts', "import { readFileSync } from 'fs'"],
      ['src/workers/a.ts', "import { readFileSync } from 'node:fs'"],
    ],
    good: [
      ['src/adapters/sqlite-writer.ts', "import { DatabaseSync } from 'node:sqlite'"],
      ['src/workers/runtime.ts', "import { createHash } from 'node:crypto'"],
    ],
  },
  {
    name: 'undici is imported only in node/',
    broken: importsOutside(/^src\/node\//, (specifier) => importedPackage(specifier) === 'undici'),
    bad: [['src/net/egress.ts', "import { request } from 'undici'"]],
    good: [['src/node/fetch.ts', "import { request } from 'undici'"]],
  },
  {
    name: 'product libraries are imported only in adapters/, node/ and cli/',
    broken: importsOutside(/^src\/(adapters|node|cli)\//, (specifier) =>
      PRODUCT_PACKAGES.includes(importedPackage(specifier) ?? ''),
    ),
    bad: [
      ['src/vault/a.ts', "import pg from 'pg'"],
      ['src/app.ts', "import { serve } from '@hono/node-server/serve-static'"],
    ],
    good: [
      ['src/node/server.ts', "import { pino } from 'pino'"],
      ['src/app.ts', "import { Hono } from 'hono'"],
    ],
  },
  {
    name: 'secrets, codes and their digests are compared with Runtime.equal only (SEC-10)',
    // A store finds a row by the digest of a 256-bit random value, as an engine's index does.
    broken: (file) =>
      isSource(file) && !file.path.startsWith('src/adapters/')
        ? forbidsSyntax(COMPARED_SECRET)(file)
        : [],
    bad: [
      ['src/issuer/a.ts', 'if (digest === grant.codeDigest) redeem()'],
      ['src/issuer/a.ts', 'if (row?.secretDigest !== presented) refuse()'],
      ['src/oauth/a.ts', 'const right = verifier === stored.verifier'],
    ],
    good: [
      ['src/issuer/a.ts', 'if (runtime.equal(digest, grant.codeDigest)) redeem()'],
      ['src/issuer/a.ts', 'if (client.secretDigest === undefined) isPublic()'],
      ['test/a.test.ts', 'const same = digest === other'],
    ],
  },
  {
    name: 'browser code imports nothing of the house, and the house nothing of it',
    broken: (file) =>
      !isSource(file)
        ? []
        : file.imports
            .filter((entry) => !keepsToItsSide(file.path, entry.specifier))
            .map(({ specifier, line }) => `${line}: ${specifier}`),
    bad: [
      ['src/widget/a.ts', "import { parseUrl } from '../oauth/urls.ts'"],
      ['src/widget/a.ts', "import type { Config } from '../config.ts'"],
      ['src/widget/a.ts', "import { useState } from 'react'"],
      ['src/react/a.ts', "import { html } from 'hono/html'"],
      ['src/widget/a.ts', "import { b } from '../react/b.ts'"],
      ['src/ui/a.ts', "import { STYLE } from '../widget/style.ts'"],
    ],
    good: [
      ['src/widget/a.ts', "import { b } from './b.ts'"],
      ['src/react/a.ts', "import { useState } from 'react'\nimport { b } from '../widget/b.ts'"],
    ],
  },
  {
    name: 'source never imports tests, demos or benchmarks',
    broken: (file) =>
      !isSource(file)
        ? []
        : file.imports
            .filter(({ specifier }) => {
              const path = importedPath(file.path, specifier)
              return path !== undefined && !path.startsWith('src/')
            })
            .map(({ specifier, line }) => `${line}: ${specifier}`),
    bad: [['src/app.ts', "import { createTestRuntime } from '../test/kit/runtime.ts'"]],
    good: [
      ['src/cache/a.test.ts', "import { createTestRuntime } from '../../test/kit/runtime.ts'"],
    ],
  },
  {
    name: `no folder is called ${FORBIDDEN_FOLDERS.join(', ')}`,
    broken: ({ path }) =>
      path
        .split('/')
        .slice(0, -1)
        .filter((folder) => FORBIDDEN_FOLDERS.includes(folder))
        .map((folder) => `1: ${folder}/`),
    bad: [['src/utils/a.ts', '']],
    good: [['src/oauth/types.ts', '']],
  },
  {
    name: 'file names are kebab-case',
    broken: ({ path }) => {
      const name = path.split('/').at(-1) ?? ''
      return /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*\.ts$/.test(name) ? [] : [`1: ${name}`]
    },
    bad: [
      ['src/oauth/tokenRequest.ts', ''],
      ['src/oauth/token_request.ts', ''],
    ],
    good: [['src/oauth/token-request.test.ts', '']],
  },
  {
    name: `a file has at most ${FILE_LINES_MAX} lines`,
    broken: ({ lineCount }) =>
      lineCount > FILE_LINES_MAX ? [`${FILE_LINES_MAX + 1}: ${lineCount} lines`] : [],
    bad: [['src/a.ts', '\n'.repeat(FILE_LINES_MAX + 1)]],
    good: [['src/a.ts', '\n'.repeat(FILE_LINES_MAX)]],
  },
  {
    name: 'exports are named',
    // A tool's configuration file and a Worker's entry must export a default.
    broken: forbidsSyntax('export default', /\.config\.ts$|\.worker\.ts$|^examples\//),
    bad: [
      ['src/a.ts', 'export default function app() {}'],
      ['src/a.ts', 'const a = 1\nexport { a as default }'],
    ],
    good: [
      ['vitest.config.ts', 'export default {}'],
      ['src/a.ts', 'export const a = 1'],
    ],
  },
  {
    name: 'the type any is not used',
    broken: forbidsSyntax('any'),
    bad: [['src/a.ts', 'export function a(value: any) {}']],
    good: [['src/a.ts', "export function any(value: unknown) { return 'any' }"]],
  },
  {
    name: 'no value is declared present with !',
    broken: forbidsSyntax('!'),
    bad: [
      ['src/a.ts', 'const a = map.get(key)!'],
      ['src/a.ts', 'let a!: string'],
      ['src/a.ts', 'class A { a!: string }'],
    ],
    good: [['src/a.ts', 'const a = !b']],
  },
  {
    name: 'nothing is left for later',
    broken: (file) =>
      file.syntax
        .filter(({ text }) => /^[A-Z]+$/.test(text))
        .map(({ text, line }) => `${line}: ${text}`),
    bad: [['src/a.ts', `// ${'TO' + 'DO'}: later`]],
    good: [['src/a.ts', "// Everything is done.\nconst text = 'to do'"]],
  },
  {
    name: 'tests never replace our own modules',
    broken: forbidsSyntax('vi.mock()'),
    bad: [['src/a.test.ts', "vi.mock('./cache.ts')"]],
    good: [['src/a.test.ts', 'vi.fn()']],
  },
]

/** Files on the hot path: they receive caches and start no exchange. */
export const HOT_PATH = [
  'src/issuer/authenticate.ts',
  'src/connectors/credentials.ts',
  'src/gateway/decide.ts',
]
const NOT_HOT = /^src\/(net|providers)\//

/**
 * Chains of imports that lead from a hot-path file to `net/` or `providers/`. Types are erased, so
 * they do not count.
 */
export function hotPathLeaks(files: ReadonlyMap<string, SourceFile>): string[] {
  return HOT_PATH.flatMap((start) => {
    const seen = new Map([[start, start]])
    for (const [path, chain] of seen) {
      for (const { specifier, typeOnly } of files.get(path)?.imports ?? []) {
        const next = importedPath(path, specifier)
        if (!typeOnly && next !== undefined && !seen.has(next))
          seen.set(next, `${chain} -> ${next}`)
      }
    }
    return [...seen].filter(([path]) => NOT_HOT.test(path)).map(([, chain]) => chain)
  })
}

function keepsToItsSide(from: string, specifier: string): boolean {
  const path = importedPath(from, specifier)
  const [, side] = BROWSER_FOLDERS.exec(from) ?? []
  if (side === undefined) return path === undefined || !BROWSER_FOLDERS.test(path)
  if (path === undefined) return side === 'react' && importedPackage(specifier) === 'react'
  return path.startsWith('src/widget/') || path.startsWith(`src/${side}/`)
}

function isPure(from: string, { specifier, typeOnly }: SourceFile['imports'][number]): boolean {
  const path = importedPath(from, specifier)
  if (path === undefined) return OAUTH_PACKAGES.includes(importedPackage(specifier) ?? '')
  return OAUTH_FILES.test(path) || (typeOnly && path === 'src/ports.ts')
}
