/**
 * A flow as text: each answer in full, the events and audit rows it left, and the rows of the store,
 * with names in the place of random values. For tests that hold everything that is told to a person,
 * a program or an operator, so that no word of it changes unnoticed.
 */
import type { PosternEvent, Store } from '../../src/ports.ts'
import { KINDS } from '../../src/record-kinds.ts'
import { type Kind, TENANT } from '../../src/records.ts'

interface Told {
  readonly events: readonly PosternEvent[]
  readonly store: Store
}

export interface Story {
  /** Adds a step. A page is told as its text, links and fields; a form or JSON as it is. */
  tell(title: string, answer: Response): Promise<void>
  /** Adds any value. */
  add(title: string, value: unknown): void
  /** Adds every row of the store but the audit rows, which the steps tell. */
  addRows(kinds?: readonly Kind[]): Promise<void>
  readonly text: string
}

/** Of one answer alone. */
const OWN_HEADERS = ['location', 'set-cookie']
const ROWS_MAX = 1_000
/** Upper and lower case, or an id of ours, or a digest: nobody writes such a word. */
const RANDOM =
  /\b(?:usr|ses|grt|cli|evt|tkt|vlt|req|dty)_[0-9a-z]{26}\b|\bf_[0-9A-Z]{6}\b|(?<![\w-])pt[rc]_[\w.-]{20,}|(?<![\w.-])[\w-]{16,}(?:\.[\w-]{16,}){2,}|(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{20,}(?![\w-])/g
const OUR_ID = /^[a-z]{1,3}_/
/** Names of ours: `createdAtMs`, `Access-Control-Allow-Origin`, `CONTENT_TYPE`. */
const WORD = /^_*[a-z]+(?:[A-Z][a-z]+)+$|^[A-Z]?[a-z]+(?:[-_][A-Z]?[a-z]+)*$/

export function createStory({ events, store }: Told): Story {
  const names = new Map<string, string>()
  const lines: string[] = []
  const headers = new Map<string, string>()
  const audited = new Set<string>()
  let heard = events.length
  const known = (value: string): string | undefined =>
    WORD.test(value) && !OUR_ID.test(value) ? value : names.get(value)
  const named = (text: string): string =>
    text.replaceAll(RANDOM, (value) => {
      const name = known(value) ?? `<${names.size + 1}>`
      if (name !== value) names.set(value, name)
      return name
    })
  const withKnown = (text: string): string =>
    text.replaceAll(RANDOM, (word) => known(word) ?? '<?>')
  /** Keys are random, so rows have an order of their own. */
  const inOrder = (values: readonly object[]): readonly string[] =>
    values.map(inFull).toSorted((one, other) => (withKnown(one) < withKnown(other) ? -1 : 1))
  const add = (title: string, value: unknown): void => {
    const shown = typeof value === 'string' ? value : inFull(value)
    lines.push(`${title}: ${named(shown)}`)
  }
  const addTraces = async (): Promise<void> => {
    const told = events.slice(heard).map(({ atMs: _, ...event }: Record<string, unknown>) => event)
    heard = events.length
    for (const event of inOrder(told)) add('  event', event)
    const rows = await store.list('audit', TENANT, undefined, { max: ROWS_MAX })
    const fresh = rows.filter(({ key }) => !audited.has(key.id))
    for (const { key } of fresh) audited.add(key.id)
    for (const row of inOrder(fresh.map(({ value }) => value))) add('  audit', row)
  }
  /** In full once: most answers have the headers of another one. */
  const addHeaders = (title: string, all: Headers): void => {
    const block = [...all].filter(([name]) => !OWN_HEADERS.includes(name)).sort()
    const first = headers.get(JSON.stringify(block))
    if (first !== undefined) lines.push(named(`  headers as of: ${first}`))
    else for (const [name, value] of block) add(`  ${name}`, value)
    headers.set(JSON.stringify(block), first ?? title)
    for (const name of OWN_HEADERS) {
      const value = all.get(name)
      if (value !== null) add(`  ${name}`, value)
    }
  }
  return {
    add,
    async tell(title, answer) {
      lines.push(named(`# ${title}`))
      add('  status', String(answer.status))
      addHeaders(title, answer.headers)
      const body = await answer.text()
      if (body !== '') add('  body', isPage(answer) ? pageText(body) : body)
      await addTraces()
    },
    async addRows(kinds = Object.keys(KINDS) as Kind[]) {
      lines.push('# rows')
      for (const kind of kinds.filter((name) => name !== 'audit')) {
        const rows = await store.list(kind, TENANT, undefined, { max: ROWS_MAX })
        const values = rows.map(({ value }) => value)
        for (const row of inOrder(values)) lines.push(`  ${kind}: ${withKnown(row)}`)
      }
    },
    get text() {
      return lines.join('\n')
    },
  }
}

/** Absent and `undefined` are two things. */
function inFull(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    member === undefined ? '<undefined>' : member,
  )
}

function isPage(answer: Response): boolean {
  return answer.headers.get('content-type')?.startsWith('text/html') === true
}

/** Words, and after each link or field in brackets where it leads or what it sends. */
function pageText(html: string): string {
  return html
    .replace(/<head>.*?<\/head>/s, (head) => /<title>.*?<\/title>/s.exec(head)?.[0] ?? '')
    .replace(/<(?:a|form|input|button)\b[^>]*>/g, (tag) => ` [${attributes(tag)}] `)
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
}

function attributes(tag: string): string {
  const shown = /\b(?:href|action|method|name|value|type)="[^"]*"/g
  return (tag.match(shown) ?? []).join(' ')
}
