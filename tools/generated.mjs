/**
 * Documents that are generated from the source. Each `tools/generate/<name>.ts` exports `path`, the
 * file it writes, and `generate()`, its text, or `generateAll()`, several of both. `npm run fix` writes
 * them, `npm run check` compares.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from './run.mjs'

const FOLDER = join(ROOT, 'tools', 'generate')

/** Paths of the documents whose text differs from what their generator says now. */
export async function staleDocuments() {
  const documents = await generateAll()
  return documents
    .filter(({ path, text }) => !existsSync(join(ROOT, path)) || read(path) !== text)
    .map(({ path }) => path)
}

export async function writeGeneratedDocuments() {
  for (const { path, text } of await generateAll()) writeFileSync(join(ROOT, path), text)
}

async function generateAll() {
  if (!existsSync(FOLDER)) return []
  const files = readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts'))
    .sort()
  const documents = []
  for (const file of files) {
    const generator = await import(pathToFileURL(join(FOLDER, file)).href)
    if (generator.generateAll !== undefined) documents.push(...(await generator.generateAll()))
    else documents.push({ path: generator.path, text: await generator.generate() })
  }
  return documents
}

function read(path) {
  return readFileSync(join(ROOT, path), 'utf8')
}
