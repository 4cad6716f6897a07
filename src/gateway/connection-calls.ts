/**
 * A call to a connector that holds tokens of its users, where memory alone does not answer it: no usable
 * connection, a question of ours that comes back, a token that the server refuses. Shared by both carriers.
 *
 * Nothing is sent from here. A call goes on with this user's own token or not at all (GW-23); it is made
 * once, after the connection is usable. Waits: a refresh 5 s, a person 25 s, three rounds.
 */

import type { LinkFacts } from '../connectors/connect/link.ts'
import type {
  ConnectionTokens,
  HeldToken,
  UnknownToken,
} from '../connectors/connections/connection-tokens.ts'
import { type Credential, heldCredential } from '../connectors/credentials.ts'
import type { Lifecycle } from '../connectors/lifecycle/lifecycle.ts'
import type { Session } from '../issuer/authenticate.ts'
import { isMachine } from '../oauth/machine.ts'
import type { Runtime } from '../ports.ts'
import { ANSWERS, type Answer, failureAnswer } from './answers.ts'
import { type ConnectionWaits, createConnectionWaits } from './connection-waits.ts'
import type { Forward, Reconnect } from './decide.ts'
import { type Completed, createElicitations, type Elicitations } from './elicitations.ts'
import type { Head } from './headers.ts'
import { withoutParams } from './message.ts'
import {
  type AskedMessage,
  type Asking,
  badStateAnswer,
  RETURNED_PARAMS,
  readAsked,
  reconnectAnswer,
} from './reconnect.ts'
import {
  createRequestStates,
  type RequestState,
  type RequestStates,
  requestText,
  STATE_PREFIX,
} from './request-state.ts'
import type { SessionIds } from './session-id.ts'
import { createStepUps, type StepUps } from './step-ups.ts'
import {
  asksForScopes,
  readUpstreamChallenge,
  type UpstreamChallenge,
} from './upstream-challenge.ts'

/** What a carrier knows of a request. */
export interface Shown {
  readonly head: Head
  readonly httpMethod: string
  /** All of the body, or its first bytes. */
  readonly body: Uint8Array | null
  readonly isPartial: boolean
  isGone(): boolean
}

/** What the server behind refused. */
export interface UpstreamRefusal {
  readonly status: number
  /** `WWW-Authenticate`. */
  readonly challenge: string | readonly string[] | undefined | null
  /** The call was sent again once already. */
  readonly isSecond: boolean
}

export interface ConnectionCalls {
  /** The answer, or the body to decide on and to send instead. Never rejects. */
  settle(to: Forward | Reconnect, shown: Shown): Promise<Answer | { readonly body: Uint8Array }>
  /** The answer, or what to send the same call with once more. Never rejects. */
  refused(
    to: Forward,
    shown: Shown,
    refusal: UpstreamRefusal,
  ): Promise<Answer | { readonly credential: Credential }>
  /** Loads what `cold` stands for; false: there is no usable connection. Never rejects. */
  load(session: Session, to: Pick<Forward, 'route'>): Promise<boolean | undefined>
  /** To be called where a connection is made on this node: waiting calls go on, sessions are told. */
  connected(userId: string, connector: string): void
  /** Who can write to open streams of this node. */
  onCompleted(listener: (completed: Completed) => void): void
}

export interface ConnectionCallDeps {
  readonly runtime: Runtime
  readonly tokens: ConnectionTokens
  /** The whole URL (`connectors/link.ts`). */
  readonly link: (facts: LinkFacts) => string
  readonly report: Lifecycle['report']
  readonly sessionIds: Pick<SessionIds, 'opensUrls'>
  /** 32 bytes, the same on every node. */
  readonly key: () => Uint8Array
}

const CREDENTIAL_DEADLINE_MS = 5_000
const ROUNDS_MAX = 3
const EMPTY = new Uint8Array(0)

/** Whether a server's refusal is for `refused`: a 401, or a 403 that another consent can cure. */
export function isRefusalOfToken(
  { route, session }: Pick<Forward, 'route' | 'session'>,
  status: number,
  challenge: UpstreamRefusal['challenge'],
): boolean {
  if (session === undefined) return false
  if (status === 401) return true
  return (
    status === 403 &&
    route.connector.auth === 'oauth' &&
    asksForScopes(readUpstreamChallenge(challenge))
  )
}

const MARKER = new TextEncoder().encode(`"${STATE_PREFIX}`)

/** Whether a body may bring a question of ours back. Cheap; the message decides. */
export function mayBeReturn(body: Uint8Array): boolean {
  const [quote, second = 0] = MARKER
  const end = body.length - MARKER.length
  // `requestState` stands behind the arguments as a rule, and quotes are few.
  for (
    let at = body.indexOf(quote ?? 0);
    at >= 0 && at <= end;
    at = body.indexOf(quote ?? 0, at + 1)
  ) {
    if (body[at + 1] === second && MARKER.every((byte, index) => body[at + index] === byte))
      return true
  }
  return false
}

export function createConnectionCalls(deps: ConnectionCallDeps): ConnectionCalls {
  return new Calls(deps)
}

/** What is asked, before its link is made. */
type Question = Omit<Asking, 'link' | 'title'> & {
  readonly link?: string
  readonly scopes: readonly string[]
}

class Calls implements ConnectionCalls {
  readonly #deps: ConnectionCallDeps
  readonly #waits: ConnectionWaits
  readonly #elicitations: Elicitations
  readonly #states: RequestStates
  readonly #stepUps: StepUps
  readonly #listeners: ((completed: Completed) => void)[] = []

  constructor(deps: ConnectionCallDeps) {
    const { runtime } = deps
    this.#deps = deps
    this.#waits = createConnectionWaits(runtime)
    this.#elicitations = createElicitations(runtime)
    this.#states = createRequestStates(deps)
    this.#stepUps = createStepUps(runtime)
  }

  async settle(
    decided: Forward | Reconnect,
    shown: Shown,
  ): Promise<Answer | { readonly body: Uint8Array }> {
    const to = bound(decided)
    const message = this.#read(to, shown)
    const title = titleOf(to)
    const { session, route } = to
    // No person can help: our own token there, or a server that does not want to know people.
    if (route.connector.auth !== 'oauth') {
      return failureAnswer('upstream_unauthorized', route.kind, message.id)
    }
    if (isMachine(session.userId)) {
      const why = `This client acts for nobody who could connect an account at ${title}.`
      return reconnectAnswer(message, {
        title,
        link: undefined,
        why,
        reason: 'connection_missing',
      })
    }
    if (message.state !== undefined) return this.#resume(to, shown, message, message.state)
    // The prefix stood somewhere in the arguments: nothing of ours, so the body goes on as it is.
    if (decided.kind === 'forward') return { body: shown.body ?? EMPTY }
    const why = `${title} needs an account of yours that is connected.`
    const asking = { why, scopes: [], reason: 'connection_missing' as const }
    return this.#ask(to, shown, message, asking, { round: 1, refused: '' })
  }

  async refused(
    forward: Forward,
    shown: Shown,
    { status, challenge: header, isSecond }: UpstreamRefusal,
  ): Promise<Answer | { readonly credential: Credential }> {
    const { runtime } = this.#deps
    const to = bound(forward)
    const { route } = to
    const message = this.#read(to, shown)
    const accessToken = forward.credential?.accessToken ?? ''
    const challenge = readUpstreamChallenge(header)
    this.#challenged(to, challenge)
    if (status === 403) return this.#askForScopes(to, shown, message, challenge, accessToken)
    if (!isSecond) {
      const held = await this.#another(to, accessToken)
      if (held.state === 'unknown' || held.state === 'cold') return ANSWERS.credential
      if (held.state === 'token' && isUsable(runtime, held, to, runtime.sha256(accessToken))) {
        return { credential: heldCredential(held.accessToken) }
      }
    }
    this.#deps.report(route.connector.name, { kind: 'token_refused' })
    if (route.connector.auth === 'client_credentials' || isMachine(to.session.userId)) {
      return failureAnswer('upstream_unauthorized', route.kind, message.id)
    }
    const why = `${titleOf(to)} does not accept the connected account any more.`
    const asking = { why, scopes: challenge.scopes, reason: 'connection_missing' as const }
    return this.#ask(to, shown, message, asking, { round: 1, refused: runtime.sha256(accessToken) })
  }

  async load(session: Session, { route }: Pick<Forward, 'route'>): Promise<boolean | undefined> {
    const { tokens } = this.#deps
    const { name, auth } = route.connector
    const options = { deadlineMs: CREDENTIAL_DEADLINE_MS }
    const loading =
      auth === 'client_credentials'
        ? tokens.loadMachine(name, options)
        : tokens.load(session.userId, name, options)
    const state = await loading.then(
      (held) => held.state,
      () => 'unknown' as const,
    )
    if (state === 'missing' || state === 'reconnect') return false
    return state === 'token' ? true : undefined
  }

  connected(userId: string, connector: string): void {
    this.#waits.connected(userId, connector)
    for (const completed of this.#elicitations.completed(userId, connector)) {
      for (const listener of this.#listeners) listener(completed)
    }
  }

  onCompleted(listener: (completed: Completed) => void): void {
    this.#listeners.push(listener)
  }

  #ask(
    { session, route }: Bound,
    { head }: Shown,
    message: AskedMessage,
    asking: Question,
    state: Pick<RequestState, 'round' | 'refused'>,
  ): Answer {
    const { connector } = route
    const { userId, clientId } = session
    const facts = { userId, connector: connector.name, clientId, scopes: asking.scopes }
    const link = asking.link ?? this.#deps.link(facts)
    const sealed = (): string =>
      this.#states.seal({ link, request: this.#digest(message), ...state }, session, connector)
    const told = { ...asking, link, title: titleOf({ route }) }
    if (message.form === 'input_required') {
      return reconnectAnswer(message, { ...told, requestState: sealed() })
    }
    if (message.form !== 'url_elicitation') return reconnectAnswer(message, told)
    const elicitationId = this.#elicitations.asked(userId, connector.name, head.sessionId)
    return reconnectAnswer(message, { ...told, elicitationId })
  }

  #digest({ method, params }: AskedMessage): string {
    return this.#deps.runtime.sha256(requestText(method ?? '', params ?? {}))
  }

  #read({ route, session, stateless }: Bound, shown: Shown): AskedMessage {
    const { head, httpMethod, isPartial } = shown
    const isMessage = route.kind === 'mcp' && httpMethod === 'POST'
    const opensUrls =
      !stateless &&
      head.sessionId !== undefined &&
      this.#deps.sessionIds.opensUrls(head.sessionId, session, route.connector)
    return readAsked(shown.body ?? EMPTY, { head, isMessage, isPartial, opensUrls })
  }

  /** The person's answer is here; the connection may not be yet. */
  async #resume(
    to: Bound,
    shown: Shown,
    message: AskedMessage,
    presented: string,
  ): Promise<Answer | { readonly body: Uint8Array }> {
    const { runtime, tokens } = this.#deps
    const { session, route } = to
    const { connector } = route
    const state = this.#states.open(presented, session, connector)
    const body = withoutParams(shown.body ?? EMPTY, RETURNED_PARAMS)
    if (state === undefined || body === undefined || state.request !== this.#digest(message)) {
      return badStateAnswer(message)
    }
    const title = titleOf(to)
    const end = (why: string, link?: string): Answer =>
      reconnectAnswer(
        { ...message, form: 'tool_result' },
        { title, link, why, reason: 'connection_given_up' },
      )
    if (message.action === 'decline' || message.action === 'cancel') {
      return end(`No account at ${title} was connected, so nothing was done.`)
    }
    const place = { userId: session.userId, connector: connector.name }
    const isReady = (): boolean =>
      isUsable(runtime, tokens.peek(place.userId, place.connector), to, state.refused)
    const look = async (): Promise<void> => {
      // What another node has replaced is still in the memory of this one.
      if (tokens.peek(place.userId, place.connector).state === 'token') {
        tokens.drop(place.userId, place.connector)
      }
      await tokens.load(place.userId, place.connector, { deadlineMs: CREDENTIAL_DEADLINE_MS })
    }
    const isGone = (): boolean => shown.isGone()
    const isAccepted = message.action === 'accept'
    if (isAccepted && (await this.#waits.wait({ ...place, isReady, look, isGone }))) return { body }
    const why = `The account at ${title} is not connected yet.`
    if (state.round >= ROUNDS_MAX) return end(why, state.link)
    const { link, refused } = state
    const asking = { link, why, scopes: [], reason: 'connection_missing' as const }
    return this.#ask(to, shown, message, asking, { round: state.round + 1, refused })
  }

  #challenged(to: Bound, challenge: UpstreamChallenge): void {
    const { resourceMetadata } = challenge
    if (resourceMetadata !== undefined)
      this.#deps.report(to.route.connector.name, { kind: 'challenge', resourceMetadata })
  }

  /** CLI-09: the union of what the token has and what the server asks for. */
  #askForScopes(
    to: Bound,
    shown: Shown,
    message: AskedMessage,
    challenge: UpstreamChallenge,
    accessToken: string,
  ): Answer {
    const { runtime, tokens } = this.#deps
    const { session, route } = to
    const held = tokens.peek(session.userId, route.connector.name)
    const isHeld = held.state === 'token'
    const refused = runtime.sha256(accessToken)
    const operation = `${message.method ?? ''} ${message.name ?? ''}`
    const holder = `${session.userId} ${route.connector.name}`
    const title = titleOf(to)
    if (!this.#stepUps.tryAgain(holder, operation, refused)) {
      const why = `${title} still asks for more access than it was given. Ask its administrator.`
      return reconnectAnswer(message, { title, link: undefined, why, reason: 'connection_scope' })
    }
    const scopes = [...new Set([...(isHeld ? held.scopes : []), ...challenge.scopes])]
    const why = `${title} needs more access for this.`
    const asking = { why, scopes, reason: 'connection_scope' as const }
    return this.#ask(to, shown, message, asking, { round: 1, refused })
  }

  /** Another token of the same owner, if there is one or a refresh brings one. */
  #another({ route, session }: Bound, accessToken: string): Promise<HeldToken | UnknownToken> {
    const { tokens } = this.#deps
    const { name, auth } = route.connector
    const asked =
      auth === 'client_credentials'
        ? tokens.refusedMachine(name, accessToken, CREDENTIAL_DEADLINE_MS)
        : tokens.refused(session.userId, name, accessToken, CREDENTIAL_DEADLINE_MS)
    return asked.catch(() => ({ state: 'unknown' as const }))
  }
}

/** A decision on a route that needs a token always has a session. */
interface Bound extends Pick<Forward, 'route' | 'stateless'> {
  readonly session: Session
}

function bound({ route, stateless, session }: Forward | Reconnect): Bound {
  if (session === undefined) throw new TypeError('a public route needs no connection')
  return { route, stateless, session }
}

function titleOf({ route }: Pick<Forward, 'route'>): string {
  return route.connector.title ?? route.connector.name
}

/** For this server (CLI-21), and not the one that it refused. */
function isUsable(
  runtime: Pick<Runtime, 'sha256'>,
  held: HeldToken,
  { route }: Pick<Forward, 'route'>,
  refused: string,
): boolean {
  if (held.state !== 'token' || held.resourceOrigin !== route.upstream.origin) return false
  return refused === '' || runtime.sha256(held.accessToken) !== refused
}
