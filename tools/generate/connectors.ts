/** Writes `docs/connectors.md` from the presets: where known servers are and what is particular about them. */
import { PRESETS, type Preset } from '../../src/connectors/presets.ts'

export const path = 'docs/connectors.md'

export function generate(): string {
  return `# Connectors

Generated from \`src/connectors/presets.ts\`; \`npm run fix\` writes it again.

A connector is a remote MCP server. Any server that follows the MCP authorization rules needs only its URL:

\`\`\`json
{ "connectors": { "notes": { "url": "https://notes.example/mcp", "auth": "oauth" } } }
\`\`\`

Its authorization server is found, this house becomes a client there, and each person connects their own account at
\`/connect/<name>\`. How this house becomes a client, in this order: \`client\` of the configuration; its metadata document
\`/connect/<name>/client.json\`, where the server believes such documents and the issuer is https; dynamic registration.
A server that takes none of them needs \`client\`. All fields: [configuration](configuration.md#a-connector).

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
