/** A proof engine with a provider that answers as it is told, and a caller that behaves as a carrier. */
import {
  type Checked,
  createProofs,
  type ProofFact,
  type ProofsOptions,
} from '../../src/issuer/proof.ts'
import type { Proof } from '../../src/providers/provider.ts'
import { createRecordingEmit } from './emit.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const ANSWER_MS = 200
export const PROOF_LIMITS = {
  upstreamProofTtlSeconds: 60,
  upstreamProofStaleSeconds: 300,
  upstreamProofStaleIfErrorSeconds: 3_600,
  upstreamProofDeadlineMs: 2_000,
}
type Mode = 'yes' | 'no' | 'throttled' | 'error' | 'throws' | 'hangs' | 'client-refused'

/** A provider that answers after 200 ms as it is told, and counts. */
export function setUpProofs(options: Partial<ProofsOptions> & { runtime?: TestRuntime } = {}) {
  const runtime = options.runtime ?? createTestRuntime()
  const emit = createRecordingEmit()
  const provider = {
    mode: 'yes' as Mode,
    modes: new Map<string, Mode>(),
    checks: 0,
    seen: [] as (ProofFact | undefined)[],
  }
  const answer = (mode: Mode): Proof => {
    if (mode === 'yes') return { outcome: 'yes', etag: `"${provider.checks}"`, scopes: ['repo'] }
    if (mode === 'no') return { outcome: 'no', reason: 'revoked' }
    if (mode === 'client-refused') return { outcome: 'client-refused' }
    if (mode === 'throttled')
      return { outcome: 'unknown', reason: 'throttled', retryAfterMs: 30_000 }
    return { outcome: 'unknown', reason: 'status' }
  }
  const check = async (
    vaultId: string,
    previous: ProofFact | undefined,
    signal: AbortSignal,
  ): Promise<Checked> => {
    provider.checks++
    provider.seen.push(previous)
    const mode = provider.modes.get(vaultId) ?? provider.mode
    if (mode === 'hangs') await new Promise((resolve) => signal.addEventListener('abort', resolve))
    else await new Promise<void>((resolve) => void runtime.after(ANSWER_MS, resolve))
    if (mode === 'throws') throw new Error('socket')
    return { ...answer(mode), provider: 'github', person: vaultId }
  }
  const proofs = createProofs({ check, limits: PROOF_LIMITS, runtime, emit, ...options })
  const dead: [string, string][] = []
  proofs.onDead((vaultId, cause) => {
    dead.push([vaultId, cause])
  })
  const pass = (seconds: number) => runtime.elapseMs(seconds * 1000)
  /** A call: what `gateway/decide.ts` and its carrier do; counts whether it waited. */
  const waits: string[] = []
  const call = async (vaultId = 'v'): Promise<string> => {
    proofs.touch(vaultId)
    let state = proofs.state(vaultId)
    if (state === 'cold') {
      waits.push(vaultId)
      const resolving = proofs.resolve(vaultId)
      await runtime.elapseMs(PROOF_LIMITS.upstreamProofDeadlineMs)
      await resolving
      state = proofs.state(vaultId)
      proofs.touch(vaultId)
    }
    if (state === 'stale') proofs.renew(vaultId)
    return state
  }
  return { runtime, emit, provider, proofs, dead, pass, call, waits }
}
