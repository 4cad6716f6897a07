/**
 * Reads `allow`: who may sign in, see and call. Kinds that this version cannot check are refused by
 * name at start, because ignoring one would let in or keep out the wrong people.
 */
import type { Allow } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

const KINDS = ['emails', 'emailDomains', 'users', 'groups'] as const
const LATER_KINDS = ['roles', 'githubOrganizations', 'githubTeams', 'entraTenants']

export function readAllow(path: string, value: unknown, sources: Sources): Allow {
  if (value === 'anyone') return 'anyone'
  if (typeof value === 'string') throw read.invalid(path, `'anyone' or an object`)
  const input = read.record(path, value)
  for (const kind of LATER_KINDS) {
    if (input[kind] === undefined) continue
    throw new ConfigError(
      'ERR_CONFIG_ALLOW_KIND',
      `${path}.${kind} is not available in this version.`,
      `Use ${KINDS.join(', ')}, or 'anyone'.`,
    )
  }
  read.refuseUnknown(path, input, KINDS)
  const allow: Record<string, readonly string[]> = {}
  for (const kind of KINDS) {
    if (input[kind] === undefined) continue
    allow[kind] = read.list(`${path}.${kind}`, input[kind], sources).map((entry, index) => {
      refuseMalformed(kind, `${path}.${kind}[${index}]`, entry)
      return kind === 'emails' || kind === 'emailDomains' ? entry.toLowerCase() : entry
    })
  }
  if (Object.values(allow).every((entries) => entries.length === 0)) {
    throw read.invalid(path, `'anyone' or a list with somebody in it`)
  }
  return allow
}

function refuseMalformed(kind: (typeof KINDS)[number], path: string, entry: string): void {
  if (kind === 'emails' && !/^[^@\s]+@[^@\s]+$/.test(entry))
    throw read.invalid(path, 'one e-mail address')
  if (kind === 'emailDomains' && !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(entry)) {
    throw read.invalid(path, 'a domain like corp.example')
  }
  if (kind === 'users' && !/^[^:]+:.+$/.test(entry)) throw read.invalid(path, `'provider:subject'`)
  if (entry === '') throw read.invalid(path, 'not empty')
}
