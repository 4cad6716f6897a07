/** A Worker that wants only discovery, as a user writes it: one import. */
import { env } from 'cloudflare:workers'
import { createDiscover } from '../../src/workers/index.ts'

const discover = createDiscover({ approvedOrigins: [env.TEST_SERVER ?? ''] })

export default {
  async fetch(request: Request): Promise<Response> {
    const mcpUrl = new URL(request.url).searchParams.get('url') ?? ''
    try {
      return Response.json(await discover(mcpUrl))
    } catch (error) {
      return Response.json({ error: error instanceof Error ? error.message : '' }, { status: 502 })
    }
  },
}
