import { request as httpRequest } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { mount, protect } from '../../src/node/index.ts'
import { freePort } from '../kit/postern.ts'
import { type RunningProcess, startProcess } from '../kit/process.ts'
import { callWith, type ProtectHouse, startProtectHouse } from './protect-house.ts'

const CHILD = fileURLToPath(new URL('protect-child.ts', import.meta.url))
const CREDENTIAL = 'credential-of-the-notes-server-0123456789'
const READY_DEADLINE_MS = 20_000

let house: ProtectHouse | undefined
let child: RunningProcess | undefined
afterEach(async () => {
  await child?.stop()
  await house?.close()
  house = undefined
  child = undefined
})

async function start(
  credential: string | undefined,
): Promise<{ house: ProtectHouse; resource: string }> {
  const resource = `http://127.0.0.1:${await freePort()}/tools`
  const known = { url: resource, ...(credential === undefined ? {} : { credential }) }
  house = await startProtectHouse(
    (postern, own) => {
      const guard = protect(postern, { resource: own })
      return mount(postern, async (request, response) => {
        if ((await guard(request, response)) !== undefined) response.end('{}')
      })
    },
    (issuer) => ({ resources: [`${issuer}/mcp`, known] }),
  )
  child = startProcess({
    name: 'a protected server',
    command: process.execPath,
    args: [CHILD],
    env: {
      ISSUER: house.issuer,
      RESOURCE: resource,
      ...(credential === undefined ? {} : { CREDENTIAL: credential }),
    },
  })
  await child.line(/^ready/, READY_DEADLINE_MS)
  return { house, resource }
}

describe('protect() in another process', () => {
  it('sign-in by its own 401, calls without an exchange, and a revocation felt on the open poll (REV-04)', async () => {
    const { house, resource } = await start(CREDENTIAL)
    const refused = await callWith(resource)
    expect(refused.status).toBe(401)
    const client = await house.signIn(resource)
    const other = await house.signIn(resource)
    const answer = await callWith(resource, client.accessToken)
    expect(answer.status).toBe(200)
    const principal = (await answer.json()) as Record<string, unknown>
    expect(principal).toMatchObject({ resource, scopes: ['mcp'], clientId: client.clientId })
    expect(Object.keys(principal)).not.toContain('identity')

    const before = house.paths.length
    for (let count = 0; count < 50; count++) {
      expect((await callWith(resource, client.accessToken)).status).toBe(200)
    }
    expect(house.paths.slice(before).filter((path) => !path.startsWith('/revocations'))).toEqual([])

    // The next poll names the sequence after the mark: what is before it counts over there.
    const applied = house.nextRequest((path) => /^\/revocations\?after=[1-9]/.test(path))
    expect(await house.revoke(client)).toBe(200)
    await applied
    expect((await callWith(resource, client.accessToken)).status).toBe(401)
    expect((await callWith(resource, other.accessToken)).status).toBe(200)
  })

  it('VAL-07: a token for one server is refused by the other', async () => {
    const { house, resource } = await start(CREDENTIAL)
    const [here, there] = [await house.signIn(), await house.signIn(resource)]
    expect((await callWith(house.resource, here.accessToken)).status).toBe(200)
    expect((await callWith(resource, here.accessToken)).status).toBe(401)
    expect((await callWith(house.resource, there.accessToken)).status).toBe(401)
  })

  it('serves its own RFC 9728 document with CORS, a validator and a life', async () => {
    const { house, resource } = await start(CREDENTIAL)
    const { origin } = new URL(resource)
    const document = await fetch(`${origin}/.well-known/oauth-protected-resource/tools`)
    expect(await document.json()).toMatchObject({ resource, authorization_servers: [house.issuer] })
    expect(document.headers.get('access-control-allow-origin')).toBe('*')
    expect(document.headers.get('cache-control')).toBe('public, max-age=3600')
    const headers = { 'if-none-match': document.headers.get('etag') ?? '' }
    const again = await fetch(`${origin}/.well-known/oauth-protected-resource`, { headers })
    expect(again.status).toBe(304)
    const preflight = await fetch(document.url, { method: 'OPTIONS' })
    expect([preflight.status, preflight.headers.get('access-control-allow-methods')]).toEqual([
      204,
      'GET, HEAD',
    ])
  })

  it('without a credential it works by keys alone, and says at start what that costs', async () => {
    const { house, resource } = await start(undefined)
    const client = await house.signIn(resource)
    expect((await callWith(resource, client.accessToken)).status).toBe(200)
    expect(await house.revoke(client)).toBe(200)
    expect((await callWith(resource, client.accessToken)).status).toBe(200)
    expect(house.paths.some((path) => path.startsWith('/revocations'))).toBe(false)
    expect(child?.lines.join('\n')).toContain('revocation_only_by_token_end')
  })

  it("the issuer's own process serves the document of another host by that name only", async () => {
    const { house, resource } = await start(CREDENTIAL)
    const ask = (host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const path = '/.well-known/oauth-protected-resource/tools'
        httpRequest(house.issuer + path, { headers: { host } }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
          .on('error', reject)
          .end()
      })
    expect(await ask(new URL(resource).host)).toBe(200)
    expect(await ask(new URL(house.issuer).host)).toBe(404)
  })
})
