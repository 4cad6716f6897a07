/**
 * The issuer's revocation clock in another process: the long poll that feeds a `RevocationView`.
 *
 * Stands in for the store and the bus of the view: rows come by `GET <issuer>/revocations`, and each
 * answer that waited or brought something asks for the next one at once. Failures leave the pace to
 * the view's own poll every 2 s. What cannot be read is an error, never an empty page (I7).
 */
import { UpstreamError } from '../errors.ts'
import type { RevocationDeps } from '../issuer/revocation.ts'
import {
  REVOCATION_FEED_PATH,
  REVOCATION_FEED_ROWS_MAX,
  type RevocationPage,
} from '../issuer/revocation-feed.ts'
import type { Egress, EgressResponse } from '../net/egress.ts'
import { parseJson } from '../net/json.ts'
import { isObject } from '../oauth/claims.ts'
import type { Emit, Runtime } from '../ports.ts'
import { MARK_KINDS, type MarkKind, type RevocationRow } from '../records.ts'

/** Two of these and the pause between them stay below the 30 s that a view may be old. */
const LONG_POLL_SECONDS = 10
const ANSWER_TIMEOUT_MS = 5_000
const PAGE_MAX_BYTES = 1_048_576
const ID_MAX_CHARS = 2_048
/** An empty answer that came sooner did not wait: the issuer cannot, or is full. */
const WAITED_MIN_MS = 1_000

export function createRemoteMarks(deps: {
  readonly issuer: string
  readonly credential: string
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
  readonly signal?: AbortSignal
}): Pick<RevocationDeps, 'store' | 'bus'> {
  const { issuer, egress, runtime } = deps
  const headers = { authorization: `Bearer ${deps.credential}` }
  const warn = createRefusalWarning(deps.emit)
  let poke: (() => void) | undefined
  // The first look, and the one after a failure, must not wait.
  let waitSeconds = 0
  const revocationsSince = async (after: number) => {
    const url = `${issuer}${REVOCATION_FEED_PATH}?after=${after}&wait=${waitSeconds}`
    const timeoutMs = waitSeconds * 1000 + ANSWER_TIMEOUT_MS
    waitSeconds = 0
    const response = await egress.exchange({
      operation: 'revocations',
      method: 'GET',
      url,
      headers,
      timeoutMs,
      maxBytes: PAGE_MAX_BYTES,
      signal: deps.signal,
    })
    warn(response.status)
    const { sequence, epoch, marks } = readPage(response)
    const isAll = marks.length < REVOCATION_FEED_ROWS_MAX
    if (isAll && runtime.sharesPromises) waitSeconds = LONG_POLL_SECONDS
    if (isAll && (marks.length > 0 || response.elapsedMs >= WAITED_MIN_MS)) poke?.()
    return { sequence, epoch, rows: marks }
  }
  return {
    store: { grants: { revocationsSince } },
    bus: {
      publish: async () => undefined,
      async subscribe(onPoke) {
        poke = onPoke
        return () => {
          poke = undefined
        }
      },
    },
  }
}

/** A credential that is not known there is a mistake of the configuration: said once, not every 2 s. */
function createRefusalWarning(emit: Emit): (status: number) => void {
  let told = false
  return (status) => {
    const refused = status === 401 || status === 403
    if (refused && !told) {
      emit.event({
        type: 'server.warning',
        level: 'error',
        reason: 'revocation_credential_refused',
        status,
      })
    }
    told = refused
  }
}

function readPage(response: EgressResponse): RevocationPage {
  const { status, elapsedMs } = response
  const detail = {
    operation: 'revocations',
    origin: new URL(response.url).origin,
    elapsedMs,
    status,
  }
  if (status !== 200) throw new UpstreamError('ERR_UPSTREAM_STATUS', detail)
  const page = toPage(parsed(response.text))
  if (page === undefined) throw new UpstreamError('ERR_UPSTREAM_BODY', detail)
  return page
}

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}

function toPage(body: unknown): RevocationPage | undefined {
  if (!isObject(body) || !isCount(body.sequence) || !isCount(body.epoch)) return undefined
  const { sequence, epoch, marks } = body
  if (!Array.isArray(marks) || marks.length > REVOCATION_FEED_ROWS_MAX) return undefined
  return marks.every(isRow) ? { sequence, epoch, marks } : undefined
}

function isRow(value: unknown): value is RevocationRow {
  return (
    isObject(value) &&
    isCount(value.sequence) &&
    MARK_KINDS.includes(value.kind as MarkKind) &&
    isId(value.tenant) &&
    isId(value.id) &&
    isCount(value.issuedBeforeMs) &&
    isCount(value.expiresAtMs)
  )
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= ID_MAX_CHARS
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
