/**
 * The only caller of connectors' token, revocation and pushed-request endpoints.
 *
 * Form-encoded, with one way of authentication, to the endpoint of the binding and nowhere else;
 * redirects are refused (CLI-21). What is not the word of a standard is *unknown* and ends nothing
 * (CLI-20). One exchange per call, none repeated; never a token in an error or event.
 * @see RFC 6749 sections 4.1.3, 4.4 and 6, RFC 7009, RFC 8707, RFC 9126
 */
import { isNamedByFile } from '../../config/approved-origins.ts'
import { UpstreamError } from '../../errors.ts'
import type { Egress, EgressResponse, Operation } from '../../net/egress.ts'
import { type ClientProof, clientRequest } from '../../oauth/client-request.ts'
import type { TokenSet } from '../../oauth/token-answer.ts'
import type { Runtime } from '../../ports.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { AssertionKeys } from './assertion-keys.ts'
import type { OurClient } from './registration.ts'
import { type Answered, judgePush, judgeRevocation, judgeTokenCall } from './token-answers.ts'

export type TokenCall =
  | {
      readonly outcome: 'yes'
      readonly tokens: TokenSet
      /** Of the account, where the server told it in an ID token. */
      readonly subject?: string
    }
  /** The server's own word, such as `invalid_grant` or `invalid_client`. */
  | { readonly outcome: 'no'; readonly error: string }
  | { readonly outcome: 'unknown'; readonly error?: unknown; readonly retryAfterMs?: number }

export type PushCall =
  | { readonly outcome: 'yes'; readonly requestUri: string }
  | Exclude<TokenCall, { readonly outcome: 'yes' }>

export interface TokenCalls {
  exchange(
    binding: Binding,
    client: OurClient,
    input: {
      readonly code: string
      readonly verifier: string
      readonly redirectUri: string
      /** As sent with the authorization request; `undefined`: omitted there too. */
      readonly resource: string | undefined
    },
  ): Promise<TokenCall>
  /** An answer without a refresh token keeps the old one: it is in the result (CLI-18). */
  refresh(
    binding: Binding,
    client: OurClient,
    input: { readonly refreshToken: string; readonly resource: string | undefined },
  ): Promise<TokenCall>
  clientCredentials(
    binding: Binding,
    client: OurClient,
    input: { readonly scopes: readonly string[] },
  ): Promise<TokenCall>
  /** @param parameters Of the authorization request, whole. */
  push(binding: Binding, client: OurClient, parameters: URLSearchParams): Promise<PushCall>
  /** `unsupported`: the server has no such endpoint, or not for this kind of token. */
  revoke(
    binding: Binding,
    client: OurClient,
    token: string,
    hint: 'refresh_token' | 'access_token',
  ): Promise<'confirmed' | 'unsupported' | 'unknown'>
}

export interface TokenCallsDeps {
  readonly egress: Egress
  readonly runtime: Pick<Runtime, 'nowMs'>
  readonly assertionKeys: Pick<AssertionKeys, 'sign'>
  readonly tokenCallTimeoutMs: number
  /** An endpoint of this connector answered 404 or 410: its documents may be old (DSC-19). */
  readonly endpointGone?: (connector: string) => void
}

/** Of an answer, decoded (threats.md section 2). */
const ANSWER_MAX_BYTES = 65_536

type Form = Readonly<Record<string, string | undefined>>
type Asked = { readonly binding: Binding; readonly client: OurClient }

export function createTokenCalls(deps: TokenCallsDeps): TokenCalls {
  const token = (asked: Asked, form: Form): Promise<TokenCall> =>
    orUnknown(async () => {
      const answered = await post(deps, asked, 'token', asked.binding.server.token_endpoint, form)
      return judgeTokenCall(asked.binding, asked.client.clientId, answered)
    })
  return {
    exchange: (binding, client, { code, verifier, redirectUri, resource }) =>
      token(
        { binding, client },
        {
          grant_type: 'authorization_code',
          code,
          redirect_uri: redirectUri,
          code_verifier: verifier,
          resource,
        },
      ),
    async refresh(binding, client, { refreshToken, resource }) {
      const answer = await token(
        { binding, client },
        { grant_type: 'refresh_token', refresh_token: refreshToken, resource },
      )
      if (answer.outcome !== 'yes') return answer
      return { ...answer, tokens: { refreshToken, ...answer.tokens } }
    },
    clientCredentials: (binding, client, { scopes }) =>
      token(
        { binding, client },
        {
          grant_type: 'client_credentials',
          resource: binding.resource,
          scope: scopes.length === 0 ? undefined : scopes.join(' '),
        },
      ),
    push: (binding, client, parameters) => push(deps, { binding, client }, parameters),
    revoke: (binding, client, presented, hint) =>
      revoke(deps, { binding, client }, { token: presented, token_type_hint: hint }),
  }
}

async function push(
  deps: TokenCallsDeps,
  asked: Asked,
  parameters: URLSearchParams,
): Promise<PushCall> {
  const url = asked.binding.server.pushed_authorization_request_endpoint
  if (url === undefined) return { outcome: 'no', error: 'unsupported' }
  return orUnknown(async () =>
    judgePush(await post(deps, asked, 'pushed-request', url, Object.fromEntries(parameters))),
  )
}

async function revoke(
  deps: TokenCallsDeps,
  asked: Asked,
  form: Form,
): Promise<'confirmed' | 'unsupported' | 'unknown'> {
  const url = asked.binding.server.revocation_endpoint
  if (url === undefined) return 'unsupported'
  const answered = await orUnknown(() => post(deps, asked, 'revoke', url, form))
  return 'outcome' in answered ? 'unknown' : judgeRevocation(answered)
}

async function post(
  deps: TokenCallsDeps,
  asked: Asked,
  operation: Operation,
  url: string,
  form: Form,
): Promise<Answered> {
  const response: EgressResponse = await deps.egress.exchange({
    operation,
    method: 'POST',
    url,
    ...clientRequest(await proofOf(deps, asked, operation), form),
    timeoutMs: deps.tokenCallTimeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
    publicOnly: !isNamedByFile(asked.binding.connector),
  })
  if (response.status === 404 || response.status === 410)
    deps.endpointGone?.(asked.binding.connector.name)
  return { response, operation, nowMs: deps.runtime.nowMs() }
}

/** CLI-15: the audience is the issuer, at whichever of its endpoints the assertion is shown. */
async function proofOf(
  { assertionKeys }: TokenCallsDeps,
  { binding, client }: Asked,
  operation: Operation,
): Promise<ClientProof> {
  const { clientId } = client
  const method = methodAt(binding, client, operation)
  if (method === 'none') return { method, clientId }
  if (method === 'private_key_jwt')
    return { method, clientId, assertion: await assertionKeys.sign(clientId, binding.issuer) }
  if (client.secret === undefined) throw new TypeError(`a client with ${method} has a secret`)
  return { method, clientId, secret: client.secret }
}

/** RFC 8414 section 2: the revocation endpoint may list ways of its own; a secret goes either way. */
function methodAt(
  { server }: Binding,
  { authMethod, secret }: OurClient,
  operation: Operation,
): OurClient['authMethod'] {
  const listed = operation === 'revoke' ? server.revocation_endpoint_auth_methods_supported : []
  if (listed === undefined || listed.length === 0 || listed.includes(authMethod)) return authMethod
  const other = (['client_secret_basic', 'client_secret_post'] as const).find((method) =>
    listed.includes(method),
  )
  return secret === undefined || other === undefined ? authMethod : other
}

/** What the server or the way there does wrong is *unknown*; what we do wrong still throws. */
async function orUnknown<Outcome>(
  ask: () => Promise<Outcome>,
): Promise<Outcome | Extract<TokenCall, { outcome: 'unknown' }>> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const { retryAfterMs } = error
    return { outcome: 'unknown', error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
}
