/**
 * Raw HTTP/1.1 breakage (threats.md section 4, B13): answers of a server behind that two parsers could
 * read in two ways. Requests: raw-http.test.ts.
 */
import { expect, it } from 'vitest'
import { okAnswer, speak } from '../kit/echo.ts'
import {
  CHUNK_SIZES,
  chunk,
  control,
  goodCall,
  LENGTHS,
  letters,
  openEchoHouse,
} from '../kit/echo-house.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'

/** All of a family in one test, on a busy machine. */
const FAMILY_TIMEOUT_MS = 600_000
/** What the server behind says after the end of its message, for the next who asks there. */
const STOLEN = okAnswer('{"jsonrpc":"2.0","id":2,"result":{"stolen":true}}')
const RESULT = '{"jsonrpc":"2.0","id":1,"result":{"mine":true}}'
const TYPE = 'Content-Type: application/json'
const answer = (lines: readonly string[], body: string): string =>
  `${lines.join('\r\n')}\r\n\r\n${body}${STOLEN}`
const OK = 'HTTP/1.1 200 OK'
const LENGTH = `Content-Length: ${RESULT.length}`

const ANSWERS: Readonly<Record<string, (draw: Draw) => string>> = {
  'a status line that is none': (draw) =>
    answer(
      [
        draw.pick([
          'HTTP/1.1 20 OK',
          'HTTP/1.1 2000 OK',
          'HTTP/1.1  200 OK',
          'HTTP/1.1 2x0 OK',
          'HTTP/1.1 -200 OK',
          'HTTP/3.1 200 OK',
          'HTTP 200 OK',
          'http/1.1 200 OK',
          'HTTP/1.1 200 O\0K',
          'HTTP/1.1\t200 OK',
          ' HTTP/1.1 200 OK',
          'HTTP/1.1 099 OK',
          'ICY 200 OK',
        ]),
        TYPE,
        LENGTH,
      ],
      RESULT,
    ),
  'no HTTP at all': (draw) =>
    draw.pick([
      'SSH-2.0-OpenSSH_9.9\r\n',
      '\x16\x03\x01\x02\0',
      `${letters(draw, 20)}\r\n\r\n`,
      RESULT,
      '\0\0\0\x04\0\0\0\0\0',
      '<html>',
    ]),
  'both framings': (draw) => {
    const lines = [
      `Content-Length: ${draw.pick([0, 2, RESULT.length])}`,
      'Transfer-Encoding: chunked',
    ]
    return answer(
      [OK, TYPE, ...(draw.whole(2) === 0 ? lines : lines.reverse())],
      `${chunk(RESULT)}0\r\n\r\n`,
    )
  },
  'two lengths': (draw) =>
    answer(
      [
        OK,
        TYPE,
        LENGTH,
        `Content-Length: ${draw.pick([0, 1, RESULT.length + 1, RESULT.length - 1])}`,
      ],
      RESULT,
    ),
  'a length that is none': (draw) =>
    answer(
      [
        OK,
        TYPE,
        `Content-Length: ${draw.pick(LENGTHS.filter((each) => !/^[N\d]*$/.test(each.trim()))).replaceAll('N', String(RESULT.length))}`,
      ],
      RESULT,
    ),
  'a chunk size that is none': (draw) =>
    answer(
      [OK, TYPE, 'Transfer-Encoding: chunked'],
      `${draw.pick(CHUNK_SIZES)}\r\n{}\r\n0\r\n\r\n`,
    ),
  'a chunk with another end': (draw) =>
    answer(
      [OK, TYPE, 'Transfer-Encoding: chunked'],
      draw.pick([
        `${RESULT.length.toString(16)}\r\n${RESULT}xx0\r\n\r\n`,
        `${(RESULT.length - 1).toString(16)}\r\n${RESULT}\r\n0\r\n\r\n`,
        `${RESULT.length.toString(16)};x=\0\r\n${RESULT}\r\n0\r\n\r\n`,
      ]),
    ),
  'a broken header line': (draw) =>
    answer(
      [
        OK,
        TYPE,
        LENGTH,
        draw.pick([
          'X-A : 1',
          'no colon',
          ': x',
          `X${control(draw)}: 1`,
          `X-A: a${control(draw)}b`,
          'X(A): 1',
          'X-A: a\rSet-Cookie: x=1',
          '\x01: 1',
        ]),
      ],
      RESULT,
    ),
  'more head than there may be': (draw) =>
    answer(
      [OK, TYPE, LENGTH, `X-A: ${letters(draw, 1).repeat(17_000 + draw.whole(30_000))}`],
      RESULT,
    ),
  'an upgrade that nobody asked for': (draw) =>
    `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ${letters(draw, 4)}\r\n\r\n${STOLEN}`,
  'a body that is cut off': (draw) =>
    draw.pick([
      `${OK}\r\n${TYPE}\r\nContent-Length: ${RESULT.length + 1 + draw.whole(500)}\r\n\r\n${RESULT}`,
      `${OK}\r\n${TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(RESULT)}`,
      `${OK}\r\n${TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n${(RESULT.length + 9).toString(16)}\r\n${RESULT}`,
      `${OK}\r\n${TYPE}\r\n${LENGTH.slice(0, draw.whole(LENGTH.length))}`,
    ]),
  'more than one answer': () => answer([OK, TYPE, LENGTH], RESULT),
  'a body where none may be': (draw) =>
    `HTTP/1.1 ${draw.pick(['204 No Content', '304 Not Modified'])}\r\n${LENGTH}\r\n\r\n${STOLEN}`,
}

/** Faults that show before a byte of the answer could be passed on. */
const BEFORE_THE_BODY: ReadonlySet<string> = new Set([
  'no HTTP at all',
  'both framings',
  'two lengths',
  'a length that is none',
  'a broken header line',
  'more head than there may be',
  'an upgrade that nobody asked for',
])
const CUT: ReadonlySet<string> = new Set(['a body that is cut off', 'a chunk size that is none'])

function brokenAnswers(count: number): { name: string; bytes: string }[] {
  const draw = createDraw()
  const kinds = Object.entries(ANSWERS)
  return Array.from({ length: Math.max(count, kinds.length) }, (_, at) => {
    const [name, make] = kinds[at % kinds.length] ?? ['', () => '']
    return { name, bytes: make(draw) }
  })
}

it('G5 B13: a broken answer is a 502 or a cut, and its rest is nobody’s next answer', {
  timeout: FAMILY_TIMEOUT_MS,
}, async () => {
  const house = await openEchoHouse()
  const { echo, port } = house
  const isWhole = (text: string): boolean =>
    /\}(\r\n0\r\n\r\n)?$/.test(text) || /^HTTP\/1\.1 [23]04 /.test(text)
  await checkFamily('B13 answers', brokenAnswers(countOf(150)), async ({ name, bytes }) => {
    const usual = echo.answer
    echo.answer = () => bytes
    // Nothing more comes from a server that was cut off: its end is what tells.
    echo.endsAfter = CUT.has(name)
    const { statuses, text, closed } = await speak(
      port,
      goodCall(house),
      (sofar) => isWhole(sofar) && (!CUT.has(name) || sofar.startsWith('HTTP/1.1 502')),
    )
    echo.answer = usual
    echo.endsAfter = false
    expect([name, text.includes('stolen')]).toEqual([name, false])
    expect(statuses.length).toBeLessThanOrEqual(1)
    if (BEFORE_THE_BODY.has(name)) expect([name, ...statuses]).toEqual([name, 502])
    // What had begun is not ended as if it were whole.
    else if (CUT.has(name)) expect([name, statuses[0] === 502 || closed]).toEqual([name, true])
    const next = await speak(port, goodCall(house), isWhole)
    expect([name, next.statuses, next.text.includes('stolen')]).toEqual([name, [200], false])
  })
})
