/** Tools of the conformance fixture that answer by themselves or talk to the client while they run. */
import { setTimeout as pause } from 'node:timers/promises'
import {
  type CallToolResult,
  fromJsonSchema,
  type McpServer,
  type RequestId,
} from '@modelcontextprotocol/server'
import { z } from 'zod'

const STEP_MS = 50
const RECONNECT_MS = 100
/** One red pixel. */
export const PNG_BASE64 =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
/** One sample of silence. */
const WAV_BASE64 = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA='

export interface FixtureHooks {
  toolsChanged(): void
  promptsChanged(): void
  closeStream(sessionId: string, requestId: RequestId): void
}

export function registerTools(server: McpServer, hooks: FixtureHooks): void {
  registerFixedAnswers(server)
  registerSchemas(server)
  registerRunning(server)
  registerClientRequests(server)
  for (const [name, change] of [
    ['test_trigger_tool_change', hooks.toolsChanged],
    ['test_trigger_prompt_change', hooks.promptsChanged],
  ] as const) {
    server.registerTool(
      name,
      { description: 'Announces a list change', inputSchema: z.object({}) },
      async () => {
        change()
        return text('announced')
      },
    )
  }
  server.registerTool(
    'test_reconnection',
    { description: 'Closes its own event stream, then answers', inputSchema: z.object({}) },
    async (_args, context) => {
      if (context.sessionId !== undefined) hooks.closeStream(context.sessionId, context.mcpReq.id)
      await pause(RECONNECT_MS)
      return text('answered after the stream was closed')
    },
  )
}

export function text(content: string): CallToolResult {
  return { content: [{ type: 'text', text: content }] }
}

function registerFixedAnswers(server: McpServer): void {
  const image = { type: 'image', data: PNG_BASE64, mimeType: 'image/png' } as const
  const fixed: Readonly<Record<string, CallToolResult['content']>> = {
    test_simple_text: [{ type: 'text', text: 'This is a simple text response for testing.' }],
    test_image_content: [image],
    test_audio_content: [{ type: 'audio', data: WAV_BASE64, mimeType: 'audio/wav' }],
    test_embedded_resource: [
      {
        type: 'resource',
        resource: {
          uri: 'test://embedded-resource',
          mimeType: 'text/plain',
          text: 'This is an embedded resource content.',
        },
      },
    ],
    test_multiple_content_types: [
      { type: 'text', text: 'Multiple content types test:' },
      image,
      {
        type: 'resource',
        resource: {
          uri: 'test://mixed-content-resource',
          mimeType: 'application/json',
          text: '{"test":"data","value":123}',
        },
      },
    ],
  }
  for (const [name, content] of Object.entries(fixed)) {
    server.registerTool(name, { description: `Always the same answer (${name})` }, async () => ({
      content,
    }))
  }
  server.registerTool('test_error_handling', { description: 'Always fails' }, async () => {
    throw new Error('This tool intentionally returns an error for testing')
  })
}

/** `x-mcp-header` is MCP's own keyword, so this schema is not of the library's closed type. */
const MIRRORED_SCHEMA = {
  type: 'object' as const,
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, level: { type: 'integer' } },
}

function registerSchemas(server: McpServer): void {
  server.registerTool(
    'test_x_mcp_header',
    {
      description: 'One argument is mirrored into a header (SEP-2243)',
      inputSchema: fromJsonSchema<{ region?: string; level?: number }>(MIRRORED_SCHEMA),
    },
    async (args) => text(`region=${args.region ?? 'none'}`),
  )
  server.registerTool(
    'json_schema_2020_12_tool',
    {
      description: 'A schema with the vocabulary of JSON Schema 2020-12 (SEP-1613, SEP-2106)',
      inputSchema: fromJsonSchema({
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        $defs: {
          address: {
            $anchor: 'addressDef',
            type: 'object',
            properties: { street: { type: 'string' }, city: { type: 'string' } },
          },
        },
        properties: {
          name: { type: 'string' },
          address: { $ref: '#/$defs/address' },
          contactMethod: { type: 'string', enum: ['phone', 'email'] },
          phone: { type: 'string' },
          email: { type: 'string' },
        },
        allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
        if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
        then: { required: ['phone'] },
        else: { required: ['email'] },
        additionalProperties: false,
      }),
    },
    async (args) => text(JSON.stringify(args)),
  )
}

function registerRunning(server: McpServer): void {
  const empty = z.object({})
  server.registerTool(
    'test_tool_with_logging',
    { description: 'Logs three times while it runs', inputSchema: empty },
    async (_args, context) => {
      for (const data of [
        'Tool execution started',
        'Tool processing data',
        'Tool execution completed',
      ]) {
        await context.mcpReq.notify({
          method: 'notifications/message',
          params: { level: 'info', data },
        })
        await pause(STEP_MS)
      }
      return text('Tool with logging executed successfully')
    },
  )
  server.registerTool(
    'test_tool_with_progress',
    { description: 'Reports progress three times when asked to', inputSchema: empty },
    async (_args, context) => {
      const progressToken = context.mcpReq._meta?.progressToken
      if (progressToken === undefined) return text('nobody asked for progress')
      for (const progress of [0, 50, 100]) {
        await context.mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress, total: 100, message: `${progress} of 100` },
        })
        await pause(STEP_MS)
      }
      return text(String(progressToken))
    },
  )
  server.registerTool(
    'test_streaming_elicitation',
    { description: 'Sends nothing but its result (SEP-2575)', inputSchema: empty },
    async () => text('nothing but a result'),
  )
  server.registerTool(
    'test_logging_tool',
    { description: 'Logs only for those who asked for logs (SEP-2575)', inputSchema: empty },
    async (_args, context) => {
      await context.mcpReq.log('info', 'for those who asked')
      return text('logged')
    },
  )
}

/** Tools that ask the client something while they run (2025-11-25 and older). */
function registerClientRequests(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    {
      description: 'Asks the client for a completion',
      inputSchema: z.object({ prompt: z.string() }),
    },
    async ({ prompt }, context) => {
      const answer = await context.mcpReq.send({
        method: 'sampling/createMessage',
        params: {
          messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
          maxTokens: 100,
        },
      })
      return text(`LLM response: ${JSON.stringify(answer)}`)
    },
  )
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the person two things', inputSchema: z.object({ message: z.string() }) },
    async ({ message }, context) => {
      const requestedSchema = {
        type: 'object' as const,
        properties: {
          username: { type: 'string' as const, description: "User's response" },
          email: { type: 'string' as const, description: "User's email address" },
        },
        required: ['username', 'email'],
      }
      const answer = await context.mcpReq.send({
        method: 'elicitation/create',
        params: { message, requestedSchema },
      })
      return text(`User response: ${JSON.stringify(answer)}`)
    },
  )
  for (const [name, properties] of Object.entries(FORMS)) {
    server.registerTool(
      name,
      { description: `Asks with a form (${name})`, inputSchema: z.object({}) },
      async (_args, context) => {
        const requestedSchema = { type: 'object' as const, properties, required: [] }
        const answer = await context.mcpReq.send({
          method: 'elicitation/create',
          params: { message: 'Please fill in the form', requestedSchema },
        })
        return text(`Elicitation completed: ${JSON.stringify(answer)}`)
      },
    )
  }
}

const OPTIONS = ['option1', 'option2', 'option3']
const titled = (word: string) =>
  ['First', 'Second', 'Third'].map((order, index) => ({
    const: `value${index + 1}`,
    title: `${order} ${word}`,
  }))

/** Defaults for every primitive type (SEP-1034); every way to write an enumeration (SEP-1330). */
const FORMS = {
  test_elicitation_sep1034_defaults: {
    name: { type: 'string' as const, default: 'John Doe' },
    age: { type: 'integer' as const, default: 30 },
    score: { type: 'number' as const, default: 95.5 },
    status: { type: 'string' as const, enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean' as const, default: true },
  },
  test_elicitation_sep1330_enums: {
    untitledSingle: { type: 'string' as const, enum: OPTIONS },
    titledSingle: { type: 'string' as const, oneOf: titled('Option') },
    legacyEnum: {
      type: 'string' as const,
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array' as const, items: { type: 'string' as const, enum: OPTIONS } },
    titledMulti: { type: 'array' as const, items: { anyOf: titled('Choice') } },
  },
}
