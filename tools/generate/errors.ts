/** Writes `docs/errors.md` from the tables of `src/error-codes.ts`. */
import {
  API_ERRORS,
  CONFIG_ERRORS,
  SHOWN_ERRORS,
  STORE_ERRORS,
  UPSTREAM_ERRORS,
} from '../../src/error-codes.ts'

export const path = 'docs/errors.md'

type Table = Readonly<Record<string, { readonly meaning: string; readonly fix: string }>>

export function generate(): string {
  return `# Errors

Generated from \`src/error-codes.ts\`; \`npm run fix\` writes it again. The same code stands in the exception, the log and the
text. An OAuth endpoint answers with the word of its RFC instead (RFC 6749 section 5.2); the inner reason is in the log.

## At start: \`ConfigError\`, exit code 2

The message has two lines: what is wrong, what to do. No value of a secret is in it.

${table(CONFIG_ERRORS)}

## Somebody else failed: \`UpstreamError\`

With \`operation\`, \`origin\`, \`elapsedMs\`, and \`status\` and \`retryAfterMs\` where there was an answer. Clients get 503.

${table(UPSTREAM_ERRORS)}

## The store: \`StoreError\`, exit code 3 at start

\`certainty\` is \`not-applied\`, or \`unknown\` when the write may have been made. Clients get 503.

${table(STORE_ERRORS)}

## On a page, or printed by \`serve\`

${table(SHOWN_ERRORS)}

## The REST API: \`application/problem+json\`

${table(API_ERRORS)}
`
}

function table(rows: Table): string {
  const lines = Object.entries(rows).map(
    ([code, { meaning, fix }]) => `| \`${code}\` | ${meaning} | ${fix} |`,
  )
  return `| code | meaning | what to do |\n|---|---|---|\n${lines.join('\n')}`
}
