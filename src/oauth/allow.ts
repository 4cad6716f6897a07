/**
 * Who may come in: facts about a person against the configured rule.
 *
 * E-mail rules use a verified claim and a strict address grammar, so that no second `@`, look-alike
 * or list gets through (A28, PRV-21). Pure: facts come from the membership cache (PRV-22). A fact
 * that nobody knows now is never a yes: it leaves the verdict *unknown*.
 */
import type { Profile } from '../records.ts'

/** Who may come in: any match admits; an e-mail address counts only when the provider verified it. */
export type AllowRule =
  | 'anyone'
  | {
      readonly emails?: readonly string[]
      readonly emailDomains?: readonly string[]
      /** `provider:subject`. */
      readonly users?: readonly string[]
      readonly groups?: readonly string[]
      /** Roles in our application, as the provider names them. */
      readonly roles?: readonly string[]
      /** Login names of organizations, lower case. */
      readonly githubOrganizations?: readonly string[]
      /** `organization/team`, by slug, lower case. */
      readonly githubTeams?: readonly string[]
      /** Tenant ids (`tid`), lower case. */
      readonly entraTenants?: readonly string[]
    }

/** What the provider says a person belongs to. Absent: the provider knows no such thing. */
export interface Belonging {
  readonly groups?: readonly string[]
  readonly roles?: readonly string[]
  readonly entraTenant?: string
}

export interface PersonFacts {
  /** Provider id of the configuration, e.g. `github`. */
  readonly provider: string
  /** Subject at that provider. */
  readonly subject: string
  readonly profile: Profile
  /** `unknown`: the provider could say, and what it said last is too old. */
  readonly belonging: Belonging | 'unknown'
  /** GitHub organizations and `organization/team`; `none`: the provider has no such thing. */
  readonly memberships: readonly string[] | 'none' | 'unknown'
}

export type Verdict = 'in' | 'out' | 'unknown'

/** Any match admits; no rule admits nobody: whoever means everybody says `anyone` (I7). */
export function judgeAllowed(allow: AllowRule | undefined, person: PersonFacts): Verdict {
  if (allow === undefined) return 'out'
  if (allow === 'anyone') return 'in'
  if (allow.users?.includes(`${person.provider}:${person.subject}`) === true) return 'in'
  if (hasAllowedEmail(allow, person.profile)) return 'in'
  return either(
    judgeBelonging(allow, person.belonging),
    judgeMemberships(allow, person.memberships),
  )
}

/** Every rule must say yes; one no is enough. */
export function both(first: Verdict, second: Verdict): Verdict {
  if (first === 'out' || second === 'out') return 'out'
  return first === 'unknown' || second === 'unknown' ? 'unknown' : 'in'
}

function either(first: Verdict, second: Verdict): Verdict {
  if (first === 'in' || second === 'in') return 'in'
  return first === 'unknown' || second === 'unknown' ? 'unknown' : 'out'
}

type Lists = Exclude<AllowRule, 'anyone'>

function judgeBelonging(allow: Lists, belonging: PersonFacts['belonging']): Verdict {
  const { groups = [], roles = [], entraTenants = [] } = allow
  if (groups.length + roles.length + entraTenants.length === 0) return 'out'
  if (belonging === 'unknown') return 'unknown'
  const tenant = belonging.entraTenant?.toLowerCase()
  const isIn =
    groups.some((group) => belonging.groups?.includes(group) === true) ||
    roles.some((role) => belonging.roles?.includes(role) === true) ||
    (tenant !== undefined && entraTenants.includes(tenant))
  return isIn ? 'in' : 'out'
}

function judgeMemberships(allow: Lists, memberships: PersonFacts['memberships']): Verdict {
  const { githubOrganizations = [], githubTeams = [] } = allow
  if (githubOrganizations.length + githubTeams.length === 0 || memberships === 'none') return 'out'
  if (memberships === 'unknown') return 'unknown'
  const isIn =
    githubOrganizations.some((name) => memberships.includes(name)) ||
    githubTeams.some((name) => memberships.includes(name))
  return isIn ? 'in' : 'out'
}

function hasAllowedEmail(allow: Lists, profile: Profile): boolean {
  const { emails = [], emailDomains = [] } = allow
  if (emails.length + emailDomains.length === 0) return false
  const email = profile.emailVerified === true ? parseEmail(profile.email) : undefined
  if (email === undefined) return false
  return (
    emails.some((entry) => entry.toLowerCase() === email.address) ||
    emailDomains.some((entry) => entry.toLowerCase() === email.domain)
  )
}

const EMAIL_MAX_CHARS = 254
const LOCAL_PART = /^[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}$/
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** ASCII dot-atom at a host name of two labels or more, in lower case; `undefined` for all else. */
export function parseEmail(text: unknown): { address: string; domain: string } | undefined {
  if (typeof text !== 'string' || text.length > EMAIL_MAX_CHARS) return undefined
  // Checked before lower-casing, which would fold look-alikes such as the Kelvin sign into ASCII.
  if (!/^[\x21-\x7e]+$/.test(text)) return undefined
  const address = text.toLowerCase()
  const [local, domain, ...more] = address.split('@')
  if (local === undefined || domain === undefined || more.length > 0) return undefined
  if (!LOCAL_PART.test(local) || local.split('.').includes('')) return undefined
  const labels = domain.split('.')
  if (labels.length < 2 || !labels.every((label) => LABEL.test(label))) return undefined
  return /^\d+$/.test(labels.at(-1) ?? '') ? undefined : { address, domain }
}
