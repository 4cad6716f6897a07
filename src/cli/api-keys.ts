/**
 * `postern api-keys`: `create` prints a key once, `list` shows what there are, `remove` ends one. A running
 * house takes a new one at once and forgets an ended one within 5 s.
 */
import { defineCommand } from 'citty'
import type { ApiKeyRow } from '../api/keys.ts'
import { ROLES } from '../api/route.ts'
import { ConfigError } from '../errors.ts'
import {
  ACTOR,
  answerNo,
  confirmed,
  OPERATING_ARGS,
  operate,
  print,
  progress,
} from './operating.ts'

const DAY_MS = 86_400_000

const createCommand = defineCommand({
  meta: {
    name: 'create',
    description: 'Makes an API key. Example: postern api-keys create --role read --name ci',
  },
  args: {
    role: { type: 'string', description: ROLES.join(', '), required: true },
    name: { type: 'string', description: 'For people' },
    app: { type: 'string', description: 'Only for this app' },
    connectors: { type: 'string', description: 'Only for these, with commas' },
    days: { type: 'string', description: 'Ends after as many days; default never' },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { name, app } = args
    const role = ROLES.find((known) => known === args.role)
    if (role === undefined) throw wrong(`--role ${args.role}`, `one of ${ROLES.join(', ')}`)
    const connectors = args.connectors?.split(',').map((text) => text.trim())
    const days = args.days === undefined ? undefined : readDays(args.days)
    await operate(args, async ({ apiKeys }) => {
      const { id, secret, value } = await (await apiKeys()).create(
        {
          role,
          ...(name === undefined ? {} : { name }),
          ...(app === undefined ? {} : { app }),
          ...(connectors === undefined ? {} : { connectors }),
          ...(days === undefined ? {} : { expiresAtMs: Date.now() + days * DAY_MS }),
        },
        ACTOR,
      )
      progress(args, `${id}: shown once, keep it where secrets are kept`)
      print(args, { ...shown({ key: { id }, value }), key: secret }, [secret])
    })
  },
})

const listCommand = defineCommand({
  meta: { name: 'list', description: 'Shows API keys. Example: postern api-keys list --json' },
  args: OPERATING_ARGS,
  async run({ args }) {
    await operate(args, async ({ apiKeys }) => {
      const rows = await (await apiKeys()).list()
      print(args, { apiKeys: rows.map(shown) }, rows.map(line))
    })
  },
})

const removeCommand = defineCommand({
  meta: {
    name: 'remove',
    description: 'Ends an API key. Example: postern api-keys remove key_...',
  },
  args: {
    id: { type: 'positional', description: 'Its id', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    await operate(args, async ({ apiKeys }) => {
      const keys = await apiKeys()
      if (!(await confirmed(args, `end ${args.id}`))) return answerNo(args, 'nothing was done')
      const ended = await keys.end(args.id, ACTOR)
      if (ended === 'unknown') return answerNo(args, `there is no API key ${args.id}`)
      if (ended === 'last')
        return answerNo(args, `${args.id} is the last key that manages; make another one first`)
      print(args, { done: true, id: args.id }, [`ended     ${args.id}, everywhere within 5 s`])
    })
  },
})

export const apiKeysCommand = defineCommand({
  meta: { name: 'api-keys', description: 'API keys. Example: postern api-keys list' },
  subCommands: { create: createCommand, list: listCommand, remove: removeCommand },
})

function readDays(text: string): number {
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (days > 0) return days
  throw wrong(`--days ${text}`, 'a whole number from 1 to 9999')
}

function wrong(what: string, mustBe: string): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_VALUE',
    `${what} must be ${mustBe}.`,
    'Run: postern api-keys create --help',
  )
}

interface Shown {
  readonly key: { readonly id: string }
  readonly value: ApiKeyRow['value']
}

/** Never the digest. */
function shown({ key: { id }, value }: Shown): object {
  const { name, role, app, connectors, createdAtMs, usedAtMs, expiresAtMs } = value
  return {
    ...{ id, name, role, app, connectors },
    createdAt: new Date(createdAtMs).toISOString(),
    ...(usedAtMs === undefined ? {} : { usedAt: new Date(usedAtMs).toISOString() }),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
  }
}

function line({ key: { id }, value: { role, name = '', app, connectors } }: Shown): string {
  const only = [app, ...(connectors ?? [])].filter((text) => text !== undefined).join(' ')
  return [id, role.padEnd(8), name, only].join('  ').trimEnd()
}
