/**
 * Finished client programs sign in by themselves: mcp-remote (stdio in front, HTTP behind) and the
 * MCP Inspector's command line. The browser that they start through `BROWSER` is a program of ours.
 *
 * Each run is a new process with nothing but its own folder: what the second run knows, the first
 * one stored. "Expired" is made by ending the access token alone, at the revocation endpoint.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { afterAll, describe, expect, it, onTestFailed, type TestContext } from 'vitest'
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { need } from '../kit/needs.ts'
import { freePort, type ServedPostern, servePostern } from '../kit/postern.ts'
import { type ProgramPaths, preparePrograms } from '../kit/programs.ts'
import {
  type Home,
  inspectorSecrets,
  type Named,
  namesOf,
  openHome,
  RUN_DEADLINE_MS,
  runInspector,
  textOf,
} from './program-runs.ts'

const PREPARE_DEADLINE_MS = 600_000
const TOOLS = ['add_note', 'list_notes', 'slow_count', 'whoami']
const CLIENT = { clientId: 'postern', clientSecret: 'a-secret-of-the-programs' }

/** One installed program with a home of its own. */
interface Program {
  /** Names of the tools, sorted. A process of its own. */
  listTools(): Promise<readonly string[]>
  /** Text of the answer. A process of its own. */
  addNote(text: string): Promise<string>
  /** All that it keeps of secrets, as text. */
  stored(): Promise<string>
}

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

let staged: Promise<ServedPostern> | undefined
async function setStage(context: TestContext) {
  const paths = need(context, 'mcp-remote and the MCP Inspector', await preparePrograms())
  staged ??= openStage()
  const postern = await staged
  onTestFailed(() => console.error(postern.lines.slice(-40).join('\n')))
  return { paths, postern, url: `${postern.issuer}/mcp/notes` }
}

async function openStage(): Promise<ServedPostern> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const redirectUris = [`${issuer}/callback/openid`]
  const openid = await startOpenIdDouble({ clients: [{ ...CLIENT, redirectUris }] })
  cleanups.push(() => openid.close())
  const jwksUrl = `${issuer}/.well-known/jwks.json`
  const notes = await startNotesServer({ identity: { jwksUrl, issuer, required: true } })
  cleanups.push(() => notes.close())
  const postern = await servePostern({
    issuer,
    listen: { port, metricsPort: 0 },
    providers: [{ type: 'oidc', id: 'openid', title: 'OpenID', issuer: openid.issuer, ...CLIENT }],
    connectors: { notes: { url: notes.url } },
  })
  cleanups.push(() => postern.close())
  return postern
}

describe('client programs that exist', () => {
  it.for([
    ['mcp-remote', openMcpRemote],
    ['the MCP Inspector command line', openInspector],
  ] as const)(
    'REG-01 TOK-18: %s signs in once, keeps its tokens and refreshes',
    {
      timeout: PREPARE_DEADLINE_MS,
    },
    async ([, open], context) => {
      const { paths, postern, url } = await setStage(context)
      const home = await openHome()
      cleanups.push(() => home.remove())
      const program = await open(paths, url, home)
      expect(await program.listTools()).toEqual(TOOLS)
      const [visit, ...more] = await home.visits()
      expect(more).toEqual([])
      expect(visit?.searchParams.get('resource')).toBe(url)
      const first = tokensIn(await program.stored())

      expect(await program.addNote('one')).toMatch(/^\d notes?$/)
      expect(tokensIn(await program.stored())).toEqual(first)

      const clientId = visit?.searchParams.get('client_id') ?? ''
      await endAccessToken(postern.issuer, clientId, first.accessToken)
      expect(await program.addNote('two')).toMatch(/^\d notes?$/)
      const second = tokensIn(await program.stored())
      expect(second.refreshToken).not.toBe(first.refreshToken)
      expect(grantOf(second.refreshToken)).toBe(grantOf(first.refreshToken))
      expect(await home.visits()).toHaveLength(1)
    },
  )
})

async function openMcpRemote(paths: ProgramPaths, url: string, home: Home): Promise<Program> {
  const configFolder = join(home.folder, 'mcp-auth')
  const connect = async <T>(use: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client({ name: 'desktop', version: '1.0.0' })
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [paths['mcp-remote'], url],
      env: { PATH: process.env.PATH ?? '', ...home.env, MCP_REMOTE_CONFIG_DIR: configFolder },
      stderr: 'pipe',
    })
    const said: string[] = []
    transport.stderr?.on('data', (chunk: Buffer) => said.push(chunk.toString()))
    try {
      await client.connect(transport, { timeout: RUN_DEADLINE_MS })
      return await use(client)
    } catch (error) {
      throw new Error(`mcp-remote failed:\n${said.join('').slice(-4_000)}`, { cause: error })
    } finally {
      await client.close()
    }
  }
  return {
    listTools: () =>
      connect(async (client) => namesOf((await client.listTools()).tools as readonly Named[])),
    addNote: (text) =>
      connect(async (client) =>
        textOf(await client.callTool({ name: 'add_note', arguments: { text } })),
      ),
    async stored() {
      const files = await readdir(configFolder, { recursive: true })
      const tokens = files.find((file) => file.endsWith('_tokens.json'))
      return tokens === undefined ? '' : await readFile(join(configFolder, tokens), 'utf8')
    },
  }
}

async function openInspector(paths: ProgramPaths, url: string, home: Home): Promise<Program> {
  const callbackUrl = `http://127.0.0.1:${await freePort()}/oauth/callback`
  const target = [url, '--transport', 'http', '--callback-url', callbackUrl, '--method']
  const run = (...asked: readonly string[]) => runInspector(paths, home, [...target, ...asked])
  return {
    listTools: async () =>
      namesOf(((await run('tools/list')) as { tools: readonly Named[] }).tools),
    addNote: async (text) =>
      textOf(await run('tools/call', '--tool-name', 'add_note', '--tool-arg', `text=${text}`)),
    stored: () => inspectorSecrets(home),
  }
}

function tokensIn(stored: string): { accessToken: string; refreshToken: string } {
  const read = (name: string) =>
    new RegExp(`"${name}"\\s*:\\s*"([^"]+)"`).exec(stored)?.[1] ?? `no ${name} stored`
  return { accessToken: read('access_token'), refreshToken: read('refresh_token') }
}

/** A refresh token names its grant; see docs/storage.md. */
function grantOf(refreshToken: string): string | undefined {
  return /^ptr_(grt_[a-z0-9]+)\./.exec(refreshToken)?.[1]
}

async function endAccessToken(issuer: string, clientId: string, token: string): Promise<void> {
  const response = await fetch(`${issuer}/revoke`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: clientId, token, token_type_hint: 'access_token' }),
  })
  expect(response.status).toBe(200)
}
