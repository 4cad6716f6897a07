/** `insecureDevelopmentSignIn`: refused where anybody else could get, loud at every start, and a whole sign-in. */
import { afterEach, describe, expect, it } from 'vitest'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { parseConfig } from '../../src/config.ts'
import { developmentName } from '../../src/providers/development.ts'
import { startCli } from '../kit/cli.ts'
import { callTool } from '../kit/plane.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { startProcess } from '../kit/process.ts'

const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const WARNING =
  '  warning   insecureDevelopmentSignIn is on: whoever reaches this server signs in as anybody, without a password.'
const KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start() {
  const notes = await startNotesServer()
  cleanups.push(() => notes.close())
  const port = await freePort()
  const served = await servePostern({
    issuer: `http://127.0.0.1:${port}`,
    listen: { port, metricsPort: 0 },
    insecureDevelopmentSignIn: true,
    connectors: { notes: { url: notes.url } },
    log: { format: 'json' },
  })
  cleanups.push(() => served.close())
  return served
}

describe('insecureDevelopmentSignIn', () => {
  it('refuses to start with a public issuer, or where others reach a loopback one', async () => {
    const { code, stderr } = await startCli(['serve'], {
      issuer: 'https://mcp.corp.example',
      sealingKey: KEY,
      insecureDevelopmentSignIn: true,
      allow: 'anyone',
    })
    expect(stderr).toBe(
      'ERR_CONFIG_VALUE: insecureDevelopmentSignIn must be false, because https://mcp.corp.example is not a loopback issuer.\nRemove insecureDevelopmentSignIn.\n',
    )
    expect(code).toBe(2)
    const sources = { environment: {} }
    const open = { insecureDevelopmentSignIn: true, listen: { host: '0.0.0.0' } }
    expect(() => parseConfig(open, sources)).toThrow('listen.host 0.0.0.0 is not a loopback')
    const environment = { POSTERN_INSECURE_DEVELOPMENT_SIGN_IN: 'true' }
    expect(() => parseConfig({}, { environment })).toThrow('ERR_CONFIG_UNKNOWN_FIELD')
    expect(parseConfig({}, sources).providers).toEqual([])
  })

  it('says at every start, in the banner and in the log, that it proves nothing', async () => {
    const { lines } = await start()
    expect(lines).toContain(WARNING)
    const events = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
    expect(events).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        event: 'server.warning',
        reason: 'insecure_development_sign_in',
      }),
    )
  })

  it('is a flag of serve', async () => {
    const port = await freePort()
    const child = startProcess({
      name: 'postern serve',
      command: process.execPath,
      args: [
        'src/cli/main.ts',
        'serve',
        'http://127.0.0.1:9/mcp',
        '--insecure-development-sign-in',
      ],
      env: {
        NO_COLOR: '1',
        POSTERN_PORT: String(port),
        POSTERN_LISTEN_METRICS_PORT: '0',
        POSTERN_DATABASE_URL: 'memory:',
      },
    })
    cleanups.push(() => child.stop())
    await child.line(/^ready/, 30_000)
    expect(child.lines).toContain(WARNING)
  })

  it('a whole sign-in: consent, a typed name, a grant, a call, and the account page', async () => {
    const { issuer } = await start()
    const press = [/^allow/i, /^continue$/i, /^End$/]
    const visitor = createVisitor({ press, fields: { name: 'Ada Lovelace' } })
    const resource = `${issuer}/mcp/notes`
    const caller = await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })
    expect((await callTool(resource, caller.accessToken)).status).toBe(200)
    const account = `${issuer}/account`
    await visitor.visit(new URL(account), account)
    expect((await callTool(resource, caller.accessToken)).status).toBe(401)
  })

  it('Cancel is a no, and a name that is none is asked again', async () => {
    const { issuer } = await start()
    const resource = `${issuer}/mcp/notes`
    const visit = (visitor: ReturnType<typeof createVisitor>) =>
      signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })
    await expect(visit(createVisitor({ press: [/^allow/i, /^cancel/i] }))).rejects.toThrow(
      'access_denied',
    )
    const page = `${issuer}/callback/development/name`
    expect((await fetch(page)).status).toBe(400)
    const post = (form: Record<string, string>, site = 'same-origin') =>
      fetch(page, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'sec-fetch-site': site, origin: issuer },
        body: new URLSearchParams(form),
      })
    const again = await post({ state: 's', name: ' <script>' })
    expect([again.status, (await again.text()).includes('role="alert"')]).toEqual([400, true])
    expect((await post({ state: 's', name: 'Ada' }, 'cross-site')).status).toBe(403)
    expect((await post({ state: 's', name: 'Ada' })).status).toBe(303)
  })

  it('takes names of people, and nothing that is drawn as nothing or as markup', () => {
    for (const name of ['Ada', "O'Brien", 'Zoë Ångström', '東京 太郎', 'ada@corp.example'])
      expect(developmentName(name), name).toBe(name)
    expect(developmentName('  Ada \n Lovelace ')).toBe('Ada Lovelace')
    for (const name of [undefined, '', ' ', '<b>', 'a\u202eb', '\u200b', 'x'.repeat(65)])
      expect(developmentName(name), String(name)).toBeUndefined()
  })
})
