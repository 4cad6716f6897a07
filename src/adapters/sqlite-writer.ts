/**
 * The queue in front of the writer thread: what waits while one batch commits goes together in the
 * next. No timer; a lone write leaves at once.
 *
 * Bounded: a full queue refuses at once. A writer that dies rejects its batch as `unknown`, and the
 * next write starts a new one.
 */
import { Worker } from 'node:worker_threads'
import { StoreError } from '../errors.ts'
import type { CommitResult, Statement } from './sql.ts'
import { type Failure, type Outcome, UNITS_MAX } from './sqlite-batch.ts'
import type { WriterData, WriterReply, WriterRequest } from './sqlite-worker.ts'

export interface SqliteWriter {
  /** Starts the thread; rejects when the file cannot be opened. */
  open(): Promise<void>
  submit(statements: readonly Statement[]): Promise<CommitResult>
  queued(): number
  /** Waits for what is queued, then closes the file. */
  close(): Promise<void>
}

interface Waiting {
  readonly statements: readonly Statement[]
  readonly resolve: (result: CommitResult) => void
  readonly reject: (error: StoreError) => void
}

export const WRITES_QUEUED_MAX = 10_000

export function createSqliteWriter(data: WriterData): SqliteWriter {
  const queue: Waiting[] = []
  let inFlight: Waiting[] = []
  let worker: Worker | undefined
  let state: 'closed' | 'starting' | 'idle' | 'busy' = 'closed'
  let closing = false
  let onOpen: ((error?: StoreError) => void) | undefined
  let onClosed: (() => void) | undefined

  const send = (request: WriterRequest): void => worker?.postMessage(request)

  const flush = (): void => {
    if (state === 'closed' && queue.length > 0) start()
    if (state !== 'idle') return
    if (queue.length === 0) {
      // An idle writer never keeps the process alive; a batch in flight, or closing, does.
      if (closing) {
        worker?.ref()
        send('close')
      } else {
        worker?.unref()
      }
      return
    }
    inFlight = queue.splice(0, UNITS_MAX)
    state = 'busy'
    worker?.ref()
    send({ units: inFlight.map((waiting) => waiting.statements) })
  }

  const receive = (reply: WriterReply): void => {
    if (reply.type === 'batch') {
      const answered = inFlight
      inFlight = []
      state = 'idle'
      // Send the next batch first: the disk works while the answers are handled.
      flush()
      for (const [index, waiting] of answered.entries()) settle(waiting, reply.outcomes[index])
      return
    }
    state = 'idle'
    if (reply.type === 'ready') onOpen?.()
    flush()
  }

  const lost = (cause: unknown): void => {
    if (state === 'closed') return
    const wasStarting = state === 'starting'
    state = 'closed'
    worker = undefined
    for (const waiting of inFlight) {
      waiting.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'unknown', cause))
    }
    inFlight = []
    if (wasStarting || closing) {
      const refused = new StoreError(codeOf(cause), 'not-applied', cause)
      for (const waiting of queue.splice(0)) waiting.reject(refused)
      onOpen?.(refused)
    }
    onClosed?.()
    flush()
  }

  const start = (): void => {
    state = 'starting'
    const thread = new Worker(writerUrl(), { workerData: data, name: 'postern-sqlite-writer' })
    worker = thread
    let cause: unknown
    thread.on('message', (reply: WriterReply) => receive(reply))
    thread.on('error', (error) => {
      cause = error
    })
    thread.on('exit', () => {
      if (worker === thread) lost(cause)
    })
  }

  return {
    open: () =>
      new Promise((resolve, reject) => {
        onOpen = (error) => {
          onOpen = undefined
          if (error === undefined) resolve()
          else reject(error)
        }
        start()
      }),
    submit: (statements) =>
      new Promise((resolve, reject) => {
        if (closing || queue.length >= WRITES_QUEUED_MAX) {
          reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
          return
        }
        queue.push({ statements, resolve, reject })
        flush()
      }),
    queued: () => queue.length,
    close: () =>
      new Promise((resolve) => {
        closing = true
        onClosed = resolve
        if (state === 'closed') resolve()
        else flush()
      }),
  }
}

function settle(waiting: Waiting, outcome: Outcome | undefined): void {
  if (outcome === undefined) {
    waiting.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'unknown'))
  } else if (outcome.state === 'failed') {
    waiting.reject(storeError(outcome.failure))
  } else if (outcome.state === 'lost') {
    waiting.resolve({ won: false })
  } else {
    waiting.resolve({ won: true, results: outcome.results })
  }
}

export function storeError(failure: Failure): StoreError {
  const cause = new Error(failure.message)
  return new StoreError(codeFor(failure.code), failure.certainty, cause)
}

// Primary result codes of SQLite: the low byte of the extended code.
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CONSTRAINT = 19
const SQLITE_NOTADB = 26

function codeFor(extendedCode: number): StoreError['code'] {
  const primary = extendedCode & 0xff
  if (primary === SQLITE_FULL) return 'ERR_STORE_FULL'
  if (primary === SQLITE_CORRUPT || primary === SQLITE_NOTADB) return 'ERR_STORE_CORRUPT'
  if (primary === SQLITE_CONSTRAINT) return 'ERR_STORE_VALUE'
  return 'ERR_STORE_UNAVAILABLE'
}

function codeOf(cause: unknown): StoreError['code'] {
  if (typeof cause !== 'object' || cause === null || !('errcode' in cause)) {
    return 'ERR_STORE_UNAVAILABLE'
  }
  return typeof cause.errcode === 'number' ? codeFor(cause.errcode) : 'ERR_STORE_UNAVAILABLE'
}

/** The thread's file beside this one: `.ts` when run from source, `.js` when built. */
function writerUrl(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('./sqlite-worker.ts', import.meta.url)
    : new URL('./sqlite-worker.js', import.meta.url)
}
