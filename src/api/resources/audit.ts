/**
 * `audit`: what was changed, by whom, about whom, oldest first. As a page, or all of it as CSV or JSON
 * lines, streamed row by row and bounded.
 */
import { z } from 'zod'
import { timePrefix } from '../../issuer/ids.ts'
import type { Versioned } from '../../ports.ts'
import { type ApiAnswer, type ApiHouse, route } from '../route.ts'
import { isoTime, type ListedPage, listRows, pageAnswer } from '../rows.ts'
import { pageOf, Time } from '../shapes.ts'

const AuditItem = z
  .object({
    id: z.string(),
    event: z.string(),
    createdAt: Time,
    actor: z.string().optional().describe('Id of the API key that did it, `admin` or `cli`.'),
    userId: z.string().optional(),
    clientId: z.string().optional(),
    connector: z.string().optional(),
    webhookId: z.string().optional(),
    detail: z.string(),
  })
  .meta({ id: 'AuditEvent' })
type AuditItem = z.infer<typeof AuditItem>

const COLUMNS = [
  'id',
  'event',
  'createdAt',
  'actor',
  'userId',
  'clientId',
  'connector',
  'webhookId',
  'detail',
] as const satisfies readonly (keyof AuditItem)[]
const EXPORT_ROWS_MAX = 1_000_000
const EXPORT_PAGE_ROWS = 200
const CSV = 'text/csv'
const JSON_LINES = 'application/x-ndjson'
const Text = z.string().min(1).max(320)

const Query = z.object({
  since: Time.optional(),
  until: Time.optional().describe('Not this time itself.'),
  actor: Text.optional(),
  event: Text.optional().describe('Its name, or a beginning: `grant.*`.'),
  user: Text.optional().describe('`usr_...`; of a deleted person their pseudonym.'),
})
type Filters = z.infer<typeof Query>

export function auditRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/audit', operationId: 'audit.list', list: true },
      summary: 'Lists changes; with `Accept: text/csv` or `application/x-ndjson` exports them all.',
      roles: ['read', 'manage'],
      query: Query,
      answers: {
        200: {
          description: 'A page of changes; or all of them, at most 1,000,000.',
          schema: pageOf(AuditItem),
          alsoTypes: [CSV, JSON_LINES],
        },
      },
      problems: [],
      async handle({ query, limit, after, request }) {
        const type = exportType(request.headers.get('accept') ?? '')
        if (type !== undefined) return exported(house, query, type)
        return pageAnswer(await readPage(house, query, { limit, after }), auditView)
      },
    }),
  ]
}

function exportType(accept: string): typeof CSV | typeof JSON_LINES | undefined {
  const first = accept.split(',', 1)[0]?.split(';', 1)[0]?.trim().toLowerCase()
  return first === CSV || first === JSON_LINES ? first : undefined
}

function readPage(
  house: ApiHouse,
  filters: Filters,
  { limit, after }: { readonly limit: number; readonly after: string | undefined },
): Promise<ListedPage<Versioned<'audit'>>> {
  const { since, user } = filters
  const index = user === undefined ? undefined : { name: 'userId', value: user }
  // Ids are in the order of their time.
  const first = since === undefined ? undefined : timePrefix('evt', Date.parse(since))
  const isMeant = meaning(filters)
  const listing = { kind: 'audit', index, isMeant, after: first } as const
  return listRows(house, listing, { limit, ...(after === undefined ? {} : { after }) })
}

function meaning({ since, until, actor, event }: Filters) {
  const sinceMs = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since)
  const untilMs = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until)
  return ({ value }: Versioned<'audit'>): boolean =>
    value.atMs >= sinceMs &&
    value.atMs < untilMs &&
    (actor === undefined || value.actor === actor) &&
    (event === undefined || isNamed(value.event, event))
}

function isNamed(event: string, pattern: string): boolean {
  return pattern.endsWith('.*') ? event.startsWith(pattern.slice(0, -1)) : event === pattern
}

/** Page by page as it is read: nothing of it is kept. */
function exported(
  house: ApiHouse,
  filters: Filters,
  type: typeof CSV | typeof JSON_LINES,
): ApiAnswer {
  const encoder = new TextEncoder()
  const line = type === CSV ? csvLine : (row: AuditItem) => `${JSON.stringify(row)}\n`
  let after: string | undefined
  let written = 0
  const text = new ReadableStream<Uint8Array>({
    start(controller) {
      if (type === CSV) controller.enqueue(encoder.encode(`${COLUMNS.join(',')}\r\n`))
    },
    async pull(controller) {
      const page = await readPage(house, filters, { limit: EXPORT_PAGE_ROWS, after })
      after = page.next
      written += page.rows.length
      const lines = page.rows.map((row) => line(auditView(row))).join('')
      // An empty piece would stall some readers.
      if (lines !== '') controller.enqueue(encoder.encode(lines))
      if (after === undefined || written >= EXPORT_ROWS_MAX) controller.close()
      else if (lines === '') await this.pull?.(controller)
    },
  })
  const extension = type === CSV ? 'csv' : 'ndjson'
  return {
    status: 200,
    text,
    headers: {
      'content-type': `${type}; charset=utf-8`,
      'content-disposition': `attachment; filename="audit.${extension}"`,
      'x-content-type-options': 'nosniff',
    },
  }
}

function csvLine(row: AuditItem): string {
  return `${COLUMNS.map((name) => csvCell(row[name] ?? '')).join(',')}\r\n`
}

/**
 * A spreadsheet must not take a value of somebody else for a formula, neither where `;` or a tab ends a
 * cell nor where wide letters are read as narrow ones.
 */
function csvCell(text: string): string {
  const harmless = /^\s*[=+\-@\t\r\uff0b\uff0d\uff1d\uff20]/.test(text) ? `'${text}` : text
  return /[",;\t\r\n']/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

function auditView({ key: { id }, value }: Versioned<'audit'>): AuditItem {
  const { event, atMs, detail, actor, userId, clientId, connector, webhookId } = value
  return {
    ...{ id, event, createdAt: isoTime(atMs), detail },
    ...(actor === undefined ? {} : { actor }),
    ...(userId === undefined ? {} : { userId }),
    ...(clientId === undefined ? {} : { clientId }),
    ...(connector === undefined ? {} : { connector }),
    ...(webhookId === undefined ? {} : { webhookId }),
  }
}
