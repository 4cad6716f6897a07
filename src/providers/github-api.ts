/**
 * GitHub's API as both kinds of GitHub application use it: who a token belongs to, whether it is still
 * good, and its end. The kinds differ in where permissions come from and in nothing else.
 *
 * Sections named below are of docs.github.com: `rest/users/users`, `rest/users/emails`,
 * `rest/apps/oauth-applications`.
 */
import type { EgressResponse } from '../net/egress.ts'
import { parseJson } from '../net/json.ts'
import { readObject } from '../net/json-answer.ts'
import { isObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { asProof, statusError, text, unknown } from './answers.ts'
import { identityOf, isMessage, readUser } from './github-answers.ts'
import type { Person, ProductCalls } from './oauth2-product.ts'
import type { Proof, ProofBasis } from './provider.ts'

const API_HEADERS = { accept: 'application/vnd.github+json' }

/** One configured GitHub: where it is, and how the scopes of a token are known there. */
export interface GitHubHouse {
  readonly apiUrl: string
  readonly issuer: string
  /** From an answer to a call with the token; `undefined`: the answer does not say. */
  scopesOf(response: EgressResponse): readonly string[] | undefined
  /** Why this token is not of this kind of application. */
  foreign(tokens: TokenSet, scopes: readonly string[] | undefined): string | undefined
  /** Any of them lets the e-mail addresses be listed. */
  readonly emailScopes: readonly string[]
  /** Any of them lets memberships be seen. */
  readonly organizationScopes: readonly string[]
}

export function userCall(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<EgressResponse> {
  return calls.user(tokens, {
    operation: path === '/user' ? 'check' : 'userinfo',
    url: `${house.apiUrl}${path}`,
    headers: { ...API_HEADERS, ...headers },
  })
}

/** Every token that comes in is revalidated by asking who it belongs to (authorizing OAuth apps, step 3). */
export async function identify(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
): Promise<Person> {
  const response = await userCall(house, calls, tokens, '/user')
  const user = response.status === 200 ? readUser(readObject(response)) : undefined
  if (user === undefined) throw statusError(response, 'userinfo', calls.context.runtime.nowMs())
  const scopes = house.scopesOf(response)
  const foreign = house.foreign(tokens, scopes)
  if (foreign !== undefined) throw calls.refuse(foreign)
  const granted = scopes ?? tokens.scopes ?? []
  const emails = granted.some((scope) => house.emailScopes.includes(scope))
    ? await verifiedEmails(house, calls, tokens)
    : []
  const etag = response.headers.get('etag') ?? undefined
  return {
    identity: identityOf(house.issuer, user, emails),
    scopes: granted,
    ...(etag === undefined ? {} : { etag }),
  }
}

/** Users, "List email addresses for the authenticated user". Asked at sign-in only; a failure costs the e-mail. */
async function verifiedEmails(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
): Promise<readonly { email: string; primary: boolean }[]> {
  const answer = await asProof(() => userCall(house, calls, tokens, '/user/emails'))
  if (!('status' in answer) || answer.status !== 200) return []
  let list: unknown
  try {
    list = parseJson(answer.text)
  } catch {
    return []
  }
  if (!Array.isArray(list)) return []
  return list.filter(isObject).flatMap((entry) => {
    const email = text(entry, 'email')
    return email !== undefined && entry['verified'] === true
      ? [{ email, primary: entry['primary'] === true }]
      : []
  })
}

/**
 * Users, "Get the authenticated user": 200, 304, 401, 403. The scopes come with the answer (scopes for
 * OAuth apps, `X-OAuth-Scopes`). A 304 to an authorized request is not counted in the primary limit.
 */
export async function check(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
  basis: ProofBasis,
): Promise<Proof> {
  const condition: Record<string, string> =
    basis.etag === undefined ? {} : { 'if-none-match': basis.etag }
  const response = await userCall(house, calls, tokens, '/user', condition)
  const scopes = house.scopesOf(response)
  const etag = response.headers.get('etag') ?? basis.etag
  const said = {
    ...(scopes === undefined ? {} : { scopes }),
    ...(etag === undefined ? {} : { etag }),
  }
  if (response.status === 304 && basis.etag !== undefined) return { outcome: 'yes', ...said }
  if (response.status === 200) {
    const user = readUser(readObject(response))
    if (user === undefined) return unknown('body')
    if (basis.subject !== undefined && user.subject !== basis.subject)
      return { outcome: 'no', reason: 'subject' }
    return { outcome: 'yes', ...said }
  }
  if (response.status === 401 && isMessage(response, 'Bad credentials'))
    return { outcome: 'no', reason: 'bad_credentials' }
  return calls.unknown(response)
}

/**
 * OAuth applications, "Check a token": 200 with the authorization, 404 for an invalid token, 422.
 * Counted against the application for all its users, therefore only the second opinion.
 */
export async function secondOpinion(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
  basis: ProofBasis,
): Promise<Proof> {
  const response = await applicationCall(house, calls, 'POST', tokens)
  if (response.status === 200) {
    const body = readObject(response)
    const user = isObject(body?.['user']) ? readUser(body['user']) : undefined
    if (user === undefined) return unknown('body')
    if (basis.subject !== undefined && user.subject !== basis.subject)
      return { outcome: 'no', reason: 'subject' }
    const scopes = body?.['scopes']
    return house.scopesOf(response) === undefined && Array.isArray(scopes)
      ? { outcome: 'yes', scopes: scopes.map(String) }
      : { outcome: 'yes' }
  }
  if (response.status === 404 && isMessage(response, 'Not Found'))
    return { outcome: 'no', reason: 'not_found' }
  if (response.status === 401) return { outcome: 'client-refused' }
  return calls.unknown(response)
}

/** OAuth applications, "Delete an app token": 204; a token that is not there any more is dead as well. */
export async function revoke(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
): Promise<boolean> {
  const { status } = await applicationCall(house, calls, 'DELETE', tokens)
  return status === 204 || status === 404
}

function applicationCall(
  house: GitHubHouse,
  calls: ProductCalls,
  method: 'POST' | 'DELETE',
  tokens: TokenSet,
): Promise<EgressResponse> {
  return calls.client({
    operation: method === 'POST' ? 'check' : 'revoke',
    method,
    url: `${house.apiUrl}/applications/${encodeURIComponent(calls.clientId)}/token`,
    headers: API_HEADERS,
    authentication: 'basic',
    body: 'json',
    parameters: { access_token: tokens.accessToken },
  })
}
