/**
 * A POST that names itself is run once: the first one writes a row before it runs and its answer after,
 * sealed; repetitions within 24 h get that answer, or 409 while there is none.
 *
 * A refusal for which nothing was done is forgotten, so that it may be repeated. Where nobody knows
 * whether it was done (a crash, a lost write), the row stays unanswered: never run twice.
 */
import { ConfigError, OAuthError, StoreError } from '../errors.ts'
import { key } from '../issuer/ids.ts'
import type { Runtime, Store } from '../ports.ts'
import { type ApiAnswer, Problem } from './route.ts'

export const IDEMPOTENCY_TTL_SECONDS = 86_400
/** 1 to 255 of them name a request. */
export const KEY_PATTERN = '^[\\x21-\\x7e]+$'
export const KEY_MAX_CHARS = 255
const KEY = new RegExp(KEY_PATTERN)
const SEALING_KEY_BYTES = 32
const RETRY_AFTER_SECONDS = 1

export interface Idempotency {
  /** Runs `run`, or answers what it answered before. @throws {Problem} 409, 422 */
  once(request: NamedRequest, run: () => Promise<ApiAnswer>): Promise<ApiAnswer>
}

export interface NamedRequest {
  readonly callerId: string
  readonly idempotencyKey: string
  /** Method, path with query, body: what a repetition has to be like. */
  readonly content: readonly string[]
}

interface IdempotencyDeps {
  readonly store: Pick<Store, 'get' | 'create' | 'put' | 'remove'>
  readonly runtime: Pick<Runtime, 'sha256' | 'nowMs' | 'seal' | 'open' | 'hkdfSha256' | 'equal'>
  /** Of the house, the same on every node. */
  readonly secret: () => Uint8Array
}

export function createIdempotency(deps: IdempotencyDeps): Idempotency {
  const { store, runtime } = deps
  const sealingKey = () =>
    runtime.hkdfSha256(deps.secret(), 'postern api answers', SEALING_KEY_BYTES)
  return {
    async once({ callerId, idempotencyKey, content }, run) {
      if (!KEY.test(idempotencyKey) || idempotencyKey.length > KEY_MAX_CHARS)
        throw misused('It has 1 to 255 visible ASCII characters.')
      const id = runtime.sha256(JSON.stringify([callerId, idempotencyKey]))
      const requestDigest = runtime.sha256(JSON.stringify(content))
      const expiresAtMs = Math.trunc(runtime.nowMs()) + IDEMPOTENCY_TTL_SECONDS * 1000
      const value = { requestDigest, expiresAtMs }
      const { won } = await store.create('idempotency', key(id), value)
      if (!won) return earlierAnswer(deps, id, requestDigest, sealingKey())
      const answer = await run().catch(async (error: unknown) => {
        if (isUndone(error)) await store.remove('idempotency', key(id))
        throw error
      })
      const answerSealed = runtime.seal(sealingKey(), JSON.stringify(answer), id)
      await store.put('idempotency', key(id), 1, { ...value, answerSealed })
      return answer
    },
  }
}

/** Nothing was changed: a refusal of ours, or a write that the store did not take. */
function isUndone(error: unknown): boolean {
  if (error instanceof StoreError) return error.certainty === 'not-applied'
  return error instanceof Problem || error instanceof OAuthError || error instanceof ConfigError
}

async function earlierAnswer(
  { store, runtime }: IdempotencyDeps,
  id: string,
  requestDigest: string,
  sealingKey: Uint8Array,
): Promise<ApiAnswer> {
  const row = await store.get('idempotency', key(id))
  const isSame = row !== undefined && runtime.equal(row.value.requestDigest, requestDigest)
  if (row !== undefined && !isSame) throw misused('It came with another request before.')
  const sealed = row?.value.answerSealed
  const text = sealed === undefined ? undefined : runtime.open(sealingKey, sealed, id)
  if (text === undefined) {
    throw new Problem(409, 'ERR_API_IN_PROGRESS', 'The first request is not answered yet.', {
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
    })
  }
  const answer = JSON.parse(text) as ApiAnswer
  return { ...answer, headers: { ...answer.headers, 'idempotency-replayed': 'true' } }
}

function misused(detail: string): Problem {
  return new Problem(422, 'ERR_API_IDEMPOTENCY_KEY', detail, { param: 'Idempotency-Key' })
}
