import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Plane, startPlane } from '../kit/plane.ts'

describe('public documents', () => {
  let plane: Plane<'openid'>
  beforeAll(async () => {
    plane = await startPlane({ provider: 'openid' })
  })
  afterAll(() => plane.close())

  it('AS-18: metadata and keys are answered from local state, with the provider gone', async () => {
    await plane.during(plane.signIn('ada'))
    const asked = plane.provider.exchanges()
    await plane.provider.kill()
    const remote = plane.events.filter(({ type }) => type === 'remote.called').length
    for (const path of [
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
      '/.well-known/oauth-protected-resource/mcp/notes',
      '/.well-known/jwks.json',
    ]) {
      for (let turn = 0; turn < 20; turn += 1) {
        const response = await fetch(`${plane.issuer}${path}`)
        expect(response.status).toBe(200)
        expect(Object.keys((await response.json()) as object).length).toBeGreaterThan(0)
      }
    }
    expect(plane.provider.exchanges()).toEqual(asked)
    expect(plane.events.filter(({ type }) => type === 'remote.called')).toHaveLength(remote)
  })
})
