/**
 * Which organizations and teams a person is in, asked with the person's own token.
 *
 * One call per name, one after another (best practices, "Make requests serially"), and none after the
 * first limit. A 404 is a no only from a token that may see memberships; every refusal of another kind
 * (a limit, SAML, an organization that restricts applications) is *unknown*.
 * @see docs.github.com `rest/orgs/members` (get an organization membership for the authenticated
 *   user), `rest/teams/members` (get team membership for a user)
 */
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { asProof } from './answers.ts'
import { isMessage, readUser } from './github-answers.ts'
import { type GitHubHouse, userCall } from './github-api.ts'
import type { ProductCalls } from './oauth2-product.ts'
import type { Memberships, MembershipsWanted } from './provider.ts'

/** Organizations and teams asked for in one look-up; names beyond it stay unanswered. */
export const MEMBERSHIPS_MAX = 50

type Answer =
  | { readonly outcome: 'yes' | 'no' }
  | { readonly outcome: 'unknown'; readonly reason: string; readonly retryAfterMs?: number }

export async function memberships(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
  wanted: MembershipsWanted,
): Promise<Memberships> {
  const organizations: string[] = []
  const teams: string[] = []
  const unanswered: string[] = []
  let first: Extract<Answer, { outcome: 'unknown' }> | undefined
  let asked = 0
  const put = async (name: string, list: string[], ask: () => Promise<Answer>): Promise<void> => {
    const answer: Answer =
      first?.reason === 'rate_limit' || asked >= MEMBERSHIPS_MAX
        ? { outcome: 'unknown', reason: 'too_many' }
        : await ask()
    asked += 1
    if (answer.outcome === 'yes') list.push(name)
    if (answer.outcome !== 'unknown') return
    unanswered.push(name)
    first ??= answer
  }
  for (const name of wanted.organizations) {
    await put(name, organizations, () =>
      ask(house, calls, tokens, `/user/memberships/orgs/${encodeURIComponent(name)}`),
    )
  }
  const login = wanted.teams.length === 0 ? undefined : await findLogin(house, calls, tokens)
  for (const name of wanted.teams) {
    await put(name, teams, async () => {
      if (typeof login !== 'string') return login ?? { outcome: 'unknown', reason: 'body' }
      const path = teamPath(name, login)
      return path === undefined ? { outcome: 'no' } : ask(house, calls, tokens, path)
    })
  }
  const isIn = organizations.length + teams.length > 0
  return {
    outcome: isIn ? 'yes' : unanswered.length === 0 ? 'no' : 'unknown',
    organizations,
    teams,
    unanswered,
    ...(first === undefined ? {} : { reason: first.reason }),
    ...(first?.retryAfterMs === undefined ? {} : { retryAfterMs: first.retryAfterMs }),
  }
}

function teamPath(name: string, login: string): string | undefined {
  const [organization = '', slug = '', ...rest] = name.split('/')
  if (organization === '' || slug === '' || rest.length > 0) return undefined
  const path = [organization, slug, login].map(encodeURIComponent)
  return `/orgs/${path[0]}/teams/${path[1]}/memberships/${path[2]}`
}

/** The name of today: a login can be changed, and then belongs to somebody else. */
async function findLogin(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
): Promise<string | Extract<Answer, { outcome: 'unknown' }>> {
  const response = await asProof(() => userCall(house, calls, tokens, '/user'))
  if (!('status' in response)) return response
  const user = response.status === 200 ? readUser(readObject(response)) : undefined
  return user?.login ?? calls.unknown(response)
}

async function ask(
  house: GitHubHouse,
  calls: ProductCalls,
  tokens: TokenSet,
  path: string,
): Promise<Answer> {
  const response = await asProof(() => userCall(house, calls, tokens, path))
  return 'status' in response ? judge(house, calls, response) : response
}

/** 200 with `state`: `active`, or `pending` for somebody who was only invited; 403; 404. */
function judge(house: GitHubHouse, calls: ProductCalls, response: EgressResponse): Answer {
  if (response.status === 200) {
    const state = readObject(response)?.['state']
    if (state === 'active') return { outcome: 'yes' }
    return state === 'pending' ? { outcome: 'no' } : { outcome: 'unknown', reason: 'body' }
  }
  // GitHub hides what a token may not see behind the same 404.
  const mayLook = house
    .scopesOf(response)
    ?.some((scope) => house.organizationScopes.includes(scope))
  if (response.status === 404 && isMessage(response, 'Not Found'))
    return mayLook === true ? { outcome: 'no' } : { outcome: 'unknown', reason: 'scope_missing' }
  if (response.status === 403 && response.headers.has('x-github-sso'))
    return { outcome: 'unknown', reason: 'sso_required' }
  return isRestricted(response)
    ? { outcome: 'unknown', reason: 'restricted' }
    : calls.unknown(response)
}

/** A 403 that is no limit: the organization has not approved this application, or the token has no scope. */
function isRestricted({ status, headers }: EgressResponse): boolean {
  return (
    status === 403 &&
    !headers.has('retry-after') &&
    headers.has('x-ratelimit-remaining') &&
    headers.get('x-ratelimit-remaining') !== '0'
  )
}
