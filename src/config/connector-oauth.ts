/**
 * Reads what a connector with `auth: 'oauth'` or `'client_credentials'` says about us as a client of
 * its authorization server. Credentials come from `POSTERN_CONNECTOR_<NAME>_CLIENT_ID` and
 * `_CLIENT_SECRET` before the file; what the file leaves open comes from its preset.
 */
import type { ConnectorOAuth } from '../config.ts'
import { connectCallbackUrl } from '../connectors/client/connect-urls.ts'
import type { Preset } from '../connectors/client/presets.ts'
import { ConfigError } from '../errors.ts'
import { isScopeName } from '../oauth/scope.ts'
import { isLoopbackHost, parseUrl } from '../oauth/urls.ts'
import { Secret } from '../secret.ts'
import { connectorVariable } from './fields.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

/** Refused with any other `auth`: they would mean nothing there. */
export const OAUTH_FIELDS: readonly string[] = [
  'client',
  'requestedScopes',
  'pinnedIssuer',
  'endpoints',
  'omitResource',
  'strictResource',
  'legacyDiscovery',
  'followMetadataRedirects',
]
export const OAUTH_METHODS = ['oauth', 'client_credentials'] as const
const CLIENT_FIELDS = ['clientId', 'clientSecret', 'authMethod']
export const AUTH_METHODS = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
] as const
const ENDPOINTS = ['authorization', 'token', 'registration', 'revocation'] as const
const REQUESTED_SCOPES_MAX = 256
const CLIENT_ID_MAX_CHARS = 2_048

type Input = Readonly<Record<string, unknown>>

/** A connector as far as it has been read. */
export interface OAuthConnector {
  readonly name: string
  readonly at: string
  readonly url: URL
  readonly auth: (typeof OAUTH_METHODS)[number]
  readonly house: { readonly issuer: string; readonly prefix: string }
  readonly preset: Preset | undefined
}

/** @throws {ConfigError} naming the field, and for a missing client where to get one. */
export function readOAuth(
  connector: OAuthConnector,
  input: Input,
  sources: Sources,
): ConnectorOAuth {
  const { at, preset } = connector
  const client = readClient(connector, input.client, sources)
  const flag = (name: string, initial: boolean): boolean =>
    input[name] === undefined ? initial : read.boolean(`${at}.${name}`, input[name], sources)
  const pinnedIssuer =
    input.pinnedIssuer === undefined
      ? preset?.pinnedIssuer
      : readUrl(connector, `${at}.pinnedIssuer`, input.pinnedIssuer, sources)
  const endpoints =
    input.endpoints === undefined
      ? preset?.endpoints
      : readEndpoints(connector, input.endpoints, sources)
  return {
    ...(client === undefined ? {} : { client }),
    ...(input.requestedScopes === undefined
      ? {}
      : { requestedScopes: readRequestedScopes(at, input.requestedScopes, sources) }),
    ...(pinnedIssuer === undefined ? {} : { pinnedIssuer }),
    ...(endpoints === undefined ? {} : { endpoints }),
    omitResource: flag('omitResource', preset?.omitResource === true),
    strictResource: flag('strictResource', false),
    legacyDiscovery: flag('legacyDiscovery', true),
    followMetadataRedirects: flag('followMetadataRedirects', false),
  }
}

/** Fields of `oauth` that stand beside another `auth` would be believed to do something. */
export function refuseOAuthFields(at: string, input: Input): void {
  const given = OAUTH_FIELDS.find((name) => input[name] !== undefined)
  if (given === undefined) return
  throw read.invalid(
    `${at}.${given}`,
    "left out: only auth: 'oauth' and auth: 'client_credentials' use it",
    `Set ${at}.auth to 'oauth', or remove ${at}.${given}.`,
  )
}

function readClient(
  connector: OAuthConnector,
  value: unknown,
  sources: Sources,
): ConnectorOAuth['client'] {
  const at = `${connector.at}.client`
  const input = value === undefined ? {} : read.record(at, value)
  read.refuseUnknown(at, input, CLIENT_FIELDS)
  const clientId = readCredential(connector, 'clientId', input.clientId, sources)
  const secret = readCredential(connector, 'clientSecret', input.clientSecret, sources)
  if (clientId === undefined) {
    if (value !== undefined || secret !== undefined || needsClient(connector))
      throw noClient(connector, 'clientId')
    return undefined
  }
  if (!/^[\x20-\x7e]+$/.test(clientId) || clientId.length > CLIENT_ID_MAX_CHARS)
    throw read.invalid(`${at}.clientId`, 'printable ASCII (RFC 6749 appendix A.1)')
  const said =
    input.authMethod === undefined
      ? undefined
      : read.choice(`${at}.authMethod`, input.authMethod, AUTH_METHODS, sources)
  judgeMethod(connector, said, secret !== undefined)
  const authMethod = said ?? (secret === undefined ? undefined : connector.preset?.authMethod)
  return {
    clientId,
    ...(secret === undefined ? {} : { clientSecret: new Secret(secret) }),
    ...(authMethod === undefined ? {} : { authMethod }),
  }
}

function needsClient({ auth, preset }: OAuthConnector): boolean {
  return auth === 'client_credentials' || preset?.registration === 'by-hand'
}

type AuthMethod = (typeof AUTH_METHODS)[number]

/** One way of authentication, with what it needs and nothing else. */
function judgeMethod(
  connector: OAuthConnector,
  method: AuthMethod | undefined,
  hasSecret: boolean,
): void {
  const at = `${connector.at}.client`
  const sendsSecret = method === 'client_secret_basic' || method === 'client_secret_post'
  if (sendsSecret && !hasSecret) throw noClient(connector, 'clientSecret')
  if (hasSecret && method !== undefined && !sendsSecret)
    throw read.invalid(`${at}.clientSecret`, `left out: authMethod ${method} sends none`)
  if (connector.auth !== 'client_credentials') return
  // RFC 6749 section 4.4: this grant is for confidential clients only.
  if (method === 'none')
    throw read.invalid(`${at}.authMethod`, "another one than none with auth: 'client_credentials'")
  if (method === undefined && !hasSecret) throw noClient(connector, 'clientSecret')
}

function readCredential(
  { name, at }: OAuthConnector,
  field: 'clientId' | 'clientSecret',
  given: unknown,
  sources: Sources,
): string | undefined {
  const variable = connectorVariable(name, VARIABLES[field])
  const direct = sources.environment[variable]
  const file = sources.environment[`${variable}_FILE`]
  const path = `${at}.client.${field}`
  if (direct !== undefined && direct !== '') return nonEmpty(path, direct, sources)
  if (file !== undefined)
    return nonEmpty(path, read.readReference(`${variable}_FILE`, file, sources), sources)
  return given === undefined ? undefined : nonEmpty(path, given, sources)
}

const VARIABLES = { clientId: 'CLIENT_ID', clientSecret: 'CLIENT_SECRET' } as const

function nonEmpty(path: string, value: unknown, sources: Sources): string {
  const text = read.text(path, value, sources)
  if (text === '') throw read.invalid(path, 'text that is not empty')
  return text
}

function noClient(connector: OAuthConnector, missing: 'clientId' | 'clientSecret'): ConfigError {
  const { name, auth, preset, house } = connector
  const both = `${connectorVariable(name, 'CLIENT_ID')} and ${connectorVariable(name, 'CLIENT_SECRET')}`
  const where = preset?.registerAt ?? 'the authorization server of this connector'
  const callback =
    auth === 'oauth' ? ` with callback ${connectCallbackUrl(house, name)}` : ' for this house'
  return new ConfigError(
    'ERR_CONFIG_CONNECTOR_CLIENT',
    `connector ${name} has no ${missing}.`,
    `Set ${both}. Register a client at ${where}${callback}`,
    `${connector.at}.client.${missing}`,
  )
}

function readRequestedScopes(at: string, value: unknown, sources: Sources): readonly string[] {
  const scopes = read.list(`${at}.requestedScopes`, value, sources)
  if (scopes.length > REQUESTED_SCOPES_MAX)
    throw read.invalid(`${at}.requestedScopes`, `a list of at most ${REQUESTED_SCOPES_MAX} scopes`)
  const wrong = scopes.findIndex((scope) => !isScopeName(scope))
  if (wrong !== -1) throw read.invalid(`${at}.requestedScopes[${wrong}]`, 'a scope name')
  return [...new Set(scopes)]
}

function readEndpoints(
  connector: OAuthConnector,
  value: unknown,
  sources: Sources,
): NonNullable<ConnectorOAuth['endpoints']> {
  const at = `${connector.at}.endpoints`
  const input = read.record(at, value)
  read.refuseUnknown(at, input, ENDPOINTS)
  const endpoint = (name: (typeof ENDPOINTS)[number]): string =>
    readUrl(connector, `${at}.${name}`, input[name], sources)
  for (const name of ['authorization', 'token'])
    if (input[name] === undefined)
      throw read.invalid(`${at}.${name}`, 'given', `Set ${at}.${name}, or remove ${at}.`)
  return {
    authorization: endpoint('authorization'),
    token: endpoint('token'),
    ...(input.registration === undefined ? {} : { registration: endpoint('registration') }),
    ...(input.revocation === undefined ? {} : { revocation: endpoint('revocation') }),
  }
}

/** As written: an issuer is compared byte for byte. Plain http only on this machine or beside the server. */
function readUrl(
  { url: server }: OAuthConnector,
  at: string,
  value: unknown,
  sources: Sources,
): string {
  const text = read.text(at, value, sources)
  const url = read.url(at, text, sources)
  if (parseUrl(text) === undefined) throw read.invalid(at, 'an absolute http or https URL')
  if (url.protocol !== 'https:' && !isLoopbackHost(url.hostname) && url.origin !== server.origin) {
    throw read.invalid(at, 'an https URL, or one on a loopback host or at the connector itself')
  }
  return text
}
