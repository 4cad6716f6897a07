/** Random bytes at every endpoint and method of the whole house, over sockets (threats.md section 4). */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { createPostern } from '../../src/app.ts'
import { mount } from '../../src/node/index.ts'
import { serve } from '../../src/node/server.ts'
import { createCanaries } from '../kit/canaries.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'
import { CREDENTIAL, configuration, MACHINE } from '../kit/family-house.ts'
import { createWorld } from '../kit/family-world.ts'
import { closeServer } from '../kit/http.ts'
import { createWatchedPlatform } from '../kit/platform.ts'
import { freePort } from '../kit/postern.ts'

const CONNECTIONS_AT_ONCE = 8
/** Ended by us at once; whoever keeps a half-closed connection longer is stuck. */
const CLOSED_WITHIN_MS = 8_000

const PATHS = [
  '/',
  '/authorize',
  '/consent',
  '/token',
  '/register',
  '/register/cli_x',
  '/revoke',
  '/par',
  '/logout',
  '/introspect',
  '/backchannel-logout/openid',
  '/events/okta',
  '/webhooks/openid',
  '/assets/x',
  '/callback/openid',
  '/callback/plain',
  '/account',
  '/errors/ERR_X',
  '/mcp.json',
  '/mcp/notes',
  '/mcp/scoped',
  '/mcp/nobody',
  '/healthz',
  '/readyz',
  '/revocations',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/.well-known/oauth-protected-resource/mcp/notes',
  '/.well-known/jwks.json',
  '/nowhere',
]
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'TRACE']
const TYPES = [
  'application/x-www-form-urlencoded',
  'application/json',
  'application/secevent+jwt',
  'multipart/form-data; boundary=x',
  'text/plain',
  'application/json; charset=utf-16',
]
const FIELDS = [
  'authorization',
  'cookie',
  'origin',
  'dpop',
  'accept',
  'if-none-match',
  'mcp-session-id',
  'mcp-protocol-version',
  'last-event-id',
  'sec-fetch-site',
  'x-forwarded-for',
  'forwarded',
  'range',
  'content-encoding',
  'accept-encoding',
  'x-http-method-override',
]
const FRAMING = [
  'expect',
  'upgrade',
  'connection',
  'transfer-encoding',
  'content-length',
  'host',
  'te',
]
const OPENINGS = [
  '',
  'GET ',
  'POST /token HTTP/1.1\r\n',
  '\x16\x03\x01',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
]
const PARAMETERS = [
  'client_id',
  'token',
  'grant_type',
  'code',
  'state',
  'ticket',
  'decision',
  'redirect_uri',
  'iss',
  'logout_token',
]

/** Bytes as latin1 text; some are what a parser looks for. */
function noise(draw: Draw, longest: number): string {
  let text = ''
  for (let left = draw.whole(longest); left > 0; left -= 1)
    text +=
      draw.whole(4) === 0
        ? draw.pick([...'{}[]":,&=%;.\0\r\n'])
        : String.fromCharCode(draw.whole(256))
  return text
}

/** What a header or a target may hold, so that it comes past the parser. */
const inLine = (text: string): string =>
  text.replace(/[^\x21-\x7e\x80-\xff]/g, '').replaceAll('#', '')
/** Sometimes what it may not hold. */
const rarely = (draw: Draw, clean: string, broken: () => string): string =>
  draw.whole(25) === 0 ? broken() : clean

function randomBody(draw: Draw, secret: string): string {
  const form = (): string =>
    `${draw.pick(PARAMETERS)}=${encodeURIComponent(secret)}&${draw.pick(PARAMETERS)}=${encodeURIComponent(noise(draw, 50))}`
  return draw.pick([
    () => '',
    () => noise(draw, 2_000),
    form,
    () => `${form()}&${noise(draw, 50)}`,
    () => `{"${draw.pick(PARAMETERS)}":${JSON.stringify(secret)},"x":${noise(draw, 30)}}`,
    () => JSON.stringify({ redirect_uris: [noise(draw, 30)], client_name: noise(draw, 40) }),
    () => `${secret}.${noise(draw, 30)}.${noise(draw, 30)}`,
    () => JSON.stringify({ jsonrpc: '2.0', id: noise(draw, 5), method: noise(draw, 10) }),
  ])()
}

function randomTarget(draw: Draw, host: string, secret: string): string {
  const path = draw.pick(PATHS)
  const query = `${draw.pick(PARAMETERS)}=${encodeURIComponent(secret)}`
  const target = draw.pick([
    () => path,
    () => path,
    () => `${path}?${query}`,
    () => `${path}?${query}&${draw.pick(PARAMETERS)}=${encodeURIComponent(noise(draw, 30))}`,
    () => `${path}?${query}&x=${noise(draw, 30)}`,
    () => `${path}/${noise(draw, 20)}`,
    () => `${path}%${noise(draw, 4)}`,
    () => `/${noise(draw, 40)}`,
    () => `http://${host}${path}`,
    () => `//evil.example${path}`,
    () => draw.pick(['//', '///', '//[', 'http://[', '/\\\\', '*']),
  ])()
  return rarely(draw, inLine(target), () => noise(draw, 40))
}

function randomRequest(draw: Draw, host: string, secrets: readonly string[]): string {
  if (draw.whole(8) === 0) return `${draw.pick(OPENINGS)}${noise(draw, 600)}`
  const secret = draw.whole(3) === 0 ? draw.pick(secrets) : noise(draw, 20)
  const body = randomBody(draw, secret)
  const fields = Array.from({ length: draw.whole(5) }, () => {
    const value = draw.pick([
      () => noise(draw, 60),
      () => `Bearer ${secret}`,
      () => `Basic ${Buffer.from(`${secret}:${noise(draw, 10)}`).toString('base64')}`,
      () => `__Host-postern_session=${secret}`,
      () => draw.pick(['gzip', 'close', 'same-origin', 'none', 'text/html', '*/*']),
    ])()
    const clean = value.replace(/[^\x20-\x7e\x80-\xff]/g, '')
    return `${draw.pick(FIELDS)}: ${rarely(draw, clean, () => value)}`
  })
  const right = String(body.length)
  const length = rarely(draw, right, () => draw.pick([String(body.length + 5), '0', '-1', '9e9']))
  const method = rarely(draw, draw.pick(METHODS), () => draw.pick(['CONNECT', 'get', 'X', 'QUERY']))
  return [
    `${method} ${randomTarget(draw, host, secret)} HTTP/1.${rarely(draw, '1', () => draw.pick(['0', '9', 'x']))}`,
    `Host: ${rarely(draw, host, () => draw.pick(['evil.example', '', noise(draw, 12)]))}`,
    `Content-Type: ${draw.pick(TYPES)}`,
    ...(body === '' && draw.whole(2) === 0 ? [] : [`Content-Length: ${length}`]),
    ...fields,
    ...(draw.whole(12) === 0 ? [`${draw.pick(FRAMING)}: ${inLine(noise(draw, 12))}`] : []),
    '',
    body,
  ].join('\r\n')
}

/** Sends, says that no more comes, and reads to the end. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`not closed within ${CLOSED_WITHIN_MS} ms: ${text.slice(0, 200)}`))
    }, CLOSED_WITHIN_MS)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    // Closed while we still write is an answer too.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(text)
    })
    socket.end(Buffer.from(bytes, 'latin1'))
  })
}

it('D2 G5 B26: random bytes at every endpoint and method: no 5xx, no crash, no leak, no stuck connection', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-random-'))
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const issuer = `http://${host}`
  const world = await createWorld(() => Date.now())
  const lines: string[] = []
  const watched = createWatchedPlatform(undefined, { write: (line) => lines.push(line) })
  const platform = {
    ...watched,
    openFetch: () => ({ fetch: world.fetch, send: world.send, close: async () => undefined }),
  }
  const { signals: _signals, clients: _clients, ...config } = configuration(folder, world)
  const server = await serve(
    createPostern(
      {
        ...config,
        issuer,
        listen: { port, metricsPort: 0 },
        signals: { okta: { issuer: 'https://id.example', audience: `${issuer}/events/okta` } },
        clients: { [MACHINE.clientId]: { secret: MACHINE.secret, grants: ['client_credentials'] } },
      },
      platform,
    ),
    { signals: false },
  )
  onTestFinished(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })
  const takeToken = async (): Promise<string> => {
    const answer = await fetch(`${issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: MACHINE.clientId,
        client_secret: MACHINE.secret,
        resource: `${issuer}/mcp/notes`,
      }),
    })
    expect(answer.status).toBe(200)
    return ((await answer.json()) as { access_token: string }).access_token
  }
  const secrets = [await takeToken(), MACHINE.secret, CREDENTIAL]
  const canaries = createCanaries()
  canaries.add(...secrets)
  const draw = createDraw()
  const members = Object.getOwnPropertyNames(Object.prototype).join()
  const all = Array.from({ length: countOf(10_000) }, () => randomRequest(draw, host, secrets))
  const answered = new Map<string, number>()
  await checkFamily(
    'B26',
    all,
    async (bytes) => {
      const text = await exchange(port, bytes)
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? (text === '' ? 'closed' : 'odd')
      answered.set(status, (answered.get(status) ?? 0) + 1)
      expect(status).not.toBe('odd')
      for (const [, code] of text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm))
        expect(Number(code)).toBeLessThan(500)
    },
    CONNECTIONS_AT_ONCE,
  )
  // The bytes got past the parser to the rooms behind it, and were refused there for many reasons.
  for (const status of ['200', '400', '401', '404', '405'])
    expect(answered.get(status) ?? 0, JSON.stringify([...answered])).toBeGreaterThan(5)
  expect(watched.events.filter(({ type }) => type === 'server.failed')).toEqual([])
  expect((await fetch(`${issuer}/healthz`)).status).toBe(200)
  await takeToken()
  await server.close()
  expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(members)
  expect(canaries.find(Buffer.from(lines.join('')))).toEqual([])
  for (const name of await readdir(folder))
    expect([name, canaries.find(await readFile(join(folder, name)))]).toEqual([name, []])
}, 300_000)

it('G4 B26: a mounted house leaves every odd target to the application, and neither fails', async () => {
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const world = await createWorld(() => Date.now())
  const platform = {
    ...createWatchedPlatform(undefined),
    openFetch: () => ({ fetch: world.fetch, send: world.send, close: async () => undefined }),
  }
  const resource = `http://${host}/mcp`
  const issuer = `http://${host}`
  const postern = createPostern({ issuer, databaseUrl: 'memory:', resources: [resource] }, platform)
  await postern.ready()
  let theirs = 0
  const server = createServer(
    mount(postern, (_request, response) => {
      theirs += 1
      response.writeHead(404).end()
    }),
  )
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(async () => {
    await closeServer(server)
    await postern.close()
  })
  const draw = createDraw()
  const odd = [
    '//',
    '///',
    '//?x',
    '//[',
    '//:/',
    'http://[',
    'http://:',
    '*',
    '/\\',
    '//token',
    '//evil.example/token',
  ]
  const requests = [
    ...odd.map((target) => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
    ...Array.from({ length: countOf(1_000) }, () => randomRequest(draw, host, ['x'])),
  ]
  await checkFamily(
    'B26 mounted',
    requests,
    async (bytes) => {
      const text = await exchange(port, bytes)
      for (const [, code] of text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm))
        expect(Number(code)).toBeLessThan(500)
    },
    CONNECTIONS_AT_ONCE,
  )
  expect(theirs).toBeGreaterThan(5)
  expect(postern.handles('//')).toBe(false)
  expect((await fetch(`${issuer}/.well-known/oauth-authorization-server`)).status).toBe(200)
}, 300_000)
