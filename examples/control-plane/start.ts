/**
 * A variant of the example in real workerd on this machine, with its databases made and one remote
 * server to connect. `npm start` and the tests begin here; a deployment has no part of this.
 */
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type RunningWorker, startWorker } from '../../test/workerd/start-worker.ts'

export type Variant = 'before' | 'discover' | 'full'

const FOLDER = new URL('./', import.meta.url)
const SOURCE = new URL('../../src/', FOLDER)
/** The package that the example imports, as it stands here: a checkout has not installed itself. */
export const PACKAGE: Readonly<Record<string, string>> = {
  postern: fileURLToPath(new URL('index.ts', SOURCE)),
  'postern/workers': fileURLToPath(new URL('workers/index.ts', SOURCE)),
}
const ENTRIES: Readonly<Record<Variant, string>> = {
  before: 'discover/before.ts',
  discover: 'discover/worker.ts',
  full: 'full/worker.ts',
}

export interface ExampleOptions {
  readonly variant: Variant
  readonly port: number
  /** The MCP endpoint that can be connected. */
  readonly notesUrl: string
  /** For cookies, and for what is sealed: 32 bytes in base64url. */
  readonly secret: string
}

export interface Example {
  readonly url: string
  readonly worker: RunningWorker
}

export async function startExample(options: ExampleOptions): Promise<Example> {
  const { variant, port, notesUrl, secret } = options
  const url = `http://127.0.0.1:${port}`
  const worker = await startWorker({
    entry: new URL(ENTRIES[variant], FOLDER),
    alias: Object.fromEntries(Object.entries(PACKAGE).map(([name, file]) => [`${name}$`, file])),
    port,
    origin: url,
    bindings: {
      PUBLIC_URL: url,
      SESSION_SECRET: secret,
      LOCAL_SERVER: new URL(notesUrl).origin,
      ...(variant === 'full' ? { NOTES_URL: notesUrl, POSTERN_SEALING_KEY: secret } : {}),
    },
    options: {
      d1Databases: { DB: 'product', ...(variant === 'full' ? { POSTERN_DB: 'postern' } : {}) },
      kvNamespaces: { KV: 'product', ...(variant === 'full' ? { POSTERN_KV: 'postern' } : {}) },
      ...(variant === 'full' ? { durableObjects: { POSTERN_LOCK: 'PosternLock' } } : {}),
    },
  })
  await worker.runSql('DB', await migrations())
  const notes = `INSERT INTO servers (name, title, url) VALUES ('notes', 'Notes', '${notesUrl}')`
  await worker.runSql('DB', [notes])
  return { url, worker }
}

/** What `wrangler d1 migrations apply` does. */
async function migrations(): Promise<readonly string[]> {
  const folder = new URL('migrations/', FOLDER)
  const files = (await readdir(folder)).sort()
  const texts = await Promise.all(files.map((file) => readFile(new URL(file, folder), 'utf8')))
  return texts.flatMap((text) =>
    text
      .replace(/^--.*$/gm, '')
      .split(/;\s*$/m)
      .map((statement) => statement.trim())
      .filter((statement) => statement !== ''),
  )
}
