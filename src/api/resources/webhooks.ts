/** `webhooks`: who is told of which events. A secret is shown once; those of the file are read-only. */
import { z } from 'zod'
import { WEBHOOK_PATTERNS_MAX } from '../../config/webhooks.ts'
import { announceForget } from '../../issuer/forget.ts'
import type { Endpoint } from '../../webhooks/endpoints.ts'
import { isEventPattern } from '../../webhooks/event-names.ts'
import { WEBHOOKS } from '../../webhooks/room.ts'
import { fieldsProblem } from '../fields.ts'
import { type ApiHouse, notFound, Problem, route } from '../route.ts'
import { optionalTime, pageAnswer } from '../rows.ts'
import { idOf, pageOf, Time, Url } from '../shapes.ts'

const READERS = ['read', 'manage'] as const

const Webhook = z
  .object({
    id: idOf('whk'),
    url: z.string(),
    events: z.array(z.string()),
    state: z.enum(['active', 'disabled']),
    cause: z.string().optional().describe('Why it was disabled.'),
    source: z.enum(['api', 'file']),
    createdAt: Time.optional(),
    disabledAt: Time.optional(),
  })
  .meta({ id: 'Webhook' })
const NewWebhook = Webhook.extend({
  secret: z.string().describe('`whsec_...` for `verifyWebhook`; shown once.'),
}).meta({ id: 'NewWebhook' })
const Tested = z
  .object({
    delivered: z.boolean(),
    status: z.int().optional(),
    reason: z.string().optional(),
  })
  .meta({ id: 'WebhookTest' })
const Item = z.object({ id: idOf('whk') })
const Pattern = z
  .string()
  .max(64)
  .refine(isEventPattern, 'It is not the name of an event, nor a pattern such as connection.*')

export function webhookRoutes(house: ApiHouse) {
  return [...readRoutes(house), ...changeRoutes(house)]
}

function readRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/webhooks', operationId: 'webhooks.list', list: true },
      summary: 'Lists webhooks, those of the configuration file included.',
      roles: READERS,
      answers: { 200: { description: 'All of them.', schema: pageOf(Webhook) } },
      problems: [],
      async handle({ limit, after = '' }) {
        const all = await (await house.operations.webhooks()).list()
        const left = all.filter(({ id }) => id > after)
        const rows = left.slice(0, limit)
        const next = left.length > limit ? rows.at(-1)?.id : undefined
        return pageAnswer({ rows, next }, webhookView)
      },
    }),
    route({
      ...{ method: 'GET', path: '/webhooks/{id}', operationId: 'webhooks.find', roles: READERS },
      summary: 'One webhook.',
      params: Item,
      answers: { 200: { description: 'The webhook.', schema: Webhook } },
      problems: [],
      async handle({ params }) {
        const webhook = await (await house.operations.webhooks()).find(params.id)
        if (webhook === undefined) throw notFound('webhook')
        return { status: 200, body: webhookView(webhook) }
      },
    }),
  ]
}

function changeRoutes(house: ApiHouse) {
  const changed = () => announceForget(house, WEBHOOKS)
  return [
    route({
      ...{ method: 'POST', path: '/webhooks', operationId: 'webhooks.create' },
      summary: 'Makes a webhook. Its URL is public https.',
      roles: ['manage'],
      body: z.object({ url: Url, events: z.array(Pattern).min(1).max(WEBHOOK_PATTERNS_MAX) }),
      answers: { 201: { description: 'The webhook, and its secret.', schema: NewWebhook } },
      problems: ['ERR_API_LIMIT'],
      async handle({ body, caller }) {
        const made = await (await house.operations.webhooks()).create(body, caller.keyId)
        if (made.outcome === 'url') {
          const detail = 'It is not a public https URL that this house may ask.'
          throw fieldsProblem([{ param: 'url', code: 'ERR_API_FIELD_VALUE', detail }])
        }
        if (made.outcome !== 'made')
          throw new Problem(409, 'ERR_API_LIMIT', 'There are as many webhooks as there may be.')
        await changed()
        return { status: 201, body: { ...webhookView(made.webhook), secret: made.secret } }
      },
    }),
    route({
      ...{ method: 'DELETE', path: '/webhooks/{id}', operationId: 'webhooks.remove' },
      summary: 'Removes a webhook and what it was still to be told.',
      roles: ['manage'],
      params: Item,
      answers: { 204: { description: 'It is removed.' } },
      problems: ['ERR_WEBHOOK_IN_FILE'],
      async handle({ params, caller }) {
        const removed = await (await house.operations.webhooks()).remove(params.id, caller.keyId)
        if (removed === 'unknown') throw notFound('webhook')
        if (removed === 'in_file')
          throw new Problem(409, 'ERR_WEBHOOK_IN_FILE', 'It stands in the configuration file.')
        await changed()
        return { status: 204 }
      },
    }),
    route({
      ...{ method: 'POST', path: '/webhooks/{id}/test', operationId: 'webhooks.test' },
      summary: 'Sends `webhook.test` once, now. A disabled one that answers 2xx is active again.',
      roles: ['manage'],
      params: Item,
      answers: { 200: { description: 'What became of it.', schema: Tested } },
      problems: [],
      async handle({ params, caller }) {
        const tested = await (await house.operations.webhooks()).test(params.id, caller.keyId)
        if (tested === undefined) throw notFound('webhook')
        const { outcome, ...why } = tested
        if (outcome === 'delivered') await changed()
        return { status: 200, body: { delivered: outcome === 'delivered', ...why } }
      },
    }),
  ]
}

function webhookView(endpoint: Endpoint): z.infer<typeof Webhook> {
  const { id, url, events, state, cause, isInFile, createdAtMs, disabledAtMs } = endpoint
  return {
    ...{ id, url, events: [...events], state, source: isInFile ? 'file' : 'api' },
    ...(cause === undefined ? {} : { cause }),
    ...optionalTime('createdAt', createdAtMs),
    ...optionalTime('disabledAt', disabledAtMs),
  }
}
