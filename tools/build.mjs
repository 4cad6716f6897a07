/**
 * Builds `dist/`: one declaration file per source file, and JavaScript with one file per entry and the
 * chunks that entries share. A start opens a dozen files instead of two hundred; no module is there
 * twice, nothing is minified, packages stay imports.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { ROOT, runTool } from './run.mjs'

/** What `package.json` exports and starts, and the writer thread, which lies beside what starts it. */
const ENTRIES = {
  index: 'index',
  'providers/index': 'providers/index',
  'node/index': 'node/index',
  'node/express': 'node/express',
  'workers/index': 'workers/index',
  'middleware/hono': 'middleware/hono',
  'middleware/fetch': 'middleware/fetch',
  'client/index': 'client/index',
  'widget/index': 'widget/index',
  'react/index': 'react/index',
  'cli/main': 'cli/main',
  'chunks/sqlite-worker': 'adapters/sqlite-worker',
}

/**
 * What the house and its outbound half share would lie in a score of small chunks: each costs a start
 * a third of a millisecond. It is one file.
 */
const ROOMS = {
  name: 'rooms',
  test: /src\/(issuer|gateway|vault|cache|ui|net|oauth|connectors\/(connectors|credentials|waiting|connector-administration|connect\/link))[./]/,
  minShareCount: 2,
}

/** @param folder Default: `dist/` of the repository. @returns Exit status of the compiler. */
export async function build(folder = join(ROOT, 'dist')) {
  rmSync(folder, { recursive: true, force: true })
  const { status } = runTool('typescript', 'tsc', [
    ...['-p', 'tsconfig.build.json', '--outDir', folder],
    '--emitDeclarationOnly',
  ])
  const bundle = await rolldown({
    input: Object.fromEntries(
      Object.entries(ENTRIES).map(([name, file]) => [name, join(ROOT, 'src', `${file}.ts`)]),
    ),
    external: (id) => !/^[./]/.test(id),
    platform: 'neutral',
    // `'use client'` of the React entry stays on top of its file.
    checks: { moduleLevelDirective: false },
    cwd: ROOT,
  })
  try {
    await bundle.write({
      dir: folder,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name].js',
      codeSplitting: { groups: [ROOMS] },
    })
  } finally {
    await bundle.close()
  }
  return status
}

if (import.meta.main) process.exitCode = await build()
