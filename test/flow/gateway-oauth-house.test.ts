/** The whole product: calls that ask a person, a person who connects by real pages, and calls that go on. */
import { expect, it, onTestFinished } from 'vitest'
import {
  type RemoteServer,
  type RemoteSettings,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import { connectAccount, createPerson } from '../kit/connect.ts'
import { MODERN, modernCall, type RpcAnswer } from '../kit/connection-house.ts'
import { until } from '../kit/http.ts'
import { openPlane, type Plane } from '../kit/plane.ts'

interface World {
  readonly plane: Plane<'openid'>
  readonly remote: RemoteServer
  readonly person: ReturnType<typeof createPerson>
  /** One modern `tools/call` of `whoami`. */
  call(params?: object): Promise<RpcAnswer>
  connect(link: string): ReturnType<typeof connectAccount>
}

async function open(settings: Partial<RemoteSettings> = {}): Promise<World> {
  const remote = await startRemoteServer({ settings })
  onTestFinished(() => remote.close())
  const plane = await openPlane({
    provider: 'openid',
    clock: 'real',
    config: {
      connectors: { notes: { url: remote.url, auth: 'oauth' } },
      egress: { allowHosts: [new URL(remote.issuer).origin] },
    },
  })
  await until(() => remote.registrations() > 0, 'registration')
  const { accessToken } = await plane.signIn()
  const person = createPerson()
  return {
    plane,
    remote,
    person,
    async call(params = {}) {
      const body = modernCall(params)
      const meta = { ...body.params._meta, 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
      const answer = await fetch(`${plane.issuer}/mcp/notes`, {
        method: 'POST',
        headers: {
          ...MODERN,
          'mcp-method': 'tools/call',
          'mcp-name': 'whoami',
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          authorization: `Bearer ${accessToken}`,
        },
        body: JSON.stringify({ ...body, params: { ...body.params, _meta: meta } }),
      })
      const text = await answer.text()
      expect(answer.headers.get('www-authenticate')).toBeNull()
      return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? text)
    },
    connect: (link) => connectAccount({ issuer: plane.issuer, connector: 'notes', link }, person),
  }
}

const linkOf = (answer: RpcAnswer): string => answer.result.inputRequests.connect.params.url

it('GW-25, GW-19: an accepted call waits for the person, and is made once with the new connection', async () => {
  const { remote, call, connect } = await open()
  const asked = await call()
  const { requestState } = asked.result
  const accepted = call({ requestState, inputResponses: { connect: { action: 'accept' } } })
  const page = await connect(linkOf(asked))
  expect(page, page.text).toMatchObject({ isConnected: true })
  const answer = await accepted
  expect(answer.result.content[0].text).toContain('"sub":"ada"')
  expect(remote.presented.map((token) => remote.isLive(token))).toEqual([true])
})

it('GW-24, GW-23: when a server forgets its tokens the person is asked, and connects again', async () => {
  const { remote, call, connect } = await open()
  await connect(linkOf(await call()))
  const before = await call()
  remote.revokeEverything()
  const asked = await call()
  const page = await connect(linkOf(asked))
  expect(page, page.text).toMatchObject({ isConnected: true })
  expect((await call()).result.content).toEqual(before.result.content)
  // The two that were refused, and the two that were taken.
  expect(new Set(remote.presented).size).toBe(2)
})

it('CLI-09: a server that wants more gets the union of scopes, after the person has said yes', async () => {
  const { remote, call, connect, person } = await open()
  await connect(linkOf(await call()))
  expect((await call()).result.isError).not.toBe(true)
  remote.settings.requiredScopes = ['notes:admin']
  const asked = await call()
  const shown = await person.read(new URL(linkOf(asked)))
  for (const scope of ['notes:read', 'notes:write', 'notes:admin'])
    expect(shown.text).toContain(scope)
  const page = await connect(linkOf(asked))
  expect(page, page.text).toMatchObject({ isConnected: true })
  expect((await call()).result.content[0].text).toContain('"sub":"ada"')
})
