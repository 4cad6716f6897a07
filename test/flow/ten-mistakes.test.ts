/**
 * The ten mistakes that people make first, each made for real, each with its exact two lines: on the
 * command line, in the log and on the page (api.md section 6).
 */
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { startGitHubDouble } from '../../demo/doubles/github.ts'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { startCli } from '../kit/cli.ts'
import { closeServer, listen } from '../kit/http.ts'
import { callTool } from '../kit/plane.ts'
import { freePort, type ServedPostern, servePostern } from '../kit/postern.ts'

const CLIENT = { clientId: 'Iv1.demo', clientSecret: 'demo-secret' }
const GITHUB = { type: 'github', ...CLIENT }
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A house with two connectors that nobody answers, on a real port. */
async function start(
  host: string,
  port: number,
  github: Awaited<ReturnType<typeof startGitHubDouble>>,
): Promise<ServedPostern> {
  const served = await servePostern({
    issuer: `http://${host}:${port}`,
    listen: { port, metricsPort: 0 },
    databaseUrl: 'memory:',
    providers: [{ ...GITHUB, url: github.url, apiUrl: github.apiUrl }],
    connectors: {
      main: { url: 'http://127.0.0.1:9/mcp' },
      erp: { url: 'http://127.0.0.1:9/erp' },
    },
    log: { format: 'json' },
  })
  cleanups.push(() => served.close())
  return served
}

async function startWithGitHub(options: { callbackUrl?: string; host?: string } = {}) {
  const port = await freePort()
  const callbackUrl = options.callbackUrl?.replace('PORT', String(port))
  const github = await startGitHubDouble({
    apps: [{ ...CLIENT, name: 'Postern', ...(callbackUrl === undefined ? {} : { callbackUrl }) }],
  })
  cleanups.push(() => github.close())
  return start(options.host ?? '127.0.0.1', port, github)
}

type Event = Readonly<Record<string, unknown>>

function eventsOf(served: ServedPostern, has: (event: Event) => boolean): readonly Event[] {
  return served.lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Event)
    .filter(has)
}

function textOf(html: string): string {
  return html
    .replace(/<(style|title)\b.*?<\/\1>/gis, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&quot;', '"')
    .replace(/\s+/g, ' ')
}

describe('at the start', () => {
  const cases: readonly [string, Readonly<Record<string, unknown>>, string][] = [
    [
      'ERR_CONFIG_SEALING_KEY',
      { issuer: 'https://mcp.corp.example' },
      `ERR_CONFIG_SEALING_KEY: no sealing key, and https://mcp.corp.example is not a loopback issuer.
Run \`npx postern keys new\` and set POSTERN_SEALING_KEY (or POSTERN_SEALING_KEY_FILE).`,
    ],
    [
      'ERR_CONFIG_ALLOW',
      { issuer: 'https://mcp.corp.example', sealingKey: SEALING_KEY, providers: [GITHUB] },
      `ERR_CONFIG_ALLOW: nobody is named in \`allow\`, so nobody could sign in.
Set allow: { emailDomains: ['corp.example'] }, or allow: 'anyone' if you mean everyone with a GitHub account.`,
    ],
    [
      'ERR_CONFIG_PROVIDER_CREDENTIALS',
      { providers: [{ type: 'github' }] },
      `ERR_CONFIG_PROVIDER_CREDENTIALS: provider github has no clientId.
Set POSTERN_GITHUB_CLIENT_ID and POSTERN_GITHUB_CLIENT_SECRET. Make an OAuth app at https://github.com/settings/developers with callback http://127.0.0.1:8414/callback/github`,
    ],
    [
      'ERR_CONFIG_ISSUER',
      { issuer: 'http://mcp.corp.example' },
      `ERR_CONFIG_ISSUER: issuer must be https unless its host is localhost, 127.0.0.1 or [::1]; got http://mcp.corp.example
Behind a TLS proxy set issuer to the public https URL; Postern itself may listen on http.`,
    ],
    [
      'ERR_CONFIG_UNKNOWN_FIELD',
      { connectors: { notes: { uri: 'http://127.0.0.1:8000/mcp' } } },
      `ERR_CONFIG_UNKNOWN_FIELD: connectors.notes.uri is not a field.
Did you mean connectors.notes.url?`,
    ],
  ]
  it.for(cases)('%s: its exact two lines, exit 2, nothing on stdout', async ([, config, text]) => {
    const ended = await startCli(['serve'], config)
    expect(ended).toEqual({ code: 2, stdout: '', stderr: `${text}\n` })
  })

  it('ERR_LISTEN_IN_USE: its exact two lines, exit 2', async () => {
    const other = createServer()
    const port = await listen(other)
    cleanups.push(() => closeServer(other))
    const { code, stderr } = await startCli(['serve'], {
      issuer: `http://127.0.0.1:${port}`,
      listen: { port, metricsPort: 0 },
      databaseUrl: 'memory:',
    })
    expect(stderr).toBe(
      `ERR_LISTEN_IN_USE: port ${port} is taken by another program.\nStop it, or set POSTERN_PORT.\n`,
    )
    expect(code).toBe(2)
  })

  it('ERR_CONNECTOR_UNREACHABLE: the same text in the banner and in the log', async () => {
    const served = await startWithGitHub()
    const problem = 'nothing answers at http://127.0.0.1:9/mcp (connection refused).'
    const fix =
      'Start the server, or correct connectors.main.url. Sign-in works meanwhile; calls get 502.'
    expect(served.lines).toContain(`  warning   ERR_CONNECTOR_UNREACHABLE: ${problem} ${fix}`)
    expect(eventsOf(served, ({ code }) => code === 'ERR_CONNECTOR_UNREACHABLE')).toContainEqual(
      expect.objectContaining({ event: 'server.warning', level: 'warn', problem, fix }),
    )
  })
})

describe('while it runs', () => {
  it('ERR_REDIRECT_URI: the same text on the page and in the log, under one flow id', async () => {
    const served = await startWithGitHub()
    const registered = await fetch(`${served.issuer}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        client_name: 'Cursor',
        redirect_uris: ['https://client.example/cb'],
        token_endpoint_auth_method: 'none',
      }),
    })
    const { client_id } = (await registered.json()) as { client_id: string }
    const query = new URLSearchParams({ client_id, redirect_uri: 'https://evil.example/cb' })
    const page = await fetch(`${served.issuer}/authorize?${query}`, { redirect: 'manual' })
    const html = await page.text()
    const text = textOf(html)
    const problem = 'https://evil.example/cb is not a redirect URI of client "Cursor".'
    const fix = 'If you wrote the client: register this exact URI. We do not send you there.'
    expect(text).toContain(`${problem} ${fix}`)
    expect(text).toContain('The app has to change something. ERR_REDIRECT_URI')
    expect(html).not.toContain('href="https://evil.example')
    const flowId = /Flow (f_[0-9A-Z]{6})/.exec(text)?.[1]
    const side = 'app'
    expect(eventsOf(served, ({ code }) => code === 'ERR_REDIRECT_URI')).toEqual([
      expect.objectContaining({ event: 'signin.refused', problem, fix, flowId, side }),
    ])
  })

  it('ERR_PROVIDER_CALLBACK: the callback URL of the application is another host', async () => {
    const callbackUrl = 'http://127.0.0.1:PORT/callback/github'
    const served = await startWithGitHub({ callbackUrl, host: 'localhost' })
    const problem = 'GitHub says redirect_uri is not associated with this application.'
    const fix = `In the OAuth app, set the callback URL to ${served.issuer}/callback/github (exactly, no slash at the end).`
    const visitor = createVisitor({ press: [/^allow/i, /^authorize/i] })
    const resource = `${served.issuer}/mcp/main`
    await expect(signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })).rejects.toThrow(
      `${problem} ${fix}`,
    )
    expect(eventsOf(served, ({ reason }) => reason === 'ERR_PROVIDER_CALLBACK')).toEqual([
      expect.objectContaining({ event: 'server.warning', level: 'error', problem, fix }),
    ])
  })

  it('ERR_TOKEN_AUDIENCE: in the log; the client learns only that it is invalid', async () => {
    const served = await startWithGitHub()
    const resource = `${served.issuer}/mcp/main`
    const visitor = createVisitor({ press: [/^allow/i] })
    const caller = await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })
    const refused = await callTool(`${served.issuer}/mcp/erp`, caller.accessToken)
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(refused.text).not.toContain('ERR_TOKEN_AUDIENCE')
    const problem = `this token is for ${resource}, not for /mcp/erp.`
    const fix =
      'The client must sign in to each server URL; check the URL in its settings for a typo.'
    expect(eventsOf(served, ({ code }) => code === 'ERR_TOKEN_AUDIENCE')).toEqual([
      expect.objectContaining({ event: 'call.refused', reason: 'token_audience', problem, fix }),
    ])
  })
})

describe('/errors/{code}', () => {
  it('explains a code of every table offline, as a page and as JSON, and nothing else', async () => {
    const served = await startWithGitHub()
    const codes = [
      'ERR_CONFIG_ALLOW',
      'ERR_UPSTREAM_TIMEOUT',
      'ERR_STORE_FULL',
      'ERR_TOKEN_AUDIENCE',
      'ERR_LISTEN_IN_USE',
    ]
    for (const code of codes) {
      const url = `${served.issuer}/errors/${code}`
      const page = await fetch(url, { headers: { accept: 'text/html' } })
      expect([page.status, page.headers.get('content-type')]).toEqual([
        200,
        'text/html; charset=utf-8',
      ])
      expect(textOf(await page.text())).toContain(`${code} `)
      const json = await fetch(url, { headers: { accept: 'application/json' } })
      expect(await json.json()).toEqual({
        type: url,
        code,
        title: expect.any(String),
        fix: expect.any(String),
      })
    }
    for (const code of ['ERR_NO_SUCH', 'err_config_allow', 'constructor', '', '..%2faccount']) {
      for (const accept of ['text/html', 'application/json']) {
        const answer = await fetch(`${served.issuer}/errors/${code}`, { headers: { accept } })
        expect(answer.status, `${code} ${accept}`).toBe(404)
      }
    }
  })
})
