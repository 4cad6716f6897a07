/**
 * What a sign-in knows of a person at this moment: the identity that just came, and the organizations
 * and teams that rules ask about, looked up with the tokens of this very sign-in (PRV-22: fresh).
 */

import { withDeadline } from '../cache/deadline.ts'
import { OAuthError, UpstreamError } from '../errors.ts'
import type { Verdict } from '../oauth/allow.ts'
import type { SignIn } from '../providers/provider.ts'
import { belongingOf, type FreshFacts, type Person } from './admission.ts'
import { type IssuerHouse, type IssuerProvider, judgeUse, type Resource } from './house.ts'

export interface SignInFacts {
  readonly person: Person
  readonly fresh: FreshFacts
  /** What the provider said of organizations and teams; absent: not asked, or no answer. */
  readonly names?: readonly string[]
  /** Some were not answered for, so a no is not certain. */
  readonly isPartial: boolean
}

/** One look-up at most, within the deadline of a token call. */
export async function factsOfSignIn(
  house: IssuerHouse,
  { provider, context }: IssuerProvider,
  { identity, tokens }: SignIn,
): Promise<SignInFacts> {
  const { issuer, subject, profile, groups, roles, tenant } = identity
  const person: Person = {
    provider: provider.id,
    issuer,
    subject,
    profile,
    groups,
    ...(roles === undefined ? {} : { roles }),
    ...(tenant === undefined ? {} : { tenantId: tenant }),
  }
  const fresh = {
    bound: 'current',
    belonging: belongingOf(person, provider.type === 'entra'),
  } as const
  const wanted = house.memberships?.wanted(provider.id)
  if (wanted === undefined || provider.memberships === undefined)
    return { person, fresh, isPartial: false }
  const { tokenCallTimeoutMs } = house.config.limits
  const about = { operation: 'memberships', origin: provider.issuer }
  const asking = provider.memberships(context, tokens, wanted)
  const answer = await withDeadline(house.runtime, tokenCallTimeoutMs, about, asking).catch(
    (error: unknown) => {
      if (error instanceof UpstreamError) return undefined
      throw error
    },
  )
  if (answer === undefined || answer.outcome === 'unknown')
    return { person, fresh: { ...fresh, memberships: 'unknown' }, isPartial: true }
  const names = [...answer.organizations, ...answer.teams]
  return {
    person,
    names,
    fresh: { ...fresh, memberships: names },
    isPartial: answer.unanswered.length > 0,
  }
}

/** `out` only where everything that could admit this person was answered. */
export function judgeSignIn(
  house: IssuerHouse,
  { person, fresh, isPartial }: SignInFacts,
  resource: Resource | undefined,
): Verdict {
  const verdict = judgeUse(house, person, resource, fresh)
  if (verdict !== 'out' || !isPartial) return verdict
  return judgeUse(house, person, resource, { ...fresh, memberships: 'unknown' })
}

/** The provider let the person in and did not say whether they belong: try again, nothing is kept. */
export function membershipsUnanswered(provider: IssuerProvider['provider']): UpstreamError {
  return new UpstreamError('ERR_UPSTREAM_STATUS', {
    operation: 'memberships',
    origin: new URL(provider.issuer).origin,
  })
}

/** At the token endpoint: facts are too old, and are being asked for behind. */
export function membershipsTooOld(): OAuthError {
  return new OAuthError('temporarily_unavailable', 'the sign-in is being checked, try again', {
    status: 503,
    reason: 'membership_unknown',
    headers: { 'retry-after': '1' },
  })
}
