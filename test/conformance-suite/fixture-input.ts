/**
 * Tools and a prompt of the conformance fixture that answer with `input_required` (SEP-2322, revision
 * 2026-07-28): the client comes back with what was asked, and with our sealed `requestState`.
 */
import {
  acceptedContent,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  type InputRequests,
  type InputRequiredResult,
  inputRequired,
  type McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { z } from 'zod'
import { text } from './fixture-tools.ts'

type Mint = (state: Record<string, unknown>) => Promise<string>
type Answer = CallToolResult | InputRequiredResult

export function registerInputTools(server: McpServer, mint: Mint): void {
  const tools: Readonly<Record<string, (context: ServerContext) => Promise<Answer>>> = {
    test_input_required_result_elicitation: askName,
    test_input_required_result_sampling: askModel,
    test_missing_capability: askModel,
    test_input_required_result_list_roots: askRoots,
    test_input_required_result_request_state: (context) => confirmWithState(context, mint),
    test_input_required_result_tampered_state: (context) => confirmWithState(context, mint),
    test_input_required_result_multiple_inputs: (context) => askAll(context, mint),
    test_input_required_result_multi_round: (context) => askTwice(context, mint),
    test_input_required_result_capabilities: askWhatIsDeclared,
  }
  for (const [name, run] of Object.entries(tools)) {
    server.registerTool(
      name,
      { description: `Needs input (${name})`, inputSchema: z.object({}) },
      (_args, context) => run(context),
    )
  }
  server.registerPrompt(
    'test_input_required_result_prompt',
    { title: 'Needs input', description: 'Asks for its context first' },
    async (given) => {
      // Without arguments a prompt's callback is given the request context, which its type omits.
      const context = given as unknown as ServerContext
      const found = acceptedContent<{ context: string }>(
        context.mcpReq.inputResponses,
        'user_context',
      )?.context
      if (typeof found !== 'string') {
        return inputRequired({
          inputRequests: { user_context: form('What is the context?', 'context', 'string') },
        })
      }
      return {
        messages: [
          { role: 'user' as const, content: { type: 'text' as const, text: `Use: ${found}` } },
        ],
      }
    },
  )
}

function form(message: string, field: string, type: 'string' | 'boolean') {
  const schema = type === 'string' ? { type: 'string' as const } : { type: 'boolean' as const }
  return inputRequired.elicit({
    message,
    requestedSchema: { type: 'object', properties: { [field]: schema }, required: [field] },
  })
}

function question(content: string) {
  return inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: content } }],
    maxTokens: 50,
  })
}

async function askName({ mcpReq }: ServerContext): Promise<Answer> {
  const name = acceptedContent<{ name: string }>(mcpReq.inputResponses, 'user_name')?.name
  if (typeof name === 'string') return text(`Hello, ${name}!`)
  return inputRequired({
    inputRequests: { user_name: form('What is your name?', 'name', 'string') },
  })
}

async function askModel({ mcpReq }: ServerContext): Promise<Answer> {
  const answer = mcpReq.inputResponses?.capital_question
  if (answer !== undefined) return text(`Sampling response: ${JSON.stringify(answer)}`)
  return inputRequired({
    inputRequests: { capital_question: question('What is the capital of France?') },
  })
}

async function askRoots({ mcpReq }: ServerContext): Promise<Answer> {
  const answer = mcpReq.inputResponses?.client_roots
  if (answer !== undefined) return text(`Roots: ${JSON.stringify(answer)}`)
  return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
}

async function confirmWithState({ mcpReq }: ServerContext, mint: Mint): Promise<Answer> {
  const confirmed = acceptedContent<{ ok: boolean }>(mcpReq.inputResponses, 'confirm')
  if (confirmed === undefined) {
    return inputRequired({
      inputRequests: { confirm: form('Please confirm', 'ok', 'boolean') },
      requestState: await mint({ step: 'confirm', nonce: crypto.randomUUID() }),
    })
  }
  // A state that fails its check never reaches us: the server's own verification answers -32602.
  if (mcpReq.requestState() === undefined) {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'requestState is missing')
  }
  return text('state-ok')
}

async function askAll({ mcpReq }: ServerContext, mint: Mint): Promise<Answer> {
  const answers = mcpReq.inputResponses ?? {}
  const wanted = ['user_name', 'greeting', 'client_roots']
  if (wanted.every((key) => answers[key] !== undefined))
    return text(`All there: ${Object.keys(answers).join(' ')}`)
  return inputRequired({
    inputRequests: {
      user_name: form('What is your name?', 'name', 'string'),
      greeting: question('Write a greeting'),
      client_roots: inputRequired.listRoots(),
    },
    requestState: await mint({ step: 'all', nonce: crypto.randomUUID() }),
  })
}

async function askTwice({ mcpReq }: ServerContext, mint: Mint): Promise<Answer> {
  const state = mcpReq.requestState<{ round?: number; name?: string }>()
  const round = state?.round ?? 0
  if (round === 0) {
    return inputRequired({
      inputRequests: { step1: form('What is your name?', 'name', 'string') },
      requestState: await mint({ round: 1, nonce: crypto.randomUUID() }),
    })
  }
  if (round === 1) {
    const name =
      acceptedContent<{ name: string }>(mcpReq.inputResponses, 'step1')?.name ?? 'unknown'
    return inputRequired({
      inputRequests: { step2: form('What is your favourite colour?', 'color', 'string') },
      requestState: await mint({ round: 2, name, nonce: crypto.randomUUID() }),
    })
  }
  const color =
    acceptedContent<{ color: string }>(mcpReq.inputResponses, 'step2')?.color ?? 'unknown'
  return text(`${state?.name ?? 'unknown'} likes ${color}`)
}

async function askWhatIsDeclared({ mcpReq }: ServerContext): Promise<Answer> {
  if (mcpReq.inputResponses !== undefined) return text('fulfilled')
  const envelope: Readonly<Record<string, unknown>> = mcpReq.envelope ?? {}
  const declared = envelope[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined
  const inputRequests: InputRequests = {
    ...(declared?.elicitation === undefined
      ? {}
      : { user_name: form('What is your name?', 'name', 'string') }),
    ...(declared?.sampling === undefined ? {} : { greeting: question('Write a greeting') }),
    ...(declared?.roots === undefined ? {} : { client_roots: inputRequired.listRoots() }),
  }
  return Object.keys(inputRequests).length === 0
    ? text('nothing declared')
    : inputRequired({ inputRequests })
}
