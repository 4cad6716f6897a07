/**
 * What each party can do about a fault, and which setting of this house works around it meanwhile.
 * From the problems of discovery, registration and binding, by their codes; pure.
 */
import type { UpstreamError } from '../../errors.ts'
import { FetchFailure } from '../../net/failure.ts'
import { isIssuer } from '../../oauth/published.ts'
import { resourceIdentifier, resourceMetadataUrls } from '../../oauth/resource-metadata.ts'
import type { ConnectorProblem } from '../../records.ts'
import { place, shown, silence } from '../discovery/discovery-problems.ts'
import type { Fault } from './report.ts'

/** What is known where a fault was seen. */
export interface Scene {
  /** The MCP endpoint. */
  readonly url: URL
  /** As the settings of this house call it. */
  readonly name: string
  /** The command was given a URL: a flag of it approves an origin. */
  readonly isConfigured: boolean
  /** Who answered, or should have. */
  readonly at: URL
  /** What an issuer had to be, and was. */
  readonly expected?: string
  readonly found?: string
  /** The `resource` that was found. */
  readonly resource?: string
  /** The document leaves the PKCE member out, rather than S256. */
  readonly isPkceSilent?: boolean
}

type Remedy = Pick<Fault, 'fix' | 'here'>

/** A problem as a fault of its party, with what can be done. */
export function faultOf(
  problem: ConnectorProblem,
  scene: Scene,
  weight: Fault['weight'] = 'blocks',
): Fault {
  const { party, code, text, requirement } = problem
  return {
    party,
    ...(party === 'here' ? {} : { origin: scene.at.origin }),
    code,
    text: code === 'ERR_DISCOVERY_ISSUER' ? issuerText(scene, text) : text,
    requirement,
    weight,
    ...remedy(problem, scene),
  }
}

/** The most common mistake of all is a slash, and hard to see. */
function issuerText({ expected = '', found = '' }: Scene, text: string): string {
  if (found === `${expected}/`) return `its metadata says issuer "${shown(found)}" with a slash`
  if (expected === `${found}/`)
    return `its metadata says issuer "${shown(found)}" without the slash`
  return text
}

function remedy({ code, text }: ConnectorProblem, scene: Scene): Remedy {
  const { url, name, at, expected = '', found } = scene
  const set = (field: string, value: string): string => `connectors.${name}.${field} = ${value}`
  switch (code) {
    case 'ERR_DISCOVERY_ISSUER':
      return {
        fix: `publish "issuer": "${shown(expected)}"`,
        ...(found === undefined || !isIssuer(found)
          ? {}
          : { here: set('pinnedIssuer', `"${shown(found)}"`) }),
      }
    case 'ERR_DISCOVERY_RESOURCE':
      return { fix: `publish "resource": "${resourceIdentifier(url)}"`, ...elsewhere(scene) }
    case 'ERR_DISCOVERY_MEMBER':
      return memberRemedy(text, scene)
    case 'ERR_DISCOVERY_PKCE':
      return {
        fix: 'publish "code_challenge_methods_supported": ["S256"], and take S256',
        ...(scene.isPkceSilent === true
          ? { here: set('endpoints', '{ authorization, token }, if it does take S256') }
          : {}),
      }
    case 'ERR_DISCOVERY_ENDPOINT':
      return { fix: 'publish every endpoint as an https URL without a fragment' }
    case 'ERR_DISCOVERY_DOCUMENT':
      return { fix: `answer ${place(at)} with one JSON object as application/json, uncompressed` }
    case 'ERR_DISCOVERY_CHALLENGE':
      return {
        fix: `name ${place(resourceMetadataUrls(url)[0] ?? url)} in resource_metadata`,
        ...approval(scene, originIn(text)),
      }
    case 'ERR_DISCOVERY_REDIRECT':
      return {
        fix: `answer ${place(at)} with 200 and no redirect`,
        here: set('followMetadataRedirects', 'true'),
      }
    case 'ERR_DISCOVERY_ADDRESS':
      return {
        fix: `name a public https URL instead of ${place(at)}`,
        ...approval(scene, at.origin),
      }
    case 'ERR_DISCOVERY_ABSENT':
      return absentRemedy(scene)
    case 'ERR_CONNECTOR_ORIGIN':
      return {
        fix: 'put all endpoints on the origin of the issuer',
        here: `postern connectors approve ${name} ${originIn(text) ?? '<origin>'}`,
      }
    default:
      return { fix: text.split('. ').at(-1) ?? text }
  }
}

function memberRemedy(text: string, { name }: Scene): Remedy {
  if (text.includes('names no authorization server')) {
    return {
      fix: 'publish "authorization_servers": ["https://..."], with one entry at least',
      here: `connectors.${name}.endpoints = { authorization, token }`,
    }
  }
  const member = /"([a-z_]+)"[^"]*$/.exec(text)?.[1] ?? 'the member'
  return { fix: `publish a valid "${member}"` }
}

function absentRemedy({ url, name, at, expected }: Scene): Remedy {
  const here = `connectors.${name}.endpoints = { authorization, token }`
  if (expected === undefined) {
    const where = place(resourceMetadataUrls(url)[0] ?? url)
    return { fix: `publish ${where} and name it in the 401`, here }
  }
  return { fix: `publish ${place(at)}`, here }
}

/** The document speaks of another URL of the same server: then that is the one to use. */
function elsewhere({ url, name, resource }: Scene): Pick<Fault, 'here'> {
  const named = resource === undefined ? null : URL.parse(resource)
  if (named === null || named.origin !== url.origin || named.search !== '') return {}
  return { here: `connectors.${name}.url = "${place(named)}", if that is the server` }
}

/** Only who types or writes an origin approves it. */
function approval({ isConfigured }: Scene, origin: string | undefined): Pick<Fault, 'here'> {
  if (origin === undefined) return {}
  return {
    here: isConfigured ? `egress.allowHosts = ["${origin}"]` : `postern doctor --origin ${origin}`,
  }
}

function originIn(text: string): string | undefined {
  const named = /at (https?:\/\/[^\s,;]+)/.exec(text)?.[1]
  return named === undefined ? undefined : URL.parse(named)?.origin
}

const CERTIFICATE = 'renew the certificate, with its chain and this host name'

/** Nobody answered, or not in a way that is HTTP. */
export function silenceFault(error: UpstreamError, scene: Scene, timeoutMs: number): Fault {
  const { party, text, requirement } = silence(error, scene.url)
  const reason = error.cause instanceof FetchFailure ? ` (${error.cause.reason})` : ''
  const waited = error.code === 'ERR_UPSTREAM_TIMEOUT' ? ` (${timeoutMs} ms)` : reason
  const isTls = error.code === 'ERR_UPSTREAM_TLS'
  const isStatus = error.code === 'ERR_UPSTREAM_STATUS'
  const origin = URL.canParse(error.origin) ? error.origin : scene.url.origin
  return {
    party,
    origin,
    code: error.code,
    text: `${text.startsWith(`${origin} `) ? `it${text.slice(origin.length)}` : text}${waited}`,
    requirement: isTls ? 'NET-01, RFC 9110 section 4.3.4' : requirement,
    weight: 'blocks',
    fix: isTls ? CERTIFICATE : startIt(party, isStatus, scene),
    ...(isTls && /self-signed|untrusted/.test(reason)
      ? { here: 'egress.extraCaFile = "<file of its authority>"' }
      : {}),
    ...(isTls || isStatus ? {} : { isSilence: true as const }),
  }
}

function startIt(party: Fault['party'], isStatus: boolean, { name, isConfigured }: Scene): string {
  if (isStatus) return 'look into its log'
  if (party === 'authorization-server') return 'start it, or name another in authorization_servers'
  return `start the server, or correct ${isConfigured ? `connectors.${name}.url` : 'the URL'}`
}
