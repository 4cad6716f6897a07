/**
 * `postern webhooks`: `list` shows who is told of what, `test` sends `webhook.test` now and says what came
 * back; a disabled one that takes it is active again.
 *
 * Exit: 0 taken; 1 not taken, or unknown; 2 usage.
 */
import { defineCommand } from 'citty'
import type { Endpoint } from '../webhooks/endpoints.ts'
import { ACTOR, answerNo, OPERATING_ARGS, operate, print } from './operating.ts'

const listCommand = defineCommand({
  meta: { name: 'list', description: 'Shows webhooks. Example: postern webhooks list --json' },
  args: OPERATING_ARGS,
  async run({ args }) {
    await operate(args, async ({ webhooks }) => {
      const all = await (await webhooks()).list()
      print(args, { webhooks: all.map(shown) }, all.map(line))
    })
  },
})

const testCommand = defineCommand({
  meta: {
    name: 'test',
    description: 'Sends webhook.test once. Example: postern webhooks test https://app.example/hook',
  },
  args: {
    webhook: { type: 'positional', description: 'Its id or URL', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    const { webhook } = args
    await operate(args, async (operations) => {
      const webhooks = await operations.webhooks()
      const all = await webhooks.list()
      const found = all.find(({ id, url }) => id === webhook || url === webhook)
      const tested = found && (await webhooks.test(found.id, ACTOR))
      if (found === undefined || tested === undefined)
        return answerNo(args, `there is no webhook ${webhook}`)
      if (tested.outcome === 'failed')
        return answerNo(args, `${found.url} did not take it: ${tested.reason ?? 'failed'}`)
      const { status } = tested
      print(args, { done: true, id: found.id, status }, [
        `taken     ${found.url} answered ${status}`,
      ])
    })
  },
})

export const webhooksCommand = defineCommand({
  meta: { name: 'webhooks', description: 'Webhooks. Example: postern webhooks list' },
  subCommands: { list: listCommand, test: testCommand },
})

function shown({ createdAtMs, disabledAtMs, isInFile, ...webhook }: Endpoint): object {
  const time = (atMs: number | undefined) => atMs && new Date(atMs).toISOString()
  const source = isInFile ? 'file' : 'api'
  return { ...webhook, source, createdAt: time(createdAtMs), disabledAt: time(disabledAtMs) }
}

function line({ id, state, url, events, cause }: Endpoint): string {
  const why = cause === undefined ? '' : ` (${cause})`
  return `${id}  ${state}${why}  ${url}  ${events.join(' ')}`
}
