/**
 * Reads `allow`: who may sign in, see and call. A kind that no configured provider can answer is refused
 * by name at start, because ignoring one would let in or keep out the wrong people.
 */
import type { Allow, ConnectorConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { MEMBERSHIPS_MAX } from '../providers/github-memberships.ts'
import type { Provider } from '../providers/provider.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const KINDS = [
  'emails',
  'emailDomains',
  'users',
  'groups',
  'roles',
  'githubOrganizations',
  'githubTeams',
  'entraTenants',
] as const
type Kind = (typeof KINDS)[number]

/** Written without regard to case at the provider, so compared in lower case. */
const CASELESS: readonly Kind[] = [
  'emails',
  'emailDomains',
  'githubOrganizations',
  'githubTeams',
  'entraTenants',
]

const FORMS: Readonly<Record<Kind, readonly [pattern: RegExp, mustBe: string]>> = {
  emails: [/^[^@\s]+@[^@\s]+$/, 'one e-mail address'],
  emailDomains: [/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, 'a domain like corp.example'],
  users: [/^[^:]+:.+$/, `'provider:subject'`],
  groups: [/./, 'not empty'],
  roles: [/./, 'not empty'],
  githubOrganizations: [/^[a-z0-9][a-z0-9-]{0,38}$/i, 'the name of an organization, like acme'],
  githubTeams: [
    /^[a-z0-9][a-z0-9-]{0,38}\/[a-z0-9][a-z0-9._-]{0,99}$/i,
    `'organization/team', like acme/reviewers`,
  ],
  entraTenants: [
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
    'a tenant id, like 7f1c0000-0000-4000-8000-000000000000',
  ],
}

export function readAllow(path: string, value: unknown, sources: Sources): Allow {
  if (value === 'anyone') return 'anyone'
  if (typeof value === 'string') throw read.invalid(path, `'anyone' or an object`)
  const input = read.record(path, value)
  read.refuseUnknown(path, input, KINDS)
  const allow: Record<string, readonly string[]> = {}
  for (const kind of KINDS) {
    if (input[kind] === undefined) continue
    const [pattern, mustBe] = FORMS[kind]
    allow[kind] = read.list(`${path}.${kind}`, input[kind], sources).map((entry, index) => {
      if (!pattern.test(entry)) throw read.invalid(`${path}.${kind}[${index}]`, mustBe)
      return CASELESS.includes(kind) ? entry.toLowerCase() : entry
    })
  }
  if (Object.values(allow).every((entries) => entries.length === 0)) {
    throw read.invalid(path, `'anyone' or a list with somebody in it`)
  }
  return allow
}

/** What one kind needs of a provider, and what to do without one. */
const ANSWERED_BY: readonly {
  readonly kinds: readonly Kind[]
  readonly answers: (provider: Provider) => boolean
  readonly fix: string
}[] = [
  {
    kinds: ['githubOrganizations', 'githubTeams'],
    answers: (provider) => provider.memberships !== undefined,
    fix: `Add { type: 'github' } to providers, or use emails, emailDomains, users or groups.`,
  },
  {
    kinds: ['entraTenants'],
    answers: (provider) => provider.type === 'entra',
    fix: `Add { type: 'entra' } to providers, or use emails, emailDomains, users or groups.`,
  },
  {
    kinds: ['groups', 'roles'],
    // An OAuth provider that knows organizations and teams has neither groups nor roles.
    answers: (provider) => provider.memberships === undefined,
    fix: 'Use githubOrganizations or githubTeams, or add a provider that knows groups.',
  },
]

/**
 * @throws {ConfigError} `ERR_CONFIG_ALLOW_KIND` for a kind that none of `providers` can answer, or that
 *   two of them would answer for different people of one name.
 */
export function refuseUnansweredKinds(
  allow: Allow | undefined,
  connectors: readonly Pick<ConnectorConfig, 'name' | 'allow'>[],
  providers: readonly Provider[],
): void {
  const rules = [
    { at: 'allow', rule: allow },
    ...connectors.map(({ name, allow: rule }) => ({ at: `connectors.${name}.allow`, rule })),
  ]
  const names = new Set<string>()
  for (const { at, rule } of rules) {
    if (rule === undefined || rule === 'anyone') continue
    for (const { kinds, answers, fix } of ANSWERED_BY) {
      const kind = kinds.find((entry) => (rule[entry] ?? []).length > 0)
      if (kind === undefined || providers.some(answers)) continue
      const who =
        providers.length === 0 ? 'there is none' : providers.map(({ id }) => id).join(', ')
      throw unanswered(`${at}.${kind} needs a provider that can answer it; ${who} cannot.`, fix)
    }
    for (const name of [...(rule.githubOrganizations ?? []), ...(rule.githubTeams ?? [])])
      names.add(name)
  }
  refuseAmbiguousNames(names, providers)
}

/** Anybody may found an organization of the same name at another GitHub. */
function refuseAmbiguousNames(names: ReadonlySet<string>, providers: readonly Provider[]): void {
  if (names.size === 0) return
  const issuers = providers.flatMap((provider) =>
    provider.memberships === undefined ? [] : [provider.issuer],
  )
  if (new Set(issuers).size > 1) {
    throw unanswered(
      'githubOrganizations and githubTeams do not say which GitHub is meant, and there are several.',
      'Keep one GitHub in providers, or name people by users, emails or emailDomains.',
    )
  }
  if (names.size > MEMBERSHIPS_MAX) {
    throw unanswered(
      `the rules name ${names.size} organizations and teams; ${MEMBERSHIPS_MAX} are asked about at most.`,
      'Name an organization in the place of its teams.',
    )
  }
}

function unanswered(problem: string, fix: string): ConfigError {
  return new ConfigError('ERR_CONFIG_ALLOW_KIND', problem, fix)
}
