/** Step-up through a real OpenID provider: `max_age` there, `auth_time` in the ID token, in our token. */
import { describe, expect, it } from 'vitest'
import { authorize, signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { openPlane } from '../kit/plane.ts'
import { claimsOf } from './sign-in-house.ts'

const redirectUri = 'http://127.0.0.1:9/callback'

describe('step-up', () => {
  it('EXT-09 AZ-18: max_age makes the provider ask again, and its auth_time is in the token', async () => {
    const plane = await openPlane({ provider: 'openid', clock: 'real' })
    const { clientId, tokenEndpoint } = await plane.signIn('ada')
    const press = [/^allow$/i, /^allow/i, /^continue as ada/i]
    const visitor = createVisitor({ press })
    const flow = {
      authorizationEndpoint: `${plane.issuer}/authorize`,
      tokenEndpoint,
      clientId,
      redirectUri,
      visitor,
    }
    const plain = await authorize({ ...flow, parameters: { resource: plane.resource } })
    expect(claimsOf(plain.accessToken)).not.toHaveProperty('auth_time')
    // The provider knows this browser; with max_age it asks all the same, and nobody answers.
    const atProvider = press.pop() ?? /^continue/
    const parameters = { resource: plane.resource, max_age: '0' }
    await expect(authorize({ ...flow, parameters })).rejects.toThrow(
      `nothing to press at ${plane.provider.origin}/interaction/`,
    )
    press.push(atProvider)
    const startedSeconds = Math.floor(Date.now() / 1000)
    const stepped = await authorize({ ...flow, parameters })
    const { auth_time } = claimsOf(stepped.accessToken)
    expect(auth_time).toBeGreaterThanOrEqual(startedSeconds - 1)
    expect(auth_time).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000))
    expect((await plane.call(stepped)).status).toBe(200)
    // A way of authentication that this provider does not know.
    await expect(
      authorize({ ...flow, parameters: { resource: plane.resource, acr_values: 'mfa' } }),
    ).rejects.toThrow('unmet_authentication_requirements')
  })
})

describe('a policy of a connector', () => {
  it('EXT-09 PR-17: an old sign-in gets the challenge, its max_age leads to a fresh one, which passes', async () => {
    const connector = { maxAuthAgeSeconds: 300 }
    const plane = await openPlane({ provider: 'github', connector })
    plane.provider.signIn('ada')
    const visitor = createVisitor({ press: [/^allow$/i, /^allow/i, /^continue as ada/i] })
    const { resource } = plane
    const caller = await plane.during(signInAsClient({ resource, redirectUri, visitor }))
    expect((await plane.call(caller)).status).toBe(200)
    await plane.elapse(301_000)
    const challenged = await plane.call(caller)
    expect(challenged.status).toBe(401)
    const challenge = challenged.headers.get('www-authenticate') ?? ''
    expect(challenge).toContain('error="insufficient_user_authentication"')
    const max_age = /max_age="(\d+)"/.exec(challenge)?.[1] ?? ''
    const fresh = await plane.during(
      authorize({
        authorizationEndpoint: `${plane.issuer}/authorize`,
        tokenEndpoint: caller.tokenEndpoint,
        clientId: caller.clientId,
        redirectUri,
        parameters: { resource, max_age },
        visitor,
      }),
    )
    expect((await plane.call(fresh)).status).toBe(200)
    expect((await plane.call(caller)).status).toBe(401)
  })
})
