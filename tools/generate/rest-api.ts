/** Writes `docs/rest-api.md` from the table of routes and the texts that belong to all of them. */
import { CALLS_PER_MINUTE_MAX } from '../../src/api/frame.ts'
import { API_KEYS_MAX, KEY_REMEMBERED_MS } from '../../src/api/keys.ts'
import { problemsOf, tagOf, takesIdempotencyKey } from '../../src/api/openapi.ts'
import type { ApiRoute } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'
import { NO_HOUSE } from './openapi.ts'

export const path = 'docs/rest-api.md'

/** What every route may answer is told once. */
const EVERYWHERE =
  /^ERR_API_(?:BODY|BODY_SIZE|KEY|ROLE|APP|RATE|FIELDS|CURSOR|VERSION|IDEMPOTENCY_KEY|IN_PROGRESS|NOT_FOUND|UNEXPECTED|UNAVAILABLE)$/

export function generate(): string {
  const routes = apiRoutes(NO_HOUSE)
  const tags = [...new Set(routes.map(tagOf))]
  return `# REST API

Generated from the table of routes (\`src/api/table.ts\`); \`npm run fix\` writes it again. For tools: [openapi.json](openapi.json),
also at \`/api/v1/openapi.json\` of every house. For JavaScript: \`createClient({ url, apiKey })\` of \`postern/client\`.

## What holds for all of it

Below \`<issuer><prefix>/api/v1\`. JSON, camelCase, times ISO 8601 in UTC; what has no value is absent, never \`null\`. Nothing is stored by
caches, no other origin may read anything, and every answer names itself in \`X-Request-Id\`.

**Keys.** \`Authorization: Bearer ptk_...\`, and nowhere else. The first one is \`adminApiKey\` (\`POSTERN_ADMIN_API_KEY\`, at least 32
characters, role \`manage\`) or \`postern api-keys create\`. A key has one role; none includes another. It may be restricted to one app or to
some connectors: then it sees and makes only what is theirs. A key that is ended stops at once on the node that ended it and within
${KEY_REMEMBERED_MS / 1000} s on the others. ${API_KEYS_MAX.toLocaleString('en')} keys live at once at most; change one by making the next, then ending the old.

| role | for |
|---|---|
| \`read\` | dashboards: sees everything, changes nothing |
| \`connect\` | a product's backend: connect sessions, connections |
| \`tokens\` | a product's backend that calls servers itself: tokens of its own people |
| \`manage\` | administration |

**Lists** take \`limit\` (1 to 200, default 50) and \`cursor\`, and answer \`{ data, nextCursor? }\`. A cursor belongs to its list, key and
filters. Filters are fields by name. Parameters and fields that are not known are refused with the nearest that is.

**Versions.** Where an answer has \`ETag\`, a change may say \`If-Match\`: 412 when somebody was faster. Without it the last write wins.

**Repetitions.** A POST may carry \`Idempotency-Key\` (1 to 255 visible ASCII characters, kept 24 h): it runs once, a repetition gets the same
answer with \`Idempotency-Replayed: true\`, or 409 while there is none. Another request under the same key is 422.

**Limits.** ${CALLS_PER_MINUTE_MAX.toLocaleString('en')} calls a minute with one key on one node, bodies of 256 KiB; above: 429 with \`Retry-After\`, 413.

**Errors** are \`application/problem+json\` (RFC 9457): \`type title status code detail param? errors? requestId\`. \`code\` never changes its
meaning; \`GET /errors/{code}\` explains each. Everywhere: 400 no JSON object, 401 no or bad key, 403 role or restriction, 404, 413, 422 fields
(\`errors: [{ param, code, detail }]\`), 429, 503 with \`Retry-After\`, 500 a bug of ours.

${tags
  .map((tag) =>
    section(
      tag,
      routes.filter((route) => tagOf(route) === tag),
    ),
  )
  .join('\n\n')}
`
}

function section(tag: string, routes: readonly ApiRoute[]): string {
  return [
    `## ${tag}`,
    '',
    '| call | does | role | takes | answers | refuses with |',
    '|---|---|---|---|---|---|',
    ...routes.map(row),
  ].join('\n')
}

function row(route: ApiRoute): string {
  const roles = route.roles.map((role) => `\`${role}\``).join(' ')
  const answers = Object.entries(route.answers)
    .map(([status, { description }]) => `${status} ${description}`)
    .join(' ')
  const codes = [...problemsOf(route)].flatMap(([status, all]) =>
    all.filter((code) => !EVERYWHERE.test(code)).map((code) => `${status} \`${code}\``),
  )
  return `| \`${route.method} ${route.path}\` | ${route.summary} | ${roles || 'none'} | ${taken(route)} | ${answers} | ${codes.join('<br>')} |`
}

function taken(route: ApiRoute): string {
  const query = Object.keys(route.query?.shape ?? {})
  const body = route.body === undefined ? [] : Object.entries(shapeOf(route.body))
  const fields = body.map(([name, schema]) => (isOptional(schema) ? `${name}?` : name))
  return [
    ...(query.length > 0 ? [`query \`${query.join(' ')}\``] : []),
    ...(fields.length > 0 ? [`\`{ ${fields.join(', ')} }\``] : []),
    ...(route.list === true ? ['a list'] : []),
    ...(takesIdempotencyKey(route) ? ['`Idempotency-Key`'] : []),
    ...(route.versioned === true && route.method !== 'GET' ? ['`If-Match`'] : []),
  ].join('<br>')
}

type Schema = NonNullable<ApiRoute['body']>

function shapeOf(body: Schema): Readonly<Record<string, Schema>> {
  return 'shape' in body ? (body.shape as Readonly<Record<string, Schema>>) : {}
}

function isOptional(schema: Schema): boolean {
  return schema.safeParse(undefined).success
}
