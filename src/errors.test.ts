import { describe, expect, it } from 'vitest'
import { OAuthError, placeOf, StoreError, toResponse, UpstreamError } from './errors.ts'

describe('errors', () => {
  it('I1: the place of an unexpected error names file and line, never its message', () => {
    const place = placeOf(new TypeError('the token is gho_secret'))
    expect(place).toMatch(/^TypeError at src\/errors\.test\.ts:\d+$/)
    expect(placeOf('gho_secret')).toBe('string')
    expect(placeOf(new StoreError('ERR_STORE_FULL', 'unknown'))).toMatch(
      /^StoreError ERR_STORE_FULL/,
    )
  })

  it('TOK-13: a description has only what RFC 6749 section 5.2 allows', async () => {
    const response = toResponse(new OAuthError('invalid_request', 'a "b" \\ \u00e9'), 'req_1')
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({
      error: 'invalid_request',
      error_description: "a 'b' ? ?",
    })
  })

  it('answers 503 for what somebody else failed at, and 500 with a request id for a bug', async () => {
    const detail = { operation: 'token', origin: 'https://idp.example' }
    const upstream = toResponse(new UpstreamError('ERR_UPSTREAM_TIMEOUT', detail), 'req_1')
    expect([upstream.status, upstream.headers.get('retry-after')]).toEqual([503, '2'])
    const bug = toResponse(new TypeError('gho_secret'), 'req_2')
    expect(bug.status).toBe(500)
    expect(await bug.text()).not.toContain('gho_secret')
  })
})
