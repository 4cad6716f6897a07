/**
 * Enterprise-managed authorization with a finished program: the MCP Inspector signs the person in at
 * the company's identity provider, exchanges the ID token there for an assertion and redeems that at
 * Postern. No page of ours is shown, and nobody is asked for consent.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFailed } from 'vitest'
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { need } from '../kit/needs.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { preparePrograms } from '../kit/programs.ts'
import { type Home, openHome, runInspector, textOf } from './program-runs.ts'

const PREPARE_DEADLINE_MS = 600_000
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** The Inspector at the identity provider, and at Postern. */
const APP = { clientId: 'inspector', clientSecret: 'a-secret-at-the-company-0123456789' }
const APP_HERE = { clientId: 'inspector-here', secret: 'a-secret-at-postern-0123456789abcd' }

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

describe('enterprise-managed authorization', () => {
  it('EXT-01: the MCP Inspector comes in with an assertion of the company, and asks for the next', {
    timeout: PREPARE_DEADLINE_MS,
  }, async (context) => {
    const paths = need(context, 'mcp-remote and the MCP Inspector', await preparePrograms())
    const callbackUrl = `http://127.0.0.1:${await freePort()}/oauth/callback`
    const house = await openHouse(callbackUrl)
    onTestFailed(() => console.error(house.lines.slice(-40).join('\n')))
    const home = await openHome()
    cleanups.push(() => home.remove())
    const files = await writeSettings(home, house)
    const call = async (tool: string, ...rest: readonly string[]) =>
      textOf(
        await runInspector(paths, home, [
          ...files,
          '--callback-url',
          callbackUrl,
          '--method',
          'tools/call',
          '--tool-name',
          tool,
          ...rest,
        ]),
      )
    expect(await call('add_note', '--tool-arg', 'text=one')).toBe('1 note')
    const visits = await home.visits()
    expect(visits.map(({ origin }) => origin)).toEqual([house.companyUrl])

    // The app is the one that the operator knows.
    const claims = JSON.parse(await call('whoami')) as Record<string, unknown>
    expect(claims).toMatchObject({ client_id: APP_HERE.clientId, scope: 'mcp' })

    // There is no refresh token: the program asks the company for an assertion again, unseen.
    const taken = house.assertionsTaken()
    expect(await call('add_note', '--tool-arg', 'text=two')).toBe('2 notes')
    expect(house.assertionsTaken()).toBeGreaterThan(taken)
    expect(await home.visits()).toHaveLength(1)
  })
})

interface House {
  readonly url: string
  readonly companyUrl: string
  readonly lines: readonly string[]
  assertionsTaken(): number
}

async function openHouse(callbackUrl: string): Promise<House> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const own = { clientId: 'postern', clientSecret: 'a-secret-of-postern' }
  const company = await startOpenIdDouble({
    clients: [
      { ...own, redirectUris: [`${issuer}/callback/openid`] },
      {
        ...APP,
        redirectUris: [callbackUrl],
        authMethod: 'client_secret_post',
        assertsAs: APP_HERE.clientId,
      },
    ],
  })
  cleanups.push(() => company.close())
  const jwksUrl = `${issuer}/.well-known/jwks.json`
  const notes = await startNotesServer({ identity: { jwksUrl, issuer, required: true } })
  cleanups.push(() => notes.close())
  const postern = await servePostern({
    issuer,
    listen: { port, metricsPort: 0 },
    providers: [{ type: 'oidc', id: 'openid', title: 'Company', issuer: company.issuer, ...own }],
    connectors: { notes: { url: notes.url } },
    enable: ['id-jag'],
    assertionIssuers: [{ issuer: company.issuer }],
    clients: { [APP_HERE.clientId]: { secret: APP_HERE.secret, grants: [JWT_BEARER] } },
  })
  cleanups.push(() => postern.close())
  return {
    url: `${issuer}/mcp/notes`,
    companyUrl: company.issuer,
    lines: postern.lines,
    assertionsTaken: () =>
      postern.lines.filter((line) => line.includes('token.issued') && line.includes('id_jag'))
        .length,
  }
}

/** Returns the arguments that name the two files: the server's entry, and who the company is. */
async function writeSettings(home: Home, house: House): Promise<readonly string[]> {
  const servers = join(home.folder, 'servers.json')
  const company = join(home.folder, 'company.json')
  const oauth = {
    enterpriseManaged: true,
    clientId: APP_HERE.clientId,
    clientSecret: APP_HERE.secret,
  }
  const notes = { type: 'streamable-http', url: house.url, oauth }
  await writeFile(servers, JSON.stringify({ mcpServers: { notes } }))
  const idp = { issuer: house.companyUrl, ...APP }
  await writeFile(company, JSON.stringify({ enterpriseManagedAuth: { enabled: true, idp } }))
  return ['--config', servers, '--server', 'notes', '--client-config', company]
}
