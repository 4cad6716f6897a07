/** Attacks on calls that carry a user's own token of the server behind (threats.md sections 3.2, 3.5, 3.6 and 8). */
import { describe, expect, it } from 'vitest'
import { EVENT_MAX_BYTES } from '../../src/gateway/event-boundary.ts'
import {
  type ConnectionHouse,
  MODERN,
  modernCall,
  type Told,
  useConnectionHouses,
} from '../kit/connection-house.ts'
import { until } from '../kit/http.ts'

const IS_LONG = process.env.POSTERN_TEST_LONG === '1'
const USERS = 200
const CALLS = IS_LONG ? 100_000 : 10_000
/** How every token of the server begins, and every one of ours. */
const THEIRS = /at_u\d/
const OURS = /eyJ[\w-]{8}/
/** The second carrier takes a share: its decisions are the same. */
const SHARE = { node: 1, fetch: 0.2 } as const

describe.each(['node', 'fetch'] as const)('calls with tokens of servers, carrier %s', (carrier) => {
  const start = useConnectionHouses(carrier)

  it(`O13, O7, B21: ${USERS} users with the same ids: every answer is of its own person, no token on the wrong side`, {
    timeout: 600_000,
  }, async () => {
    const world = await start()
    const users = Array.from({ length: USERS }, (_, index) => `u${index}`)
    for (const user of users) {
      const accessToken = `at_${user}_${world.house.runtime.sha256(user)}`
      world.connect(user, { accessToken })
    }
    let answered = 0
    world.server.respond((request, response, seen) => {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
      const person = world.people.get(token)
      const { id, params } = JSON.parse(seen.body)
      const result = { person, asked: params.name, id }
      const message = JSON.stringify({ jsonrpc: '2.0', id, result })
      answered += 1
      const isStream = answered % 3 === 0
      const send = (): void => {
        response.writeHead(200, {
          'content-type': isStream ? 'text/event-stream' : 'application/json',
          'www-authenticate': `Bearer error="${token}"`,
          'set-cookie': `token=${token}`,
        })
        response.end(isStream ? `event: message\ndata: ${message}\n\n` : message)
      }
      // Answers overtake each other.
      if (answered % 5 === 0) setTimeout(send, answered % 7)
      else send()
    })
    const rounds = Math.ceil((CALLS * SHARE[carrier]) / USERS)
    let crossings = 0
    const dirty = new Set<string>()
    await Promise.all(
      users.map(async (user) => {
        for (let id = 0; id < rounds; id += 1) {
          const body = {
            jsonrpc: '2.0',
            id,
            method: 'tools/call',
            params: { name: `${user}-${id}` },
          }
          const told = await world.send(body, { user, lifeSeconds: 3_600 })
          const { result, id: back } = JSON.parse(told.text.replace(/^event: message\ndata: /, ''))
          if (back !== id || result.person !== user || result.asked !== `${user}-${id}`)
            crossings += 1
          if (THEIRS.test(allOf(told))) dirty.add('token of a server')
        }
      }),
    )
    for (const { rawHeaders, body, url } of world.server.seen) {
      if (OURS.test([url, ...rawHeaders, body].join('\n'))) dirty.add('token of ours')
    }
    console.info(`O13 (${carrier}): ${world.server.seen.length} calls of ${USERS} users`)
    expect(world.server.seen).toHaveLength(rounds * USERS)
    expect([crossings, [...dirty]]).toEqual([0, []])
    expect(JSON.stringify(world.house.emit.events)).not.toMatch(THEIRS)
  })

  it('O7: the echo of every way to bring a token sees exactly one, the one of the connection', async () => {
    const world = await start()
    const accessToken = world.connect('ada')
    const ours = world.ourToken()
    const headers = {
      'x-authorization': 'kept',
      cookie: `token=${ours}`,
      'proxy-authorization': `Bearer ${ours}`,
      dpop: ours,
      'x-forwarded-access-token': ours,
      x_authorization: 'kept',
    }
    await world.send(modernCall(), { headers: { ...headers, ...MODERN } })
    const [seen] = world.server.seen
    const text = JSON.stringify(seen?.rawHeaders)
    expect(text.split(accessToken)).toHaveLength(2)
    expect(text).not.toContain(ours)
    expect(seen?.rawHeaders.filter((name) => name.toLowerCase() === 'authorization')).toHaveLength(
      1,
    )
  })

  it('O7: an answer keeps no challenge, cookie or header of ours that a server sets', async () => {
    const world = await start()
    const accessToken = world.connect('ada')
    world.server.respond((_request, response) => {
      response.writeHead(200, {
        'content-type': 'application/json',
        'www-authenticate': `Bearer resource_metadata="https://evil.example", error="${accessToken}"`,
        'proxy-authenticate': 'Basic',
        'authentication-info': accessToken,
        'set-cookie': ['a=1; Domain=example.com', 'b=2'],
        'clear-site-data': '"*"',
        'x-postern-user': 'eve',
        'mcp-session-id': 'plain',
      })
      response.end('{}')
    })
    const { headers } = await world.send(modernCall(), { headers: MODERN })
    expect(JSON.stringify(headers)).not.toMatch(/evil|at_ada|Domain|Basic|eve|plain|clear-site/)
  })

  it.each([
    ['empty', ''],
    ['too long', 's'.repeat(1_025)],
    ['with a space', 'a b'],
    ['beyond ASCII', 'é'],
  ])('O14: a session id of a server that is %s is its failure, not ours', async (_, id) => {
    const world = await start()
    world.connect('ada')
    world.server.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': id })
      response.end('{}')
    })
    const told = await world.send({ jsonrpc: '2.0', id: 1, method: 'initialize' })
    expect([told.status, told.json.error.code]).toEqual([502, -32_603])
    expect(world.house.emit.eventsOf('server.failed')).toEqual([])
  })

  it('I1, O7: an answer sets no policy of a browser for all of our origin', async () => {
    const world = await start()
    world.connect('ada')
    world.server.respond((_request, response) => {
      response.writeHead(200, {
        'content-type': 'application/json',
        // Chrome would report every URL of ours, codes in callbacks included, to the endpoint.
        nel: '{"report_to":"evil","max_age":31536000,"success_fraction":1}',
        'report-to':
          '{"group":"evil","max_age":31536000,"endpoints":[{"url":"https://evil.example"}]}',
        'strict-transport-security': 'max-age=0',
        'accept-ch': 'Sec-CH-UA-Model',
        'use-as-dictionary': 'match="/*"',
        'secure-session-registration': '(ES256);path="/evil"',
        'set-login': 'logged-in',
        'x-kept': 'yes',
      })
      response.end('{}')
    })
    const { headers } = await world.send(modernCall(), { headers: MODERN })
    expect(headers['x-kept']).toBe('yes')
    expect(JSON.stringify(headers)).not.toMatch(/evil|max-age=0|accept-ch|match=|set-login/)
  })

  it('O8, GW-24: a server that refuses every token gets each call once, the first one twice, and clients get links', async () => {
    const world = await start()
    world.tokens.connect('usr_ada', 'notes', 'at_0', world.server.origin)
    const held = {
      state: 'token',
      accessToken: 'at_1',
      scopes: [],
      connectionId: 'con_1',
      resourceOrigin: world.server.origin,
    } as const
    // As ConnectionTokens does it: one refresh, then none before its time, and nothing is forgotten.
    world.tokens.refused = async () => {
      world.tokens.connect('usr_ada', 'notes', held.accessToken, held.resourceOrigin)
      return world.server.seen.length === 1 ? held : { state: 'reconnect' }
    }
    for (let call = 0; call < 30; call += 1) {
      const answer = await world.send(modernCall(), { headers: MODERN })
      expect(answer.json.result.resultType).toBe('input_required')
    }
    expect(world.server.seen).toHaveLength(31)
    expect(world.house.emit.events.filter(({ status }) => status === 401)).toEqual([])
  })

  it('O12: names of tools, prompts and resources never touch the path, its query or another header', async () => {
    const world = await start()
    world.connect('ada')
    const names = [
      '../../admin',
      '..%2f..%2fadmin',
      '/etc/passwd',
      'a?b=c#d',
      'a\\..\\b',
      'a/./b',
      '%0d%0aX-Evil: 1',
      'x'.repeat(5_000),
      '\u202e',
      '//evil.example/',
    ]
    for (const name of names) {
      for (const [method, params] of [
        ['tools/call', { name, arguments: {} }],
        ['prompts/get', { name }],
        ['resources/read', { uri: name }],
      ] as const) {
        const answer = await world.send(
          { jsonrpc: '2.0', id: 1, method, params },
          {
            headers: {
              ...MODERN,
              'mcp-method': method,
              'mcp-name': `=?base64?${Buffer.from(name).toString('base64')}?=`,
            },
          },
        )
        expect(answer.status).toBe(200)
      }
    }
    expect(new Set(world.server.seen.map(({ url }) => url))).toEqual(new Set(['/mcp']))
    expect(world.server.seen.every(({ headers }) => headers['x-evil'] === undefined)).toBe(true)
    const before = world.server.seen.length
    for (const path of [
      '/mcp/notes/../admin',
      '/mcp/notes/%2e%2e/admin',
      '/mcp/notes/x',
      '/mcp/notes%2f..%2fadmin',
      '/mcp/notes;x',
      '/mcp//notes',
      '/mcp/notes/',
    ]) {
      expect((await world.send(modernCall(), { path })).status, path).toBe(404)
    }
    expect(world.server.seen).toHaveLength(before)
  })

  it('GW-30: a schema with a remote reference and icons anywhere open no connection of ours', async () => {
    const world = await start()
    world.connect('ada')
    const other = await start()
    const target = other.server.origin
    const tool = {
      name: 'x',
      icons: [{ src: `${target}/icon.png` }, { src: 'javascript:alert(1)' }],
      inputSchema: {
        $ref: `${target}/schema.json`,
        $schema: `${target}/meta`,
        $dynamicRef: `${target}/d`,
      },
    }
    const body = JSON.stringify({ jsonrpc: '2.0', id: 7, result: { tools: [tool] } })
    world.server.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    })
    const answer = await world.send({ ...modernCall(), method: 'tools/list' }, { headers: MODERN })
    expect(answer.text).toBe(body)
    expect(other.server.connections).toBe(0)
    expect(world.server.connections).toBe(1)
  })

  it('GW-29: unknown members, reserved _meta and trace context survive both ways, byte for byte', async () => {
    const world = await start()
    world.connect('ada')
    const body = `{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools/call","params":{"name":"x","_meta":{"traceparent":"00-a-b-01","io.modelcontextprotocol/new":{"z":[1e400]},"progressToken":"p"},"unknown":{"__proto__":1}},"extra":null}`
    const back = `{"jsonrpc":"2.0","id":12345678901234567890,"result":{"new":1.0,"_meta":{"io.modelcontextprotocol/serverInfo":{}}},"more":[ 1 ]}`
    world.server.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(back)
    })
    const answer = await world.send(body, {
      headers: { traceparent: '00-a-b-01', tracestate: 'x=y' },
    })
    expect(answer.text).toBe(back)
    expect(world.server.seen[0]).toMatchObject({
      body,
      headers: { traceparent: '00-a-b-01', tracestate: 'x=y' },
    })
  })

  it('G11: a question of ours is of no use to anybody else', async () => {
    const world = await start()
    const asked = await world.send(modernCall(), { headers: MODERN })
    const { requestState } = asked.json.result
    world.connect('ada')
    world.connect('eve')
    const body = modernCall({ requestState, inputResponses: { connect: { action: 'accept' } } })
    for (const thief of [{ user: 'eve' }, { client: 'cli_9' }]) {
      expect((await world.send(body, { headers: MODERN, ...thief })).status).toBe(400)
    }
    expect(world.server.seen).toHaveLength(0)
  })

  it.each([
    ['was revoked', (world: ConnectionHouse) => world.house.revoked.add('grt_ada_cli_1_notes')],
    ['expired a minute ago', (world: ConnectionHouse) => world.house.advanceMs(3_660_000)],
  ])(
    'X2, O14: an answer without events that never ends is cut when its token %s',
    async (_, end) => {
      const world = await start()
      world.connect('ada')
      let isOpen = false
      world.server.respond((_request, response) => {
        isOpen = true
        response.writeHead(200, { 'content-type': 'application/json' })
        const timer = setInterval(() => response.write(' '), 5)
        response.on('close', () => {
          isOpen = false
          clearInterval(timer)
        })
      })
      let received = 0
      const onData = (bytes: number): void => {
        received = bytes
      }
      const call = world.send(modernCall(), { headers: MODERN, lifeSeconds: 3_600, onData })
      const cut = call.then(
        () => 'whole',
        () => 'cut',
      )
      await until(() => received > 1)
      end(world)
      expect(await cut).toBe('cut')
      await until(() => !isOpen)
    },
  )

  it('O14: an event that never ends is cut, and the memory of it is not kept', {
    timeout: 120_000,
  }, async () => {
    const world = await start()
    world.connect('ada')
    const piece = Buffer.alloc(262_144, 'x')
    let isOver = false
    world.server.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.on('close', () => {
        isOver = true
      })
      response.write('data: ')
      const more = (): void => {
        while (!isOver && response.write(piece));
        if (!isOver) response.once('drain', more)
      }
      more()
    })
    const outcome = await world.send(modernCall(), { headers: MODERN }).catch(() => 'cut')
    await until(() => isOver)
    const received = typeof outcome === 'string' ? 0 : outcome.text.length
    expect(received).toBeLessThan(EVENT_MAX_BYTES * 2)
    expect(typeof outcome === 'string' || received <= EVENT_MAX_BYTES).toBe(true)
  })
})

function allOf({ headers, text }: Told): string {
  return `${JSON.stringify(headers)}
${text}`
}
