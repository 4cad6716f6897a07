/** Bad JSON-RPC messages through the gateway, with and without a connection (threats.md section 4, B21). */
import { describe, expect, it } from 'vitest'
import { CAPABILITIES, MODERN, modernCall, startConnectionHouse } from '../kit/connection-house.ts'
import { checkFamily, countOf, createDraw, SEED } from '../kit/family.ts'
import { hostileJson, ODD_VALUES } from '../kit/hostile.ts'

const FAMILY_COUNT = 250
const encoder = new TextEncoder()

/** Half of them broken as JSON, half of them good JSON and broken as messages. */
function messages(count: number): Uint8Array[] {
  const half = Math.ceil(count / 2)
  return [...hostileJson(modernCall(), half), ...oddMessages(count - half)]
}

function oddMessages(count: number): Uint8Array[] {
  const draw = createDraw(SEED + 1)
  const good = modernCall()
  const odd = (): unknown => draw.pick(ODD_VALUES)
  const makers: readonly (() => unknown)[] = [
    () => ({ ...good, id: odd() }),
    () => ({ ...good, method: odd() }),
    () => ({ ...good, jsonrpc: odd() }),
    () => ({ ...good, params: odd() }),
    () => ({ ...good, params: { ...good.params, name: odd() } }),
    () => ({ ...good, params: { ...good.params, _meta: odd() } }),
    () => ({ ...good, params: { ...good.params, _meta: { [CAPABILITIES]: odd() } } }),
    () => ({
      ...good,
      params: { ...good.params, _meta: { [CAPABILITIES]: { elicitation: odd() } } },
    }),
    () => ({ ...good, params: { ...good.params, requestState: odd() } }),
    () => ({ ...good, params: { ...good.params, inputResponses: odd() } }),
    () => Array.from({ length: draw.whole(5) }, (_, id) => ({ ...good, id })),
    () => ({ jsonrpc: '2.0', id: draw.whole(9), result: odd() }),
    () => ({ jsonrpc: '2.0', id: draw.whole(9), error: odd() }),
    () => ({ jsonrpc: '2.0', method: draw.pick(['notifications/cancelled', 'initialize', 'x']) }),
    () => ({
      ...good,
      method: draw.pick(['__proto__', 'constructor', 'tools/call\0', '../tools', 'TOOLS/CALL']),
    }),
    () => ({ ...good, id: 'x'.repeat(draw.whole(3_000)) }),
    () => ({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: odd(), capabilities: odd() },
    }),
  ]
  return Array.from({ length: count }, (_, index) => {
    const make = makers[index % makers.length]
    return encoder.encode(JSON.stringify(make?.()) ?? '')
  })
}

describe.each(['node', 'fetch'] as const)('B21: JSON-RPC messages, carrier %s', (carrier) => {
  it('B21: go to the server byte for byte as the caller, or nowhere at all', async () => {
    const world = await startConnectionHouse({ carrier })
    for (const user of ['ada', 'bob']) world.connect(user)
    world.server.respond((request, response) => {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
      const person = world.people.get(token)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ person }))
    })
    let turn = 0
    await checkFamily('B21', messages(countOf(FAMILY_COUNT)), async (bytes) => {
      turn += 1
      const headers = turn % 2 === 0 ? MODERN : {}
      const before = world.server.seen.length
      const [ada, bob, eve] = await Promise.all(
        ['ada', 'bob', 'eve'].map((user) => world.send(bytes, { user, headers })),
      )
      expect([ada?.json.person, bob?.json.person]).toEqual(['ada', 'bob'])
      const sent = world.server.seen.slice(before)
      expect(sent).toHaveLength(2)
      for (const { body } of sent) expect(body).toBe(Buffer.from(bytes).toString('latin1'))
      // Without a connection: an answer that says how to get one, and not a byte to the server.
      expect([200, 400]).toContain(eve?.status)
      expect(eve?.text).toContain('/connect/notes?link=')
      expect(eve?.json).toBeTypeOf('object')
    })
    expect(Object.prototype).not.toHaveProperty('polluted')
    expect(world.house.emit.events.filter(({ type }) => type === 'server.failed')).toEqual([])
    await world.close()
  })

  it('B21, GW-19: broken returns of our own question never reach the server as they are', async () => {
    const world = await startConnectionHouse({ carrier })
    const asked = await world.send(modernCall(), { headers: MODERN })
    const { requestState } = asked.json.result
    world.connect('ada')
    const draw = createDraw(SEED + 2)
    const cases = Array.from({ length: countOf(50) }, (_, index) => {
      const accept = { connect: { action: 'accept' } }
      const returned = modernCall({ requestState, inputResponses: accept })
      if (index % 3 === 0)
        return {
          ...returned,
          params: { ...returned.params, inputResponses: draw.pick(ODD_VALUES) },
        }
      if (index % 3 === 1)
        return { ...returned, method: draw.pick(['tools/list', 'initialize', 'x', '']) }
      const at = draw.whole(requestState.length)
      const changed = `${requestState.slice(0, at)}${draw.pick(['', '\0', '=', 'é'])}${requestState.slice(at + 1)}`
      return { ...returned, params: { ...returned.params, requestState: changed } }
    })
    await checkFamily('B21 returns', cases, async (body) => {
      const answer = await world.send(body, { headers: MODERN })
      expect([200, 400]).toContain(answer.status)
      expect(answer.json.id).toBe(7)
    })
    // A prefix that was broken is a server's own state: that alone may pass, and ours never does.
    const ours = world.server.seen.filter(({ body }) => body.includes('"prs1_'))
    expect(ours).toEqual([])
    await world.close()
  })
})
