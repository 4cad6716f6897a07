/**
 * Every secret that crosses a socket while a test runs, as canaries, and a search for them in files
 * and logs (I1). Seen from outside: what clients of this process are sent, and what a server of this
 * process answers or is asked. Nobody is told that they are watched.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** Length of what is searched for: beyond any coincidence, within any secret. */
const WINDOW_CHARACTERS = 16
const WINDOWS_MAX = 1_000_000
const SECRET_FIELD =
  /"(?:access_token|refresh_token|id_token|code|client_secret|code_verifier)":\s*"([^"]+)"/g
const SECRET_PARAMETERS = [
  'code',
  'access_token',
  'refresh_token',
  'code_verifier',
  'client_secret',
  'state',
]

export interface Canaries {
  /** How many of each kind are known. */
  kinds(): Readonly<Record<string, number>>
  add(...secrets: readonly (string | undefined)[]): void
  /** Canaries found, shortened so that a failure does not print them. */
  find(bytes: Buffer): readonly string[]
  close(): void
}

/** Secrets and a search for them; `watchCanaries` fills it from sockets. */
export function createCanaries(): Omit<Canaries, 'close'> & {
  plant(kind: string, secret: string | undefined | null): void
} {
  const windows = new Map<string, string>()
  const counts = new Map<string, number>()
  const plant = (kind: string, secret: string | undefined | null): void => {
    if (secret === undefined || secret === null || secret.length < WINDOW_CHARACTERS) return
    if (windows.size > WINDOWS_MAX) throw new Error('too many canaries')
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    // The end of ours is random; what comes first may be a public identifier.
    windows.set(secret.slice(-WINDOW_CHARACTERS), `${kind} ${secret.slice(0, 6)}…`)
    if (secret.length >= 4 * WINDOW_CHARACTERS) {
      windows.set(secret.slice(-2 * WINDOW_CHARACTERS, -WINDOW_CHARACTERS), `${kind} (middle)`)
    }
  }
  return {
    plant,
    kinds: () => Object.fromEntries(counts),
    add: (...secrets) => {
      for (const secret of secrets) plant('of a client', secret)
    },
    find(bytes) {
      const text = bytes.toString('latin1')
      const found = new Set<string>()
      for (let at = 0; at + WINDOW_CHARACTERS <= text.length; at++) {
        const canary = windows.get(text.slice(at, at + WINDOW_CHARACTERS))
        if (canary !== undefined) found.add(canary)
      }
      return [...found]
    },
  }
}

/**
 * @param housePort What clients are sent from there counts: cookies, codes in redirects.
 * @param providerPort What is asked and answered there counts: tokens, codes, credentials.
 */
export function watchCanaries(housePort: number, providerPort: number): Canaries {
  const { plant: add, ...canaries } = createCanaries()
  const addParameters = (kind: string, parameters: URLSearchParams): void => {
    for (const name of SECRET_PARAMETERS) add(`${kind} ${name}`, parameters.get(name))
  }
  const addBody = (kind: string, text: string): void => {
    for (const [, secret] of text.matchAll(SECRET_FIELD)) add(kind, secret)
    if (!text.startsWith('{')) addParameters(kind, new URLSearchParams(text))
  }
  const stop = [
    onClientAnswer(housePort, (name, value) => {
      if (name === 'set-cookie') add('cookie', /^[^=]+=([^;]*)/.exec(value)?.[1])
      if (name === 'location') addParameters('redirect', readQuery(value))
    }),
    onServerExchange(providerPort, {
      asked: ({ authorization, url, body }) => {
        add('upstream credential', authorization?.replace(/^\S+ /, ''))
        addParameters('at the provider', readQuery(url))
        addBody('to the provider', body)
      },
      answered: (body) => addBody('from the provider', body),
    }),
  ]
  return {
    ...canaries,
    close() {
      for (const end of stop) end()
    },
  }
}

function readQuery(url: string): URLSearchParams {
  const mark = url.indexOf('?')
  return new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1))
}

type UndiciHeaders = { request: { origin: string }; response: { headers: Buffer[] } }

function onClientAnswer(port: number, see: (name: string, value: string) => void): () => void {
  const listener = (message: unknown): void => {
    const { request, response } = message as UndiciHeaders
    if (new URL(request.origin).port !== String(port)) return
    for (let index = 0; index + 1 < response.headers.length; index += 2) {
      see(String(response.headers[index]).toLowerCase(), String(response.headers[index + 1]))
    }
  }
  subscribe('undici:request:headers', listener)
  return () => unsubscribe('undici:request:headers', listener)
}

interface Asked {
  readonly url: string
  readonly authorization: string | undefined
  readonly body: string
}

function onServerExchange(
  port: number,
  see: { asked: (asked: Asked) => void; answered: (body: string) => void },
): () => void {
  const listener = (message: unknown): void => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse }
    if (request.socket.localPort !== port) return
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.pause()
    const end = response.end
    response.end = function answer(this: ServerResponse, ...parameters: unknown[]) {
      const [body] = parameters
      const { authorization } = request.headers
      see.asked({
        url: request.url ?? '',
        authorization,
        body: Buffer.concat(chunks).toString('latin1'),
      })
      if (typeof body === 'string' || Buffer.isBuffer(body)) see.answered(String(body))
      return Reflect.apply(end, this, parameters) as ServerResponse
    } as ServerResponse['end']
  }
  subscribe('http.server.request.start', listener)
  return () => unsubscribe('http.server.request.start', listener)
}
