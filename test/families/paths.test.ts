/**
 * Paths, traversal, encodings (threats.md section 4, B7): the path that was judged is the path that is
 * routed. The server behind is taken to be careless: it may decode, fold, cut and normalise in any
 * order, and still no path without a token may mean a guarded one to it.
 */
import { describe, expect, it } from 'vitest'
import { type Echo, speak, startEcho } from '../kit/echo.ts'
import { checkFamily, countOf, type Draw, distinct } from '../kit/family.ts'
import { openPlane } from '../kit/plane.ts'

const CALL = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
/** All of a family in one test, on a busy machine. */
const FAMILY_TIMEOUT_MS = 600_000

const PROTECTED = ['/data/*', '/exact', '/open/staff/*'] as const
const PUBLIC = ['/open/*', '/health', '/data/docs/*'] as const

/** Pieces that readers of paths disagree about. */
const PIECES = [
  'a',
  'b.c',
  'data',
  'DATA',
  'open',
  'staff',
  'docs',
  'mcp',
  'notes',
  'exact',
  'health',
  '..',
  '.',
  '...',
  '.%2e',
  '%2e%2e',
  '%2E.',
  '%252e%252e',
  '%c0%ae%c0%ae',
  '%u002e',
  '..;',
  '..%00',
  '.;a',
  ';v=1',
  '%2f',
  '%2F',
  '%5c',
  '\\',
  '%255c',
  '%3b',
  '%3f',
  '%23',
  '%25',
  '%2525',
  '%00',
  '%0a',
  '%0d%0aX-A:1',
  '%7f',
  '%20',
  '+',
  '~',
  '*',
  '%',
  '%zz',
  '%e2%80%8b',
  '%ef%bc%8f',
  '%64ata',
  '%6Dcp',
  'dat%61',
  'st%61ff',
  '@',
  ':80',
  '&x=1',
  '=',
  '$',
  '!',
  "'",
  '(',
  '[',
  '|',
  '^',
  '`',
  '<x>',
  '"',
  '{}',
  '\x7f',
  '\xc3\xa9',
] as const
const STARTS = [
  '/data/',
  '/open/',
  '/exact',
  '/health',
  '/open/staff/',
  '/data/docs/',
  '/mcp/notes',
  '/mcp',
  '/',
  '/DATA/',
  '/Open/',
  '//',
  '/./',
  '/a/../',
] as const
const JOINS = ['/', '//', '', '/./', '/../', '%2f', ';/'] as const
const ENDS = [
  '',
  '/',
  '?',
  '?a=b',
  '?a=/../x',
  '#x',
  ';',
  '%20',
  '.',
  '/.',
  '/..',
  '%00',
  '%3fx',
] as const

/** Pieces that everybody passes on, and some read as another. */
const MILD = [
  'a',
  'b.c',
  'data',
  'Data',
  'staff',
  'Staff',
  'st%61ff',
  'docs',
  'mcp',
  'MCP',
  'notes',
  'exact',
  'health',
  '...',
  '.a',
  '~',
  '*',
  '@',
  '%20',
  '%41',
  '%64ata',
  '%e2%80%8b',
  '%ef%bc%8f',
] as const
const FOLDERS = ['/data/', '/open/', '/open/', '/data/docs/', '/open/staff/'] as const

/** Always asked: each has led somebody out of a folder, or into one. */
const TRAPS = [
  '/open/../data/x',
  '/open/..',
  '/open/%2e%2e/data/x',
  '/open/.%2E/data/x',
  '/open/..%2fdata/x',
  '/open/..%5cdata/x',
  '/open/..\\data/x',
  '/open/..;/data/x',
  '/open/%252e%252e/data/x',
  '/open//staff/x',
  '/open/./staff/x',
  '/open/st%61ff/x',
  '/open/Staff/x',
  '/open/staff;v=1/x',
  '/open/staff%2fx',
  '/open/staff%00/x',
  '/data/docs/../x',
  '/data/docs/%2e%2e/x',
  '/data/../open/x',
  '/mcp/notes/../../data/x',
  '/mcp/notes%2f..%2fdata',
  '/open/x%0d%0aX-A:%201',
] as const

function oddPath(draw: Draw): string {
  const parts = (pieces: readonly string[], joins: readonly string[]): string =>
    Array.from({ length: draw.whole(4) }, () => draw.pick(pieces) + draw.pick(joins)).join('')
  return draw.whole(2) === 0
    ? draw.pick(FOLDERS) + parts(MILD, ['/', '/', '']) + draw.pick(['', '', '/', '?a=/../x', '.'])
    : draw.pick(STARTS) + parts(PIECES, JOINS) + draw.pick(ENDS)
}

/** Each step that some server takes with a path. */
const STEPS: readonly ((path: string) => string)[] = [
  decodeLoosely,
  (path) => path.toLowerCase(),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.replaceAll(/\/{2,}/g, '/'),
  (path) => path.replaceAll(/;[^/]*/g, ''),
  (path) => path.replace(/[\0].*$/s, ''),
  (path) => path.replace(/[?#].*$/s, ''),
  (path) => path.replace(/[/. ]+$/, ''),
  resolveDots,
]

function decodeLoosely(path: string): string {
  return path.replaceAll(/%u?00([0-9a-f]{2})|%([0-9a-f]{2})/gi, (_, wide: string, narrow: string) =>
    String.fromCharCode(Number.parseInt(wide ?? narrow, 16)),
  )
}

function resolveDots(path: string): string {
  const kept: string[] = []
  for (const part of path.split('/').slice(1)) {
    if (part === '..') kept.pop()
    else if (part !== '.') kept.push(part)
  }
  return `/${kept.join('/')}`
}

/** Everything that a path may mean to somebody: the steps in any order, up to three deep. */
function readingsOf(path: string, depth = 3): ReadonlySet<string> {
  const readings = new Set([path])
  let edge = [path]
  for (let turn = 0; turn < depth; turn += 1) {
    const next = edge.flatMap((each) => STEPS.map((step) => step(each)))
    edge = [...new Set(next)].filter((each) => !readings.has(each))
    for (const each of edge) readings.add(each)
  }
  return readings
}

/** The longest pattern wins; exact before prefixes. */
function isGuarded(path: string): boolean {
  if (path === '/mcp') return true
  const match = (pattern: string): number =>
    pattern.endsWith('*')
      ? `${path}/`.startsWith(pattern.slice(0, -1))
        ? pattern.length
        : 0
      : path === pattern
        ? Number.MAX_SAFE_INTEGER
        : 0
  const best = (patterns: readonly string[]): number => Math.max(...patterns.map(match))
  return best(PROTECTED) > best(PUBLIC)
}

interface House {
  readonly echo: Echo
  readonly ask: (path: string, token?: string) => Promise<{ status: number; routed?: string }>
  readonly token: string
}

async function openHouse(): Promise<House> {
  const echo = await startEcho()
  const plane = await openPlane({
    provider: 'openid',
    clock: 'real',
    connectorUrl: echo.url,
    connector: { auth: 'none', routes: { protected: [...PROTECTED], public: [...PUBLIC] } },
  })
  const { accessToken } = await plane.signIn()
  const { host, port } = new URL(plane.issuer)
  return {
    echo,
    token: accessToken,
    async ask(path, token) {
      const before = echo.whole.length
      const lines = [
        `POST ${path} HTTP/1.1`,
        `Host: ${host}`,
        ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
        'Content-Type: application/json',
        'Connection: close',
        `Content-Length: ${CALL.length}`,
      ]
      const { statuses } = await speak(Number(port), `${lines.join('\r\n')}\r\n\r\n${CALL}`)
      const routed = echo.whole.slice(before).map(({ target }) => target)
      expect(routed.length).toBeLessThanOrEqual(1)
      return { status: statuses[0] ?? 0, ...(routed[0] === undefined ? {} : { routed: routed[0] }) }
    },
  }
}

describe('B7: paths of calls', { timeout: FAMILY_TIMEOUT_MS }, () => {
  it('G4 B7: what is routed is the path that was judged, byte for byte, and means no guarded one to anybody', async () => {
    const house = await openHouse()
    const outcomes = { open: 0, guarded: 0, refused: 0 }
    // The house answers at its own paths, and those are no calls.
    const paths = [...TRAPS, ...distinct(countOf(300), oddPath)]
    await checkFamily('B7 calls', paths, async (path) => {
      const bare = await house.ask(path)
      if (bare.routed !== undefined) {
        outcomes.open += 1
        expect(bare.routed).toBe(path)
        expect([...readingsOf(path.replace(/\?.*$/s, ''))].filter(isGuarded)).toEqual([])
      }
      const signed = await house.ask(path, house.token)
      if (signed.routed === undefined) {
        outcomes.refused += 1
        expect(signed.status).not.toBe(200)
        return
      }
      if (bare.routed !== undefined) return expect(signed.routed).toBe(path)
      outcomes.guarded += 1
      const judged = path.replace(/\?.*$/s, '')
      if (judged === '/mcp/notes') return expect(signed.routed).toMatch(/^\/mcp(\?|$)/)
      expect(signed.routed).toBe(path)
      // Whatever it is taken for, it stays below what this connector was given.
      for (const reading of readingsOf(judged))
        expect(reading).toMatch(/^\/(data|exact|open|mcp)(\/|$)/i)
    })
    expect(outcomes.refused).toBeGreaterThan(0)
    expect(outcomes.open + outcomes.guarded).toBeGreaterThan(0)
  })
})
