/**
 * Assembles what a decision looks at from the rooms that know it, so that `app.ts` only wires.
 *
 * Everything in the `View` part is synchronous memory; `load` is the only thing that waits, and each
 * wait has its deadline in the room that does it.
 */
import type { Config } from '../config.ts'
import type { Connectors, Upstream } from '../connectors/connectors.ts'
import type { Credentials } from '../connectors/credentials.ts'
import type { IdentityConsents } from '../connectors/made/identity-consent.ts'
import { createCallAdmission, personOf, userKeyOf } from '../issuer/admission.ts'
import type { Authenticator, Session } from '../issuer/authenticate.ts'
import type { Memberships } from '../issuer/memberships.ts'
import { isMachine } from '../oauth/machine.ts'
import { isLoopbackHost } from '../oauth/urls.ts'
import type { Runtime } from '../ports.ts'
import type { ConnectionCalls } from './connection-calls.ts'
import type { View, Wait } from './decide.ts'
import type { Possession } from './possession.ts'
import type { SessionIds } from './session-id.ts'

/** The part of `issuer/proof.ts` that calls need. */
export interface CallProofs {
  state(vaultId: string): 'fresh' | 'stale' | 'cold' | 'suspect' | 'dead'
  renew(vaultId: string): void
  resolve(vaultId: string, deadlineMs: number): Promise<unknown>
  /** Used just now: keep it warm for an hour. */
  touch(vaultId: string): void
}

export interface GatewayView extends View {
  readonly streamsPerUserMax: number
  readonly sessionIds: SessionIds
  readonly credentials: Credentials
  /** Where some connector holds tokens of its users. */
  readonly connections: ConnectionCalls | undefined
  /** True for paths that are the gateway's before any page of ours. */
  claims(path: string): boolean
  /** Told of a server that no connector has any more: its connections are of no use. */
  onGone?(listener: (upstream: Upstream) => void): void
  /** Loads what was cold. Never rejects; the next decision sees what came of it. */
  load(
    wait: Pick<Wait, 'need' | 'token' | 'session'> & Partial<Pick<Wait, 'route' | 'head'>>,
  ): Promise<void>
  /** After the answer: renews the proof behind when it was stale, keeps it warm. */
  settled(session: Session, renew: boolean): void
}

export interface ViewDeps {
  readonly config: Pick<Config, 'issuer' | 'development' | 'allow' | 'limits' | 'providers'>
  readonly runtime: Pick<Runtime, 'nowMs' | 'monotonicMs' | 'sha256'>
  readonly connectors: Connectors
  readonly authenticator: Authenticator
  readonly credentials: Credentials
  readonly sessionIds: SessionIds
  readonly connections?: ConnectionCalls | undefined
  /** Where a connector that the API made sends our JWT. */
  readonly consents?: Pick<IdentityConsents, 'look'>
  readonly proofs: CallProofs
  readonly memberships?: Pick<Memberships, 'asks' | 'belonging' | 'memberships' | 'resolve'>
  /** Where DPoP is enabled. */
  readonly possession?: Possession | undefined
  readonly revocation: { marked(session: Session): boolean | 'view-too-old' }
}

export function createView(deps: ViewDeps): GatewayView {
  const { config, connectors, authenticator, credentials, sessionIds, proofs, revocation } = deps
  const names = createNames(config)
  const { memberships } = deps
  const rules = { config, runtime: deps.runtime, ...(memberships && { known: memberships }) }
  // The same rule, from the same facts, as at sign-in, in lists and at refresh (O6).
  const mayCall = createCallAdmission(rules)
  return {
    requestBodyMaxBytes: config.limits.requestBodyMaxBytes,
    streamsPerUserMax: config.limits.streamsPerUserMax,
    sessionIds,
    credentials,
    connections: deps.connections,
    nowMs: () => deps.runtime.nowMs(),
    route: (path) => connectors.route(path),
    strip: (path) => connectors.strip(path),
    claims: (path) => connectors.claims(path),
    onGone: (listener) => connectors.onGone?.(listener),
    ...names,
    remembered: (token) => authenticator.remembered(token),
    judge: (token) => authenticator.judge(token),
    // `allow` names people. A client that acts for itself is admitted by its `resources`, which
    // decided what its token's audience may be.
    allowed: (session, connector) => {
      const verdict = mayCall(session, connector?.allow)
      return verdict !== true && isMachine(session.userId) ? true : verdict
    },
    marked: (session) => revocation.marked(session),
    proof: (session) => (session.vaultId === '' ? 'fresh' : proofs.state(session.vaultId)),
    possession: deps.possession,
    credential: (session, connector) => credentials.credential(session, connector),
    openSessionId: (presented, session, connector) =>
      sessionIds.open(presented, session, connector),
    async load({ need, token, session, route, head }) {
      if (need === 'session') await authenticator.load(token)
      else if (need === 'proof' && session !== undefined) {
        const { upstreamProofDeadlineMs } = config.limits
        const person = personOf(session)
        await Promise.all([
          proofs.resolve(session.vaultId, upstreamProofDeadlineMs).catch(() => {}),
          memberships?.resolve(
            userKeyOf(deps.runtime, person),
            person.provider,
            upstreamProofDeadlineMs,
          ),
        ])
      } else if (need === 'credential' && session !== undefined && route !== undefined) {
        const { connector } = route
        if (connector.auth === 'identity') return deps.consents?.look(connector)
        const isThere = await deps.connections?.load(session, { route })
        if (head !== undefined) head.hasNoConnection = isThere === false
      }
    },
    settled(session, renew) {
      if (session.vaultId === '') return
      proofs.touch(session.vaultId)
      if (renew) proofs.renew(session.vaultId)
    },
  }
}

/**
 * `Host` and `Origin` that are ours (GW-11, G8). With a loopback issuer every loopback name is, on
 * any port: a rebound name is never one of them.
 */
function createNames({
  issuer,
  development,
}: Pick<Config, 'issuer' | 'development'>): Pick<View, 'hostAllowed' | 'originAllowed'> {
  const { host, origin, protocol } = new URL(issuer)
  const withPort = `${host}:${protocol === 'https:' ? '443' : '80'}`
  return {
    hostAllowed(presented) {
      if (presented === host) return true
      const lower = presented.toLowerCase()
      if (lower === host || lower === withPort) return true
      return development && isLoopbackHost(lower.replace(/:\d{1,5}$/, ''))
    },
    originAllowed(presented) {
      if (presented === origin) return true
      if (!development) return false
      const name = /^https?:\/\/([^/:[\]]+|\[[0-9a-f:]+\])(?::\d{1,5})?$/.exec(presented)?.[1]
      return name !== undefined && isLoopbackHost(name)
    },
  }
}
