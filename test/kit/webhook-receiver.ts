/** Where webhooks go in tests: a listener on loopback that believes what `verifyWebhook` believes. */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ReceivedEvent, verifyWebhook } from '../../src/index.ts'

export interface WebhookReceiver {
  readonly url: string
  readonly secret: string
  /** Those that were signed by us, oldest first. */
  readonly events: readonly ReceivedEvent[]
  /** Requests that were not. */
  refused(): number
  close(): Promise<void>
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const secret = `whsec_${randomBytes(32).toString('base64')}`
  const events: ReceivedEvent[] = []
  let refused = 0
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (bytes: Buffer) => {
      body += bytes.toString()
    })
    request.on('end', () => {
      const headers = new Headers(request.headers as Record<string, string>)
      const received = new Request('http://receiver.example', { method: 'POST', headers, body })
      verifyWebhook(received, secret).then(
        (event) => {
          events.push(event)
          response.writeHead(204).end()
        },
        () => {
          refused += 1
          response.writeHead(400).end()
        },
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    secret,
    events,
    refused: () => refused,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
