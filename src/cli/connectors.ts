/**
 * `postern connectors`: `list` shows what the store knows and asks nobody; `discover` asks a connector's
 * servers now; `approve` lets secrets go to an origin that was refused. Running nodes take it up within 5 s.
 *
 * Exit: 0 ready; 1 a fault was found, or nothing was approved; 2 usage; 3 nothing answers.
 */
import { defineCommand } from 'citty'
import { type ConnectorStatus, connectorLines } from '../connectors/lifecycle/connector-status.ts'
import { answerNo, confirmed, OPERATING_ARGS, operate, print } from './operating.ts'

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

export const connectorsCommand = defineCommand({
  meta: {
    name: 'connectors',
    description: 'Connectors and what is wrong with them. Example: postern connectors list',
  },
  subCommands: { list: listCommand, discover: discoverCommand, approve: approveCommand },
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
