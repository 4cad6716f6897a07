/**
 * The only writer of a SQLite file, in its own thread: an fsync or another process's lock stalls
 * this thread and never the event loop that serves requests.
 *
 * WAL with `synchronous=FULL`: an answered commit survives a crash and a power cut.
 */
import { DatabaseSync } from 'node:sqlite'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { createPreparer, failed, type Outcome, runBatch, type Unit } from './sqlite-batch.ts'

export type WriterRequest = { readonly units: readonly Unit[] } | 'close'
export type WriterReply =
  | { readonly type: 'ready' }
  | { readonly type: 'closed' }
  | { readonly type: 'batch'; readonly outcomes: readonly Outcome[] }

export interface WriterData {
  readonly path: string
  /** How long a write waits for another process's lock before it is refused. */
  readonly busyTimeoutMs: number
}

const WAL_KEPT_BYTES = 67_108_864

function serve(port: MessagePort, data: WriterData): void {
  const database = new DatabaseSync(data.path, { timeout: data.busyTimeoutMs })
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;
    PRAGMA journal_size_limit = ${WAL_KEPT_BYTES}`)
  const prepare = createPreparer(database)
  const reply = (message: WriterReply): void => port.postMessage(message)
  port.on('message', (request: WriterRequest) => {
    if (request === 'close') {
      database.close()
      reply({ type: 'closed' })
      port.close()
      return
    }
    reply({ type: 'batch', outcomes: run(request.units) })
  })
  reply({ type: 'ready' })

  function run(units: readonly Unit[]): Outcome[] {
    try {
      return runBatch(database, prepare, units)
    } catch (error) {
      // A savepoint or rollback that fails: whatever is open must not reach the next batch.
      if (database.isTransaction) database.exec('ROLLBACK')
      return units.map(() => failed(error, 'unknown'))
    }
  }
}

if (parentPort !== null) serve(parentPort, workerData as WriterData)
