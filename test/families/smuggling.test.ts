/**
 * Header smuggling (threats.md section 4, B12), as bytes through a real listener to a bare socket: what
 * a client may never say to a server behind, and what such a server may never say to a client.
 * The lists here are the policy (G1, G2, GW-22), not the product's own table.
 */
import { expect, it } from 'vitest'
import { type Echo, type Echoed, okAnswer, speak, startEcho } from '../kit/echo.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'
import { openPlane, type Plane } from '../kit/plane.ts'

const CALL = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
/** Of ours to the server behind: the client's own must not stand beside or instead of it. */
const SECRET = 'server-secret-0123456789'
/** All of a family in one test, on a busy machine. */
const FAMILY_TIMEOUT_MS = 600_000

/** Who somebody is, where a call came from, what connection it is: no client says that for us. */
const FORBIDDEN =
  /^(authorization|cookie2?|dpop|host|forwarded|x-forwarded(-.*)?|x-real-ip|x-client-ip|true-client-ip|x-cluster-client-ip|client-ip|proxy-.*|x-postern(-.*)?|remote-user|x-remote-user|x-auth-request-.*|x-authenticated-user|x-amzn-oidc-.*|cf-access-.*|cf-connecting-ip|x-goog-iap-.*|x-ms-token-.*|x-ms-client-principal.*|te|trailer|upgrade|keep-alive|transfer-encoding|connection|expect|mcp-session-id|last-event-id|x-http-method(-override)?|x-method-override|x-original-url|x-original-host|x-rewrite-url|x-host|sec-websocket-.*|http2-settings|x-accel-redirect|x-sendfile)$/
const NAMES = [
  'Authorization',
  'Cookie',
  'DPoP',
  'Host',
  'Forwarded',
  'X-Forwarded',
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Real-IP',
  'X-Client-IP',
  'True-Client-IP',
  'Client-IP',
  'Proxy-Authorization',
  'Proxy-Connection',
  'X-Postern-User',
  'X-Postern-Groups',
  'X-Postern',
  'Remote-User',
  'X-Amzn-Oidc-Accesstoken',
  'Cf-Access-Jwt-Assertion',
  'CF-Connecting-IP',
  'X-Goog-IAP-JWT-Assertion',
  'X-MS-Token-AAD-Access-Token',
  'X-MS-Client-Principal',
  'X-Remote-User',
  'X-Auth-Request-User',
  'X-Authenticated-User',
  'X-Amzn-OIDC-Data',
  'TE',
  'Trailer',
  'Upgrade',
  'Keep-Alive',
  'Transfer-Encoding',
  'Connection',
  'Expect',
  'Mcp-Session-Id',
  'Last-Event-ID',
  'X-HTTP-Method-Override',
  'X-Method-Override',
  'X-Original-URL',
  'X-Rewrite-URL',
  'X-Host',
  'Sec-WebSocket-Key',
  'HTTP2-Settings',
  'X-Accel-Redirect',
  'Content-Length',
] as const
/** Honest ones, which must arrive as they were sent. */
const HONEST = [
  'X-Trace',
  'Accept',
  'Accept-Language',
  'User-Agent',
  'Mcp-Param-Region',
  'x_custom',
  'X-Auth',
  'X-User-Name',
  'Idempotency-Key',
] as const

const plain = (name: string): string => name.toLowerCase().replaceAll('_', '-')

const SPELLINGS: readonly ((name: string, draw: Draw) => string)[] = [
  (name) => name,
  (name) => name.toLowerCase(),
  (name) => name.toUpperCase(),
  (name) => name.replaceAll('-', '_'),
  (name) => name.replace('-', '_'),
  (name) => name.toUpperCase().replaceAll('-', '_'),
  (name, draw) =>
    [...name]
      .map((each) => (draw.whole(2) === 0 ? each.toUpperCase() : each.toLowerCase()))
      .join(''),
  (name) => name.split('').reverse().join('').replace('-', '_').split('').reverse().join(''),
]
const values = (draw: Draw): string =>
  draw.pick([
    'eve',
    'eve@corp.example',
    '127.0.0.1',
    'Bearer stolen-token-of-somebody',
    `Bearer ${SECRET}`,
    'chunked',
    'websocket',
    '0',
    '',
    'keep-alive',
    'x, y, z',
    '100-continue',
    'for=127.0.0.1;host=evil.example',
    '"quoted, value"',
    'a'.repeat(200 + draw.whole(2_000)),
    '\xe9\xff',
    `\t${draw.whole(1_000_000)} \t`,
  ])

interface Sent {
  readonly lines: readonly (readonly [name: string, value: string])[]
}

function smuggled(draw: Draw): Sent {
  const lines: (readonly [string, string])[] = []
  for (let left = 1 + draw.whole(6); left > 0; left -= 1) {
    lines.push([draw.pick(SPELLINGS)(draw.pick(NAMES), draw), values(draw)])
  }
  for (let left = draw.whole(3); left > 0; left -= 1) {
    lines.push([draw.pick(HONEST), draw.pick(['a', 'b; c=d', 'text/plain', '*/*', '"x"'])])
  }
  if (draw.whole(3) === 0) {
    const named = Array.from({ length: 1 + draw.whole(4) }, () =>
      draw.pick(SPELLINGS)(
        draw.pick([...NAMES, ...HONEST, 'Content-Type', 'close', 'keep-alive', '']),
        draw,
      ),
    )
    lines.push(['Connection', named.join(draw.pick([',', ', ', ' ,\t', ',,']))])
  }
  // Any order: somebody reads the first of two, somebody the last.
  return { lines: lines.toSorted(() => draw.whole(2) - 0.5) }
}

interface House {
  readonly plane: Plane
  readonly echo: Echo
  readonly port: number
  readonly host: string
  readonly token: string
}

async function openHouse(connector: { auth: 'none' | 'header' }): Promise<House> {
  const echo = await startEcho()
  const plane = await openPlane({
    provider: 'openid',
    clock: 'real',
    connectorUrl: echo.url,
    connector:
      connector.auth === 'none'
        ? { auth: 'none' }
        : { auth: 'header', header: { name: 'X-Api-Key', value: SECRET } },
  })
  const { accessToken } = await plane.signIn()
  const { host, port } = new URL(plane.issuer)
  return { plane, echo, port: Number(port), host, token: accessToken }
}

/** A whole good call between the smuggled lines; the bytes of the body frame it, or nothing does. */
function callWith({ host, token }: House, { lines }: Sent, at: number): string {
  const own = [
    `Host: ${host}`,
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    `Content-Length: ${CALL.length}`,
  ]
  const theirs = lines.map(([name, value]) => `${name}: ${value}`)
  const rows = [...theirs.slice(0, at), ...own, ...theirs.slice(at)]
  return `POST /mcp/notes HTTP/1.1\r\n${rows.join('\r\n')}\r\n\r\n${CALL}`
}

const isWhole = (text: string): boolean =>
  /\}(\r\n0\r\n\r\n)?$/.test(text) || /^HTTP\/1\.1 417 /.test(text)

function judgeForwarded(house: House, { lines: sent }: Sent, seen: Echoed): void {
  expect([seen.method, seen.target, seen.body]).toEqual(['POST', '/mcp', CALL])
  const named = sent
    .filter(([name]) => plain(name) === 'connection')
    .flatMap(([, value]) => value.split(',').map((each) => plain(each.trim())))
  const byName = (wanted: string) => seen.lines.filter(([name]) => plain(name) === wanted)
  expect(byName('host')).toEqual([['host', `127.0.0.1:${house.echo.port}`]])
  expect(byName('content-length').map(([, value]) => value)).toEqual([String(CALL.length)])
  expect(byName('content-type')).toHaveLength(1)
  expect(byName('x-api-key').map(([, value]) => value)).toEqual([SECRET])
  for (const [name, value] of seen.lines) {
    // The connection to the server behind is ours, and so are its own lines.
    if (['host', 'connection'].includes(name)) expect(value).not.toContain(',')
    else expect([name, FORBIDDEN.test(plain(name))]).toEqual([name, false])
    expect(value).not.toContain(house.token)
  }
  const honest = sent.filter(
    ([name]) => HONEST.some((each) => plain(each) === plain(name)) && !named.includes(plain(name)),
  )
  for (const [name, value] of honest) expect(seen.lines).toContainEqual([name, value.trim()])
}

it('G1 G2 GW-22 B12: the server behind sees of a call what the policy says, or nothing', {
  timeout: FAMILY_TIMEOUT_MS,
}, async () => {
  const house = await openHouse({ auth: 'header' })
  const draw = createDraw()
  const extra = {
    lines: [
      ['X-Api-Key', 'mine'],
      ['x_api_key', 'mine'],
      ['X-API-KEY', ''],
    ] as const,
  }
  const cases = Array.from({ length: countOf(200) }, (_, at) =>
    at % 10 === 0 ? { lines: [...smuggled(draw).lines, ...extra.lines] } : smuggled(draw),
  )
  const outcomes = { forwarded: 0, refused: 0 }
  await checkFamily('B12 requests', cases, async (sent) => {
    const before = house.echo.whole.length
    const at = draw.whole(sent.lines.length + 1)
    const { statuses } = await speak(house.port, callWith(house, sent, at), isWhole)
    const seen = house.echo.whole.slice(before)
    if (seen.length === 0) {
      outcomes.refused += 1
      for (const status of statuses) expect([400, 401, 404, 413, 417, 421, 431]).toContain(status)
      return
    }
    outcomes.forwarded += 1
    expect(seen).toHaveLength(1)
    for (const each of seen) judgeForwarded(house, sent, each)
  })
  // The family is worth nothing when all of it is refused, or none.
  expect(outcomes.forwarded).toBeGreaterThan(cases.length / 10)
  expect(outcomes.refused).toBeGreaterThan(0)
})

/** What may not come back: cookies and challenges of another house, our own names, hops. */
const KEPT_BACK =
  /^(set-cookie2?|www-authenticate|authentication-info|proxy-.*|x-postern(-.*)?|keep-alive|te|trailer|upgrade|clear-site-data|alt-svc|strict-transport-security|x-accel-.*|x-sendfile|service-worker-allowed)$/
const ANSWER_NAMES = [
  'Set-Cookie',
  'Set-Cookie2',
  'WWW-Authenticate',
  'Authentication-Info',
  'Proxy-Authenticate',
  'Proxy-Authentication-Info',
  'X-Postern-User',
  'X-Postern',
  'Keep-Alive',
  'TE',
  'Trailer',
  'Upgrade',
  'Clear-Site-Data',
  'Alt-Svc',
  'X-Accel-Redirect',
  'X-Sendfile',
  'Service-Worker-Allowed',
  'Mcp-Session-Id',
] as const

it('O7 GW-22 B12: a client sees of an answer what the policy says', {
  timeout: FAMILY_TIMEOUT_MS,
}, async () => {
  const house = await openHouse({ auth: 'none' })
  const draw = createDraw()
  const cases = Array.from({ length: countOf(200) }, () => {
    const lines = Array.from({ length: 1 + draw.whole(7) }, (): readonly [string, string] => [
      draw.pick(SPELLINGS.filter((_, at) => ![3, 4, 5, 7].includes(at)))(
        draw.pick(ANSWER_NAMES),
        draw,
      ),
      draw.pick([
        'a=b; Path=/; Domain=example',
        'Bearer realm="evil"',
        'x',
        'timeout=5',
        'session-of-the-server',
      ]),
    ])
    const named =
      draw.whole(3) === 0
        ? [['Connection', `x-kept, ${draw.pick(['close', 'keep-alive', 'x-other'])}`] as const]
        : []
    const kept = Array.from({ length: draw.whole(3) }, () => ['X-Kept', 'x'] as const)
    return { lines: [...lines, ...kept, ...named] }
  })
  const usual = house.echo.answer
  await checkFamily('B12 answers', cases, async ({ lines }) => {
    house.echo.answer = () =>
      okAnswer(
        undefined,
        lines.map(([name, value]) => `${name}: ${value}`),
      )
    const { text } = await speak(house.port, callWith(house, { lines: [] }, 0), isWhole)
    house.echo.answer = usual
    expect(text).toMatch(/^HTTP\/1\.1 (200|502) /)
    if (text.startsWith('HTTP/1.1 502')) {
      // Two answers to one question of ours, such as two session ids or an upgrade.
      expect(lines.some(([name]) => /^(upgrade|mcp-session-id)$/i.test(name))).toBe(true)
      return
    }
    const head = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n').slice(1)
    const seen = head.map((row): readonly [string, string] => {
      const colon = row.indexOf(':')
      return [row.slice(0, colon).toLowerCase(), row.slice(colon + 1).trim()]
    })
    const isNamed = lines.some(([name]) => name === 'Connection')
    for (const [name, value] of seen) {
      // Of our own listener to this client.
      if (name === 'connection' || name === 'keep-alive') {
        expect(['keep-alive', 'close', 'timeout=65']).toContain(value)
        continue
      }
      expect([name, KEPT_BACK.test(name)]).toEqual([name, false])
      expect(value).not.toBe('session-of-the-server')
    }
    const kept = lines.filter(([name]) => name === 'X-Kept')
    expect(seen.filter(([name]) => name === 'x-kept')).toHaveLength(isNamed ? 0 : kept.length)
  })
})
