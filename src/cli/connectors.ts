/**
 * `postern connectors`: `list` shows what the store knows and asks nobody; `discover` asks a connector's
 * servers now; `approve` lets secrets go to an origin that was refused; `add` and `remove` are for
 * connectors that are not in the configuration file. Running nodes take it up within 5 s.
 *
 * Exit: 0 ready; 1 a fault was found, or nothing was approved; 2 usage; 3 nothing answers.
 */
import { readFileSync } from 'node:fs'
import { defineCommand } from 'citty'
import { type ConnectorStatus, connectorLines } from '../connectors/lifecycle/connector-status.ts'
import { ConfigError, OAuthError } from '../errors.ts'
import {
  ACTOR,
  answerNo,
  confirmed,
  OPERATING_ARGS,
  type OperatingArguments,
  operate,
  print,
} from './operating.ts'

const listCommand = defineCommand({
  meta: {
    name: 'list',
    description: 'Shows each connector and its state. Example: postern connectors list --json',
  },
  args: OPERATING_ARGS,
  async run({ args }) {
    await operate(args, async ({ connectors }) => {
      const known = await connectors.list()
      print(args, { connectors: known }, known.flatMap(connectorLines))
    })
  },
})

const discoverCommand = defineCommand({
  meta: {
    name: 'discover',
    description: 'Asks the servers of a connector now. Example: postern connectors discover notes',
  },
  args: {
    name: { type: 'positional', description: 'Name of the connector', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    await operate(args, async ({ connectors }) => {
      const status = await connectors.discover(args.name)
      if (status === undefined) return answerNo(args, unknownConnector(args.name))
      print(args, status, connectorLines(status))
      process.exitCode = exitCodeOf(status)
    })
  },
})

const approveCommand = defineCommand({
  meta: {
    name: 'approve',
    description:
      'Lets secrets go to an origin that was refused. Example: postern connectors approve notes https://auth.example',
  },
  args: {
    name: { type: 'positional', description: 'Name of the connector', required: true },
    origin: { type: 'positional', description: 'Origin, as it was refused', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { name, origin } = args
    await operate(args, async ({ connectors }) => {
      const before = await connectors.find(name)
      if (before === undefined) return answerNo(args, unknownConnector(name))
      if (before.refusedOrigin === undefined || before.refusedOrigin !== URL.parse(origin)?.origin)
        return answerNo(args, `${origin} is not what was refused at ${name}: ${refusedAt(before)}`)
      if (!(await confirmed(args, `send codes and secrets of ${name} to ${before.refusedOrigin}`)))
        return answerNo(args, 'nothing was done')
      const status = await connectors.approve(name, before.refusedOrigin)
      if (status === undefined)
        return answerNo(args, `not approved: ${before.problems[0]?.text ?? 'it has changed'}`)
      print(args, status, connectorLines(status))
      process.exitCode = exitCodeOf(status)
    })
  },
})

const addCommand = defineCommand({
  meta: {
    name: 'add',
    description:
      'Adds a connector that is not in the configuration file, or replaces one. Example: postern connectors add notes https://notes.example/mcp --auth oauth',
  },
  args: {
    name: { type: 'positional', description: 'Name of the connector', required: true },
    url: { type: 'positional', description: 'Its MCP endpoint', required: false },
    preset: { type: 'string', description: 'A known server in the place of the URL' },
    auth: {
      type: 'string',
      description: 'none, identity, header, oauth or client_credentials; default identity',
    },
    title: { type: 'string', description: 'For people' },
    definition: {
      type: 'string',
      description: 'JSON file with further fields, secrets too; - reads standard input',
      valueHint: 'file',
    },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { name, url, preset, auth, title } = args
    const flags = Object.entries({ url, preset, auth, title })
    const given = flags.filter(([, value]) => value !== undefined)
    const input = { ...readDefinition(args.definition), ...Object.fromEntries(given) }
    await operate(args, async ({ connectors }) => {
      const done = await orNo(args, () => connectors.put(name, input, { actor: ACTOR }))
      if (done === undefined) return
      print(args, done.connector, connectorLines(done.connector))
      process.exitCode = exitCodeOf(done.connector)
    })
  },
})

const removeCommand = defineCommand({
  meta: {
    name: 'remove',
    description:
      'Removes a connector that is not in the configuration file; its connections end. Example: postern connectors remove notes',
  },
  args: {
    name: { type: 'positional', description: 'Name of the connector', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { name } = args
    await operate(args, async ({ connectors }) => {
      if ((await connectors.find(name)) === undefined) return answerNo(args, unknownConnector(name))
      if (!(await confirmed(args, `remove ${name} and end every connection to it`)))
        return answerNo(args, 'nothing was done')
      const isDone = await orNo(args, () => connectors.remove(name, { actor: ACTOR }))
      const lines = [`removed   ${name}, its connections end on every node within 5 s`]
      if (isDone === true) print(args, { name, removed: true }, lines)
      else if (isDone === false) answerNo(args, unknownConnector(name))
    })
  },
})

/** @throws {ConfigError} for a file that cannot be read or is no object. */
function readDefinition(file: string | undefined): object {
  if (file === undefined) return {}
  try {
    const value: unknown = JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Its text may hold a secret.
  }
  throw new ConfigError(
    'ERR_CONFIG_FILE',
    `the definition ${file} cannot be read as a JSON object.`,
    'Give a file like { "auth": "oauth", "client": { "clientId": "...", "clientSecret": "..." } }.',
  )
}

/** A refusal that is no mistake of the command's text is the answer no. */
async function orNo<T>(args: OperatingArguments, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OAuthError)) throw error
    answerNo(args, error.description)
    return undefined
  }
}

export const connectorsCommand = defineCommand({
  meta: {
    name: 'connectors',
    description: 'Connectors and what is wrong with them. Example: postern connectors list',
  },
  subCommands: {
    list: listCommand,
    add: addCommand,
    discover: discoverCommand,
    approve: approveCommand,
    remove: removeCommand,
  },
})

function refusedAt({ refusedOrigin }: ConnectorStatus): string {
  return refusedOrigin === undefined ? 'nothing was refused' : `that was ${refusedOrigin}`
}

function unknownConnector(name: string): string {
  return `there is no connector ${name}`
}

function exitCodeOf({ state }: ConnectorStatus): number {
  if (state === 'unreachable') return 3
  return state === 'ready' || state === 'disabled' ? 0 : 1
}
