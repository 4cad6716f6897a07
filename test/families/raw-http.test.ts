/**
 * Raw HTTP/1.1 breakage (threats.md section 4, B13): requests that two parsers could read in two ways,
 * through a real listener. Answers: raw-http-answers.test.ts.
 */
import { expect, it } from 'vitest'
import { speak } from '../kit/echo.ts'
import {
  CALL,
  CHUNK_SIZES,
  chunk,
  control,
  type EchoHouse,
  goodCall,
  LENGTHS,
  letters,
  openEchoHouse,
} from '../kit/echo-house.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'

const EVIL = '{"jsonrpc":"2.0","id":66,"method":"tools/call","params":{"name":"smuggled"}}'
/** All of a family in one test, on a busy machine. */
const FAMILY_TIMEOUT_MS = 600_000
const start = 'POST /mcp/notes HTTP/1.1'

interface Broken {
  readonly name: string
  readonly bytes: string
  /** The client closes its half: what is cut off never becomes whole. */
  readonly isCut?: boolean
}

type Breaker = (house: EchoHouse, draw: Draw) => Omit<Broken, 'name'> | string

const digits = (draw: Draw, count: number): string =>
  Array.from({ length: count }, () => draw.whole(10)).join('')

/** The usual head without its framing. */
const head = ({ host, authorization }: EchoHouse, line = start): string[] => [
  line,
  host,
  authorization,
  'Content-Type: application/json',
]
const message = (lines: readonly string[], body: string): string =>
  `${lines.join('\r\n')}\r\n\r\n${body}`
const withLine = (house: EchoHouse, line: string): string =>
  message([...head(house), line, `Content-Length: ${CALL.length}`], CALL)
const chunked = (house: EchoHouse, body: string, coding = 'chunked'): string =>
  message([...head(house), `Transfer-Encoding: ${coding}`], body)

const REQUEST_LINES: Readonly<Record<string, (draw: Draw) => string>> = {
  'a version that is none': (draw) =>
    `POST /mcp/notes ${draw.pick(['HTTP/1.2', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/3', 'HTTP/11', 'HTTP/1.1x', 'http/1.1', 'HTTP/1,1', 'HTTP/01.1', 'HTTPS/1.1', 'XTTP/1.1', 'HTTP/-1.1', 'HTTP/1.', 'HTTP/'])}`,
  'white space in the request line': (draw) =>
    draw.pick([
      'POST\t/mcp/notes\tHTTP/1.1',
      'POST /mcp/notes\x0bHTTP/1.1',
      'POST /mcp/no tes HTTP/1.1',
      ' POST /mcp/notes HTTP/1.1',
      'POST /mcp/notes HTTP/1.1 x',
      'POST /mcp/notes x HTTP/1.1',
      'POST  HTTP/1.1',
    ]),
  'a byte no target has': (draw) =>
    `POST /mcp/notes${draw.pick([control(draw), String.fromCharCode(0x80 + draw.whole(128)), '\r', '\n'])}${letters(draw, 2)} HTTP/1.1`,
  'a method that is none': (draw) =>
    `${draw.pick(['post', 'POS', 'P\0ST', 'POST:', '"POST"', 'PO ST', letters(draw, 6).toUpperCase(), `POST${control(draw)}`])} /mcp/notes HTTP/1.1`,
  'a target that is no path': (draw) =>
    `POST ${draw.pick(['mcp/notes', '\\mcp\\notes', 'evil.example:80', '?/mcp/notes', '#/mcp/notes'])} HTTP/1.1`,
}

const CODINGS = [
  'xchunked',
  'chunkedx',
  'chunked, chunked',
  'chunked, gzip',
  'gzip, chunked',
  'gzip',
  'identity',
  'identity, chunked',
  '',
  '\x0bchunked',
  'chunked\x0b',
  'chunk ed',
  '"chunked"',
  "'chunked'",
  'chunked;q=1',
  'chunked,',
  ', chunked',
  'cow',
  'chunked\0',
  'ch\xfbnked',
  'trailers',
  'deflate, chunked',
]

const BREAKERS: Readonly<Record<string, Breaker>> = {
  ...Object.fromEntries(
    Object.entries(REQUEST_LINES).map(([name, make]): [string, Breaker] => [
      name,
      (house, draw) =>
        message([...head(house, make(draw)), `Content-Length: ${CALL.length}`], CALL),
    ]),
  ),
  'a header without a name': (house, draw) =>
    withLine(
      house,
      draw
        .pick([': x', 'no colon at all', ' : x', '\t: x', '=: x', ':'])
        .replace('=: x', `${control(draw)}: x`),
    ),
  'a name that is no token': (house, draw) => {
    const odd = draw.pick([
      ' ',
      '\t',
      '(',
      ')',
      '@',
      '[',
      ']',
      '{',
      '}',
      '"',
      '/',
      '\\',
      '<',
      '>',
      ';',
      ',',
      '=',
      '?',
      '\xe9',
      control(draw),
    ])
    return withLine(house, `X${odd}${letters(draw, 3)}: 1`)
  },
  'space before a colon': (house, draw) =>
    withLine(
      house,
      `${draw.pick(['X-A', 'Host', 'Transfer-Encoding', 'Content-Length', letters(draw, 4)])}${draw.pick([' ', '\t', '  '])}: ${draw.pick(['chunked', '0', 'x'])}`,
    ),
  'a folded line': (house, draw) =>
    withLine(
      house,
      `${draw.pick(['X-A', 'Authorization', 'Transfer-Encoding', 'X-B', letters(draw, 5)])}: a\r\n${draw.pick([' ', '\t', '  '])}${letters(draw, 4)}`,
    ),
  'a control in a value': (house, draw) =>
    withLine(house, `X-${letters(draw, 3)}: a${control(draw)}b`),
  'a bare return in a value': (house, draw) =>
    withLine(house, `X-${letters(draw, 3)}: a\rTransfer-Encoding: chunked`),
  'a bare line feed': (house, draw) =>
    goodCall(house).replace(
      draw.pick(['\r\nContent-Length', '\r\nContent-Type', '\r\nHost', '\r\nAuthorization']),
      (line) => line.slice(1),
    ),
  'the head in line feeds': (house, draw) =>
    goodCall(house)
      .replaceAll('\r\n', '\n')
      .replace('\n\n', draw.pick(['\n\n', '\n\r\n'])),
  'more head than there may be': (house, draw) =>
    withLine(
      house,
      draw.pick([
        `X-A: ${'a'.repeat(16_400 + draw.whole(9_000))}`,
        Array.from({ length: 700 + draw.whole(90) }, (_, at) => `X-${at}: ${'b'.repeat(20)}`).join(
          '\r\n',
        ),
        `${'N'.repeat(17_000)}: 1`,
      ]),
    ),
  'no host': (house) => goodCall(house).replace(`${house.host}\r\n`, ''),
  'two hosts': (house, draw) =>
    goodCall(house).replace(
      house.host,
      draw.pick([
        `${house.host}\r\nHost: ${letters(draw, 5)}.example`,
        `${house.host}\r\n${house.host}`,
        `Host: evil.example\r\n${house.host}`,
      ]),
    ),
  'a length that is none': (house, draw) =>
    message(
      [
        ...head(house),
        `Content-Length: ${draw.pick(LENGTHS).replaceAll('N', String(CALL.length))}`,
      ],
      CALL,
    ),
  'two lengths': (house, draw) => {
    const other = draw.pick([
      CALL.length,
      0,
      CALL.length + 1,
      CALL.length - 1,
      Number(digits(draw, 3)),
    ])
    const lines = [`Content-Length: ${CALL.length}`, `content-length: ${other}`]
    return message([...head(house), ...(draw.whole(2) === 0 ? lines : lines.reverse())], CALL)
  },
  'a length and chunks': (house, draw) => {
    const lines = [
      `Content-Length: ${draw.pick([0, 4, CALL.length])}`,
      'Transfer-Encoding: chunked',
    ]
    const all = [...head(house), ...(draw.whole(2) === 0 ? lines : lines.reverse())]
    return message(all, `${chunk(CALL)}0\r\n\r\n`)
  },
  'a coding that is not chunked alone': (house, draw) =>
    chunked(house, `${chunk(CALL)}0\r\n\r\n`, draw.pick(CODINGS)),
  'two codings': (house, draw) =>
    chunked(
      house,
      `${chunk(CALL)}0\r\n\r\n`,
      `chunked\r\nTransfer-Encoding: ${draw.pick(['chunked', 'gzip', 'identity', 'x', ''])}`,
    ),
  'a chunk size that is none': (house, draw) =>
    chunked(house, `${draw.pick(['', chunk('{')])}${draw.pick(CHUNK_SIZES)}\r\n{}\r\n0\r\n\r\n`),
  'a chunk with another end': (house, draw) =>
    chunked(
      house,
      draw.pick([
        `${CALL.length.toString(16)}\r\n${CALL}xx0\r\n\r\n`,
        `${CALL.length.toString(16)}\r\n${CALL}\n0\r\n\r\n`,
        `${CALL.length.toString(16)}\n${CALL}\r\n0\r\n\r\n`,
        `${(CALL.length - 1).toString(16)}\r\n${CALL}\r\n0\r\n\r\n`,
        `${CALL.length.toString(16)}\r${CALL}\r\n0\r\n\r\n`,
        `${chunk(CALL)}0\n\r\n`,
      ]),
    ),
  'an extension that ends the line': (house, draw) =>
    chunked(
      house,
      `${CALL.length.toString(16)};${letters(draw, 3)}${draw.pick(['\n', '\r', '\0', '\x0b', '=\x7f'])}${letters(draw, 2)}\r\n${CALL}\r\n0\r\n\r\n`,
    ),
  'an extension without end': (house, draw) =>
    chunked(
      house,
      `${CALL.length.toString(16)};${letters(draw, 1).repeat(17_000 + draw.whole(4_000))}\r\n${CALL}\r\n0\r\n\r\n`,
    ),
  'a broken trailer': (house, draw) =>
    chunked(
      house,
      `${chunk(CALL)}0\r\n${draw.pick(['no colon', `X${control(draw)}: 1`, 'X : 1', ' X: 1', `X: a${control(draw)}`, ': x'])}\r\n\r\n`,
    ),
  'half a body': (house, draw) => ({
    bytes: draw.pick([
      message([...head(house), `Content-Length: ${CALL.length + 1 + draw.whole(50)}`], CALL),
      chunked(house, chunk(CALL)),
      chunked(house, `${chunk(CALL)}0\r\n`),
      chunked(house, `${(CALL.length + 9).toString(16)}\r\n${CALL}`),
      goodCall(house).slice(0, -1 - draw.whole(CALL.length - 1)),
    ]),
    isCut: true,
  }),
  // Nothing behind it: the parser would end the connection for that, and hide what was done before.
  'a version without this framing': (house) => ({
    bytes: goodCall(house).replace('HTTP/1.1', 'HTTP/0.9'),
    isCut: true,
  }),
  'half a head': (house, draw) => ({
    bytes: goodCall(house).slice(0, 1 + draw.whole(goodCall(house).length - CALL.length - 6)),
    isCut: true,
  }),
  'another protocol': (house, draw) =>
    draw.pick([
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
      '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
      'SSH-2.0-OpenSSH_9.9\r\n',
      'EHLO evil.example\r\n',
      `\x05\x01\0${letters(draw, 9)}`,
      'GET /mcp/notes\r\n',
      '\x1f\x8b\x08\0',
      `CONNECT evil.example:443 HTTP/1.1\r\n${house.host}\r\n\r\n`,
      Array.from({ length: 40 }, () => String.fromCharCode(draw.whole(256)))
        .join('')
        .replace(/^[\r\n]*/, '\x01'),
    ]),
}

/** At least `count` broken requests, of every kind one. */
function brokenRequests(house: EchoHouse, least: number): Broken[] {
  const draw = createDraw()
  const kinds = Object.entries(BREAKERS)
  const count = Math.max(least, kinds.length)
  const cases: Broken[] = []
  const seen = new Set<string>()
  for (let at = 0; cases.length < count && at < count * 50; at += 1) {
    const [name, make] = kinds[at % kinds.length] ?? ['', () => '']
    const made = make(house, draw)
    const broken = typeof made === 'string' ? { bytes: made } : made
    if (seen.has(broken.bytes)) continue
    seen.add(broken.bytes)
    cases.push({ name, ...broken })
  }
  expect(cases).toHaveLength(count)
  return cases
}

it('G5 B13: a broken request ends its connection, is not forwarded, and hides no other behind it', {
  timeout: FAMILY_TIMEOUT_MS,
}, async () => {
  const house = await openEchoHouse()
  const { echo, port } = house
  await checkFamily('B13 requests', brokenRequests(house, countOf(150)), async (broken) => {
    const before = echo.whole.length
    // What follows is a good call to whoever has read the end of the message somewhere else.
    const bytes = broken.isCut === true ? broken.bytes : broken.bytes + goodCall(house, EVIL)
    const { statuses, closed } = await speak(port, bytes, undefined, broken.isCut)
    expect([broken.name, closed]).toEqual([broken.name, true])
    for (const status of statuses) expect([400, 404, 405, 408, 413, 417, 431]).toContain(status)
    expect(statuses.length).toBeLessThanOrEqual(1)
    expect(echo.whole.slice(before)).toEqual([])
  })
  const alive = await speak(port, goodCall(house), (text) => text.includes('"result"'))
  expect(alive.statuses).toEqual([200])
  expect(echo.whole.at(-1)?.body).toBe(CALL)
})

it('G5 B13: what follows a request with two readings does not run while its refusal is held back', async () => {
  const house = await openEchoHouse({ refusalsPerSecondMax: 1 })
  const twoHosts = goodCall(house).replace(house.host, `${house.host}\r\nHost: evil.example`)
  const spoken = await Promise.all(
    Array.from({ length: 4 }, () => speak(house.port, twoHosts + goodCall(house, EVIL))),
  )
  for (const { statuses } of spoken) expect(statuses.filter((status) => status !== 400)).toEqual([])
  expect(house.echo.whole).toEqual([])
})
