/**
 * Proof of possession beside a bound access token (RFC 9449 section 7), for the gateway and
 * `protect()`: the proof fits token and request, carries our nonce, and is used once on this node
 * while it is young. Costs nothing for a bearer token, which never comes here.
 */
import type { Session } from '../issuer/authenticate.ts'
import { judgeProof, PROOF_AGE_MAX_SECONDS, PROOF_AHEAD_MAX_SECONDS } from '../oauth/dpop.ts'
import type { Runtime } from '../ports.ts'

/** What one request shows. One object per request: deciding on it again is not a replay. */
export interface PresentedProof {
  readonly proof: string | undefined
  readonly method: string
  /** Of the request target, without query. */
  readonly path: string
}

/**
 * `token_bound`: a bound token as `Bearer`. `token_unbound`: the other way round. `dpop_busy`: too
 * many proofs are remembered to tell a new one from a replay.
 */
export type PossessionRefusal =
  | 'token_bound'
  | 'token_unbound'
  | 'dpop_proof'
  | 'dpop_nonce'
  | 'dpop_replayed'
  | 'dpop_busy'

export interface Possession {
  /** To be given to a client; `undefined` where none is asked for. */
  nonce(): string | undefined
  /** `undefined`: the caller holds the key. @param resource Its origin is where the request went. */
  judge(
    session: Pick<Session, 'jkt' | 'digest'>,
    token: string,
    resource: string,
    presented: PresentedProof,
  ): PossessionRefusal | undefined
}

export interface PossessionDeps {
  readonly runtime: Runtime
  /** Those that are good now, the newest first; absent: none is asked for. */
  readonly nonces?: () => readonly string[]
  /** For tests: default 100 000. */
  readonly proofsMax?: number
}

/** Proofs remembered at once; each for at most 40 s. */
const PROOFS_MAX = 100_000
const REMEMBERED_MS = (PROOF_AGE_MAX_SECONDS + PROOF_AHEAD_MAX_SECONDS) * 1_000

export function createPossession({ runtime, nonces, proofsMax }: PossessionDeps): Possession {
  const used = createUsed(runtime, proofsMax ?? PROOFS_MAX)
  const proved = new WeakMap<PresentedProof, string>()
  return {
    nonce: () => nonces?.()[0],
    judge(session, token, resource, presented) {
      if (session.jkt === undefined) return 'token_unbound'
      if (presented.proof === undefined) return 'dpop_proof'
      const known = proved.get(presented)
      if (known !== undefined && runtime.equal(known, session.digest)) return undefined
      const judged = judgeProof(presented.proof, {
        method: presented.method,
        url: new URL(resource).origin + presented.path,
        nowSeconds: Math.floor(runtime.nowMs() / 1000),
        nonces: nonces?.(),
        accessToken: token,
        jkt: session.jkt,
        runtime,
      })
      if (!judged.ok) return judged.reason === 'nonce' ? 'dpop_nonce' : 'dpop_proof'
      const outcome = used.add(runtime.sha256(`${judged.jkt}\n${judged.jti}`))
      if (outcome !== 'new') return outcome === 'full' ? 'dpop_busy' : 'dpop_replayed'
      proved.set(presented, session.digest)
      return undefined
    },
  }
}

/** In the order of their end, because all live equally long: the oldest are forgotten as they end. */
function createUsed(runtime: Pick<Runtime, 'monotonicMs'>, max: number) {
  const endsMs = new Map<string, number>()
  return {
    add(id: string): 'new' | 'again' | 'full' {
      const nowMs = runtime.monotonicMs()
      for (const [known, endMs] of endsMs) {
        if (endMs > nowMs) break
        endsMs.delete(known)
      }
      if (endsMs.has(id)) return 'again'
      // Forgetting a living one would let it be used twice.
      if (endsMs.size >= max) return 'full'
      endsMs.set(id, nowMs + REMEMBERED_MS)
      return 'new'
    },
  }
}
