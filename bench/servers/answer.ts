/** The handler that both sides of P1 run: reads the body, answers a small JSON-RPC result. */
import type { IncomingMessage, ServerResponse } from 'node:http'

const ANSWER = Buffer.from(
  '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"three notes"}],"isError":false}}',
)
const HEAD = { 'content-type': 'application/json', 'content-length': ANSWER.length }

export function answerCall(request: IncomingMessage, response: ServerResponse): void {
  request.on('end', () => {
    response.writeHead(200, HEAD)
    response.end(ANSWER)
  })
  request.resume()
}
