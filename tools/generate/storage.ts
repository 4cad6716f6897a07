/** `docs/storage.md` from the kinds of `src/records.ts` and the tables of `src/adapters/schema.ts`. */
import { MIGRATIONS } from '../../src/adapters/schema.ts'
import { KEPT_PAST_LIFE_MS } from '../../src/adapters/sql-store.ts'
import { INDEXES, KINDS } from '../../src/record-kinds.ts'
import { type Kind, MARK_KEPT_PAST_LIFE_MS, MARK_KINDS } from '../../src/records.ts'

export const path = 'docs/storage.md'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

export function generate(): string {
  const kinds = Object.keys(KINDS).filter(isKind)
  const rows = kinds.map((kind) => {
    const { holds, key, life, sealed } = KINDS[kind]
    const searched = Object.keys(INDEXES[kind] ?? {})
    return `| \`${kind}\` | ${holds} | ${key} | ${life} | ${names(searched)} | ${names(sealed)} |`
  })
  const schema = MIGRATIONS.flatMap(({ statements }) => statements).map(
    (statement) => `${statement.replace(/\n\s+/g, '\n  ')};`,
  )
  return `${[
    '# Storage',
    '',
    'Generated from `src/record-kinds.ts` and `src/adapters/schema.ts`; `npm run fix` writes it again.',
    '',
    'Values we issue are kept as digests. Values we must replay are sealed with AES-256-GCM under the',
    'sealing key, bound to tenant, kind, row, column and purpose. Every row names its tenant. A row is',
    `deleted ${KEPT_PAST_LIFE_MS / MINUTE_MS} minutes after its life, so that a replay can be told from an unknown value;`,
    `a revocation mark ${MARK_KEPT_PAST_LIFE_MS / HOUR_MS} hours after, so that a clock that jumps revives nothing.`,
    '',
    '## Records',
    '',
    '| kind | holds | key | life | searched by | sealed |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
    '## Grants and marks',
    '',
    'A grant is one row of `grants`: redeem, rotate and end are one conditional UPDATE each. It lives',
    '`refreshTokenIdleSeconds` after its last use and `refreshTokenAbsoluteSeconds` at most; a code is a',
    'grant in state `pending`. The refresh token and the code are digests; the successor of a rotated',
    'token is sealed under a key that only the presented token gives.',
    '',
    `A mark in \`revocations\` says that tokens issued before a time are dead, by ${MARK_KINDS.map((kind) => `\`${kind}\``).join(', ')}.`,
    'It takes its sequence from `revocation_clock` in its own commit and stays until no token that it',
    'covers can be alive.',
    '',
    '## Tables',
    '',
    '```sql',
    ...schema,
    '```',
  ].join('\n')}\n`
}

function names(list: readonly string[]): string {
  return list.length === 0 ? '-' : list.map((name) => `\`${name}\``).join(', ')
}

function isKind(name: string): name is Kind {
  return name in KINDS
}
