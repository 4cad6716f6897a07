/**
 * What the operator allows at the token endpoint beyond sign-ins: who may exchange tokens for what,
 * and whose identity assertions are believed. Both are lists of what is allowed; absent is nothing.
 */
import { canonicalResource } from '../oauth/urls.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

/** `clients.<id>.exchange`: RFC 8693 for a server behind or beside this house. */
export interface ExchangeInput {
  /** The caller's own resource: the audience that a subject token must have. */
  readonly resource: string
  /** Resources of this house that it may ask a token for. Default none. */
  readonly resources?: readonly string[]
  /** Most that an exchanged token may carry; default what the subject token has. */
  readonly scopes?: readonly string[]
  /** Ids of providers whose token of the person may be handed out. Default none. */
  readonly providers?: readonly string[]
}

export interface ExchangePolicy {
  readonly resource: string
  readonly resources: readonly string[]
  readonly scopes?: readonly string[]
  readonly providers: readonly string[]
}

/** An entry of `assertionIssuers`: an identity provider whose ID-JAGs are believed. */
export interface AssertionIssuerInput {
  /** Compared exactly with `iss`. People are those who sign in at a provider with this issuer. */
  readonly issuer: string
  /** Default: from the issuer's discovery document. */
  readonly jwksUri?: string
  /** Clients that may present its assertions. Default: every client that has the grant type. */
  readonly clientIds?: readonly string[]
  /** Most that a token may carry; default what the resource offers. */
  readonly scopes?: readonly string[]
  /** Resources that it may speak for. Default all. */
  readonly resources?: readonly string[]
}
export type AssertionIssuer = AssertionIssuerInput

const ASSERTION_ISSUERS_MAX = 100

export function readExchange(at: string, value: unknown, sources: Sources): ExchangePolicy {
  const input = read.record(at, value)
  read.refuseUnknown(at, input, ['resource', 'resources', 'scopes', 'providers'])
  const scopes = optionalList(`${at}.scopes`, input.scopes, sources)
  return {
    resource: resource(`${at}.resource`, input.resource, sources),
    resources: resourceList(`${at}.resources`, input.resources, sources) ?? [],
    ...(scopes === undefined ? {} : { scopes }),
    providers: optionalList(`${at}.providers`, input.providers, sources) ?? [],
  }
}

export function readAssertionIssuers(value: unknown, sources: Sources): readonly AssertionIssuer[] {
  if (!Array.isArray(value) || value.length > ASSERTION_ISSUERS_MAX) {
    throw read.invalid('assertionIssuers', `a list of at most ${ASSERTION_ISSUERS_MAX} entries`)
  }
  return value.map((entry: unknown, index) => {
    const at = `assertionIssuers[${index}]`
    const input = read.record(at, entry)
    read.refuseUnknown(at, input, ['issuer', 'jwksUri', 'clientIds', 'scopes', 'resources'])
    read.url(`${at}.issuer`, input.issuer, sources)
    const jwksUri =
      input.jwksUri === undefined
        ? undefined
        : read.url(`${at}.jwksUri`, input.jwksUri, sources).href
    const clientIds = optionalList(`${at}.clientIds`, input.clientIds, sources)
    const scopes = optionalList(`${at}.scopes`, input.scopes, sources)
    const resources = resourceList(`${at}.resources`, input.resources, sources)
    return {
      // As it is written: `iss` is compared to the letter.
      issuer: read.text(`${at}.issuer`, input.issuer, sources),
      ...(jwksUri === undefined ? {} : { jwksUri }),
      ...(clientIds === undefined ? {} : { clientIds }),
      ...(scopes === undefined ? {} : { scopes }),
      ...(resources === undefined ? {} : { resources }),
    }
  })
}

function optionalList(at: string, value: unknown, sources: Sources): readonly string[] | undefined {
  return value === undefined ? undefined : read.list(at, value, sources)
}

function resourceList(at: string, value: unknown, sources: Sources): readonly string[] | undefined {
  return optionalList(at, value, sources)?.map((entry, index) =>
    resource(`${at}[${index}]`, entry, sources),
  )
}

function resource(at: string, value: unknown, sources: Sources): string {
  const found = canonicalResource(read.text(at, value, sources))
  if (found === undefined) throw read.invalid(at, 'the absolute URL of a resource of this house')
  return found
}
