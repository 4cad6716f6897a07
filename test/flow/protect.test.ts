import type { RequestListener } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { McpServer as McpServerOne } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import express from 'express'
import { Hono } from 'hono'
import { afterEach, describe, expect, it } from 'vitest'
import type { Postern } from '../../src/app.ts'
import { protect as protectFetch } from '../../src/middleware/fetch.ts'
import type { AuthInfo, Principal } from '../../src/middleware/guard.ts'
import { mount as mountHono, protect as protectHono } from '../../src/middleware/hono.ts'
import { mount as mountExpress, protect as protectExpress } from '../../src/node/express.ts'
import { type Authenticated, mount, protect } from '../../src/node/index.ts'
import { callWith, type ProtectHouse, startProtectHouse } from './protect-house.ts'

/** What a handler saw. */
const seen = (principal: Principal | undefined, auth: AuthInfo | undefined) => ({
  login: principal?.profile?.login,
  userId: principal?.userId,
  subject: principal?.identity?.subject,
  scopes: principal?.scopes,
  clientId: auth?.clientId,
  resource: auth?.resource?.href,
  expiresAt: auth?.expiresAt,
  same: auth?.extra?.['principal'] === principal,
})

const onNode = (postern: Postern): RequestListener => {
  const guard = protect(postern)
  return mount(
    postern,
    async (request: Parameters<RequestListener>[0] & Authenticated, response) => {
      const principal = await guard(request, response)
      if (principal === undefined) return
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify(seen(principal, request.auth)))
    },
  )
}

const onExpress = (postern: Postern): RequestListener => {
  const app = express()
  app.use(mountExpress(postern))
  app.use(express.json())
  app.post('/mcp', protectExpress(postern), (request, response) => {
    const { principal, auth } = request as unknown as Authenticated
    response.json({ ...seen(principal, auth), body: request.body.method })
  })
  app.get('/', (_request, response) => response.send('the home of the application'))
  return app
}

const onHono = (postern: Postern): RequestListener => {
  const app = new Hono<{ Variables: { principal: Principal; auth: AuthInfo } }>()
  app.use(mountHono(postern))
  app.use('/mcp', protectHono(postern))
  app.post('/mcp', (context) => context.json(seen(context.var.principal, context.var.auth)))
  return getRequestListener(app.fetch)
}

const onFetch = (postern: Postern): RequestListener => {
  const handler = protectFetch(postern, (_request, { principal, authInfo }) =>
    Response.json(seen(principal, authInfo)),
  )
  return getRequestListener((request) =>
    postern.handles(request.url) ? postern.fetch(request) : handler(request),
  )
}

let house: ProtectHouse | undefined
afterEach(async () => {
  await house?.close()
  house = undefined
})

describe('mount() and protect() in the process of the issuer', () => {
  it.each([
    ['node:http', onNode],
    ['Express 5', onExpress],
    ['Hono', onHono],
    ['plain fetch', onFetch],
  ])(
    '%s: 401 with resource_metadata, sign-in, then the handler knows who calls',
    async (_name, application) => {
      house = await startProtectHouse(application)
      const { issuer, resource, provider } = house
      const refused = await callWith(resource)
      expect(refused.status).toBe(401)
      const metadataUrl = `${issuer}/.well-known/oauth-protected-resource/mcp`
      expect(refused.headers.get('www-authenticate')).toContain(
        `resource_metadata="${metadataUrl}"`,
      )
      const metadata = await (await fetch(metadataUrl)).json()
      expect(metadata).toMatchObject({
        resource,
        authorization_servers: [issuer],
        scopes_supported: ['mcp'],
      })

      const client = await house.signIn()
      provider.forget()
      const answer = await callWith(resource, client.accessToken)
      expect(answer.status).toBe(200)
      expect(await answer.json()).toMatchObject({
        login: 'ada',
        subject: 'ada',
        scopes: ['mcp'],
        clientId: client.clientId,
        resource,
        same: true,
      })
      for (let count = 0; count < 20; count++) {
        expect((await callWith(resource, client.accessToken)).status).toBe(200)
      }
      expect(provider.total()).toBe(0)

      expect(await house.revoke(client)).toBe(200)
      const after = await callWith(resource, client.accessToken)
      expect(after.status).toBe(401)
      expect(after.headers.get('www-authenticate')).toContain('error="invalid_token"')
    },
  )

  it('Express: a mounted house leaves / to the application, and its body parser the calls', async () => {
    house = await startProtectHouse(onExpress)
    await house.postern.ready()
    expect(await (await fetch(`${house.issuer}/`)).text()).toBe('the home of the application')
    const client = await house.signIn()
    expect(await (await callWith(house.resource, client.accessToken)).json()).toMatchObject({
      body: 'tools/call',
    })
  })

  it('a mounted house has its OAuth endpoints below its prefix', async () => {
    house = await startProtectHouse(onNode, () => ({ prefix: '/postern' }))
    const server = await (
      await fetch(`${house.issuer}/.well-known/oauth-authorization-server`)
    ).json()
    expect(server).toMatchObject({
      authorization_endpoint: `${house.issuer}/postern/authorize`,
      token_endpoint: `${house.issuer}/postern/token`,
      jwks_uri: `${house.issuer}/.well-known/jwks.json`,
    })
    const client = await house.signIn()
    expect((await callWith(house.resource, client.accessToken)).status).toBe(200)
  })

  it('the tool handler of the official 1.x server sees extra.authInfo, as with requireBearerAuth', async () => {
    house = await startProtectHouse((postern) => {
      const app = express()
      app.use(mountExpress(postern))
      app.post('/mcp', protectExpress(postern), express.json(), async (request, response) => {
        const server = new McpServerOne({ name: 'notes', version: '1.0.0' })
        server.registerTool(
          'whoami',
          { description: 'Who calls' },
          (extra: { authInfo?: AuthInfo }) => {
            const principal = extra.authInfo?.extra?.['principal'] as Principal | undefined
            return {
              content: [
                { type: 'text' as const, text: JSON.stringify(seen(principal, extra.authInfo)) },
              ],
            }
          },
        )
        const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
        await server.connect(transport)
        await transport.handleRequest(request, response, request.body)
      })
      return app
    })
    const client = await house.signIn()
    const answer = await callWith(house.resource, client.accessToken)
    expect(answer.status).toBe(200)
    const body = (await answer.json()) as { result: { content: { text: string }[] } }
    expect(JSON.parse(body.result.content[0]?.text ?? '{}')).toMatchObject({
      login: 'ada',
      clientId: client.clientId,
      same: true,
    })
  })

  it('PR-11: asks for the scopes that the server needs, by name', async () => {
    house = await startProtectHouse((postern) => {
      const guard = protect(postern, { scopes: ['admin'] })
      return mount(postern, (request, response) => void guard(request, response))
    })
    const client = await house.signIn()
    const answer = await callWith(house.resource, client.accessToken)
    expect(answer.status).toBe(403)
    expect(answer.headers.get('www-authenticate')).toContain('scope="mcp admin"')
  })
})
