/**
 * The MCP server as a client meets it: its answer without a token, and its resource metadata in the
 * order of the standard: what the 401 names, the form with the path, the form at the root.
 * @see RFC 9728 sections 3 and 5.1, requirements DSC-01 to DSC-04, PR-06, PR-07
 */
import type { EgressResponse } from '../../net/egress.ts'
import {
  judgeResourceMetadata,
  type ProtectedResourceMetadata,
  resourceIdentifier,
  resourceMetadataUrls,
} from '../../oauth/resource-metadata.ts'
import type { ConnectorProblem } from '../../records.ts'
import { readChallenge } from '../discovery/discovery-chain.ts'
import type { Answer } from '../discovery/discovery-exchange.ts'
import { place, Refusal, refusal, resourceRefusal, shown } from '../discovery/discovery-problems.ts'
import { type Chart, Ended, Faulty } from './chart.ts'
import { faultOf } from './remedies.ts'

/** What the walk goes by. */
export interface ServerRules {
  readonly url: URL
  readonly strictResource: boolean
  /** A server without sign-in is meant: `auth: 'none'`. */
  readonly isOpen: boolean
}

export interface Met {
  readonly status: number
  /** Where the 401 says the metadata is. */
  readonly named?: URL
}

/** Oldest revision that speaks Streamable HTTP: every server knows it. */
const REVISION = '2025-03-26'
const INITIALIZE = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: {
    protocolVersion: REVISION,
    capabilities: {},
    clientInfo: { name: 'postern doctor', version: '0' },
  },
})

export function meetServer(chart: Chart, { url, isOpen }: ServerRules): Promise<Met> {
  return chart.step('server answers', 'server', async (title) => {
    const answer = await chart.exchange(
      {
        url,
        method: 'POST',
        headers: {
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
        },
        body: INITIALIZE,
        answersRedirects: true,
      },
      'server',
    )
    const { status } = answer
    title(`server answers ${status}`)
    if (status >= 300 && status < 400) throw redirected(chart, url, answer)
    if (status !== 401) {
      judgeStatus(chart, url, status, isOpen)
      return { status }
    }
    const { url: named } = readChallenge(answer, {
      url,
      approvedOrigins: chart.deps.approvedOrigins,
    })
    if (named !== undefined) title('server answers 401 with resource_metadata')
    else if (!answer.headers.has('www-authenticate')) {
      const text = `${place(url)} answers 401 without WWW-Authenticate`
      const problem = problemOf('server', 'ERR_DISCOVERY_CHALLENGE', text, CHALLENGE)
      chart.fault(problem, url, 'limits')
    } else chart.note('its 401 does not name resource_metadata: clients look at the usual places')
    return { status, ...(named === undefined ? {} : { named }) }
  })
}

const CHALLENGE = 'PR-07, RFC 9728 section 5.1'

function judgeStatus(chart: Chart, url: URL, status: number, isOpen: boolean): void {
  if (isOpen && (status < 400 || status === 400)) return
  const is401 = 'answer 401 with WWW-Authenticate: Bearer resource_metadata="..."'
  const isAnswered = status < 300
  const isElsewhere = status === 404 || status === 405 || status === 410
  const text = isAnswered
    ? `answers without a token (${status} to initialize): who reaches it skips sign-in`
    : `answers ${status} instead of 401 to a request without a token`
  const fix = isElsewhere
    ? `correct the URL if the server is elsewhere, else ${is401}`
    : status >= 500
      ? `look into its log; without a token it has to ${is401}`
      : is401
  chart.found({
    party: 'server',
    origin: url.origin,
    code: 'ERR_DISCOVERY_CHALLENGE',
    text: `${place(url)} ${text}`,
    requirement: CHALLENGE,
    fix,
    weight: 'blocks',
  })
}

/** The URL is another one, or somebody would have the calls taken elsewhere. */
function redirected(chart: Chart, url: URL, { status, headers }: EgressResponse): Faulty {
  const next = URL.parse(headers.get('location') ?? '', url)
  const isOwn = next !== null && next.origin === url.origin
  const { name, isConfigured } = chart.scene(url)
  const where = next === null ? 'nowhere' : place(next)
  const use = isConfigured ? `set connectors.${name}.url = "${where}"` : `use ${where}`
  return new Faulty({
    party: isOwn ? 'here' : 'server',
    ...(isOwn ? {} : { origin: url.origin }),
    code: 'ERR_DISCOVERY_REDIRECT',
    text: isOwn
      ? `${place(url)} is not the URL of the server: it answers ${status} to ${where}`
      : `${place(url)} answers ${status} to another origin, ${where}: no token is sent there`,
    requirement: 'NET-03, CLI-21',
    fix: isOwn ? use : 'answer 401 at this URL, and do not redirect',
    ...(isOwn ? {} : { here: `${use}, if that is the server` }),
    weight: 'blocks',
  })
}

/** DSC-01. `undefined`: at none of the locations. */
export function readResource(
  chart: Chart,
  rules: ServerRules,
  { named }: Met,
): Promise<ProtectedResourceMetadata | undefined> {
  return chart.step('resource metadata', 'server', async (title) => {
    const [inserted, root = inserted] = resourceMetadataUrls(rules.url)
    if (named !== undefined) {
      title('its document')
      const document = await documentAt(chart, rules, named, false)
      if (document === undefined) {
        const text = `the 401 of ${place(rules.url)} names ${place(named)}, and nothing is there`
        throw refusal('server', 'ERR_DISCOVERY_ABSENT', text, 'DSC-01, RFC 9728 section 3')
      }
      const isUsual = [inserted?.href, root?.href].includes(named.href)
      if (isUsual) return document
      const other = inserted && (await quietly(() => documentAt(chart, rules, inserted, false)))
      if (other === undefined && inserted !== undefined)
        chart.note(`nothing usable at ${place(inserted)}: clients that do not read the 401 fail`)
      return document
    }
    const atPath = inserted && (await documentAt(chart, rules, inserted, inserted === root))
    if (atPath !== undefined) return atPath
    const atRoot = root === undefined || root === inserted ? undefined : root
    const document = atRoot && (await documentAt(chart, rules, atRoot, true))
    if (document === undefined) return undefined
    title('resource metadata at the root')
    pathless(chart, rules.url, inserted, root)
    return document
  })
}

/** Works for clients that ask at the root, too. */
function pathless(chart: Chart, url: URL, inserted: URL | undefined, root: URL | undefined): void {
  if (inserted === undefined || root === undefined) return
  chart.found({
    party: 'server',
    origin: url.origin,
    code: 'ERR_DISCOVERY_ABSENT',
    text: `its resource metadata is at the root alone: nothing at ${place(inserted)}, and no 401 names ${place(root)}`,
    requirement: 'DSC-01, RFC 9728 section 3.1',
    fix: `publish it at ${place(inserted)}, or name it in the 401 as resource_metadata`,
    weight: 'limits',
  })
}

async function documentAt(
  chart: Chart,
  { url, strictResource }: ServerRules,
  at: URL,
  atRoot: boolean,
): Promise<ProtectedResourceMetadata | undefined> {
  const answer = await askDocument(chart, at, 'server')
  if (answer.kind !== 'document') return undefined
  const judged = judgeResourceMetadata(answer.body, url, { strict: strictResource, atRoot })
  if (!judged.ok) {
    const resource = memberOf(answer.body, 'resource')
    const scene = chart.scene(at, resource === undefined ? {} : { resource })
    const { problem } = resourceRefusal(judged, at, url)
    const fault = faultOf(problem, scene)
    const isMismatch = judged.reason === 'mismatch' && resource !== undefined
    throw new Faulty(isMismatch ? { ...fault, text: `${fault.text} (${shown(resource)})` } : fault)
  }
  if (!judgeResourceMetadata(answer.body, url, { strict: true, atRoot }).ok)
    chart.note(
      `its resource is ${shown(judged.document.resource)}, not ${resourceIdentifier(url)}: taken here, strict clients refuse it (DSC-04)`,
    )
  return judged.document
}

/** One document, with its faults at their scene. @throws {Faulty} @throws {UpstreamError} */
export async function askDocument(
  chart: Chart,
  at: URL,
  party: ConnectorProblem['party'],
): Promise<Answer> {
  try {
    const answer = await chart.ask.document(at, party)
    if (answer.kind === 'document') noteCaching(chart, at, answer.headers)
    return answer
  } catch (error) {
    if (error instanceof Refusal) throw new Faulty(faultOf(error.problem, chart.scene(at)))
    throw error
  }
}

function noteCaching(chart: Chart, at: URL, headers: Headers): void {
  const cacheControl = headers.get('cache-control') ?? ''
  if (/\bno-(store|cache)\b/i.test(cacheControl))
    chart.note(`${place(at)} forbids caching: it is asked for again every 300 s (DSC-14)`)
}

export function memberOf(body: unknown, name: string): string | undefined {
  const value =
    typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
  return typeof value === 'string' ? value : undefined
}

export function problemOf(
  party: ConnectorProblem['party'],
  code: string,
  text: string,
  requirement: string,
): ConnectorProblem {
  return { party, code, text, requirement }
}

/** What is only looked at, for a note. */
export async function quietly<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Ended) throw error
    return undefined
  }
}
