/**
 * Why this house is no client at a connector's authorization server, and what an administrator can do
 * about it. Of the other side's words only the standard's codes are shown, never its text.
 */
import { connectorVariable } from '../../config/fields.ts'
import { UpstreamError } from '../../errors.ts'
import type { JsonObject } from '../../oauth/claims.ts'
import type { ConnectorProblem } from '../../records.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { DocumentHouse } from './client-document.ts'
import { connectCallbackUrl } from './connect-urls.ts'
import { findPreset } from './presets.ts'

/** What happened: nothing to register with, an answer that is none, a refusal, or no answer. */
export type RegistrationFailure =
  | 'closed'
  | 'method'
  | 'static_method'
  | 'not_json'
  | 'client_id'
  | 'redirect_uris'
  | 'auth_method'
  | 'client_secret'
  | 'secret_life'
  | 'lost'
  | { readonly status: number; readonly answer: JsonObject | undefined }
  | UpstreamError

const ODD_ANSWERS: Readonly<Record<string, string>> = {
  not_json: 'is no JSON',
  client_id: 'names no usable client_id',
  redirect_uris: 'leaves our callback out',
  auth_method: 'asks for a way of authentication that we do not have',
  client_secret: 'promises a client_secret and has none',
  secret_life: 'gives a client_secret that ends within five minutes',
}

export function registrationProblem(
  house: DocumentHouse,
  binding: Binding,
  why: RegistrationFailure,
): ConnectorProblem {
  const { party, text, requirement } = describe(house, binding, why)
  return { party, code: 'ERR_CONNECTOR_REGISTRATION', text, requirement }
}

type Described = Pick<ConnectorProblem, 'party' | 'text' | 'requirement'>

function describe(house: DocumentHouse, binding: Binding, why: RegistrationFailure): Described {
  const at = new URL(binding.issuer).origin
  const listed = binding.server.token_endpoint_auth_methods_supported?.join(', ') ?? 'nothing'
  if (why instanceof UpstreamError) {
    const text = `the registration endpoint of ${at} does not answer (${why.code}); it is asked again`
    return { party: 'authorization-server', text, requirement: 'CLI-05' }
  }
  if (typeof why === 'object') return describeStatus(house, binding, why)
  if (why === 'lost') {
    const text = 'other nodes are registering at the same time; it is tried again'
    return { party: 'here', text, requirement: 'CLI-05' }
  }
  if (why === 'closed') {
    const text = `${at} registers nobody by itself, and takes no metadata document of this house. ${byHand(house, binding)}`
    return { party: 'here', text, requirement: 'CLI-01' }
  }
  if (why === 'method') {
    const text = `${at} authenticates clients by ${listed}, and we by client_secret_basic, client_secret_post, private_key_jwt or none`
    return { party: 'authorization-server', text, requirement: 'CLI-16, RFC 8414 section 2' }
  }
  if (why === 'static_method') {
    const { name } = binding.connector
    const text = `${at} authenticates clients by ${listed}: set connectors.${name}.client.authMethod and what it needs`
    return { party: 'here', text, requirement: 'CLI-16, RFC 8414 section 2' }
  }
  const text = `the answer of the registration endpoint of ${at} ${ODD_ANSWERS[why] ?? 'cannot be used'}`
  return { party: 'authorization-server', text, requirement: 'RFC 7591 section 3.2.1' }
}

/** RFC 7591 section 3.2.2, and the statuses by which servers say that registration is not for everybody. */
function describeStatus(
  house: DocumentHouse,
  binding: Binding,
  { status, answer }: { readonly status: number; readonly answer: JsonObject | undefined },
): Described {
  const at = new URL(binding.issuer).origin
  const error = answer?.['error']
  const word = typeof error === 'string' && /^[a-z_]{1,64}$/.test(error) ? error : undefined
  const party = 'authorization-server'
  if (status === 429 || status >= 500) {
    const text = `the registration endpoint of ${at} answered ${status}; it is asked again`
    return { party, text, requirement: 'CLI-05' }
  }
  const said = word === undefined ? `${status}` : `${status} ${word}`
  const text = `${at} refused to register this house (${said}). ${byHand(house, binding)}`
  return { party, text, requirement: 'CLI-01, RFC 7591 section 3.2.2' }
}

function byHand(house: DocumentHouse, { connector }: Binding): string {
  const { name, preset } = connector
  const registerAt = preset === undefined ? undefined : findPreset(preset)?.registerAt
  const where = registerAt === undefined ? 'there' : `at ${registerAt}`
  const id = connectorVariable(name, 'CLIENT_ID')
  const secret = connectorVariable(name, 'CLIENT_SECRET')
  return `Register a client ${where} with callback ${connectCallbackUrl(house, name)}, and set ${id} and ${secret}`
}
