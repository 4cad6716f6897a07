/**
 * Whether what a token stands on still holds: its grant, its user, the sign-in at the provider, and
 * the marks that end tokens (flows.md section 11).
 */
import type { AccessTokenClaims } from '../oauth/access-token.ts'
import type { Versioned } from '../ports.ts'
import { type Grant, type Mark, type RevocationRow, TENANT } from '../records.ts'
import { shownText } from '../ui/text.ts'
import type { ExplainDeps, Explanation, Problem } from './explain.ts'
import { key } from './ids.ts'
import { accountLabel } from './sessions.ts'

const MARK_PAGE_ROWS = 1_000
const MARK_PAGES_MAX = 1_000

interface Signed {
  readonly claims: AccessTokenClaims
  readonly keyId: string
}

/** @param signed Absent for a refresh token, which no mark names: its grant's state decides. */
export async function standingOf(
  deps: ExplainDeps,
  grantId: string,
  grant: Grant | undefined,
  signed?: Signed,
): Promise<Pick<Explanation, 'facts' | 'problems'>> {
  const marks = signed === undefined ? [] : await marksOf(deps, signed, grant)
  if (grant === undefined) {
    const problem =
      'its grant is not in this database: another one, a restored backup, or long over.'
    return {
      facts: [],
      problems: [{ reason: 'grant_unknown', problem }, ...marks.map((mark) => markProblem(mark))],
    }
  }
  const owner = await findOwner(deps, grant)
  return {
    facts: [...grantFacts(grant, grantId, signed === undefined), ...whoFacts(owner)],
    problems: [
      ...grantProblems(grant, deps.runtime.nowMs()),
      ...ownerProblems(grant, owner),
      ...marks.map((mark) => markProblem(mark)),
    ],
  }
}

function grantFacts(grant: Grant, grantId: string, isRefresh: boolean): Explanation['facts'] {
  const about: Explanation['facts'] = [
    ['grant', grantId],
    ['for', grant.resource],
    ['user', grant.userId],
    ['client', grant.clientId],
    ['scope', grant.scopes.join(' ')],
  ]
  return [
    ...(isRefresh ? about : []),
    ['grant state', grant.cause === undefined ? grant.state : `${grant.state}: ${grant.cause}`],
    ['granted', new Date(grant.createdAtMs).toISOString()],
    ['ends unless used', new Date(grant.expiresAtMs).toISOString()],
  ]
}

function grantProblems(grant: Grant, nowMs: number): readonly Problem[] {
  if (grant.state === 'ended') {
    const problem = `its grant has ended: ${grant.cause ?? 'no cause was kept'}.`
    return [{ reason: 'grant_ended', problem, fix: 'The client has to sign in again.' }]
  }
  if (grant.state === 'pending')
    return [{ reason: 'grant_pending', problem: 'its code was never redeemed.' }]
  if (grant.expiresAtMs > nowMs) return []
  const problem = `its grant was not used for too long; it ended ${ago(nowMs - grant.expiresAtMs)} ago.`
  return [{ reason: 'grant_ended', problem, fix: 'The client has to sign in again.' }]
}

interface Owner {
  readonly user: Versioned<'user'> | undefined
  readonly vault: Versioned<'vault'> | undefined
}

/** A client that acts for itself has neither (client_credentials). */
async function findOwner({ store }: ExplainDeps, grant: Grant): Promise<Owner> {
  const [user, vault] = await Promise.all([
    grant.userKey === '' ? undefined : store.get('user', key(grant.userKey)),
    grant.vaultId === '' ? undefined : store.get('vault', key(grant.vaultId)),
  ])
  return { user, vault }
}

function whoFacts({ user, vault }: Owner): Explanation['facts'] {
  if (user === undefined) return []
  const name = shownText(accountLabel(user.value))
  return [
    ['person', vault === undefined ? name : `${name}, signed in with ${vault.value.provider}`],
  ]
}

function ownerProblems(grant: Grant, { user, vault }: Owner): readonly Problem[] {
  const problems: Problem[] = []
  if (grant.userKey !== '' && user?.value.state !== 'active') {
    const problem = user === undefined ? 'its user is not there.' : 'its user is switched off.'
    problems.push({ reason: 'user_disabled', problem })
  }
  if (grant.vaultId !== '' && vault?.value.state !== 'active') {
    const cause = vault?.value.cause === undefined ? '' : `: ${vault.value.cause}`
    const problem = `the sign-in at ${vault?.value.provider ?? 'the provider'} is over${cause}.`
    problems.push({ reason: 'upstream_dead', problem, fix: 'The person has to sign in again.' })
  }
  return problems
}

/** Every mark that covers the token, by kind; the same comparison as on each call. */
async function marksOf(
  { store, runtime }: ExplainDeps,
  { claims, keyId }: Signed,
  grant: Grant | undefined,
): Promise<readonly Mark[]> {
  const names: Readonly<Record<Mark['kind'], string | undefined>> = {
    grant: claims.gid,
    user: grant?.userId ?? claims.sub,
    token: claims.jti,
    client: claims.client_id,
    connector: claims.aud,
    tenant: TENANT,
    key: keyId,
    cache: undefined,
  }
  const nowMs = runtime.nowMs()
  const covers = (row: RevocationRow): boolean =>
    row.tenant === TENANT &&
    row.expiresAtMs > nowMs &&
    names[row.kind] === row.id &&
    claims.iat * 1000 <= row.issuedBeforeMs
  const found: Mark[] = []
  let after = 0
  for (let page = 0; page < MARK_PAGES_MAX; page += 1) {
    const { rows, sequence } = await store.grants.revocationsSince(after, MARK_PAGE_ROWS)
    found.push(...rows.filter(covers))
    if (rows.length < MARK_PAGE_ROWS) break
    after = sequence
  }
  return found
}

function markProblem(mark: Mark): Problem {
  const what = mark.kind === 'tenant' ? 'everything' : `its ${mark.kind}`
  const cause = mark.cause === undefined ? '' : `: ${mark.cause}`
  return { reason: 'revoked', problem: `${what} was revoked${cause}.` }
}

export function ago(ms: number): string {
  const minutes = Math.round(ms / 60_000)
  if (minutes < 120) return minutes < 2 ? `${Math.round(ms / 1000)} s` : `${minutes} min`
  return minutes < 2_880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1_440)} d`
}
