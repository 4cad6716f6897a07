/** Postern on Workers, as a user writes it: made at module scope, memory store, one connector. */
import { env } from 'cloudflare:workers'
import { createPostern } from '../../src/app.ts'
import { oidc } from '../../src/providers/index.ts'
import { workers } from '../../src/workers/index.ts'

const postern = createPostern(
  {
    issuer: env.TEST_ISSUER ?? '',
    log: { level: 'warn' },
    allow: 'anyone',
    providers: [oidc({ issuer: env.TEST_PROVIDER ?? '' })],
    connectors: { notes: { url: env.TEST_SERVER ?? '' } },
  },
  workers(env),
)

export default { fetch: (request: Request) => postern.fetch(request) }
