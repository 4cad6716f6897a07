/** Writes `docs/configuration.md` from the tables that the parser reads. */
import { FIELDS, type Field, LIMIT_FIELDS } from '../../src/config/fields.ts'

export const path = 'docs/configuration.md'

const CONNECTOR_ROWS = [
  [
    '`url`',
    'required',
    'The MCP endpoint. Standing in the file approves its exact origin, private or http included.',
  ],
  [
    '`auth`',
    '`identity`',
    '`none`, `identity` (a short-lived JWT of ours), `header` (a fixed secret).',
  ],
  [
    '`header`',
    '`{ name: "Authorization" }`',
    '`auth: "header"` only; the value also as `POSTERN_CONNECTOR_<NAME>_HEADER_VALUE`.',
  ],
  [
    '`path`',
    '`/mcp/<name>`',
    'Public path; one connector may take `/mcp`. Resource = issuer + path.',
  ],
  [
    '`routes`',
    '`{}`',
    '`{ protected: ["/api/*"], public: ["/health"] }`: other paths of the same server; the longest match wins.',
  ],
  ['`allow`', "the house's", 'Who may see, connect and call it; same shape as `allow`.'],
  [
    '`subject`',
    '`postern`',
    '`identity` only: `sub` is our user id, or `provider`: the subject at the sign-in provider.',
  ],
  [
    '`claims`',
    '`[]`',
    'Released in the identity JWT: `name email email_verified login preferred_username picture avatar_url groups`.',
  ],
  [
    '`scopes`',
    '`mcp` alone',
    '`{ "notes:write": { title, tools: ["create_*"], methods, implies: ["notes:read"], upstream: { github: ["repo"] } } }`. A call needs every scope whose pattern (exact, or a prefix with `*`) matches its tool or method; what no scope names needs `mcp`: other calls, answers, streams, `DELETE`, `routes.protected`. `implies` is transitive. `upstream` is asked for at sign-in; who gives less there does not get the scope. Bodies of calls are read first, whole, within `requestBodyMaxBytes`.',
  ],
  [
    '`maxAuthAgeSeconds`',
    'no limit',
    'Longest time since the person signed in at the provider. Older: 401 `insufficient_user_authentication` with `max_age` (RFC 9470).',
  ],
  [
    '`acrValues`',
    'any',
    'Accepted `acr` values, in the words of the sign-in provider. Another: 401 `insufficient_user_authentication` with `acr_values`.',
  ],
  ['`title`, `description`', '-', 'Shown to people.'],
  ['`enabled`', '`true`', '`false` answers 404.'],
]

export function generate(): string {
  return `# Configuration

One file, \`postern.config.ts\`, \`.mjs\` or \`.json\` (or \`--config\`), plus the environment. A flag wins over the
environment, the environment over the file, the file over the default. Any string may be \`"env:NAME"\` or
\`"file:/run/secrets/x"\`. Lists in the environment: commas. Unknown names are refused at start.

## Fields

${table(FIELDS)}

## People and servers

| field | meaning |
|---|---|
| \`providers\` | Identity providers, in the order of the buttons: \`github()\`, \`oidc({ issuer })\`, or \`{ "type": "github" }\`. Credentials: \`POSTERN_<ID>_CLIENT_ID\`, \`POSTERN_<ID>_CLIENT_SECRET\`. |
| \`allow\` | Who may sign in: \`'anyone'\` or \`{ emails, emailDomains, users, groups }\`; any match admits; \`users\` are \`provider:subject\`; e-mail counts only when verified. Required with \`providers\` unless the issuer is loopback. \`POSTERN_ALLOW\`: \`anyone\`, or addresses and domains with commas. |
| \`connectors\` | Remote MCP servers by name, see below. |
| \`resources\` | Public URLs of servers that use \`protect()\`, each a string or \`{ url, credential }\`. |
| \`assertionIssuers\` | Identity providers whose ID-JAGs are believed (\`enable: ['id-jag']\`): \`{ issuer, jwksUri?, clientIds?, scopes?, resources? }\`. |
| \`signals\` | Who may post shared signals (RFC 8935) to \`/events/<name>\` (\`enable: ['shared-signals']\`): \`{ [name]: { issuer, audience, jwksUri?, provider?, credential? } }\`; \`provider\` is the id of the provider whose people it speaks about, default those of \`issuer\`; \`credential\` is its Bearer token, 32 characters or more. |
| \`scopeAliases\` | Scope names of migrated clients, e.g. \`{ user: 'mcp' }\`. |
| \`clients\` | Static clients: \`{ [clientId]: { name, redirectUris, secret? \\| jwks? \\| jwksUri?, grants?, scopes?, resources?, exchange? } }\`. |
| \`onEvent\` | TypeScript only: called with every event, never awaited. |

## A connector

| field | default | meaning |
|---|---|---|
${CONNECTOR_ROWS.map((row) => `| ${row.join(' | ')} |`).join('\n')}

## Limits

${table(LIMIT_FIELDS)}
`
}

function table(fields: readonly Field[]): string {
  const rows = fields.map((entry) => {
    const value = entry.default === undefined ? '-' : `\`${JSON.stringify(entry.default)}\``
    const range =
      entry.min === undefined ? (entry.choices?.join(', ') ?? '') : `${entry.min} to ${entry.max}`
    return `| \`${entry.path}\` | ${value} | ${range} | \`${entry.environment ?? '-'}\` | ${entry.sentence} |`
  })
  return `| field | default | range | environment | meaning |\n|---|---|---|---|---|\n${rows.join('\n')}`
}
