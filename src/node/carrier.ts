/**
 * The hot path on Node: from `IncomingMessage` to a decision to the connection behind, with no
 * framework in between. Refuses before it reads a body or says `100 Continue` (T3), runs at most
 * `PIPELINED_MAX` requests of one socket at once (T4), and drains without losing an answer (T5).
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { placeOf } from '../errors.ts'
import { ANSWERS, type Answer } from '../gateway/answers.ts'
import { type Decision, decide, type Need, type Refuse, type Wait } from '../gateway/decide.ts'
import { completionEvent } from '../gateway/elicitations.ts'
import { scanRaw } from '../gateway/headers.ts'
import { createRecords } from '../gateway/records.ts'
import type { GatewayView } from '../gateway/view.ts'
import type { Emit } from '../ports.ts'
import { Call, type CallDeps, type Incoming, readableBy } from './call.ts'
import { drainServers, type TrackedServer, trackServer } from './drain.ts'
import { OpenStreams } from './open-streams.ts'
import type { RefusalPace } from './refusal-pace.ts'
import { reply } from './reply.ts'
import type { Upstreams } from './upstreams.ts'

export interface Carrier {
  /** Takes a request whose path `claims` says is ours, or that matched a connector's route. */
  handle(request: IncomingMessage, response: ServerResponse): void
  /** Listener of the server's `checkContinue` for the same paths. */
  checkContinue(request: IncomingMessage, response: ServerResponse): void
  /** True for targets that belong to the gateway before any page of ours. */
  claims(target: string): boolean
  /** True for targets that some connector's `routes` take: ask after our own pages. */
  takes(target: string): boolean
  /** Sets the limits of a server and watches its sockets, so that `drain` can end them. */
  attach(server: Server): void
  /** A mark arrived: streams of revoked grants end now and not at the next tick. */
  recheck(): void
  /**
   * Stops accepting, lets answers finish, ends streams between events; then cuts.
   *
   * @param served Settles when nothing is left to answer, where the servers are another carrier's.
   */
  drain(deadlineMs: number, served?: Promise<unknown>): Promise<void>
  readonly openStreams: number
}

export interface CarrierOptions {
  readonly tickMs?: number
  readonly keepAliveMs?: number
  /** Without it every refusal is answered at once. */
  readonly refusals?: RefusalPace
}

/** Requests of one socket that may run at once. */
export const PIPELINED_MAX = 4
/** Further ones wait in order; a socket with more than this is not a client. */
const QUEUED_MAX = 128
/** Loads for one request: session, proof, credential, and one more for luck. */
const WAITS_MAX = 4

const LANE = Symbol('lane')
const CALL = Symbol('call')
interface CarrierSocket extends Socket {
  [LANE]?: Lane
}
interface CarrierResponse extends ServerResponse {
  [CALL]?: Call
  [LANE]?: Lane
}
/** Requests of one socket: those that run, and those that wait for one of them. */
interface Lane {
  readonly running: CarrierResponse[]
  readonly queue: (() => void)[]
  /** A request here could be read in two ways: nothing behind it is a request. */
  broken: boolean
}

export function createCarrier(
  view: GatewayView,
  upstreams: Upstreams,
  emit: Emit,
  options: CarrierOptions = {},
): Carrier {
  const records = createRecords(emit)
  const streams = new OpenStreams({
    ...options,
    nowMs: () => view.nowMs(),
    perUserMax: view.streamsPerUserMax,
    marked: (session) => view.marked(session),
    dead: (session) => view.proof(session) === 'dead',
    onCount: (open) => records.streamsOpen(open),
  })
  const decideNow = ({ request, head }: Incoming): Decision =>
    decide(request.method ?? '', request.url ?? '', head, view)
  const deps: CallDeps = {
    view,
    upstreams,
    records,
    streams,
    async decideAgain(incoming) {
      incoming.head.hasNoConnection = false
      let decision = decideNow(incoming)
      for (let waits = 0; decision.kind === 'wait' && waits < WAITS_MAX; waits += 1) {
        records.waited(decision.need)
        await view.load(decision)
        decision = decideNow(incoming)
      }
      return decision
    },
  }
  view.onGone?.((upstream) => upstreams.retire(upstream))
  view.connections?.onCompleted((completed) =>
    streams.tell(completed.sessionId, completionEvent(completed)),
  )
  const servers: TrackedServer[] = []
  let draining = false
  let counter = 0
  const epoch = Math.floor(performance.timeOrigin).toString(36)

  const refuse = (incoming: Incoming, refusal: Refuse): void => {
    const { request, response, requestId, startedAtMs, head } = incoming
    const { answer, route, session } = refusal
    const durationMs = performance.now() - startedAtMs
    const call = {
      requestId,
      httpMethod: request.method ?? '',
      route,
      session,
      status: answer.status,
      durationMs,
    }
    records.refused(call, answer.reason)
    if (draining || head.fault !== undefined) response.shouldKeepAlive = false
    const named = route !== undefined && CORS_ALLOWED(answer)
    const send = (): void =>
      reply(request, response, answer, {
        head,
        requestId,
        ...(named ? readableBy(head, view) : {}),
      })
    if (options.refusals === undefined || draining) send()
    else options.refusals.pace(request, send)
  }

  /** What a load could not make known is no yes: fail closed (PR-16). */
  const stillCold = (incoming: Incoming, { need, route, session }: Wait): void =>
    refuse(incoming, { kind: 'refuse', answer: STILL_COLD[need], route, session })

  const load = (incoming: Incoming, wait: Wait, waits: number): void => {
    records.waited(wait.need)
    void view.load(wait).then(
      () => attempt(incoming, waits + 1, wait.need),
      () => stillCold(incoming, wait),
    )
  }

  const step = (incoming: Incoming, waits: number, last: Need | undefined): void => {
    const { response } = incoming
    if (response.destroyed) return
    const decision = decideNow(incoming)
    if (decision.kind === 'refuse') {
      refuse(incoming, decision)
      return
    }
    if (decision.kind === 'wait') {
      if (waits >= WAITS_MAX || decision.need === last) stillCold(incoming, decision)
      else load(incoming, decision, waits)
      return
    }
    if (incoming.expects) response.writeContinue()
    const call = new Call(deps, incoming, decision)
    const carried: CarrierResponse = response
    carried[CALL] = call
    call.begin()
  }

  /** A throw is our bug, and a refusal all the same (G6). */
  const attempt = (incoming: Incoming, waits: number, last: Need | undefined): void => {
    try {
      step(incoming, waits, last)
    } catch (error) {
      emit.event({
        type: 'server.failed',
        requestId: incoming.requestId,
        reason: 'unexpected',
        place: placeOf(error),
      })
      const answer = ANSWERS.internal
      refuse(incoming, { kind: 'refuse', answer, route: undefined, session: undefined })
    }
  }

  const run = (request: IncomingMessage, response: ServerResponse, expects: boolean): void => {
    const headers: string[] = []
    const head = scanRaw(request.rawHeaders, headers)
    if (head.fault !== undefined) laneOf(request.socket).broken = true
    counter += 1
    const requestId = `req_${epoch}${counter.toString(36)}`
    const startedAtMs = performance.now()
    const incoming = { request, response, head, headers, requestId, startedAtMs, expects }
    attempt(incoming, 0, undefined)
  }

  const enter = (request: IncomingMessage, response: ServerResponse, expects: boolean): void => {
    const lane = laneOf(request.socket)
    if (lane.broken) return
    // Node's parser takes HTTP/0.9 and HTTP/2.0 lines, too; neither has this framing.
    if (request.httpVersionMajor !== 1) {
      request.socket.destroy()
      return
    }
    const carried: CarrierResponse = response
    carried[LANE] = lane
    response.on('close', onClose)
    if (lane.running.length < PIPELINED_MAX) {
      lane.running.push(carried)
      run(request, response, expects)
    } else if (lane.queue.length < QUEUED_MAX) {
      lane.queue.push(() => {
        lane.running.push(carried)
        run(request, response, expects)
      })
    } else request.socket.destroy()
  }

  return {
    handle: (request, response) => enter(request, response, false),
    checkContinue: (request, response) => enter(request, response, true),
    claims: (target) => target.charCodeAt(0) !== SLASH || view.claims(pathOf(target)),
    takes: (target) => view.route(pathOf(target)) !== undefined,
    attach: (server) => {
      servers.push(trackServer(server))
    },
    recheck: () => streams.tick(),
    async drain(deadlineMs, served) {
      draining = true
      await drainServers(servers, streams, deadlineMs, served)
      streams.close()
    },
    get openStreams() {
      return streams.size
    },
  }
}

const SLASH = 47

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark < 0 ? target : target.slice(0, mark)
}

const STILL_COLD: Readonly<Record<Need, Answer>> = {
  session: ANSWERS.store_unavailable,
  proof: ANSWERS.proof_unknown,
  credential: ANSWERS.credential,
}

/** At the wrong name nobody reads anything; who may read elsewhere, `readableBy` says. */
const CORS_ALLOWED = ({ reason }: Answer): boolean => reason !== 'origin' && reason !== 'host'

function laneOf(socket: CarrierSocket): Lane {
  const known = socket[LANE]
  if (known !== undefined) return known
  const lane: Lane = { running: [], queue: [], broken: false }
  socket[LANE] = lane
  // Answers behind the first of a pipeline are not told when their socket dies.
  socket.once('close', () => {
    lane.queue.length = 0
    for (const response of lane.running.splice(0)) response[CALL]?.closed()
  })
  return lane
}

/** One listener for all responses: the answer is out, or the client is gone. */
function onClose(this: CarrierResponse): void {
  this[CALL]?.closed()
  const lane = this[LANE]
  const at = lane?.running.indexOf(this) ?? -1
  if (lane === undefined || at < 0) return
  lane.running.splice(at, 1)
  if (!lane.broken) lane.queue.shift()?.()
}
