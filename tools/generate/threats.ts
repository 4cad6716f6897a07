/** Writes `docs/threats.md`: each attack, fault and bad-input family, and the tests that show it. */
import { cell, countStates, type Shown, shownRules, stateCell } from './rules/index.ts'

export const path = 'docs/threats.md'

export function generate(): string {
  const rows = shownRules('threats')
  const counts = countStates(rows)
  return `# Threats and faults

Generated from the names of the tests; \`npm run fix\` writes it again. What can attack the auth plane or break under it, what
it must do, and which tests carry the id. ${counts.shown} shown, ${counts['left out']} left out with a reason, ${counts.missing} missing.

${[...new Set(rows.map(({ rule }) => rule.part ?? ''))]
  .map((title) =>
    part(
      title,
      rows.filter(({ rule }) => rule.part === title),
    ),
  )
  .join('\n\n')}
`
}

function part(title: string, rows: readonly Shown[]): string {
  const lines = rows.map((row) => {
    const { id, threat = '', required = '', shownBy = '' } = row.rule
    return `| ${id} | ${cell(threat)} | ${cell(required)} | ${cell(shownBy)} | ${stateCell(row)} |`
  })
  return `## ${title.replace(/^./, (first) => first.toUpperCase())}

| id | what | required | shown by | state | tests, or why not |
|---|---|---|---|---|---|
${lines.join('\n')}`
}
