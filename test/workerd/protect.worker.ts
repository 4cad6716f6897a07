/** An MCP server on Workers that protects itself by an issuer elsewhere. */
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { mount, protect } from '../../src/middleware/hono.ts'
import { workers } from '../../src/workers/index.ts'

const house = {
  issuer: env.TEST_ISSUER ?? '',
  resource: env.TEST_RESOURCE ?? '',
  credential: env.TEST_CREDENTIAL,
  platform: workers(env),
}

const app = new Hono()
app.use(mount(house))
app.post('/mcp', protect(house), (context) => context.json(context.var.principal))

export default app
