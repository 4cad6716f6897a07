/**
 * The pages on a real port for a real browser: an issuer of `test/flow/sign-in-house.ts` behind
 * node:http, and beside it a stand-in for provider and client pages on another origin.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createTestIssuer, type HouseOptions, type TestHouse } from '../flow/sign-in-house.ts'

export interface Served<H extends TestHouse = TestHouse> {
  readonly house: H
  /** Another origin: `/authorize` is a provider that signs in at once, any other path a client's page. */
  readonly elsewhere: string
  readonly asked: string[]
  close(): Promise<void>
}

export function servePages(options: HouseOptions = {}): Promise<Served> {
  return serveHouse((issuer) => createTestIssuer({ ...options, issuer }))
}

/** As `servePages`, of a house that the caller makes. */
export async function serveHouse<H extends TestHouse>(
  create: (issuer: string) => H,
): Promise<Served<H>> {
  let house: H | undefined
  const ours = createServer(async (incoming, outgoing) => {
    const request = await readRequest(incoming)
    const response =
      house === undefined ? new Response(null, { status: 503 }) : await house.fetch(request)
    outgoing.statusCode = response.status
    for (const [name, value] of response.headers)
      if (name !== 'set-cookie') outgoing.setHeader(name, value)
    const cookies = response.headers.getSetCookie()
    if (cookies.length > 0) outgoing.setHeader('set-cookie', cookies)
    outgoing.end(Buffer.from(await response.arrayBuffer()))
  })
  const asked: string[] = []
  const theirs = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url} referer=${incoming.headers.referer ?? ''}`)
    const query = new URL(incoming.url ?? '/', 'http://elsewhere').searchParams
    const redirectUri = query.get('redirect_uri')
    if (incoming.url?.startsWith('/authorize') && redirectUri !== null) {
      const answer = new URLSearchParams({ code: 'provider-code', state: query.get('state') ?? '' })
      outgoing.writeHead(303, { location: `${redirectUri}?${answer}` }).end()
      return
    }
    outgoing.setHeader('content-type', 'text/html')
    outgoing.end('<!doctype html><title>elsewhere</title><h1>elsewhere</h1>')
  })
  const port = await listen(ours)
  const elsewhere = `http://127.0.0.1:${await listen(theirs)}`
  house = create(`http://127.0.0.1:${port}`)
  house.provider.origin = elsewhere
  const close = async () => {
    await Promise.all(
      [ours, theirs].map((server) => new Promise((resolve) => server.close(resolve))),
    )
  }
  return { house, elsewhere, asked, close }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function readRequest(incoming: IncomingMessage): Promise<Request> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const headers = new Headers()
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    headers.append(incoming.rawHeaders[index] ?? '', incoming.rawHeaders[index + 1] ?? '')
  }
  const method = incoming.method ?? 'GET'
  const body = method === 'GET' || method === 'HEAD' ? undefined : Buffer.concat(chunks)
  return new Request(`http://${incoming.headers.host}${incoming.url}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  })
}
