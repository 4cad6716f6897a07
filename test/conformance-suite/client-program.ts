/**
 * The client that the official suite starts: a whole house in front of the scenario's server, a person
 * who connects the account over HTTP, and the official client that calls through the gateway.
 *
 * Arguments: URL of the scenario's server. Ends with 1 when the person or the call got nowhere, which
 * is what some scenarios want to see. Keeps nothing: the database is in a folder of its own.
 */
import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { signInAsClient } from '../../demo/sign-in.ts'
import type { ReadingVisitor } from '../../demo/visitor.ts'
import { createPostern, type Postern } from '../../src/app.ts'
import type { ConnectorInput } from '../../src/config.ts'
import { type NodePlatform, node } from '../../src/node/index.ts'
import { serve } from '../../src/node/server.ts'
import type { EcJwk } from '../../src/ports.ts'
import { keyStep } from '../../src/vault/key-rows.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { connectAccount, connectLinkIn, createPerson } from '../kit/connect.ts'
import { freePort } from '../kit/postern.ts'

const CONNECTOR = 'suite'
/** Nobody listens there: the person stops before it. */
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
/** The suite gives every client this identity; the document is the suite's own. */
const DOCUMENT_URL = 'https://conformance-test.local/client-metadata.json'
/** Links that the person follows before giving up: more than the house may ever give. */
const LINKS_MAX = 6

interface Scenario {
  readonly name: string
  readonly revision: string
  readonly serverUrl: string
  readonly origins: readonly string[]
  readonly context: Readonly<Record<string, string>>
}

function readScenario(): Scenario {
  const { env } = process
  return {
    name: env.MCP_CONFORMANCE_SCENARIO ?? '',
    revision: env.MCP_CONFORMANCE_PROTOCOL_VERSION ?? '',
    serverUrl: process.argv[2] ?? '',
    origins: (env.SUITE_ORIGINS ?? '').split(',').filter((origin) => origin !== ''),
    context: JSON.parse(env.MCP_CONFORMANCE_CONTEXT ?? '{}') as Record<string, string>,
  }
}

/** What an operator writes for this server. */
function connectorFor({ name, serverUrl, context }: Scenario): ConnectorInput {
  const { client_id: clientId = '', client_secret: clientSecret } = context
  const secret = clientSecret === undefined ? {} : { clientSecret }
  if (name === 'auth/basic-cimd') {
    const client = { clientId: DOCUMENT_URL, authMethod: 'none' as const }
    return { url: serverUrl, auth: 'oauth', client }
  }
  if (name === 'auth/client-credentials-jwt') {
    const client = { clientId, authMethod: 'private_key_jwt' as const }
    return { url: serverUrl, auth: 'client_credentials', client }
  }
  if (name.startsWith('auth/client-credentials-'))
    return { url: serverUrl, auth: 'client_credentials', client: { clientId, ...secret } }
  if (clientId !== '') return { url: serverUrl, auth: 'oauth', client: { clientId, ...secret } }
  return { url: serverUrl, auth: 'oauth' }
}

interface House {
  readonly issuer: string
  readonly postern: Postern
  close(): Promise<void>
}

async function startHouse(scenario: Scenario): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-house-'))
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const log = { write: (line: string) => process.stderr.write(line) }
  const platform = node({ environment: {}, log })
  const databaseUrl = `sqlite:${join(folder, 'postern.db')}`
  const sealingKey = randomBytes(32)
  const pem = scenario.context['private_key_pem']
  if (pem !== undefined) await plantKey(platform, databaseUrl, sealingKey, pem)
  const postern = createPostern(
    {
      issuer,
      listen: { port, metricsPort: 0 },
      databaseUrl,
      sealingKey: sealingKey.toString('base64url'),
      insecureDevelopmentSignIn: true,
      egress: { allowHosts: scenario.origins },
      connectors: { [CONNECTOR]: connectorFor(scenario) },
    },
    platform,
  )
  const server = await serve(postern, { signals: false })
  return {
    issuer,
    postern,
    async close() {
      await server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The suite's server knows one key only, its own: our first assertion key, where others publish ours. */
async function plantKey(
  platform: NodePlatform,
  databaseUrl: string,
  sealingKey: Uint8Array,
  pem: string,
): Promise<void> {
  const jwk = createPrivateKey(pem).export({ format: 'jwk' }) as EcJwk
  const runtime = { ...platform.runtime, createSigningJwk: () => jwk }
  const sealing = createSealing([sealingKey], runtime)
  const nowMs = runtime.nowMs()
  const at = { publishedAtMs: nowMs, activeAtMs: nowMs }
  const { store } = await platform.openStore(databaseUrl)
  await store.commit([keyStep({ runtime, sealing }, 'assertion', 1, at).step])
  await store.close()
}

/** Goes to the server's authorization page and back, as often as a link says so. */
class ConnectingPerson {
  readonly #house: House
  readonly #scenario: Scenario
  readonly browser: ReadingVisitor = createPerson()
  #links = 0

  constructor(house: House, scenario: Scenario) {
    this.#house = house
    this.#scenario = scenario
  }

  async connect(link?: string): Promise<boolean> {
    const place = { issuer: this.#house.issuer, connector: CONNECTOR }
    const trip = () =>
      connectAccount({ ...place, ...(link === undefined ? {} : { link }) }, this.browser)
    let page = await trip()
    if (!page.isConnected && (await this.#approve())) page = await trip()
    if (!page.isConnected) console.error(`stopped at ${page.url}: ${page.status} ${page.text}`)
    return page.isConnected
  }

  /** @returns False when it led nowhere, or there were too many. */
  async follow(link: string): Promise<boolean> {
    this.#links += 1
    console.error(`link ${this.#links}`)
    return this.#links <= LINKS_MAX && (await this.connect(link))
  }

  /** The one scenario in which a server moves, and an operator agrees. */
  async #approve(): Promise<boolean> {
    if (this.#scenario.name !== 'auth/authorization-server-migration') return false
    const { connectors } = this.#house.postern
    const origin = (await connectors.find(CONNECTOR))?.refusedOrigin
    if (origin === undefined) return false
    await connectors.approve(CONNECTOR, origin)
    return true
  }
}

async function openClient(
  scenario: Scenario,
  house: House,
  person: ConnectingPerson,
): Promise<Client> {
  const resource = `${house.issuer}/mcp/${CONNECTOR}`
  const { accessToken } = await signInAsClient({
    resource,
    redirectUri: REDIRECT_URI,
    visitor: person.browser,
  })
  const mode = scenario.revision >= '2026' ? 'auto' : 'legacy'
  const client = new Client(
    { name: 'conformance', version: '1.0.0' },
    { capabilities: { elicitation: { url: {} } }, versionNegotiation: { mode } },
  )
  client.setRequestHandler('elicitation/create', async ({ params }) => {
    const done = 'url' in params && (await person.follow(params.url))
    return { action: done ? 'accept' : 'cancel' }
  })
  const headers = { authorization: `Bearer ${accessToken}` }
  await client.connect(
    new StreamableHTTPClientTransport(new URL(resource), { requestInit: { headers } }),
  )
  return client
}

/**
 * Repeats a call while the house says that a person has to act: by an error, or by text in a result.
 * A modern client is asked by elicitation, and repeats by itself.
 */
async function untilAnswered<T>(
  { issuer }: House,
  person: ConnectingPerson,
  call: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const { result, error } = await call().then(
      (value) => ({ result: value, error: undefined }),
      (reason: unknown) => ({ result: undefined, error: reason }),
    )
    const link = connectLinkIn(error ?? result, issuer)
    if (link !== undefined && (await person.follow(link))) continue
    if (result === undefined) throw error
    return result
  }
}

async function play(scenario: Scenario, house: House): Promise<boolean> {
  const person = new ConnectingPerson(house, scenario)
  const isMachine = scenario.name.startsWith('auth/client-credentials-')
  if (!isMachine && !(await person.connect())) return false
  const client = await openClient(scenario, house, person)
  try {
    const { tools } = await untilAnswered(house, person, () => client.listTools())
    const name = tools[0]?.name ?? ''
    const result = await untilAnswered(house, person, () =>
      client.callTool({ name, arguments: {} }),
    )
    if (result.isError === true) console.error(JSON.stringify(result.content))
    return result.isError !== true
  } finally {
    await client.close()
  }
}

const scenario = readScenario()
const house = await startHouse(scenario)
try {
  process.exitCode = (await play(scenario, house)) ? 0 : 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await house.close()
}
