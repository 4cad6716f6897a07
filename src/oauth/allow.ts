/**
 * Who may come in: facts about a person against the configured rule.
 *
 * E-mail rules use a verified claim and a strict address grammar, so that no second `@`, look-alike
 * or list gets through (A28, PRV-21). Pure: facts come from the membership cache (PRV-22).
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
    }

export interface PersonFacts {
  /** Provider id of the configuration, e.g. `github`. */
  readonly provider: string
  /** Subject at that provider. */
  readonly subject: string
  readonly profile: Profile
  readonly groups: readonly string[]
}

/** Any match admits; no rule admits nobody: whoever means everybody says `anyone` (I7). */
export function isAllowed(allow: AllowRule | undefined, person: PersonFacts): boolean {
  if (allow === undefined) return false
  if (allow === 'anyone') return true
  if (allow.users?.includes(`${person.provider}:${person.subject}`) === true) return true
  if (allow.groups?.some((group) => person.groups.includes(group)) === true) return true
  const email = person.profile.emailVerified === true ? parseEmail(person.profile.email) : undefined
  if (email === undefined) return false
  return (
    allow.emails?.some((entry) => entry.toLowerCase() === email.address) === true ||
    allow.emailDomains?.some((entry) => entry.toLowerCase() === email.domain) === true
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
