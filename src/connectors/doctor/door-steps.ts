/**
 * Which doors an authorization server opens for new clients, and whether a client in a browser can
 * read the documents at all.
 * @see RFC 7591 section 3, RFC 9700 section 2.6, requirements CLI-01, CLI-05, PR-06
 */

import { connectorVariable } from '../../config/fields.ts'
import type { Config, ConnectorConfig } from '../../config.ts'
import { readObject } from '../../net/json-answer.ts'
import { judgeRegistrationAnswer } from '../../oauth/registration-answer.ts'
import { resourceMetadataUrls } from '../../oauth/resource-metadata.ts'
import {
  type AuthorizationServerMetadata,
  serverMetadataUrls,
} from '../../oauth/server-metadata.ts'
import { canPublishDocument, ourMetadata } from '../client/client-document.ts'
import { connectCallbackUrl } from '../client/connect-urls.ts'
import { findPreset } from '../client/presets.ts'
import { place } from '../discovery/discovery-problems.ts'
import type { Chart } from './chart.ts'
import type { Fault } from './report.ts'
import { quietly } from './server-steps.ts'

export interface Visitor {
  readonly house: Pick<Config, 'issuer' | 'prefix' | 'brand'>
  readonly name: string
  readonly connector?: ConnectorConfig
  /** Leaves a client behind, unless the server lets it be taken away again. */
  readonly register: boolean
}

const PARTY = 'authorization-server'
/** No server can make a client of this: it is no list of URLs. */
const NO_CLIENT = JSON.stringify({ redirect_uris: false })
const JSON_TYPE = { 'content-type': 'application/json' }

export function tryDoors(
  chart: Chart,
  visitor: Visitor,
  server: AuthorizationServerMetadata,
): Promise<void> {
  return chart.step('registration', PARTY, async (title) => {
    const { connector, house, name } = visitor
    const isStatic = connector?.oauth?.client !== undefined
    const takesDocuments = server.client_id_metadata_document_supported === true
    const endpoint = server.registration_endpoint
    const dynamic = endpoint === undefined ? 'none' : await tryDynamic(chart, visitor, endpoint)
    const isOurs = connector === undefined || canPublishDocument(house, name, 'none')
    const doors = [
      ...(isStatic ? ['by hand'] : []),
      ...(takesDocuments ? ['metadata documents'] : []),
      ...(dynamic === 'open' ? ['dynamic'] : []),
    ]
    title(doors.length === 0 ? 'registration' : `registration (${doors.join(', ')})`)
    if (isStatic || dynamic === 'open' || dynamic === 'broken') return
    if (takesDocuments && isOurs) return
    const at = new URL(server.issuer).origin
    const why =
      dynamic === 'closed'
        ? 'registers nobody without a token of its own'
        : 'registers nobody by itself'
    const documents = takesDocuments ? ', and this house has no https issuer for one' : ''
    chart.found({
      party: 'here',
      code: 'ERR_CONNECTOR_REGISTRATION',
      text: `${at} ${why}, and takes ${takesDocuments ? 'only ' : 'no '}client metadata documents${documents}: a client has to be registered by hand`,
      requirement: 'CLI-01, RFC 7591 section 3',
      ...byHand(visitor),
      weight: 'blocks',
    })
  })
}

function byHand({ house, name, connector }: Visitor): Pick<Fault, 'fix'> {
  const preset = connector?.preset === undefined ? undefined : findPreset(connector.preset)
  const where = preset?.registerAt === undefined ? 'there' : `at ${preset.registerAt}`
  const id = connectorVariable(name, 'CLIENT_ID')
  const secret = connectorVariable(name, 'CLIENT_SECRET')
  const callback = connectCallbackUrl(house, name)
  return {
    fix: `register a client ${where} with callback ${callback}, and set ${id} and ${secret}`,
  }
}

type Door = 'none' | 'open' | 'closed' | 'broken'

async function tryDynamic(chart: Chart, visitor: Visitor, endpoint: string): Promise<Door> {
  const url = new URL(endpoint)
  const metadata = {
    ...ourMetadata(visitor.house, visitor.name),
    client_name: 'postern doctor',
    token_endpoint_auth_method: 'none',
  }
  const body = visitor.register ? JSON.stringify(metadata) : NO_CLIENT
  const request = { url, method: 'POST', headers: JSON_TYPE, body, answersRedirects: true } as const
  const answer = await chart.exchange(request, PARTY)
  const { status } = answer
  if (status === 401 || status === 403) return 'closed'
  const made = status >= 200 && status < 300 ? readObject(answer) : undefined
  if (made !== undefined) {
    const redirectUri = connectCallbackUrl(visitor.house, visitor.name)
    const judged = judgeRegistrationAnswer(made, { redirectUri, authMethod: 'none', endpoint })
    if (judged.ok) await takeAway(chart, judged.client.management)
    if (judged.ok || !visitor.register) return 'open'
    broken(chart, url, `answers ${status} with a client that cannot be used (${judged.reason})`)
    return 'broken'
  }
  const isRefusal = status === 400 || status === 422 || status === 415
  if (isRefusal && !visitor.register) return 'open'
  if (status === 429) {
    chart.note('its registration endpoint takes no more requests for now (429)')
    return 'open'
  }
  broken(chart, url, `answers ${status}`)
  return 'broken'
}

function broken(chart: Chart, url: URL, what: string): void {
  chart.found({
    party: PARTY,
    origin: url.origin,
    code: 'ERR_CONNECTOR_REGISTRATION',
    text: `its registration endpoint ${place(url)} ${what}`,
    requirement: 'CLI-05, RFC 7591 section 3.2',
    fix: 'repair it, or leave "registration_endpoint" out of the metadata',
    weight: 'blocks',
  })
}

/** RFC 7592 section 2.3. */
async function takeAway(
  chart: Chart,
  management: { readonly uri: string; readonly accessToken: string } | undefined,
): Promise<void> {
  const left = 'a client "postern doctor" was left behind: the server has no way to take it away'
  if (management === undefined) return chart.note(left)
  const headers = { authorization: `Bearer ${management.accessToken}` }
  const request = { url: new URL(management.uri), method: 'DELETE', headers } as const
  const gone = await quietly(() => chart.exchange(request, PARTY))
  if (gone?.status === 204) chart.note('a client was registered, and taken away again')
  else chart.note(left)
}

/** A page of any origin: nothing depends on which. */
const BROWSER_ORIGIN = 'https://client.example'

/** Both documents, as a page of another origin reads them. */
export function tryBrowsers(
  chart: Chart,
  { url }: { readonly url: URL },
  named: URL | undefined,
  server: AuthorizationServerMetadata,
): Promise<void> {
  return chart.step('browsers', 'server', async () => {
    const [inserted, root] = resourceMetadataUrls(url)
    const resources = [named, inserted, root].filter((at) => at !== undefined)
    await tryReading(chart, resources, 'server')
    await tryReading(chart, serverMetadataUrls(server.issuer), PARTY)
  })
}

async function tryReading(
  chart: Chart,
  locations: readonly URL[],
  party: 'server' | typeof PARTY,
): Promise<void> {
  for (const url of locations) {
    const headers = { origin: BROWSER_ORIGIN }
    const ask = () => chart.exchange({ url, method: 'GET', headers, answersRedirects: true }, party)
    const answer = await quietly(ask)
    if (answer?.status !== 200) continue
    const allowed = answer.headers.get('access-control-allow-origin')
    if (allowed === '*' || allowed === BROWSER_ORIGIN) return
    return chart.found({
      party,
      origin: url.origin,
      code: 'ERR_DISCOVERY_DOCUMENT',
      text: `clients in a browser cannot read ${place(url)}: it has no Access-Control-Allow-Origin`,
      requirement: 'PR-06, RFC 9728 section 3.2',
      fix: 'send "Access-Control-Allow-Origin: *" with the metadata',
      weight: 'limits',
    })
  }
}
