import { expect, it } from 'vitest'
import type { Egress } from '../net/egress.ts'
import { loadOpenIdMetadata } from './openid-metadata.ts'

const ISSUER = 'https://idp.example'
const DOCUMENT = JSON.stringify({
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  jwks_uri: `${ISSUER}/jwks`,
})

function answering(contentType: string): Egress {
  return {
    exchange: async ({ url }) => ({
      status: 200,
      headers: new Headers({ 'content-type': contentType }),
      text: DOCUMENT,
      url: String(url),
      elapsedMs: 1,
    }),
  }
}

it('S7: a discovery document inside an HTML page with 200 is refused', async () => {
  const load = (type: string) =>
    loadOpenIdMetadata(ISSUER, { egress: answering(type), timeoutMs: 1_000 })
  await expect(load('text/html; charset=utf-8')).rejects.toMatchObject({
    code: 'ERR_UPSTREAM_BODY',
  })
  expect((await load('application/json')).value.issuer).toBe(ISSUER)
})
