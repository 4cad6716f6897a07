/** The whole product against real remote servers: a person links accounts, and calls use them. */
import { expect, it, onTestFinished } from 'vitest'
import {
  type RemoteServer,
  type RemoteServerOptions,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { until } from '../kit/http.ts'
import { callTool, openPlane, type Plane } from '../kit/plane.ts'

const PRESS = [/^continue with/i, /^continue as ada/i, /^allow/i]
const GO = [...PRESS, /^(continue to|reconnect at)/i]

async function openRemote(options: RemoteServerOptions = {}): Promise<RemoteServer> {
  const remote = await startRemoteServer(options)
  onTestFinished(() => remote.close())
  return remote
}

function open(remotes: Readonly<Record<string, RemoteServer>>): Promise<Plane<'openid'>> {
  const connectors = Object.fromEntries(
    Object.entries(remotes).map(([name, { url }]) => [name, { url, auth: 'oauth' as const }]),
  )
  // Servers of a test are on private addresses: what the file does not name has to be allowed.
  const allowHosts = Object.values(remotes).map(({ issuer }) => new URL(issuer).origin)
  return openPlane({
    provider: 'openid',
    clock: 'real',
    config: { connectors, egress: { allowHosts } },
  })
}

/** What was found out and registered behind the start. */
async function warm(plane: Plane, remote: RemoteServer): Promise<void> {
  await until(() => remote.registrations() > 0, 'registration')
  await until(() => plane.events.some(({ type }) => type === 'connector.discovered'), 'discovery')
}

it('CLI-06 CLI-07: a person links an account by real pages, and it is there; a warm click asks nobody', async () => {
  const notes = await openRemote()
  const plane = await open({ notes })
  await warm(plane, notes)
  const person = createVisitor({ press: PRESS })
  const page = await person.read(new URL(`${plane.issuer}/connect/notes`))
  expect(page.text).toContain('notes:read')
  notes.forget()
  const done = await person.read(new URL(`${plane.issuer}/connect/notes`), {
    press: GO,
    isEnd: (url) => url.pathname === '/connect',
  })
  expect(done.text).toContain('Connected.')
  expect(notes.tokenCalls.map(([grantType]) => grantType)).toEqual(['authorization_code'])
  expect(notes.tokenCalls[0]?.[1].get('resource')).toBe(notes.url)
  // The one exchange is the token call: nothing of discovery or registration again.
  expect(notes.total()).toBe(1)
  const caller = await plane.signIn()
  const answer = await callTool(`${plane.issuer}/mcp/notes`, caller.accessToken)
  expect(answer.status).toBe(200)
  expect(notes.presented.some((token) => notes.isLive(token))).toBe(true)
})

it('a dead server costs a click nothing: the page and the way there come from memory', async () => {
  const notes = await openRemote()
  const plane = await open({ notes })
  await warm(plane, notes)
  await notes.kill()
  const url = await createVisitor({ press: GO }).visit(
    new URL(`${plane.issuer}/connect/notes`),
    `${notes.issuer}/authorize`,
  )
  expect(url.searchParams.get('code_challenge_method')).toBe('S256')
  expect(url.searchParams.get('client_id')).toMatch(/^client_/)
})

it('a server with an authorization server of its own, pushed requests and no iss', async () => {
  const notes = await openRemote({
    separate: true,
    issuerPath: '/tenant',
    settings: { pushedRequests: 'required', issParameter: false },
  })
  const plane = await open({ notes })
  await warm(plane, notes)
  const done = await createVisitor({ press: GO }).read(new URL(`${plane.issuer}/connect/notes`), {
    isEnd: (url) => url.pathname === '/connect',
  })
  expect(done.text).toContain('Connected.')
  expect(notes.tokensOf('ada')).toHaveLength(1)
})

it('disconnecting ends the tokens at the server', async () => {
  const notes = await openRemote()
  const plane = await open({ notes })
  await warm(plane, notes)
  const person = createVisitor({ press: GO })
  const isEnd = (url: URL) => url.pathname === '/connect'
  await person.read(new URL(`${plane.issuer}/connect/notes`), { isEnd })
  expect(notes.tokensOf('ada')).toHaveLength(1)
  const done = await person.read(new URL(`${plane.issuer}/connect`), {
    press: [/^disconnect$/i],
    isEnd: (url) => url.searchParams.has('done'),
  })
  expect(done.text).toContain('Disconnected.')
  await until(() => notes.tokensOf('ada').length === 0, 'revocation')
})

it('a server that cannot be found out is told in words, and connects once it is back', async () => {
  const notes = await openRemote()
  await notes.kill()
  const plane = await open({ notes })
  const person = createVisitor({ press: PRESS })
  const trouble = await person.read(new URL(`${plane.issuer}/connect/notes`))
  expect(trouble.status).toBe(503)
  expect(trouble.text).toMatch(/Flow f_[0-9A-Z]{6}/)
  expect(trouble.text).toContain('Try again')
  await notes.revive()
  const connected = `${plane.issuer}/connect`
  const back = await createVisitor({ press: [/^try again$/i, ...GO] }).visit(
    new URL(`${connected}/notes`),
    connected,
  )
  expect(back.search).toBe('?done=connected')
})

it('CLI-12 CLI-13 O1: a call without a connection answers with a link that only its own person can use', async () => {
  const notes = await openRemote()
  const plane = await open({ notes })
  await warm(plane, notes)
  const caller = await plane.signIn()
  const resource = `${plane.issuer}/mcp/notes`
  const refused = await callTool(resource, caller.accessToken)
  const link = /https?:[^\s"\\]+\/connect\/notes\?link=[\w-]+/.exec(refused.text)?.[0] ?? ''
  expect(link.startsWith(`${plane.issuer}/connect/notes?link=`)).toBe(true)
  expect(notes.presented).toEqual([])
  const asGrace = [/^continue with/i, /^continue as grace/i]
  const other = await createVisitor({ press: asGrace }).read(new URL(link))
  expect(other.status).toBe(403)
  expect(other.text).toContain('This link was made for another account')
  const own = createVisitor({ press: PRESS })
  expect((await own.read(new URL(link))).text).toContain('needs your account at')
  const isEnd = (url: URL) => url.pathname === '/connect'
  const done = await own.read(new URL(link), { press: GO, isEnd })
  expect(done.text).toContain('go back to it')
  await until(async () => {
    const { text } = await callTool(resource, caller.accessToken)
    return !text.includes('/connect/notes?link=')
  }, 'the call')
  expect(notes.presented.length).toBeGreaterThan(0)
})
