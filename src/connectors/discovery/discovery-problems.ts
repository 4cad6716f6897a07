/**
 * What went wrong in a discovery, on which side and by which rule, in words for people.
 *
 * A `Refusal` means that somebody said something that is not used; an `UpstreamError` that nobody said
 * anything. Text of the other side is shown only where it explains, cut, and never a body.
 */
import type { ShownErrorCode } from '../../error-codes.ts'
import { printable, UpstreamError } from '../../errors.ts'
import type { ResourceJudgement } from '../../oauth/resource-metadata.ts'
import type { ServerJudgement } from '../../oauth/server-metadata.ts'
import type { ConnectorProblem } from '../../records.ts'

type Party = ConnectorProblem['party']
type Code = Extract<ShownErrorCode, `ERR_DISCOVERY_${string}`>

const SHOWN_MAX_CHARS = 200

export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly problem: ConnectorProblem
  /** The last good copy is not believed any more either (DSC-19): another issuer. */
  readonly isHard: boolean
  constructor(problem: ConnectorProblem, isHard = false) {
    super(problem.code)
    this.problem = problem
    this.isHard = isHard
  }
}

export function refusal(party: Party, code: Code, text: string, requirement: string): Refusal {
  return new Refusal({ party, code, text, requirement }, code === 'ERR_DISCOVERY_ISSUER')
}

/** Text of a stranger inside our own: one line of plain characters, cut. */
export function shown(text: string): string {
  const plain = printable(text)
  return plain.length > SHOWN_MAX_CHARS ? `${plain.slice(0, SHOWN_MAX_CHARS)}...` : plain
}

/** A document that is none: S7, NET-04. */
export function noDocument(party: Party, url: URL, what: string): Refusal {
  const text = `${place(url)} is not a metadata document: ${what}`
  return refusal(party, 'ERR_DISCOVERY_DOCUMENT', text, 'NET-04')
}

export function resourceRefusal(
  judged: Extract<ResourceJudgement, { ok: false }>,
  at: URL,
  server: URL,
): Refusal {
  const { reason, member = '' } = judged
  switch (reason) {
    case 'not_an_object':
      return noDocument('server', at, 'it is JSON, but no object')
    case 'error_object':
      return noDocument('server', at, 'it is an error that came with status 200')
    case 'member': {
      const text = `${place(at)} has no usable member "${shown(member)}"`
      return refusal('server', 'ERR_DISCOVERY_MEMBER', text, 'RFC 9728 section 2')
    }
    case 'mismatch': {
      const text = `${place(at)} speaks of another resource than ${place(server)}`
      return refusal('server', 'ERR_DISCOVERY_RESOURCE', text, 'DSC-03, RFC 9728 section 3.3')
    }
    case 'no_server': {
      const text = `${place(at)} names no authorization server`
      return refusal('server', 'ERR_DISCOVERY_MEMBER', text, 'DSC-05, RFC 9728 section 2')
    }
  }
}

export function serverRefusal(
  judged: Extract<ServerJudgement, { ok: false }>,
  at: URL,
  expected: string,
): Refusal {
  const { reason, member = '', found = '' } = judged
  const party = 'authorization-server'
  const named = shown(member)
  switch (reason) {
    case 'not_an_object':
      return noDocument(party, at, 'it is JSON, but no object')
    case 'error_object':
      return noDocument(party, at, 'it is an error that came with status 200')
    case 'issuer': {
      const text = `${place(at)} says issuer "${shown(found)}", expected "${shown(expected)}"`
      return refusal(party, 'ERR_DISCOVERY_ISSUER', text, 'DSC-07, RFC 8414 section 3.3')
    }
    case 'member': {
      const text = `${place(at)} has no usable member "${named}"`
      return refusal(party, 'ERR_DISCOVERY_MEMBER', text, 'DSC-09, RFC 8414 section 2')
    }
    case 'endpoint': {
      const text = `${place(at)} gives a "${named}" that is not an https URL`
      return refusal(party, 'ERR_DISCOVERY_ENDPOINT', text, 'NET-08, DSC-09')
    }
    case 'response_type': {
      const text = `${place(at)} does not list "code" in "${named}"`
      return refusal(party, 'ERR_DISCOVERY_MEMBER', text, 'DSC-09, RFC 8414 section 2')
    }
    case 'pkce': {
      const text = `${place(at)} does not list "S256" in "${named}"`
      return refusal(party, 'ERR_DISCOVERY_PKCE', text, 'DSC-09, RFC 7636')
    }
  }
}

/** What the egress said, as far as it is a refusal rather than silence. */
export function refusalOf(error: unknown, party: Party, url: URL): Refusal | undefined {
  if (!(error instanceof UpstreamError)) return undefined
  switch (error.code) {
    case 'ERR_UPSTREAM_URL':
    case 'ERR_UPSTREAM_ADDRESS': {
      const text = `${place(url)} may not be asked from here`
      return refusal(party, 'ERR_DISCOVERY_ADDRESS', text, 'NET-01, NET-02')
    }
    case 'ERR_UPSTREAM_REDIRECT': {
      const text = `${place(url)} answers with a redirect, which is not followed`
      return refusal(party, 'ERR_DISCOVERY_REDIRECT', text, 'NET-03')
    }
    case 'ERR_UPSTREAM_TOO_LARGE':
      return noDocument(party, url, 'it is larger than 64 KiB')
    case 'ERR_UPSTREAM_BODY':
      return noDocument(party, url, 'it is compressed, or not UTF-8')
    default:
      return undefined
  }
}

const SILENCE: Readonly<Record<string, readonly [what: string, requirement: string]>> = {
  ERR_UPSTREAM_TIMEOUT: ['did not answer in time', 'DSC-13'],
  ERR_UPSTREAM_CONNECT: ['does not answer', 'DSC-16'],
  ERR_UPSTREAM_DNS: ['has no address', 'DSC-16'],
  ERR_UPSTREAM_TLS: ['has no valid certificate', 'NET-01'],
  ERR_UPSTREAM_RESET: ['broke off', 'DSC-16'],
  ERR_UPSTREAM_STATUS: ['answered with an error', 'DSC-16'],
  ERR_UPSTREAM_BREAKER: ['failed too often and is left alone for a moment', 'DSC-17'],
}

/** Nobody said anything: the origin that was silent, or the whole chain. */
export function silence(error: unknown, server: URL): ConnectorProblem {
  const isOf = error instanceof UpstreamError && URL.canParse(error.origin)
  const origin = isOf ? error.origin : server.origin
  const code = error instanceof UpstreamError ? error.code : 'ERR_UPSTREAM_TIMEOUT'
  const [what, requirement] = SILENCE[code] ?? ['could not be asked', 'DSC-13']
  const status = error instanceof UpstreamError ? error.status : undefined
  return {
    party: origin === server.origin ? 'server' : 'authorization-server',
    code: 'ERR_CONNECTOR_UNREACHABLE',
    text: `${origin} ${what}${status === undefined ? '' : ` (status ${status})`}`,
    requirement,
  }
}

/** A URL for people: no query, which may carry anything. */
export function place({ origin, pathname }: URL): string {
  return shown(`${origin}${pathname}`)
}
