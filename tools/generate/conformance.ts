/** Writes `docs/conformance.md`: each requirement, and the tests whose names carry its id. */
import { cell, countStates, type Shown, shownRules, stateCell } from './rules/index.ts'

export const path = 'docs/conformance.md'

const PARTS: Readonly<Record<string, string>> = {
  SEC: 'Cross-cutting rules',
  AS: 'Authorization server metadata and keys',
  REG: 'Client registration',
  AZ: 'Authorization endpoint',
  CON: 'Consent page',
  TOK: 'Token endpoint',
  REV: 'Revocation, introspection, logout, signals',
  PR: 'Protected resource',
  VAL: 'Token validation',
  DSC: 'Discovery of remote servers',
  NET: 'Outbound fetches',
  CLI: 'OAuth client',
  GW: 'Gateway and transport',
  PRV: 'Identity providers',
  EXT: 'Optional capabilities',
}

export function generate(): string {
  const rows = shownRules('requirements')
  return `# Conformance

Generated from the names of the tests; \`npm run fix\` writes it again, \`npm run check\` compares and prints the counts.
*shown*: this many tests carry the id in their name, and \`npm test\` runs them. *left out*: no test, and why.
*missing*: not built, or not shown yet.

| part | what | shown | left out | missing |
|---|---|---|---|---|
${Object.entries(PARTS)
  .map(([prefix, title]) => {
    const counts = countStates(of(rows, prefix))
    return `| ${prefix} | ${title} | ${counts.shown} | ${counts['left out']} | ${counts.missing} |`
  })
  .join('\n')}

${Object.entries(PARTS)
  .map(([prefix, title]) => part(`${prefix}: ${title}`, of(rows, prefix)))
  .join('\n\n')}
`
}

function of(rows: readonly Shown[], prefix: string): readonly Shown[] {
  return rows.filter(({ rule }) => rule.id.startsWith(`${prefix}-`))
}

function part(title: string, rows: readonly Shown[]): string {
  const lines = rows.map((row) => {
    const { id, level = '', rule = '', source = '' } = row.rule
    return `| ${id} | ${level} | ${cell(rule)} | ${cell(source)} | ${stateCell(row)} |`
  })
  return `## ${title}

| id | level | rule | source | state | tests, or why not |
|---|---|---|---|---|---|
${lines.join('\n')}`
}
