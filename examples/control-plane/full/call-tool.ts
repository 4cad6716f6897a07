/**
 * One tool call over Streamable HTTP, without a session. A product that does more takes the official
 * client and `postern.authProvider(user, connector)`.
 */
const PROTOCOL_VERSION = '2025-11-25'

interface ToolAnswer {
  readonly result?: { readonly content?: readonly { readonly text?: string }[] }
  readonly error?: { readonly message?: string }
}

/** @returns The text of the answer. @throws When the server refuses, or says something else. */
export async function callTool(url: string, accessToken: string, name: string): Promise<string> {
  const answer = await fetch(url, {
    method: 'POST',
    redirect: 'manual',
    headers: {
      authorization: `Bearer ${accessToken}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-protocol-version': PROTOCOL_VERSION,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name, arguments: {} },
    }),
  })
  const body = await answer.text()
  // JSON as it is, or in the first event of a stream.
  const message = JSON.parse(/^data: ?(.+)$/m.exec(body)?.[1] ?? body) as ToolAnswer
  const text = message.result?.content?.[0]?.text
  if (text === undefined)
    throw new Error(message.error?.message ?? `the server said ${answer.status}`)
  return text
}
