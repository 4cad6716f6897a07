/** Pages that refuse say which side has to act, under a flow id that the log has too. */
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import { StoreError } from '../../src/errors.ts'
import {
  authorizeUrl,
  createTestIssuer,
  register,
  type TestHouse,
  Visitor,
} from './sign-in-house.ts'

interface Seen {
  readonly side: string | undefined
  readonly flowId: string | undefined
  readonly text: string
}

async function read(answer: Response): Promise<Seen> {
  const text = await answer.text()
  return {
    side: /data-message="side">([^<]*)</.exec(text)?.[1],
    flowId: /Flow <code>(f_[0-9A-Z]{6})<\/code>/.exec(text)?.[1],
    text,
  }
}

const SIDES = {
  app: 'The app has to change something.',
  server: 'This server has to be looked at by whoever runs it.',
  provider: 'The sign-in provider did not do its part.',
  you: 'It is up to you.',
}

function expectTold(house: TestHouse, { side, flowId }: Seen, wanted: keyof typeof SIDES): void {
  expect(side).toBe(SIDES[wanted])
  expect(flowId).toBeDefined()
  const flows = house.emit.events.map((event) => event.flowId)
  expect(flows).toContain(flowId)
}

describe('error pages', () => {
  it('the app: unknown client, foreign redirect URI, a malformed link', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    for (const url of [
      authorizeUrl(house, 'cli_unknown'),
      authorizeUrl(house, client_id, { redirect_uri: 'https://evil.example/cb' }),
      authorizeUrl(house, client_id, { response_type: 'token' }),
      `/authorize?client_id=a&client_id=b`,
    ]) {
      expectTold(house, await read(await new Visitor(house).get(url)), 'app')
    }
  })

  it('the provider: silent, or answering with an error', async () => {
    const house = createTestIssuer()
    house.provider.behaviour = 'fails'
    const visitor = new Visitor(house)
    const toProvider = await visitor.press(await visitor.get('/account'), 'allow:github')
    expectTold(house, await read(await visitor.comeBack(toProvider)), 'provider')
    const again = await visitor.press(await visitor.get('/account'), 'allow:github')
    const answer = await visitor.comeBack(again, { error: 'server_error' })
    expectTold(house, await read(answer), 'provider')
  })

  it('this server: a wrong set-up at the provider, or a store that does not answer', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const toProvider = await visitor.press(await visitor.get('/account'), 'allow:github')
    const answer = await visitor.comeBack(toProvider, { error: 'redirect_uri_mismatch' })
    expectTold(house, await read(answer), 'server')
    const store = createMemoryStore()
    const dead = createTestIssuer({
      store: {
        ...store,
        get: () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')),
      },
    })
    const page = await new Visitor(dead).get(authorizeUrl(dead, `cli_${'a'.repeat(26)}`))
    expect(page.status).toBe(503)
    expectTold(dead, await read(page), 'server')
  })

  it('you: an old form, another browser, a no', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const page = await (await visitor.get('/account')).text()
    const toProvider = await visitor.press(page, 'allow:github')
    expectTold(house, await read(await new Visitor(house).comeBack(toProvider)), 'you')
    expectTold(house, await read(await visitor.press(page, 'allow:github')), 'you')
    const other = new Visitor(house)
    const journey = await other.press(await other.get('/account'), 'allow:github')
    expectTold(house, await read(await other.comeBack(journey, { error: 'access_denied' })), 'you')
  })

  it('a code on a page leads to what it means', async () => {
    const house = createTestIssuer()
    const visitor = new Visitor(house)
    const { text } = await read(await visitor.get(authorizeUrl(house, 'cli_unknown')))
    const path = /href="(\/errors\/ERR_CLIENT_UNKNOWN)"/.exec(text)?.[1] ?? ''
    const explained = await visitor.get(path)
    expect([explained.status, (await explained.text()).includes('remove this server')]).toEqual([
      200,
      true,
    ])
  })
})
