/**
 * Tokens of connectors with `client_credentials`: one per connector, of this house itself, in memory
 * only. Asked for once however many wait, refreshed ahead of its end while in use; a server that
 * refuses or fails is asked again after growing waits.
 * @see RFC 6749 section 4.4
 */

import { within } from '../../cache/deadline.ts'
import { createWaits } from '../../cache/waits.ts'
import type { Config } from '../../config.ts'
import type { Emit, Runtime } from '../../ports.ts'
import type { Registrations } from '../client/registration.ts'
import type { TokenCalls } from '../client/token-calls.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { clientRefused, type Lifecycle } from '../lifecycle/lifecycle.ts'
import { shareWork } from '../waiting.ts'
import type { HeldToken, LoadOptions, UnknownToken } from './connection-tokens.ts'

export interface MachineTokensDeps {
  readonly runtime: Runtime
  readonly emit: Emit
  readonly config: Pick<Config, 'connectors'>
  readonly lifecycle: Pick<Lifecycle, 'binding' | 'prepare' | 'report'>
  readonly registrations: Pick<Registrations, 'peek' | 'ensure' | 'refused'>
  readonly tokenCalls: Pick<TokenCalls, 'clientCredentials'>
}

export interface MachineTokens {
  peek(connector: string): HeldToken
  load(connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken>
  refused(
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken>
  /** The connector is another one now; what is being asked for at this moment is not kept. */
  forget(connector: string): void
  close(): void
}

type Token = Extract<HeldToken, { readonly state: 'token' }>
interface Kept {
  readonly held: Token
  readonly issuedAtMs: number
  usedMs: number
  cancel: () => void
}
type Outcome = Token | { readonly state: 'missing'; readonly cause: string } | UnknownToken

const COLD: HeldToken = { state: 'cold' }
const AHEAD_SHARE = 0.8
const AHEAD_JITTER_SHARE = 0.1
const IN_USE_MS = 600_000
const FAILED_WAIT_MIN_MS = 1_000
const FAILED_WAIT_MAX_MS = 60_000
const REFUSED_WAIT_MIN_MS = 60_000
const REFUSED_WAIT_MAX_MS = 900_000
const CONNECTORS_MAX = 1_000
const DEMAND_SHARE_MAX = 0.5
/** Of a token whose life the server did not tell. */
const UNTOLD_LIFE_MS = 3_600_000

export function createMachineTokens(deps: MachineTokensDeps): MachineTokens {
  const { runtime, emit } = deps
  const kept = new Map<string, Kept>()
  const flights = new Map<string, Promise<Outcome>>()
  const last = new Map<string, Extract<Outcome, { readonly state: 'missing' }>>()
  const waits = (minMs: number, maxMs: number) =>
    createWaits(runtime, { minMs, maxMs, keysMax: CONNECTORS_MAX })
  const failed = waits(FAILED_WAIT_MIN_MS, FAILED_WAIT_MAX_MS)
  const again = waits(REFUSED_WAIT_MIN_MS, REFUSED_WAIT_MAX_MS)
  let isClosed = false

  const living = (connector: string, minValidityMs = 0): Kept | undefined => {
    const known = kept.get(connector)
    if (known === undefined) return undefined
    const { expiresAtMs = Number.POSITIVE_INFINITY } = known.held
    const neededMs = Math.min(minValidityMs, (expiresAtMs - known.issuedAtMs) * DEMAND_SHARE_MAX)
    if (expiresAtMs - runtime.nowMs() <= neededMs) return undefined
    known.usedMs = runtime.monotonicMs()
    return known
  }
  const keep = (connector: string, held: Token): void => {
    kept.get(connector)?.cancel()
    const nowMs = runtime.nowMs()
    const lifeMs = Math.max(0, (held.expiresAtMs ?? nowMs + UNTOLD_LIFE_MS) - nowMs)
    const share = AHEAD_SHARE - AHEAD_JITTER_SHARE * runtime.random()
    const cancel =
      runtime.sharesPromises && !isClosed
        ? runtime.after(lifeMs * share, () => renewAhead(connector))
        : () => undefined
    kept.set(connector, { held, issuedAtMs: nowMs, usedMs: runtime.monotonicMs(), cancel })
  }
  const renewAhead = (connector: string): void => {
    const usedMs = kept.get(connector)?.usedMs ?? Number.NEGATIVE_INFINITY
    if (runtime.monotonicMs() - usedMs < IN_USE_MS) runtime.waitUntil(renew(connector))
  }
  const renew = (connector: string): Promise<Outcome> =>
    shareWork(runtime, flights, connector, async () => {
      const asked = deps.config.connectors.find(({ name }) => name === connector)
      const outcome = await ask(deps, connector)
      if (asked !== deps.config.connectors.find(({ name }) => name === connector))
        return { state: 'unknown' }
      last.delete(connector)
      if (outcome.state === 'token') {
        failed.done(connector)
        keep(connector, outcome)
        return outcome
      }
      failed.failed(connector, outcome.state === 'unknown' ? outcome.retryAfterMs : 0)
      if (outcome.state === 'missing') {
        last.set(connector, outcome)
        emit.event({
          type: 'server.warning',
          level: 'error',
          reason: 'machine_token_refused',
          connector,
          error: outcome.cause,
        })
      }
      return outcome
    })
  const renewed = async (connector: string, deadlineMs: number): Promise<Outcome> => {
    const waitMs = failed.leftMs(connector)
    if (waitMs > 0) return last.get(connector) ?? { state: 'unknown', retryAfterMs: waitMs }
    return (await within(runtime, renew(connector), deadlineMs)) ?? { state: 'unknown' }
  }
  return {
    peek: (connector) => living(connector)?.held ?? COLD,
    async load(connector, { deadlineMs, minValidityMs }) {
      const known = living(connector, minValidityMs)
      if (known !== undefined) return known.held
      const outcome = await renewed(connector, deadlineMs)
      return outcome.state === 'unknown' ? (living(connector)?.held ?? outcome) : outcome
    },
    async refused(connector, accessToken, deadlineMs) {
      const known = living(connector)
      if (known !== undefined && !runtime.equal(known.held.accessToken, accessToken))
        return known.held
      if (flights.has(connector)) return renewed(connector, deadlineMs)
      if (again.leftMs(connector) > 0) return { state: 'reconnect', cause: 'refused_by_server' }
      again.failed(connector)
      return renewed(connector, deadlineMs)
    },
    forget(connector) {
      kept.get(connector)?.cancel()
      kept.delete(connector)
      flights.delete(connector)
      last.delete(connector)
      failed.done(connector)
    },
    close() {
      isClosed = true
      for (const { cancel } of kept.values()) cancel()
      kept.clear()
    },
  }
}

/** One exchange at the connector's authorization server. */
async function ask(deps: MachineTokensDeps, name: string): Promise<Outcome> {
  const { config, lifecycle, registrations, tokenCalls } = deps
  const connector = config.connectors.find((known) => known.name === name)
  const binding = await bindingOf(lifecycle, name)
  if (connector === undefined || binding === undefined) return { state: 'unknown' }
  const made = registrations.peek(binding)
  const registered = made ?? (await registrations.ensure(binding))
  const client = 'ok' in registered ? (registered.ok ? registered.client : undefined) : registered
  if (client === undefined) return { state: 'unknown' }
  const scopes = connector.oauth?.requestedScopes ?? []
  const answer = await tokenCalls.clientCredentials(binding, client, { scopes })
  if (answer.outcome === 'unknown') {
    const { retryAfterMs } = answer
    return { state: 'unknown', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
  if (answer.outcome === 'no') {
    if (answer.error === 'invalid_client') await clientRefused(deps, binding, client)
    return { state: 'missing', cause: answer.error }
  }
  const { accessToken, expiresAtMs, scopes: granted = scopes } = answer.tokens
  return {
    state: 'token',
    accessToken,
    scopes: granted,
    connectionId: '',
    resourceOrigin: resourceOriginOf(binding),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  }
}

/** Longest wait for a discovery that is still under way, right after a start. */
const PREPARE_DEADLINE_MS = 5_000

/** From memory; else what can be found out now. */
export async function bindingOf(
  lifecycle: Pick<Lifecycle, 'binding' | 'prepare'>,
  connector: string,
): Promise<Binding | undefined> {
  const known = lifecycle.binding(connector)
  if (known !== undefined) return known
  const prepared = await lifecycle.prepare(connector, { deadlineMs: PREPARE_DEADLINE_MS })
  return prepared.ok ? prepared.binding : undefined
}

function resourceOriginOf({ connector }: Binding): string {
  return connector.url.origin
}
