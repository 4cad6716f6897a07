/**
 * May this person come in, and use this resource: one answer for list, page, token endpoint and call,
 * from one source of facts (O6, PRV-22).
 *
 * Looks into memory only. What is too old to be believed gives *unknown*, never a yes: the token
 * endpoint answers 503 then, a call waits for the flight as for a cold proof.
 */
import type { Config } from '../config.ts'
import {
  type AllowRule,
  type Belonging,
  both,
  judgeAllowed,
  type PersonFacts,
  type Verdict,
} from '../oauth/allow.ts'
import type { Runtime } from '../ports.ts'
import type { MembershipsWanted } from '../providers/provider.ts'
import type { Values } from '../records.ts'

/** As the user's row has it; a sign-in in progress has the same from the provider's answer. */
export type Person = Pick<
  Values['user'],
  'provider' | 'issuer' | 'subject' | 'profile' | 'groups' | 'roles' | 'tenantId'
>

/**
 * `current`: at most 300 s old, 3 600 s while the provider fails. `remembered`: at most 3 600 s, for
 * pages, which give nothing away that is not asked about again; renewed behind.
 */
export type Bound = 'current' | 'remembered'

/** The memory of `memberships.ts`, as far as judging goes. Answers at once. */
export interface KnownFacts {
  /** Whether rules ask for what this provider can be asked about again. */
  asks(providerId: string): { readonly belonging: boolean; readonly memberships: boolean }
  belonging(userKey: string, bound: Bound): Belonging | 'unknown'
  memberships(userKey: string, bound: Bound): readonly string[] | 'unknown'
}

export interface AdmissionRules {
  readonly config: Pick<Config, 'allow' | 'development' | 'providers'>
  readonly runtime: Pick<Runtime, 'sha256'>
  readonly known?: KnownFacts
}

/** A provider's answer of this moment, in the place of what memory has; the rest from memory. */
export interface FreshFacts {
  readonly bound: Bound
  readonly belonging?: Belonging
  readonly memberships?: readonly string[] | 'unknown'
}

/**
 * The house's rule and the connector's, both; `unknown` when a provider's word is missing.
 *
 * @param connectorAllow Absent: the house's alone.
 * @param facts How old what is remembered may be, or what a provider said just now.
 */
export function judgePerson(
  rules: AdmissionRules,
  person: Person,
  connectorAllow: AllowRule | undefined,
  facts: Bound | FreshFacts,
): Verdict {
  const { allow, development } = rules.config
  // Absent means anyone only for a loopback issuer; elsewhere the start already refused it.
  const house = allow ?? (development ? 'anyone' : undefined)
  if (house === 'anyone' && (connectorAllow === undefined || connectorAllow === 'anyone'))
    return 'in'
  const known = factsOf(rules, person, facts)
  const inHouse = judgeAllowed(house, known)
  return connectorAllow === undefined ? inHouse : both(inHouse, judgeAllowed(connectorAllow, known))
}

/** The key of a person's row and facts (PRV-21). */
export function userKeyOf(
  runtime: Pick<Runtime, 'sha256'>,
  { issuer, subject }: Pick<Person, 'issuer' | 'subject'>,
): string {
  return runtime.sha256(JSON.stringify([issuer, subject]))
}

function factsOf(rules: AdmissionRules, person: Person, facts: Bound | FreshFacts): PersonFacts {
  const { config, known, runtime } = rules
  const { provider: providerId, subject, profile } = person
  const fresh: FreshFacts = typeof facts === 'object' ? facts : { bound: facts }
  const provider = config.providers.find(({ id }) => id === providerId)
  const asks = known?.asks(providerId)
  // Made only where a rule asks: pages and calls of most houses digest nothing.
  const userKey = (): string => userKeyOf(runtime, person)
  const belonging = (): Belonging | 'unknown' =>
    known !== undefined && asks?.belonging === true
      ? known.belonging(userKey(), fresh.bound)
      : belongingOf(person, provider?.type === 'entra')
  const memberships = (): readonly string[] | 'none' | 'unknown' => {
    if (provider?.memberships === undefined) return 'none'
    return known !== undefined && asks?.memberships === true
      ? known.memberships(userKey(), fresh.bound)
      : 'unknown'
  }
  return {
    provider: providerId,
    subject,
    profile,
    belonging: fresh.belonging ?? belonging(),
    memberships: fresh.memberships ?? memberships(),
  }
}

/** A tenant id is Entra's word only in an answer of Entra. */
export function belongingOf(
  { groups, roles, tenantId }: Pick<Person, 'groups' | 'roles' | 'tenantId'>,
  isEntra: boolean,
): Belonging {
  return {
    groups,
    ...(roles === undefined ? {} : { roles }),
    ...(isEntra && tenantId !== undefined ? { entraTenant: tenantId } : {}),
  }
}

/** What all rules together ask about organizations and teams; `undefined`: nothing. */
export function membershipsWanted(
  config: Pick<Config, 'allow' | 'connectors'>,
): MembershipsWanted | undefined {
  const rules = allRules(config)
  const organizations = [...new Set(rules.flatMap((rule) => rule.githubOrganizations ?? []))]
  const teams = [...new Set(rules.flatMap((rule) => rule.githubTeams ?? []))]
  return organizations.length + teams.length === 0 ? undefined : { organizations, teams }
}

/** What all rules together name of a person's identity; nothing else of it is kept as a fact. */
export interface IdentityWanted {
  readonly groups: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
  readonly hasTenants: boolean
  readonly hasEmails: boolean
}

export function identityWanted(config: Pick<Config, 'allow' | 'connectors'>): IdentityWanted {
  const rules = allRules(config)
  const size = (lists: readonly (readonly string[] | undefined)[]): number => lists.flat().length
  return {
    groups: new Set(rules.flatMap(({ groups = [] }) => groups)),
    roles: new Set(rules.flatMap(({ roles = [] }) => roles)),
    hasTenants: size(rules.map(({ entraTenants }) => entraTenants ?? [])) > 0,
    hasEmails: size(rules.flatMap((rule) => [rule.emails ?? [], rule.emailDomains ?? []])) > 0,
  }
}

function allRules(
  config: Pick<Config, 'allow' | 'connectors'>,
): readonly Exclude<AllowRule, 'anyone'>[] {
  const given = [config.allow, ...config.connectors.map(({ allow }) => allow)]
  return given.filter((rule) => rule !== undefined && rule !== 'anyone')
}

/** A yes that depends on facts is looked up again after this long; marks refuse before that. */
const VERDICT_MS = 1_000

/** What a call knows of the person: the session of a remembered token. */
type Caller = {
  readonly provider?: string | undefined
  readonly identityIssuer?: string | undefined
  readonly subject?: string | undefined
  readonly profile?: Person['profile'] | undefined
  readonly groups?: readonly string[] | undefined
  readonly roles?: readonly string[] | undefined
  readonly tenantId?: string | undefined
}

/**
 * The same judgement for calls: a warm call costs one look-up by object and one comparison of times.
 * `cold`: memory does not know; the call waits for the facts as for a cold proof.
 */
export function createCallAdmission(
  rules: AdmissionRules & { readonly runtime: Pick<Runtime, 'sha256' | 'monotonicMs'> },
): (caller: Caller, connectorAllow: AllowRule | undefined) => boolean | 'cold' {
  const { allow, development } = rules.config
  const isOpen = (allow ?? (development ? 'anyone' : undefined)) === 'anyone'
  const admittedUntilMs = new WeakMap<Caller, number>()
  return (caller, connectorAllow) => {
    if (isOpen && (connectorAllow === undefined || connectorAllow === 'anyone')) return true
    // A yes must not last longer because the clock went back (K7).
    const atMs = rules.runtime.monotonicMs()
    if (atMs < (admittedUntilMs.get(caller) ?? 0)) return true
    const verdict = judgePerson(rules, personOf(caller), connectorAllow, 'current')
    if (verdict === 'in') admittedUntilMs.set(caller, atMs + VERDICT_MS)
    return verdict === 'unknown' ? 'cold' : verdict === 'in'
  }
}

export function personOf(caller: Caller): Person {
  const { roles, tenantId } = caller
  return {
    provider: caller.provider ?? '',
    issuer: caller.identityIssuer ?? '',
    subject: caller.subject ?? '',
    profile: caller.profile ?? {},
    groups: caller.groups ?? [],
    ...(roles === undefined ? {} : { roles }),
    ...(tenantId === undefined ? {} : { tenantId }),
  }
}
