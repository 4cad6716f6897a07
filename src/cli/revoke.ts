/**
 * `postern revoke`: ends grants by client, connector, user, tenant, time or all, on every node within
 * the poll. One mark, however many grants it covers; only `--since` goes through them one by one.
 */
import { defineCommand } from 'citty'
import { ConfigError } from '../errors.ts'
import type { MarkedThing } from '../issuer/endings.ts'
import { connectorThing } from '../issuer/mass-endings.ts'
import type { Operations } from '../operations.ts'
import { TENANT } from '../records.ts'
import {
  answerNo,
  confirmed,
  OPERATING_ARGS,
  type OperatingArguments,
  operate,
  print,
  progress,
} from './operating.ts'

const CAUSE = 'revoked_by_operator'

export const revokeCommand = defineCommand({
  meta: {
    name: 'revoke',
    description: 'Ends grants. Example: postern revoke --connector notes --yes',
  },
  args: {
    client: { type: 'string', description: 'Of this client id', valueHint: 'id' },
    connector: { type: 'string', description: 'For this connector or resource', valueHint: 'name' },
    user: { type: 'string', description: 'Of this user id, e-mail or login', valueHint: 'user' },
    since: { type: 'string', description: 'Made since, as ISO 8601 or 2h, 3d', valueHint: 'time' },
    all: { type: 'boolean', description: 'All of them' },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const asked = readSelection(args)
    await operate(args, async (operations) => {
      if (asked.by === 'since') return revokeSince(args, operations, asked.value)
      const thing = await find(operations, asked)
      if (thing === undefined) return answerNo(args, `nothing here is ${asked.by} ${asked.value}`)
      const whose = args.tenant === undefined ? '' : ` in tenant ${args.tenant}`
      const of = thing.kind === 'tenant' ? '' : ` of ${asked.by} ${thing.id}`
      const what = `every grant${of}${whose}`
      if (!(await confirmed(args, `end ${what}`))) return answerNo(args, 'nothing was done')
      await operations.revoke(thing, CAUSE)
      const pending = await operations.pending()
      print(args, { done: true, kind: thing.kind, id: thing.id, pendingUpstream: pending }, [
        `ended     ${what}, here and on every node within 5 s`,
        `upstream  ${pending} revocations wait for a running node`,
      ])
    })
  },
})

type By = 'client' | 'connector' | 'user' | 'tenant' | 'since' | 'all'
interface Selection {
  readonly by: By
  readonly value: string
}

function readSelection(args: Readonly<Record<string, unknown>>): Selection {
  const names = ['client', 'connector', 'user', 'since', 'all'] as const
  const given = names.filter((name) => args[name] !== undefined && args[name] !== false)
  // A tenant alone means all of it; beside another it says in whose house.
  const [by] = given.length === 0 && args.tenant !== undefined ? (['tenant'] as const) : given
  if (by === undefined || given.length > 1) {
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_FLAG',
      `revoke takes exactly one of ${[...names, 'tenant'].map((name) => `--${name}`).join(', ')}.`,
      'Run: postern revoke --help',
    )
  }
  return { by, value: by === 'all' || by === 'tenant' ? TENANT : String(args[by]) }
}

async function find(
  operations: Operations,
  { by, value }: Selection,
): Promise<MarkedThing | undefined> {
  if (by === 'client') return { kind: 'client', id: value }
  if (by === 'tenant' || by === 'all') return { kind: 'tenant', id: TENANT }
  if (by === 'connector') return connectorThing(await operations.connectors.list(), value)
  const people = await operations.findPeople(value)
  const [person] = people
  return person === undefined || people.length > 1
    ? undefined
    : { kind: 'user', id: person.value.userId }
}

async function revokeSince(
  args: OperatingArguments,
  operations: Operations,
  value: string,
): Promise<void> {
  const sinceMs = readTime(value)
  const since = new Date(sinceMs).toISOString()
  if (!(await confirmed(args, `end every grant made since ${since}`)))
    return answerNo(args, 'nothing was done')
  let told = -1
  const ended = await operations.revokeSince(sinceMs, CAUSE, (count) => {
    if (count !== told) progress(args, `${count} ended`)
    told = count
  })
  const pending = await operations.pending()
  print(args, { done: true, kind: 'since', since, ended, pendingUpstream: pending }, [
    `ended     ${ended} grants made since ${since}`,
    `upstream  ${pending} revocations wait for a running node`,
  ])
}

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function readTime(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? []
  const agoMs = UNITS_MS[unit]
  const timeMs = agoMs === undefined ? Date.parse(text) : Date.now() - Number(count) * agoMs
  if (Number.isFinite(timeMs)) return timeMs
  throw new ConfigError(
    'ERR_CONFIG_VALUE',
    `--since ${text} is not a time.`,
    'Write 2026-01-31T12:00:00Z, or 30m, 12h, 7d.',
  )
}
