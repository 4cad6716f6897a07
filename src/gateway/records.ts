/**
 * One record per call, forwarded or refused (GW-31), and the counters beside it. No arguments,
 * results, tokens or query strings; label objects are made once, because this is the hot path.
 */
import type { Route } from '../connectors/connectors.ts'
import type { Session } from '../issuer/authenticate.ts'
import { audienceMistake, type Mistake } from '../mistakes.ts'
import type { Emit } from '../ports.ts'
import type { RefusalReason } from './answers.ts'
import type { Need } from './decide.ts'

export interface CallFacts {
  readonly requestId: string
  readonly httpMethod: string
  readonly route: Route | undefined
  readonly session: Session | undefined
  readonly status: number
  readonly durationMs: number
}

/** What a forwarded call's record says beyond its facts. Method and name as the client says them. */
export interface CallDetail {
  readonly method: string | undefined
  readonly name: string | undefined
  readonly firstByteMs: number | undefined
  /** Why it did not end well. */
  readonly reason: RefusalReason | undefined
}

export interface Records {
  forwarded(call: CallFacts, detail: CallDetail): void
  refused(call: CallFacts, reason: RefusalReason): void
  waited(need: Need): void
  streamsOpen(count: number): void
}

type Labels = Readonly<Record<string, string>>

export function createRecords(emit: Emit): Records {
  const byRoute = createLabels('route')
  const byConnector = createLabels('connector')
  const byReason = createLabels('reason')
  const byRequest = new Map<string, Map<number, Labels>>()
  const requestLabels = (route: string, method: string, status: number): Labels => {
    const known = METHODS.indexOf(method)
    const code = status * METHODS.length + Math.max(0, known)
    let inner = byRequest.get(route)
    if (inner === undefined) {
      inner = new Map()
      byRequest.set(route, inner)
    }
    let labels = inner.get(code)
    if (labels === undefined) {
      labels = { route, method: METHODS[Math.max(0, known)] ?? 'other', status: String(status) }
      inner.set(code, labels)
    }
    return labels
  }
  const measure = ({ route, httpMethod, status, durationMs }: CallFacts): void => {
    const kind = route?.kind ?? 'none'
    emit.count('postern_http_requests_total', requestLabels(kind, httpMethod, status))
    emit.observe('postern_http_request_duration_seconds', durationMs / 1000, byRoute(kind))
  }
  return {
    forwarded(call, { method, name, firstByteMs, reason }) {
      measure(call)
      const { route, session } = call
      if (firstByteMs !== undefined) {
        const labels = byConnector(route?.connector.name ?? '')
        emit.observe('postern_proxy_upstream_duration_seconds', firstByteMs / 1000, labels)
      }
      emit.event({
        type: 'call.forwarded',
        tenant: session?.tenant,
        userId: session?.userId,
        clientId: session?.clientId,
        grantId: session?.grantId,
        connector: route?.connector.name,
        requestId: call.requestId,
        httpMethod: call.httpMethod,
        method,
        name,
        reason,
        status: call.status,
        durationMs: call.durationMs,
      })
    },
    refused(call, reason) {
      measure(call)
      const { route, session } = call
      emit.count('postern_auth_refusals_total', byReason(reason))
      emit.event({
        type: 'call.refused',
        tenant: session?.tenant,
        userId: session?.userId,
        clientId: session?.clientId,
        grantId: session?.grantId,
        connector: route?.connector.name,
        requestId: call.requestId,
        httpMethod: call.httpMethod,
        reason,
        ...(reason === 'token_audience' ? wrongServer(call) : {}),
        status: call.status,
        durationMs: call.durationMs,
      })
    },
    waited: (need) => emit.count('postern_hot_path_waits_total', byReason(need)),
    streamsOpen: (count) => emit.gauge('postern_streams_open', count),
  }
}

/** In the words that the command line has for it (api.md section 6); the caller only learns "invalid". */
function wrongServer({ route, session }: CallFacts): Partial<Mistake> {
  if (route === undefined || session === undefined) return {}
  return audienceMistake(session.resource, route.resource)
}

/** Index 0 stands for every verb that is not listed: labels are bounded words. */
const METHODS = ['other', 'POST', 'GET', 'DELETE', 'HEAD', 'PUT', 'PATCH', 'OPTIONS']

/** Label objects by value, each made once. Values are names of ours: the map is bounded by them. */
/** Label objects by value, made once: metrics find a series by the object. */
export function createLabels(label: string): (value: string) => Labels {
  const made = new Map<string, Labels>()
  return (value) => {
    let labels = made.get(value)
    if (labels === undefined) {
      labels = { [label]: value }
      made.set(value, labels)
    }
    return labels
  }
}

/** A name from a client may be recorded when it is short and printable. */
export function recordable(text: string | undefined): string | undefined {
  return text !== undefined && /^[\x21-\x7e]{1,128}$/.test(text) ? text : undefined
}
