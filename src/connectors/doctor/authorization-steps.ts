/**
 * The authorization server as a client meets it: metadata at every form in the order of the standard,
 * where its endpoints stand, whether they are there, and which doors it opens for new clients.
 *
 * Without `register` nothing is left behind: the registration endpoint gets a request that no server
 * can take. Tokens are asked for with a code that nobody gave.
 * @see RFC 8414 section 3, RFC 7591 section 3, requirements DSC-05 to DSC-11, CLI-01
 */
import type { ConnectorConfig } from '../../config.ts'
import { readObject } from '../../net/json-answer.ts'
import { isObject } from '../../oauth/claims.ts'
import { FORM, formBody } from '../../oauth/client-request.ts'
import type { ProtectedResourceMetadata } from '../../oauth/resource-metadata.ts'
import {
  type AuthorizationServerMetadata,
  assumedServerMetadata,
  isEndpoint,
  judgeServerMetadata,
  serverMetadataUrls,
} from '../../oauth/server-metadata.ts'
import { refusal, resourceRefusal, serverRefusal, shown } from '../discovery/discovery-problems.ts'
import { chooseIssuer, foreignEndpoints, originOf } from '../lifecycle/binding.ts'
import { type Chart, Faulty } from './chart.ts'
import { faultOf } from './remedies.ts'
import { askDocument, type Met, memberOf, problemOf } from './server-steps.ts'

export interface ServerPins {
  readonly url: URL
  readonly name: string
  readonly pinnedIssuer?: string
  readonly legacyDiscovery: boolean
  readonly oauth?: ConnectorConfig['oauth']
  /** Origins that an administrator approved for this connector. */
  readonly accepted: readonly string[]
}

/** Authorization servers of one resource that are looked at. */
const SERVERS_MAX = 4

/** The one that a client of ours would use. The others are looked at, too. */
export async function readServer(
  chart: Chart,
  pins: ServerPins,
  resource: ProtectedResourceMetadata,
): Promise<AuthorizationServerMetadata> {
  const listed = resource.authorization_servers ?? []
  const { url, pinnedIssuer } = pins
  const issuer = chooseIssuer(listed, { pinned: pinnedIssuer })
  const server = await chart.step('authorization server metadata', 'authorization-server', () => {
    if (issuer === undefined) throw resourceRefusal({ ok: false, reason: 'no_server' }, url, url)
    return loadServer(chart, issuer, pinnedIssuer ?? issuer)
  })
  for (const other of listed.filter((entry) => entry !== issuer).slice(0, SERVERS_MAX - 1)) {
    await chart.step('another authorization server', 'authorization-server', async () => {
      try {
        await loadServer(chart, other, other)
      } catch (error) {
        chart.fail(error, 'authorization-server', 'limits')
      }
    })
  }
  return server
}

/** DSC-06, DSC-07, DSC-09. @param expected What its `issuer` has to be. */
async function loadServer(
  chart: Chart,
  issuer: string,
  expected: string,
): Promise<AuthorizationServerMetadata> {
  const locations = serverMetadataUrls(issuer)
  for (const at of locations) {
    const server = await serverAt(chart, at, [expected])
    if (server !== undefined) return server
  }
  const [at = new URL(issuer)] = locations
  const text = `${shown(issuer)} publishes no authorization server metadata`
  const problem = problemOf('authorization-server', 'ERR_DISCOVERY_ABSENT', text, ABSENT)
  throw new Faulty(faultOf(problem, chart.scene(at, { expected })))
}

const ABSENT = 'DSC-06, RFC 8414 section 3'

async function serverAt(
  chart: Chart,
  at: URL,
  issuers: readonly string[],
): Promise<AuthorizationServerMetadata | undefined> {
  const answer = await askDocument(chart, at, 'authorization-server')
  if (answer.kind !== 'document') return undefined
  const { approvedOrigins } = chart.deps
  const judged = judgeServerMetadata(answer.body, { issuers, approvedOrigins })
  if (judged.ok) return judged.document
  const [expected = ''] = issuers
  const { problem } = serverRefusal(judged, at, expected)
  const methods = isObject(answer.body) ? answer.body['code_challenge_methods_supported'] : []
  const found = memberOf(answer.body, 'issuer')
  const isPkceSilent = methods === undefined || methods === null
  throw new Faulty(
    faultOf(
      problem,
      chart.scene(at, { expected, isPkceSilent, ...(found === undefined ? {} : { found }) }),
    ),
  )
}

/** DSC-11: nothing by RFC 9728. Works with clients that know the rules of 2025-03-26. */
export async function readLegacyServer(
  chart: Chart,
  { url, legacyDiscovery, pinnedIssuer }: ServerPins,
  { status }: Met,
): Promise<AuthorizationServerMetadata> {
  const { origin } = url
  const issuers = pinnedIssuer === undefined ? [origin, `${origin}/`] : [pinnedIssuer]
  return chart.step('authorization server metadata at its host', 'server', async (title) => {
    const at = new URL('/.well-known/oauth-authorization-server', origin)
    const server = legacyDiscovery ? await serverAt(chart, at, issuers) : undefined
    if (server !== undefined) {
      chart.note(LEGACY_METADATA)
      return server
    }
    const [authorization, token] = [`${origin}/authorize`, `${origin}/token`]
    const isThere = legacyDiscovery && status === 401 && (await isTokenEndpoint(chart, token))
    if (!isThere) {
      title('authorization server metadata')
      const text = `${shown(url.origin + url.pathname)} publishes no protected resource metadata`
      throw refusal('server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-01, RFC 9728 section 3')
    }
    title('endpoints at its host')
    chart.note(LEGACY_ENDPOINTS)
    return assumedServerMetadata(origin, {
      authorization,
      token,
      registration: `${origin}/register`,
    })
  })
}

const LEGACY_METADATA =
  'it follows the rules of 2025-03-26, without RFC 9728: works here, newer clients may refuse it (DSC-11)'
const LEGACY_ENDPOINTS =
  'it publishes nothing, and its endpoints are guessed by the rules of 2025-03-26: works here, newer clients refuse it (DSC-11)'

/** RFC 6749 section 5.2: it answers a wrong request in JSON. */
async function isTokenEndpoint(chart: Chart, url: string): Promise<boolean> {
  const { status } = await askForToken(chart, new URL(url))
  return status === 400 || status === 401
}

function askForToken(chart: Chart, url: URL) {
  const form = {
    grant_type: 'authorization_code',
    code: 'postern-doctor',
    client_id: 'postern-doctor',
    redirect_uri: 'http://127.0.0.1/callback',
    code_verifier: 'postern-doctor-postern-doctor-postern-doctor',
  }
  const headers = { 'content-type': FORM }
  const body = formBody(form)
  return chart.exchange({ url, method: 'POST', headers, body, answersRedirects: true }, PARTY)
}

const PARTY = 'authorization-server'

/** O3, and whether something is there. What stands on a foreign origin is not asked. */
export function tryEndpoints(
  chart: Chart,
  { name, oauth, accepted }: ServerPins,
  server: AuthorizationServerMetadata,
): Promise<void> {
  return chart.step('endpoints', PARTY, async () => {
    const foreign = foreignEndpoints({ name, ...(oauth === undefined ? {} : { oauth }) }, server, {
      approvedOrigins: accepted,
    })
    const at = new URL(server.issuer)
    for (const { problem } of foreign) {
      const [told = problem.text] = problem.text.split(': nothing is sent there')
      chart.found({
        ...faultOf(problem, chart.scene(at)),
        text: `${told}: nothing is sent there before it is approved`,
      })
    }
    const isOwn = (url: string): boolean => foreign.every(({ origin }) => origin !== originOf(url))
    await tryOne(chart, isOwn, server.token_endpoint, 'token_endpoint', async (url) => {
      const answer = await askForToken(chart, url)
      const isError = answer.status === 400 || answer.status === 401
      if (isError && readObject(answer) === undefined) {
        chart.note('its token endpoint refuses without a JSON object (RFC 6749 section 5.2)')
      }
      return answer.status
    })
    const { authorization_endpoint: page } = server
    await tryOne(chart, isOwn, page, 'authorization_endpoint', async (url) => {
      const request = { url, method: 'GET', answersRedirects: true } as const
      return (await chart.exchange(request, PARTY)).status
    })
  })
}

async function tryOne(
  chart: Chart,
  isOwn: (url: string) => boolean,
  endpoint: string,
  member: string,
  ask: (url: URL) => Promise<number>,
): Promise<void> {
  if (!isOwn(endpoint) || !isEndpoint(endpoint, chart.deps.approvedOrigins)) return
  const url = new URL(endpoint)
  const status = await ask(url)
  const isGone = status === 404 || status === 405 || status === 410
  // A page for people may answer anything to a request that says nothing.
  if (!isGone && (status < 500 || member === 'authorization_endpoint')) return
  chart.found({
    party: PARTY,
    origin: url.origin,
    code: 'ERR_DISCOVERY_ENDPOINT',
    text: `its ${member} ${shown(url.origin + url.pathname)} answers ${status}`,
    requirement: 'DSC-09, RFC 6749 section 3',
    fix: `correct "${member}", or what stands there`,
    weight: 'blocks',
  })
}
