/**
 * `postern clients`: `list`, `add` one by hand, `remove` one with its grants. Those of the configuration
 * file are shown, and changed there.
 */
import { defineCommand } from 'citty'
import { ConfigError, OAuthError } from '../errors.ts'
import type { ClientView } from '../issuer/client-administration.ts'
import type { Operations } from '../operations.ts'
import {
  ACTOR,
  answerNo,
  confirmed,
  OPERATING_ARGS,
  operate,
  print,
  progress,
} from './operating.ts'

const PAGE_ROWS = 200
const PAGES_MAX = 1_000

const listCommand = defineCommand({
  meta: { name: 'list', description: 'Shows clients. Example: postern clients list --json' },
  args: OPERATING_ARGS,
  async run({ args }) {
    await operate(args, async ({ clients }) => {
      for await (const page of pagesOf(clients)) {
        if (args.json === true)
          for (const client of page) console.log(JSON.stringify(shown(client)))
        else for (const client of page) console.log(line(client))
      }
    })
  },
})

const addCommand = defineCommand({
  meta: {
    name: 'add',
    description:
      'Adds a client. Example: postern clients add Report https://report.example/callback',
  },
  args: {
    name: { type: 'positional', description: 'For people', required: true },
    redirectUris: {
      type: 'positional',
      description: 'Redirect URIs, with commas',
      required: true,
    },
    confidential: { type: 'boolean', description: 'With a secret, printed once' },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const redirectUris = args.redirectUris.split(',').map((text) => text.trim())
    await operate(args, async ({ clients }) => {
      const asked = { name: args.name, redirectUris, confidential: args.confidential }
      const { client, secret } = await judged(() => clients.create(asked, ACTOR))
      if (secret !== undefined) progress(args, 'the secret is shown once')
      const told = { ...shown(client), ...(secret === undefined ? {} : { secret }) }
      print(args, told, [line(client), ...(secret === undefined ? [] : [secret])])
    })
  },
})

const removeCommand = defineCommand({
  meta: {
    name: 'remove',
    description: 'Removes a client and its grants. Example: postern clients remove cli_...',
  },
  args: {
    id: { type: 'positional', description: 'Client id', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { id } = args
    await operate(args, async ({ clients }) => {
      if (!(await confirmed(args, `remove ${id} and end its grants`)))
        return answerNo(args, 'nothing was done')
      const removed = await clients.remove(id, ACTOR)
      if (removed === 'unknown') return answerNo(args, `there is no client ${id}`)
      if (removed === 'in_file')
        return answerNo(args, `${id} stands in the configuration file; remove it there`)
      print(args, { done: true, id }, [`removed   ${id}, its grants end on every node within 5 s`])
    })
  },
})

export const clientsCommand = defineCommand({
  meta: { name: 'clients', description: 'Clients. Example: postern clients list' },
  subCommands: { list: listCommand, add: addCommand, remove: removeCommand },
})

async function* pagesOf(clients: Operations['clients']): AsyncGenerator<readonly ClientView[]> {
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const { data, next } = await clients.list(at)
    yield data
    if (next === undefined) return
    after = next
  }
}

async function judged<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    throw new ConfigError('ERR_CONFIG_VALUE', `${error.description}.`, 'Correct it.')
  }
}

function shown({ version: _, createdAtMs, usedAtMs, expiresAtMs, ...client }: ClientView): object {
  const time = (atMs: number | undefined) => atMs && new Date(atMs).toISOString()
  return {
    ...client,
    createdAt: time(createdAtMs),
    usedAt: time(usedAtMs),
    expiresAt: time(expiresAtMs),
  }
}

function line({ id, source, name = '', redirectUris }: ClientView): string {
  return [id, source.padEnd(10), name, redirectUris[0] ?? ''].join('  ').trimEnd()
}
