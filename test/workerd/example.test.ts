/**
 * The example control plane in real workerd, as `npm start` runs it: a person signs in, opens the
 * settings, connects an account; with the remote server slow, and dead.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { PACKAGE, startExample, type Variant } from '../../examples/control-plane/start.ts'
import { need } from '../kit/needs.ts'
import { freePort } from '../kit/postern.ts'
import { runProcess } from '../kit/process.ts'
import { prepareWrangler } from '../kit/programs.ts'
import type { RunningWorker } from './start-worker.ts'

const SLOW_MS = 500
const PEOPLE = { ada: 'lovelace', grace: 'hopper' } as const

interface Stage {
  readonly url: string
  readonly remote: RemoteServer
  readonly worker: RunningWorker
  /** Exchanges that left the Worker since the last time it was asked. */
  left(): number
  signIn(id: keyof typeof PEOPLE): Promise<Browser>
}

/** Cookies of one person; redirects are not followed. */
interface Browser {
  get(path: string): Promise<Response>
  post(path: string, origin?: string): Promise<Response>
}

async function openStage(variant: Variant): Promise<Stage> {
  const remote = await startRemoteServer()
  onTestFinished(() => remote.close())
  const secret = randomBytes(32).toString('base64url')
  const port = await freePort()
  const { url, worker } = await startExample({ variant, port, notesUrl: remote.url, secret })
  onTestFinished(() => worker.dispose())
  let seen = 0
  const send = (path: string, init: RequestInit = {}): Promise<Response> => worker.fetch(path, init)
  return {
    url,
    remote,
    worker,
    left() {
      const before = seen
      seen = worker.outboundExchanges.length
      return seen - before
    },
    async signIn(id) {
      const answer = await send('/login', {
        method: 'POST',
        headers: { origin: url },
        body: new URLSearchParams({ id, password: PEOPLE[id] }),
      })
      expect(answer.status).toBe(303)
      const cookies = new Map([pairOf(answer.headers.get('set-cookie') ?? '')])
      const call = async (path: string, init: RequestInit): Promise<Response> => {
        const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
        const headers = { ...(init.headers as Record<string, string>), cookie }
        const got = await send(path, { ...init, headers })
        for (const line of got.headers.getSetCookie()) cookies.set(...pairOf(line))
        return got
      }
      return {
        get: (path) => call(path, {}),
        post: (path, origin = url) => call(path, { method: 'POST', headers: { origin } }),
      }
    },
  }
}

function pairOf(line: string): [string, string] {
  const [name = '', ...value] = (line.split(';')[0] ?? '').split('=')
  return [name, value.join('=')]
}

/** The remote server asks nobody: it sends the browser back at once. */
async function agree(location: string | null): Promise<string> {
  const answer = await fetch(location ?? '', { redirect: 'manual' })
  return answer.headers.get('location') ?? ''
}

describe('the example control plane: discover', () => {
  it('signs people in by its own session, and nobody else', async () => {
    const { url, worker, signIn } = await openStage('discover')
    expect((await worker.fetch('/settings')).headers.get('location')).toBe('/login')
    const attempt = { id: 'ada', password: 'wrong' }
    const refused = await worker.fetch('/login', {
      method: 'POST',
      headers: { origin: url },
      body: new URLSearchParams(attempt),
    })
    expect([refused.status, refused.headers.get('set-cookie')]).toEqual([401, null])
    const foreign = await worker.fetch('/login', {
      method: 'POST',
      headers: { origin: 'https://evil.example' },
      body: new URLSearchParams({ id: 'ada', password: PEOPLE.ada }),
    })
    expect(foreign.status).toBe(403)
    const forged = { cookie: `product=grace.9999999999.${'A'.repeat(43)}` }
    expect((await worker.fetch('/settings', { headers: forged })).status).toBe(303)
    const ada = await signIn('ada')
    const settings = await (await ada.get('/settings')).text()
    expect(settings).toContain('Signed in as <b>ada</b>')
    expect(settings).toContain('<a href="/authorize/notes">connect</a>')
  })

  it('connects an account by its authorize link', async () => {
    const { signIn, remote } = await openStage('discover')
    const ada = await signIn('ada')
    const start = await ada.get('/authorize/notes')
    expect(start.headers.get('location')).toMatch(new RegExp(`^${remote.issuer}/authorize\\?`))
    const back = await agree(start.headers.get('location'))
    // The callback belongs to the person who left.
    const grace = await signIn('grace')
    const state = new URL(back).searchParams.get('state')
    expect(state).not.toBeNull()
    const again = await agree((await ada.get('/authorize/notes')).headers.get('location'))
    expect((await grace.get(again)).status).toBe(401)
    expect((await ada.get(back)).headers.get('location')).toBe('/settings')
    expect(await (await ada.get('/settings')).text()).toContain('Notes: connected')
    expect((await ada.get(back)).status).toBe(401)
  })

  it('DSC-16: warm, an initiation asks nobody: with the server at 500 ms, and with it dead', async () => {
    const { signIn, remote, left } = await openStage('discover')
    const ada = await signIn('ada')
    expect((await ada.get('/authorize/notes')).status).toBe(303)
    // The call without a token, two documents, one registration.
    expect(left()).toBe(4)
    remote.slow(SLOW_MS)
    const slow = await ada.get('/authorize/notes')
    expect([slow.status, left()]).toEqual([303, 0])
    expect(slow.headers.get('server-timing')).toMatch(/^d1;dur=\d+, discover;dur=\d+, kv;dur=\d+$/)
    await remote.kill()
    const dead = await ada.get('/authorize/notes')
    expect([dead.status, left()]).toEqual([303, 0])
    expect(dead.headers.get('location')).toContain(`${remote.issuer}/authorize?`)
  })

  it('before: the same product asked at each click, and a dead server was a dead button', async () => {
    const { signIn, remote, left } = await openStage('before')
    const ada = await signIn('ada')
    expect((await ada.get('/authorize/notes')).status).toBe(303)
    expect(left()).toBe(2)
    expect([(await ada.get('/authorize/notes')).status, left()]).toEqual([303, 1])
    await remote.kill()
    expect([(await ada.get('/authorize/notes')).status, left()]).toEqual([502, 1])
  })
})

/** The link of the settings page. */
async function connectLinkOf(browser: Browser): Promise<string> {
  const text = await (await browser.get('/settings')).text()
  const link = /href="(\/connect\/notes[^"]*)"/.exec(text)?.[1] ?? ''
  return link.replaceAll('&amp;', '&')
}

describe('the example control plane: full', () => {
  it('its cron runs what is due, and looks at the remote server ahead of the first click', async () => {
    const { worker, signIn, left } = await openStage('full')
    const ada = await signIn('ada')
    const link = await connectLinkOf(ada)
    expect(await worker.runScheduled()).toMatchObject({ outcome: 'ok' })
    expect(left()).toBeGreaterThan(0)
    expect([(await ada.get(link)).status, left()]).toEqual([303, 0])
  })

  it("O1: a plain link connects by the product's own session, and the token calls a tool", async () => {
    const { url, signIn } = await openStage('full')
    const [ada, grace] = [await signIn('ada'), await signIn('grace')]
    const link = await connectLinkOf(ada)
    expect(await (await ada.post('/whoami')).text()).toContain('Notes is not connected')
    const leave = async (): Promise<string> => {
      const start = await ada.get(link)
      expect(start.status).toBe(303)
      return agree(start.headers.get('location'))
    }
    const stolen = await leave()
    expect(stolen).toContain(`${url}/connect/notes/callback?`)
    expect((await grace.get(stolen)).status).toBe(400)
    const end = await ada.get(await leave())
    expect(end.headers.get('location')).toBe(`${url}/settings#postern=connected`)
    expect(await (await ada.post('/whoami')).text()).toContain('&quot;sub&quot;:&quot;ada&quot;')
    expect(await (await grace.post('/whoami')).text()).toContain('Notes is not connected')
  })

  it('W8: the element gets a session of its person, for the origin of its page alone', async () => {
    const { url, worker, signIn } = await openStage('full')
    const ada = await signIn('ada')
    const settings = await ada.get('/settings')
    expect(await settings.text()).toContain('<postern-connect connectors="notes">')
    expect(settings.headers.get('content-security-policy')).toContain("script-src 'self'")
    const script = await worker.fetch('/widget.js')
    expect([script.status, script.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('javascript'),
    ])
    expect((await worker.fetch('/connect-session', { method: 'POST' })).status).toBe(303)
    expect((await ada.post('/connect-session', 'https://evil.example')).status).toBe(403)
    const token = await (await ada.post('/connect-session')).text()
    const ask = (origin: string) =>
      worker.fetch('/widget/connections', { headers: { authorization: `Bearer ${token}`, origin } })
    expect((await ask('https://evil.example')).status).toBe(403)
    // A browser sends no origin with a GET from the page's own, and says where it comes from.
    const look = async (headers: Record<string, string>) => {
      const all = { authorization: `Bearer ${token}`, ...headers }
      return (await worker.fetch('/widget/connections', { headers: all })).status
    }
    expect(await look({ 'sec-fetch-site': 'same-origin' })).toBe(200)
    for (const site of ['same-site', 'cross-site', 'none'])
      expect(await look({ 'sec-fetch-site': site })).toBe(403)
    expect(await look({})).toBe(403)
    expect(await look({ 'sec-fetch-site': 'same-origin', origin: 'null' })).toBe(403)
    const answer = await ask(url)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject({
      app: 'dashboard',
      data: [{ connector: 'notes', title: 'Notes', state: 'none' }],
    })
    const attempt = await worker.fetch('/widget/attempts', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        origin: url,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ connector: 'notes', nonce: randomBytes(24).toString('base64url') }),
    })
    expect([attempt.status, await attempt.json()]).toEqual([
      201,
      expect.objectContaining({ url: expect.stringContaining(`${url}/widget/popup?handle=`) }),
    ])
  })

  it('DSC-16: warm, an initiation asks nobody: with the server at 500 ms, and with it dead', async () => {
    const { signIn, remote, left } = await openStage('full')
    const ada = await signIn('ada')
    const link = await connectLinkOf(ada)
    expect((await ada.get(link)).status).toBe(303)
    expect(left()).toBeGreaterThan(0)
    remote.slow(SLOW_MS)
    expect([(await ada.get(link)).status, left()]).toEqual([303, 0])
    await remote.kill()
    const dead = await ada.get(link)
    expect([dead.status, left()]).toEqual([303, 0])
    expect(dead.headers.get('location')).toContain(`${remote.issuer}/authorize?`)
  })
})

const DEPLOY_DEADLINE_MS = 120_000
const INSTALL_DEADLINE_MS = 600_000

const VARIANTS: readonly (readonly [Variant, readonly string[]])[] = [
  ['discover', ['env.DB', 'env.KV']],
  ['full', ['env.DB', 'env.POSTERN_DB', 'env.POSTERN_KV', 'env.POSTERN_LOCK (PosternLock)']],
]

describe('wrangler deploy --dry-run', () => {
  for (const [variant, bindings] of VARIANTS) {
    it(`takes the example with its bindings: ${variant}`, {
      timeout: INSTALL_DEADLINE_MS,
    }, async (context) => {
      const script = need(context, 'wrangler', await prepareWrangler())
      const folder = await mkdtemp(join(tmpdir(), 'postern-deploy-'))
      onTestFinished(() => rm(folder, { recursive: true, force: true }))
      const aliases = Object.entries(PACKAGE).flatMap(([name, file]) => [
        '--alias',
        `${name}:${file}`,
      ])
      const config = `${variant}/wrangler.jsonc`
      const { code, output } = await runProcess({
        name: 'wrangler',
        command: process.execPath,
        args: [script, 'deploy', '--dry-run', '--config', config, '--outdir', folder, ...aliases],
        cwd: fileURLToPath(new URL('../../examples/control-plane/', import.meta.url)),
        env: { HOME: folder, CI: '1', NO_COLOR: '1', WRANGLER_SEND_METRICS: 'false' },
        deadlineMs: DEPLOY_DEADLINE_MS,
      })
      expect(code, output).toBe(0)
      for (const binding of bindings) expect(output).toContain(`${binding} `)
    })
  }
})
