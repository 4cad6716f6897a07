/**
 * `doctor` on real sockets, in this process: what the command prints, and the report behind it.
 * Tests of the command itself, its flags and exit codes start it as a process.
 */
import { onTestFinished } from 'vitest'
import {
  type RemoteServer,
  type RemoteServerOptions,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import { parseConfig } from '../../src/config.ts'
import { diagnose } from '../../src/connectors/doctor/diagnose.ts'
import {
  exitCodeOf,
  type Fault,
  type Report,
  reportLines,
  verdictOf,
} from '../../src/connectors/doctor/report.ts'
import { createEgress } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { createRecordingEmit } from '../kit/emit.ts'

export interface Examined {
  readonly report: Report
  readonly verdict: Fault | undefined
  readonly lines: readonly string[]
  readonly code: number
}

export interface ExamineOptions {
  /** Approved besides the URL's own origin. */
  readonly origins?: readonly string[]
  readonly timeoutMs?: number
  readonly register?: boolean
  /** Fields of a connector `notes` with this URL. */
  readonly connector?: Readonly<Record<string, unknown>>
}

const TIMEOUT_MS = 5_000

export async function examine(address: string, options: ExamineOptions = {}): Promise<Examined> {
  const url = new URL(address)
  const config = parseConfig(
    options.connector === undefined
      ? {}
      : { connectors: { notes: { url: address, ...options.connector } } },
    { environment: {} },
  )
  const [connector] = config.connectors
  const runtime = createNodeRuntime()
  const outbound = createNodeFetch({})
  const approvedOrigins = new Set([url.origin, ...(options.origins ?? [])])
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  const egress = createEgress({
    fetch: outbound.fetch,
    runtime,
    emit: createRecordingEmit(),
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: timeoutMs,
  })
  const { signal } = new AbortController()
  try {
    const report = await diagnose(
      { egress, runtime, approvedOrigins, timeoutMs, signal },
      {
        url,
        name: 'notes',
        house: config,
        register: options.register === true,
        ...(connector === undefined ? {} : { connector }),
      },
    )
    return {
      report,
      verdict: verdictOf(report),
      lines: reportLines(report),
      code: exitCodeOf(report),
    }
  } finally {
    await outbound.close()
  }
}

/** Healthy for everybody, browsers too, until a test breaks it. */
export async function startPatient(options: RemoteServerOptions = {}): Promise<RemoteServer> {
  const settings = { cors: true, ...options.settings }
  const remote = await startRemoteServer({ ...options, settings })
  onTestFinished(() => remote.close())
  return remote
}
