/** Writes `docs/connectors.md` from the presets: where known servers are and what is particular about them. */
import { PRESETS, type Preset } from '../../src/connectors/client/presets.ts'

export const path = 'docs/connectors.md'

export function generate(): string {
  return `# Connectors

Generated from \`src/connectors/client/presets.ts\`; \`npm run fix\` writes it again.

A connector is a remote MCP server. Any server that follows the MCP authorization rules needs only its URL:

\`\`\`json
{ "connectors": { "notes": { "url": "https://notes.example/mcp", "auth": "oauth" } } }
\`\`\`

Its authorization server is found, this house becomes a client there, and each person connects their own account at
\`/connect/<name>\`. How this house becomes a client, in this order: \`client\` of the configuration; its metadata document
\`/connect/<name>/client.json\`, where the server believes such documents and the issuer is https; dynamic registration.
A server that takes none of them needs \`client\`. All fields: [configuration](configuration.md#a-connector).

## How a connector comes to life

At the start of the house, behind it, each connector's server is asked where its authorization server is; that is accepted and
written down, and this house registers there. So the first click on "connect" asks nobody, and neither do the next, those after
a restart, and those while the server is dead. Documents are asked for again every hour (\`Cache-Control\` may say otherwise), a
registration ahead of its end. A connector that cannot be used is looked at again every minute. Bounds: [caching](caching.md).

\`serve\` prints each connector when it has been looked at; \`postern connectors list\` prints what is known and asks nobody;
\`postern connectors discover <name>\` asks now.

| state | means | people who connect | connections there are | what to do |
|---|---|---|---|---|
| \`ready\` | found, accepted, registered | connect, no wait | work | nothing |
| \`degraded\` | usable, but something is wrong: documents could not be renewed (the last good ones serve for 7 days), or are refused, or the server takes no registration | connect from the last good documents; a page with the reason where there are none, or no client | work; a refresh needs documents that were accepted once | the problem names the side: the server, its authorization server, or here |
| \`unreachable\` | nothing answers, and there are no last good documents | a page with the reason and "Try again" | work until their token ends, then wait | start the server, or correct the URL |
| \`quarantined\` | an endpoint stands on an origin that nobody approved, or the issuer or the token endpoint moved | a page with the reason | work until their token ends; nothing is refreshed, no secret is sent anywhere | \`postern connectors approve <name> <origin>\` if it was meant; else ask the server's operator. It also ends by itself when the server takes it back |
| \`disabled\` | \`enabled: false\` | no | no | - |

Which authorization server: \`pinnedIssuer\` where it is listed, else the one that was accepted before, else the first of the
resource's \`authorization_servers\`. All its endpoints must stand on the issuer's own origin; any other origin is approved by name,
and the approval is forgotten when no endpoint stands there any more. After another issuer was approved, this house registers there
anew and people connect again: what was stored for the old one is never sent to the new one. A \`client\` that was made by hand
belongs to its issuer: an approval does not move it, another \`client\` or \`pinnedIssuer\` does. With one, a server without RFC 9728
metadata needs \`pinnedIssuer\` or \`endpoints\`: a missing document never decides where a secret goes.

Another \`url\`, \`auth\`, \`client\`, \`pinnedIssuer\` or \`endpoints\` in the configuration starts anew: what was accepted and registered
before counts for nothing. Nodes share all this through the store; one of them asks, all of them know within 5 s.

## Known servers

\`{ "preset": "<name>" }\` stands for the URL and for what deviates from the rules. What else the connector says wins.
*By hand*: set \`POSTERN_CONNECTOR_<NAME>_CLIENT_ID\` and \`POSTERN_CONNECTOR_<NAME>_CLIENT_SECRET\`.

| preset | server | client | particular | source |
|---|---|---|---|---|
${PRESETS.map(row).join('\n')}

A preset whose metadata changed is refused with the rule that it breaks; \`pinnedIssuer\` of the connector corrects it
without a release.
`
}

function row(preset: Preset): string {
  const { name, title, url, registration, registerAt, source, note = '', noteSource } = preset
  const client =
    registration === 'by-hand' ? `[by hand](${registerAt ?? source})` : 'as the server offers'
  const fields = [
    ...(preset.pinnedIssuer === undefined ? [] : [`\`pinnedIssuer\` ${preset.pinnedIssuer}`]),
    ...(preset.endpoints === undefined ? [] : ['`endpoints`']),
    ...(preset.authMethod === undefined ? [] : [`\`${preset.authMethod}\``]),
    ...(preset.omitResource === undefined ? [] : ['`omitResource`']),
  ]
  const why = noteSource === undefined ? note : `${note} [Why](${noteSource})`
  const particular = [fields.join(', '), why].filter((text) => text !== '').join('. ')
  return `| \`${name}\` | ${title}<br>${url} | ${client} | ${particular} | [page](${source}) |`
}
