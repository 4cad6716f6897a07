import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createPostern } from '../../src/app.ts'
import { github } from '../../src/providers/index.ts'
import { createTestCa } from '../kit/ca.ts'
import { createWatchedPlatform } from '../kit/platform.ts'

const ISSUER = 'http://127.0.0.1:8414'

/** A client's website: real https on this machine, certified by the test authority. */
async function website() {
  const ca = createTestCa()
  const folder = mkdtempSync(join(tmpdir(), 'postern-website-'))
  const extraCaFile = join(folder, 'ca.pem')
  writeFileSync(extraCaFile, ca.cert)
  let asked = 0
  const server = createServer(ca.issue(['localhost']), (request, response) => {
    asked += 1
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({
        client_id: `https://${request.headers.host}${request.url}`,
        client_name: 'App',
        redirect_uris: ['http://localhost/callback'],
      }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`
  return { origin, folder, extraCaFile, asked: () => asked }
}

async function visit(documentHosts: readonly string[], site: Awaited<ReturnType<typeof website>>) {
  const postern = createPostern(
    {
      issuer: ISSUER,
      databaseUrl: `sqlite:${join(site.folder, 'postern.db')}`,
      providers: [github({ clientId: 'c', clientSecret: 's' })],
      connectors: { notes: { url: 'http://127.0.0.1:8000/mcp' } },
      registration: { documentHosts },
      egress: { extraCaFile: site.extraCaFile },
    },
    createWatchedPlatform(undefined),
  )
  onTestFinished(() => postern.close())
  const url = new URL('/authorize', ISSUER)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: `${site.origin}/client.json`,
    redirect_uri: 'http://localhost:49152/callback',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWBuGJSstw-cM',
    code_challenge_method: 'S256',
  }).toString()
  return postern.fetch(new Request(url, { headers: { accept: 'text/html' } }))
}

describe('a house and a client’s website', () => {
  it('REG-01 REG-18: an origin that the configuration names is asked over real https', async () => {
    const site = await website()
    const page = await visit([site.origin], site)
    expect(page.status).toBe(200)
    expect(await page.text()).toContain(new URL(site.origin).host)
    expect(site.asked()).toBe(1)
  })

  it('REG-10 A18: the same origin, not named, is never connected to', async () => {
    const site = await website()
    const page = await visit([], site)
    expect([page.status, page.headers.get('location')]).toEqual([503, null])
    expect(site.asked()).toBe(0)
  })
})
