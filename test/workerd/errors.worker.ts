/** A Worker that throws an error of ours, or fetches what it is told, for the harness's own test. */
import { createHash } from 'node:crypto'
import { OAuthError, toResponse } from '../../src/errors.ts'

export default {
  async fetch(request: Request, bindings: { REMOTE: string }): Promise<Response> {
    const { pathname } = new URL(request.url)
    if (pathname === '/remote') return fetch(bindings.REMOTE, { redirect: 'manual' })
    if (pathname === '/digest') return new Response(createHash('sha256').update('a').digest('hex'))
    return toResponse(
      new OAuthError('invalid_grant', 'the code is used'),
      new URL(request.url).host,
    )
  },
}
