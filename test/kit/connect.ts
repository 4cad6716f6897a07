/**
 * A person who connects an account, played over HTTP: signs in here, opens `/connect/<name>`, reads
 * it, presses the button, goes to the remote authorization server and comes back.
 *
 * Whatever page stops the person is returned with its status and text; nothing is retried.
 */
import { createVisitor, type ReadingVisitor, type VisitedPage } from '../../demo/visitor.ts'

/** Buttons of our pages, of the doubles, of FastMCP's consent page and of a plain authorization server. */
const PRESS = [
  /^reconnect/i,
  /^(continue|sign in) (with|as|to)/i,
  /^continue/i,
  /^allow/i,
  /^approve/i,
  /^authorize/i,
  /^sign in/i,
]

export interface PersonOptions {
  /** What is typed where a name or login is asked. Default `ada`. */
  readonly login?: string
  /** Buttons wanted before ours. */
  readonly press?: readonly RegExp[]
  /** Further fields to fill, by name. */
  readonly fields?: Readonly<Record<string, string>>
}

/** A browser with a person in front of it; keeps its cookies between visits. */
export function createPerson(options: PersonOptions = {}): ReadingVisitor {
  const login = options.login ?? 'ada'
  return createVisitor({
    press: [...(options.press ?? []), new RegExp(`^continue as ${login}`, 'i'), ...PRESS],
    fields: { name: login, login, username: login, password: 'any', ...options.fields },
  })
}

export interface Connected extends VisitedPage {
  /** The trip ended on the list of connections, which said so. */
  readonly isConnected: boolean
}

/**
 * One trip, from `/connect/<connector>` (or the link of a tool's answer) to where it ends.
 *
 * @param person The same one again is the same browser, so no sign-in is asked twice.
 */
export async function connectAccount(
  place: { readonly issuer: string; readonly connector: string; readonly link?: string },
  person: ReadingVisitor = createPerson(),
): Promise<Connected> {
  const list = new URL(`${place.issuer}/connect`)
  const start = place.link ?? `${list.href}/${place.connector}`
  const page = await person.read(new URL(start), { isEnd: isAt(list) })
  return { ...page, isConnected: page.url.searchParams.get('done') === 'connected' }
}

/** Presses the one "Disconnect" on the list of connections, signed in anew when need be. */
export async function disconnectAccount(
  issuer: string,
  person: ReadingVisitor,
): Promise<VisitedPage> {
  const list = new URL(`${issuer}/connect`)
  return await person.read(list, {
    press: [/^disconnect$/i, ...PRESS],
    isEnd: (url) => isAt(list)(url) && url.searchParams.has('done'),
  })
}

function isAt(list: URL): (url: URL) => boolean {
  return (url) => url.origin === list.origin && url.pathname === list.pathname
}

/** The link that an answer or error of the gateway carries, as text, as data or as an elicitation. */
export function connectLinkIn(answer: unknown, issuer: string): string | undefined {
  const error = answer instanceof Error ? { ...answer, message: answer.message } : answer
  const start = `${issuer}/connect/`
  return JSON.stringify(error)
    .split(/[\s"\\]+/)
    .find((word) => word.startsWith(start))
}
