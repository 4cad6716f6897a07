/**
 * The provider's side of `memberships.ts`: asks with the tokens in a person's vault record, writes what
 * is new into the person's row, and ends the grants of who does not belong any more.
 *
 * Runs behind requests only. A person without a living sign-in is *unknown*, never a no.
 */
import type { Belonging } from '../oauth/allow.ts'
import type { Identity } from '../providers/provider.ts'
import { type Grant, TENANT, type Values } from '../records.ts'
import type { Refresher } from '../vault/refresh.ts'
import type { Vault, VaultEntry } from '../vault/vault.ts'
import { type AdmissionRules, judgePerson } from './admission.ts'
import { type EndingHouse, endGrant } from './endings.ts'
import type { IssuerProvider } from './house.ts'
import { key } from './ids.ts'
import type { Asked, MembershipFact, MembershipsDeps } from './memberships.ts'

/** A membership that nobody answers for is believed this long after its last yes. */
const CARRIED_MS = 3_600_000
const VAULTS_OF_USER_MAX = 100
const GRANTS_PAGE = 200
const PAGES_MAX = 1_000

export const NOT_ALLOWED_ANY_MORE = 'not_allowed_any_more'

interface Deps extends EndingHouse {
  readonly vault: Vault
  readonly refresher: Refresher
  readonly providers: readonly IssuerProvider[]
  /** Asked for each grant when somebody lost something. */
  readonly rules: () => AdmissionRules
}

type Asking = Pick<MembershipsDeps, 'askMemberships' | 'askIdentity' | 'onLost' | 'onIdentity'>

interface Living {
  readonly asked: IssuerProvider
  readonly entry: VaultEntry
}

export function createMembershipAsking(deps: Deps): Asking {
  const ask = async <V>(
    userKey: string,
    question: (living: Living) => Promise<Asked<V>>,
  ): Promise<Asked<V>> => {
    try {
      const living = await findLiving(deps, userKey)
      return living === undefined ? { outcome: 'unknown', provider: '' } : await question(living)
    } catch {
      // Neither a store that fails nor a provider that does not answer says anything about a person.
      return { outcome: 'unknown', provider: '' }
    }
  }
  return {
    askMemberships: (userKey, wanted, previous) =>
      ask<MembershipFact>(userKey, async ({ asked: { provider, context }, entry }) => {
        const answer = await provider.memberships?.(context, entry.tokens, wanted)
        if (answer === undefined || answer.outcome === 'unknown') {
          const retryAfterMs = answer?.retryAfterMs
          return {
            outcome: 'unknown',
            provider: provider.id,
            ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
          }
        }
        const names = [...answer.organizations, ...answer.teams]
        const value = carry(names, answer.unanswered, previous, deps.runtime.nowMs())
        return { outcome: 'yes', provider: provider.id, value }
      }),
    askIdentity: (userKey) =>
      ask<Identity>(userKey, async ({ asked: { provider, context }, entry }) => {
        const identity = await provider.identify?.(context, entry.tokens)
        // An answer about somebody else says nothing about this person; the proof deals with it.
        return identity === undefined || identity.subject !== entry.record.subject
          ? { outcome: 'unknown', provider: provider.id }
          : { outcome: 'yes', provider: provider.id, value: identity }
      }),
    onLost: (userKey, facts) => endNotAllowed(deps, userKey, facts),
    async onIdentity(userKey, { subject, profile, groups, roles, tenant }) {
      const user = await deps.store.get('user', key(userKey))
      if (user === undefined || user.value.subject !== subject) return
      const { roles: _, tenantId: __, ...rest } = user.value
      const value: Values['user'] = {
        ...rest,
        profile,
        groups,
        ...(roles === undefined ? {} : { roles }),
        ...(tenant === undefined ? {} : { tenantId: tenant }),
      }
      if (canonical(value) === canonical(user.value)) return
      // Who lost the race was overtaken by newer facts.
      await deps.store.put('user', user.key, user.version, value)
    },
  }
}

/** What was answered, and what was known before of the names that nobody answered for. */
function carry(
  names: readonly string[],
  unanswered: readonly string[],
  previous: MembershipFact | undefined,
  nowMs: number,
): MembershipFact {
  const carried = unanswered.flatMap((name) => {
    if (previous?.names.includes(name) !== true || names.includes(name)) return []
    const sinceMs = previous.carriedSinceMs?.[name] ?? nowMs
    return nowMs - sinceMs < CARRIED_MS ? [[name, sinceMs] as const] : []
  })
  if (carried.length === 0) return { names }
  return {
    names: [...names, ...carried.map(([name]) => name)],
    carriedSinceMs: Object.fromEntries(carried),
  }
}

/** The living sign-in of a person, with an access token that is worth showing. */
async function findLiving(deps: Deps, userKey: string): Promise<Living | undefined> {
  const { store, vault, runtime, refresher, config } = deps
  const user = await store.get('user', key(userKey))
  if (user === undefined) return undefined
  const index = { name: 'userId', value: user.value.userId }
  const rows = await store.list('vault', TENANT, index, { max: VAULTS_OF_USER_MAX })
  const row = rows.find(({ value }) => value.state === 'active' && value.userKey === userKey)
  const asked = deps.providers.find(({ provider }) => provider.issuer === row?.value.issuer)
  if (row === undefined || asked === undefined) return undefined
  const { id } = row.key
  const { hasRefreshToken, accessExpiresAtMs = Number.POSITIVE_INFINITY } = row.value
  if (accessExpiresAtMs <= runtime.nowMs()) {
    if (!hasRefreshToken) return undefined
    const refreshed = await refresher.refresh(id, config.limits.tokenCallTimeoutMs, {
      believe: false,
    })
    if (refreshed !== 'refreshed' && refreshed !== 'current') return undefined
  }
  const entry = await vault.find(id)
  return entry?.record.state === 'active' ? { asked, entry } : undefined
}

/** Ends what the house's rule, or a connector's own, does not allow any more; one mark per grant. */
async function endNotAllowed(
  deps: Deps,
  userKey: string,
  facts: { readonly belonging?: Belonging; readonly memberships?: readonly string[] },
): Promise<void> {
  const user = await deps.store.get('user', key(userKey))
  if (user === undefined) return
  for (const grant of await grantsOf(deps, user.value.userId)) {
    if (grant.state === 'ended' || grant.userKey !== userKey) continue
    const allow = deps.config.connectors.find(({ resource }) => resource === grant.resource)?.allow
    const verdict = judgePerson(deps.rules(), user.value, allow, { bound: 'remembered', ...facts })
    if (verdict === 'out') await endGrant(deps, grant, NOT_ALLOWED_ANY_MORE)
  }
}

async function grantsOf({ store }: Deps, userId: string): Promise<readonly Grant[]> {
  const all: Grant[] = []
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const after = all.at(-1)?.id
    const at = { max: GRANTS_PAGE, ...(after === undefined ? {} : { after }) }
    const grants = await store.grants.list(TENANT, { name: 'userId', value: userId }, at)
    all.push(...grants)
    if (grants.length < GRANTS_PAGE) break
  }
  return all
}

/** Compared without the order of members. */
function canonical({ profile, groups, roles, tenantId }: Values['user']): string {
  const { name, email, emailVerified, login, pictureUrl } = profile
  return JSON.stringify([name, email, emailVerified, login, pictureUrl, groups, roles, tenantId])
}
