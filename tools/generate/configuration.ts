/** Writes `docs/configuration.md` from the tables that the parser reads. */
import { FIELDS, type Field, LIMIT_FIELDS } from '../../src/config/fields.ts'
import { TOP_LEVEL } from '../../src/config/parse.ts'

export const path = 'docs/configuration.md'

const CONNECTOR_ROWS = [
  [
    '`url` or `preset`',
    'required',
    'The MCP endpoint: standing in the file approves its exact origin, private or http included. Or the name of a [known server](connectors.md).',
  ],
  [
    '`auth`',
    '`identity`; with `preset` `oauth`',
    "`none`, `identity` (a short-lived JWT of ours), `header` (a fixed secret), `oauth` (a token of the person's own connection), `client_credentials` (a token of this house; needs `client`).",
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
  [
    '`client`',
    'what its server offers',
    '`auth: "oauth"` and `"client_credentials"` only, as all below up to `followMetadataRedirects`. Our client at the server\'s authorization server, as registered there by hand: `{ clientId, clientSecret, authMethod }`; also `POSTERN_CONNECTOR_<NAME>_CLIENT_ID` and `_CLIENT_SECRET`. Callback: issuer + prefix + `/connect/<name>/callback`. `authMethod`: `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt` (keys at `/connect/jwks.json`); default the first that the server lists.',
  ],
  [
    '`requestedScopes`',
    "the challenge's, else all of the metadata",
    'Scopes to ask for at the authorization server.',
  ],
  [
    '`pinnedIssuer`',
    '-',
    'The `issuer` that its metadata says, where it is not the one that the server names.',
  ],
  [
    '`endpoints`',
    'discovered',
    '`{ authorization, token, registration?, revocation? }` of an authorization server without metadata: nothing is discovered. https, or http on a loopback host or at the connector itself.',
  ],
  ['`omitResource`', '`false`', 'Leaves `resource` (RFC 8707) out, for servers that refuse it.'],
  [
    '`strictResource`',
    '`false`',
    '`resource` of its metadata must be `url` to the letter. Else its origin, or a path above `url`, may stand there.',
  ],
  [
    '`legacyDiscovery`',
    '`true`',
    'Without resource metadata, tries what servers of 2025-03-26 do: metadata at the origin, then `/authorize`, `/token`, `/register`.',
  ],
  [
    '`followMetadataRedirects`',
    '`false`',
    'Follows redirects of metadata documents on their own origin.',
  ],
  ['`title`, `description`', '-', 'Shown to people.'],
  ['`enabled`', '`true`', '`false` answers 404.'],
]

/** @throws {TypeError} for a field that no row tells of. */
export function generate(): string {
  const text = document()
  const untold = TOP_LEVEL.find(
    (name) =>
      name !== '$schema' && !text.includes(`\n| \`${name}\``) && !text.includes(`\n| \`${name}.`),
  )
  if (untold !== undefined) throw new TypeError(`docs/configuration.md has no row for ${untold}`)
  return text
}

function document(): string {
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
| \`apps\` | Products that embed Connect: \`{ [name]: { origins, returnUrls, confirm: 'widget' \\| 'backend', user? } }\`. \`origins\`: exact origins of pages with the element, https or http on a loopback host; \`returnUrls\`: where a trip may end, to the letter; \`user(request)\` (TypeScript only): the product's id of who is signed in, or \`undefined\`, within 2 s. No environment. See [embedded-connect.md](embedded-connect.md). |
| \`signals\` | Who may post shared signals (RFC 8935) to \`/events/<name>\` (\`enable: ['shared-signals']\`): \`{ [name]: { issuer, audience, jwksUri?, provider?, credential? } }\`; \`provider\` is the id of the provider whose people it speaks about, default those of \`issuer\`; \`credential\` is its Bearer token, 32 characters or more. |
| \`scopeAliases\` | Scope names of migrated clients, e.g. \`{ user: 'mcp' }\`. |
| \`clients\` | Static clients: \`{ [clientId]: { name, redirectUris, secret? \\| jwks? \\| jwksUri?, grants?, scopes?, resources?, exchange? } }\`. |
| \`webhooks\` | Who is told of which events: \`[{ url, events, secret }]\`, at most 50. \`events\`: names and patterns such as \`connection.*\`; \`secret\`: \`whsec_\` and base64 of 24 to 64 random bytes. Standing in the file approves the exact origin of \`url\`. See [webhooks.md](webhooks.md). |
| \`tenants\` | Further houses in this process, each a configuration of its own: \`{ [name]: { issuer?, providers, allow, connectors, ... } }\`, at most 100. \`issuer\`: default \`<issuer>/t/<name>\`. Environment: \`POSTERN_TENANT_<NAME>_...\`. See [tenants.md](tenants.md). |
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
