/** Resources, prompts, completion and log level of the conformance fixture. */
import { type McpServer, ResourceTemplate } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { PNG_BASE64 } from './fixture-tools.ts'

export function registerContent(server: McpServer): void {
  registerResources(server)
  registerPrompts(server)
  server.server.setRequestHandler('logging/setLevel', async () => ({}))
  server.server.setRequestHandler('completion/complete', async () => ({
    completion: { values: [], total: 0, hasMore: false },
  }))
}

function registerResources(server: McpServer): void {
  const fixed: Readonly<
    Record<string, { mimeType: string; text: string } | { mimeType: string; blob: string }>
  > = {
    'static-text': {
      mimeType: 'text/plain',
      text: 'This is the content of the static text resource.',
    },
    'static-binary': { mimeType: 'image/png', blob: PNG_BASE64 },
    'watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
  }
  for (const [name, content] of Object.entries(fixed)) {
    const uri = `test://${name}`
    server.registerResource(name, uri, { title: name, mimeType: content.mimeType }, async () => ({
      contents: [{ uri, ...content }],
    }))
  }
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { title: 'template', mimeType: 'application/json' },
    async (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
        },
      ],
    }),
  )
  server.server.setRequestHandler('resources/subscribe', async () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', async () => ({}))
}

function registerPrompts(server: McpServer): void {
  const said = (content: string) => ({
    role: 'user' as const,
    content: { type: 'text' as const, text: content },
  })
  server.registerPrompt(
    'test_simple_prompt',
    { title: 'Simple', description: 'No arguments' },
    async () => ({
      messages: [said('This is a simple prompt for testing.')],
    }),
  )
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      title: 'Arguments',
      description: 'Two',
      argsSchema: z.object({ arg1: z.string(), arg2: z.string() }),
    },
    async ({ arg1, arg2 }) => ({
      messages: [said(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
    }),
  )
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      title: 'Resource',
      description: 'Embeds one',
      argsSchema: z.object({ resourceUri: z.string() }),
    },
    async ({ resourceUri }) => ({
      messages: [
        {
          role: 'user' as const,
          content: {
            type: 'resource' as const,
            resource: {
              uri: resourceUri,
              mimeType: 'text/plain',
              text: 'Embedded resource content for testing.',
            },
          },
        },
        said('Please process the embedded resource above.'),
      ],
    }),
  )
  server.registerPrompt(
    'test_prompt_with_image',
    { title: 'Image', description: 'Embeds one' },
    async () => ({
      messages: [
        {
          role: 'user' as const,
          content: { type: 'image' as const, data: PNG_BASE64, mimeType: 'image/png' },
        },
        said('Please analyze the image above.'),
      ],
    }),
  )
}
