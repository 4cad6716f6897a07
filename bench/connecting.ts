/** A house with a connector that people link, its remote server, and Ada's browser at both. */
import { setTimeout as pause } from 'node:timers/promises'
import { type RemoteServer, startRemoteServer } from '../demo/doubles/remote-server.ts'
import { createVisitor, type ReadingVisitor } from '../demo/visitor.ts'
import { alsoClose } from './children.ts'
import { type BenchHouse, openBenchHouse, PRESS } from './house.ts'

export const LINKED = 'remote'
const PAGE = `/connect/${LINKED}`
const READY_DEADLINE_MS = 20_000
const READY_PAUSE_MS = 100
/** A browser opens no more tabs than this at once. */
const TABS = 8

export interface Connecting {
  readonly house: BenchHouse
  readonly remote: RemoteServer
  /** Opens the page `count` times; each gives the bytes of one press on its button. */
  presses(count: number): Promise<readonly Buffer[]>
  /** The bytes of one click on a product's link, by its signed-in person. */
  readonly click: Buffer
  /** The whole trip. */
  connect(): Promise<void>
  /** The wall clocks of the remote server and of these nodes go on. */
  advance(ms: number, nodes: readonly BenchHouse['child'][]): Promise<void>
}

export async function openConnecting(): Promise<Connecting> {
  let aheadMs = 0
  const remote = await startRemoteServer({ nowMs: () => Date.now() + aheadMs })
  alsoClose(() => remote.close())
  const house = await openBenchHouse({ kind: 'gateway', linked: { [LINKED]: remote.url } })
  const issuer = `http://127.0.0.1:${house.port}`
  const visitor = createVisitor({ press: PRESS })
  const list = new URL('/connect', issuer)
  await visitor.read(list, { isEnd: ({ pathname }) => pathname === list.pathname })
  const page = new URL(PAGE, issuer)
  await untilReady(visitor, page, remote)
  const press = async (): Promise<Buffer> => {
    const { html } = await visitor.read(page, { isEnd: () => true })
    const ticket = /name="ticket" value="([^"]+)"/.exec(html)?.[1]
    if (ticket === undefined) throw new Error('the page has no form')
    const body = new URLSearchParams({ ticket, decision: 'connect' }).toString()
    const lines = [
      `POST ${PAGE} HTTP/1.1`,
      `host: 127.0.0.1:${house.port}`,
      `origin: ${issuer}`,
      'sec-fetch-site: same-origin',
      `cookie: ${visitor.cookiesFor(page)}`,
      'content-type: application/x-www-form-urlencoded',
      `content-length: ${body.length}`,
    ]
    return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
  }
  const query = new URLSearchParams({ app: 'product', returnUrl: `${issuer}/` })
  const lines = [
    `GET ${PAGE}?${query} HTTP/1.1`,
    `host: 127.0.0.1:${house.port}`,
    'accept: text/html',
    'sec-fetch-site: same-origin',
    'sec-fetch-mode: navigate',
    'sec-fetch-dest: document',
    'cookie: product=ada',
  ]
  return {
    house,
    remote,
    click: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`),
    async presses(count) {
      const made: Buffer[] = []
      const tab = async (): Promise<void> => {
        while (made.length < count) made.push(await press())
      }
      await Promise.all(Array.from({ length: TABS }, tab))
      return made
    },
    async advance(ms, nodes) {
      aheadMs += ms
      await Promise.all(nodes.map((node) => node.call('advance', ms)))
    },
    async connect() {
      const end = await visitor.read(page, { isEnd: ({ pathname }) => pathname === list.pathname })
      if (end.url.searchParams.get('done') !== 'connected')
        throw new Error(`not connected: ${end.text}`)
    },
  }
}

/** Discovery and registration go on behind the start. */
async function untilReady(
  visitor: ReadingVisitor,
  page: URL,
  { issuer }: RemoteServer,
): Promise<void> {
  const endMs = performance.now() + READY_DEADLINE_MS
  for (;;) {
    try {
      await visitor.visit(page, `${issuer}/authorize`)
      return
    } catch (error) {
      if (performance.now() > endMs) throw error
      await pause(READY_PAUSE_MS)
    }
  }
}
