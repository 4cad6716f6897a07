/** A whole house on Workers, its configuration as JSON in a binding, as `wrangler.jsonc` would bind the rest. */
import { env } from 'cloudflare:workers'
import { createPostern } from '../../src/app.ts'
import { workers } from '../../src/workers/index.ts'

export { PosternLock } from '../../src/workers/index.ts'

const postern = createPostern(JSON.parse(env.TEST_CONFIG ?? '{}'), workers(env))

export default {
  fetch: (request: Request) => postern.fetch(request),
  scheduled: () => postern.runDue(),
}
