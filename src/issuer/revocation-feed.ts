/**
 * Marks out, for `protect()` in other processes: `GET /revocations?after=<sequence>&wait=<seconds>`.
 *
 * Only for the credential of a configured resource. Answers at once when there is something after
 * `after`, else waits for the next mark, at most 20 s. An answer holds ids and times of marks, never
 * a name, and is never stored. Fewer than 1,000 marks means: that is all there is.
 * @see flows.md section 2, requirement REV-04
 */
import type { Config } from '../config.ts'
import { toResponse } from '../errors.ts'
import { readBearer } from '../oauth/challenge.ts'
import type { Runtime, Store } from '../ports.ts'
import type { Mark, RevocationRow } from '../records.ts'
import { createId } from './ids.ts'

export const REVOCATION_FEED_PATH = '/revocations'
export const REVOCATION_FEED_WAIT_MAX_SECONDS = 20
export const REVOCATION_FEED_ROWS_MAX = 1_000
/** Callers that wait at once; one more gets an empty answer and asks again by its own clock. */
const WAITERS_MAX = 1_000
/** A mark that wakes a caller before its row is read is looked for again this often. */
const LOOKS_MAX = 100

/** What one answer says. `epoch` changes when the store was restored: start again from 0. */
export interface RevocationPage {
  readonly sequence: number
  readonly epoch: number
  readonly marks: readonly Omit<RevocationRow, 'cause'>[]
}

export interface RevocationFeedDeps {
  readonly config: Pick<Config, 'resources'>
  readonly store: { readonly grants: Pick<Store['grants'], 'revocationsSince'> }
  readonly runtime: Runtime
  readonly revocation: { onMark(listener: (mark: Mark) => void): () => void }
}

const JSON_HEADERS = { 'cache-control': 'no-store' }

export function createRevocationFeed(
  deps: RevocationFeedDeps,
): (request: Request) => Promise<Response> {
  const { runtime, config } = deps
  const digests = config.resources.flatMap(({ credential }) =>
    credential === undefined ? [] : [runtime.sha256(credential.reveal())],
  )
  let waiters = 0
  return async (request) => {
    if (!isKnown(request, digests, runtime))
      return refuse(401, 'invalid_token', { 'www-authenticate': 'Bearer' })
    if (request.method !== 'GET') return refuse(405, 'invalid_request', { allow: 'GET' })
    const asked = readQuery(new URL(request.url))
    if (asked === undefined) return refuse(400, 'invalid_request')
    // A promise of one request cannot be settled by another there: nobody waits.
    const mayWait = runtime.sharesPromises && waiters < WAITERS_MAX
    waiters++
    try {
      const page = await nextPage(deps, asked.after, mayWait ? asked.waitMs : 0, request.signal)
      return Response.json(page, { headers: JSON_HEADERS })
    } catch (error) {
      return toResponse(error, createId(runtime, 'req'))
    } finally {
      waiters--
    }
  }
}

/** Every configured digest is compared, so that time says nothing about which one matched. */
function isKnown(request: Request, digests: readonly string[], runtime: Runtime): boolean {
  const bearer = readBearer(request.headers.get('authorization') ?? undefined)
  if (bearer.kind !== 'bearer') return false
  const presented = runtime.sha256(bearer.token)
  let known = false
  for (const digest of digests) known = runtime.equal(digest, presented) || known
  return known
}

function readQuery({ searchParams }: URL): { after: number; waitMs: number } | undefined {
  const after = wholeNumber(searchParams.get('after') ?? '0')
  const waitSeconds = wholeNumber(
    searchParams.get('wait') ?? String(REVOCATION_FEED_WAIT_MAX_SECONDS),
  )
  if (after === undefined || waitSeconds === undefined) return undefined
  return { after, waitMs: Math.min(waitSeconds, REVOCATION_FEED_WAIT_MAX_SECONDS) * 1000 }
}

function wholeNumber(text: string): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}

async function nextPage(
  deps: RevocationFeedDeps,
  after: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<RevocationPage> {
  const { runtime, revocation } = deps
  const untilMs = runtime.monotonicMs() + waitMs
  // Listening starts before the look, so that no mark falls between the two.
  const alarm = createAlarm(runtime, signal)
  const stopListening = revocation.onMark(alarm.ring)
  try {
    for (let look = 0; look < LOOKS_MAX; look++) {
      alarm.arm()
      const page = await readPage(deps, after)
      const remainingMs = untilMs - runtime.monotonicMs()
      const hasNews = page.marks.length > 0 || page.sequence < after
      if (hasNews || remainingMs <= 0 || signal.aborted) return page
      await alarm.rung(remainingMs)
    }
    return await readPage(deps, after)
  } finally {
    stopListening()
    alarm.end()
  }
}

async function readPage({ store }: RevocationFeedDeps, after: number): Promise<RevocationPage> {
  const { sequence, epoch, rows } = await store.grants.revocationsSince(
    after,
    REVOCATION_FEED_ROWS_MAX,
  )
  // What our own nodes are to read again says nothing to others.
  const marks = rows.filter(({ kind }) => kind !== 'cache')
  return { sequence, epoch, marks: marks.map(({ cause: _cause, ...mark }) => mark) }
}

interface Alarm {
  /** From here on a ring counts. */
  arm(): void
  ring: () => void
  rung(waitMs: number): Promise<void>
  end(): void
}

function createAlarm(runtime: Runtime, signal: AbortSignal): Alarm {
  let rang = false
  let wake: (() => void) | undefined
  const ring = (): void => {
    rang = true
    wake?.()
  }
  signal.addEventListener('abort', ring, { once: true })
  return {
    arm() {
      rang = false
    },
    ring,
    async rung(waitMs) {
      if (rang) return
      let disarm = (): void => {}
      await new Promise<void>((resolve) => {
        wake = resolve
        disarm = runtime.after(waitMs, resolve)
      })
      wake = undefined
      disarm()
    },
    end: () => signal.removeEventListener('abort', ring),
  }
}

function refuse(
  status: number,
  error: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json({ error }, { status, headers: { ...JSON_HEADERS, ...headers } })
}
