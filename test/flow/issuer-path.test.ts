import { describe, expect, it } from 'vitest'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { openPlane } from '../kit/plane.ts'
import { claimsOf } from './sign-in-house.ts'

const PATH = '/t/acme'
const REDIRECT_URI = 'http://127.0.0.1:9/callback'

async function json(url: string): Promise<Record<string, unknown>> {
  const answer = await fetch(url)
  expect(answer.status, url).toBe(200)
  expect(answer.headers.get('content-type'), url).toBe('application/json')
  return { ...((await answer.json()) as object) }
}

describe('an issuer with a path', () => {
  it('AS-01 AS-02 AS-14: one document at the inserted and appended forms; other paths are 404, never another issuer', async () => {
    const { issuer } = await openPlane({ provider: 'github', path: PATH })
    const { origin } = new URL(issuer)
    const documents = await Promise.all(
      [
        `${origin}/.well-known/oauth-authorization-server${PATH}`,
        `${origin}/.well-known/openid-configuration${PATH}`,
        `${issuer}/.well-known/openid-configuration`,
      ].map(json),
    )
    const [first] = documents
    for (const document of documents) expect(document).toEqual(first)
    expect(first).toMatchObject({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      registration_endpoint: `${issuer}/register`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
    })
    for (const path of [
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/t/other',
      '/.well-known/oauth-authorization-server/t/acme/',
      '/authorize',
      '/account',
      '/errors/ERR_REDIRECT_URI',
      '/mcp/notes',
    ]) {
      expect((await fetch(origin + path)).status, path).toBe(404)
    }
  })

  it('AS-03: a whole sign-in and a call; the issuer is byte-identical in metadata, token, answer and resource', async () => {
    const plane = await openPlane({ provider: 'github', path: PATH })
    const { issuer, resource } = plane
    const { origin } = new URL(issuer)
    plane.provider.signIn('ada')
    const seen: URL[] = []
    const visitor = createVisitor({ press: [/^allow/i, /^continue as ada/i, /^End$/] })
    const watched = {
      visit: async (url: URL, redirectUri: string) => {
        const end = await visitor.visit(url, redirectUri)
        seen.push(end)
        return end
      },
    }
    const caller = await plane.during(
      signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor: watched }),
    )
    expect((await plane.call(caller)).status).toBe(200)
    const claims = claimsOf(caller.accessToken)
    expect(claims.aud).toBe(`${issuer}/mcp/notes`)
    const server = await json(`${origin}/.well-known/oauth-authorization-server${PATH}`)
    const protectedResource = await json(
      `${origin}/.well-known/oauth-protected-resource${PATH}/mcp/notes`,
    )
    expect(protectedResource.resource).toBe(resource)
    expect([
      claims.iss,
      server.issuer,
      seen[0]?.searchParams.get('iss'),
      ...(protectedResource.authorization_servers as string[]),
    ]).toEqual([issuer, issuer, issuer, issuer])
    // Pages, forms, cookies and redirects stay below the path.
    const account = `${issuer}/account`
    await plane.during(visitor.visit(new URL(account), account))
    expect((await plane.call(caller)).status).toBe(401)
    const explained = await fetch(`${issuer}/errors/ERR_TOKEN_AUDIENCE`)
    expect(explained.status).toBe(200)
    const styles = /href="([^"]+\.css)"/.exec(await explained.text())?.[1] ?? ''
    expect(styles.startsWith(`${PATH}/`)).toBe(true)
    expect((await fetch(origin + styles)).status).toBe(200)
  })
})
