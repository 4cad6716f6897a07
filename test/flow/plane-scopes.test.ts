/** The whole product over sockets: a 403, what it asks for, the sign-in that brings it, the call (PR-10, PR-11). */
import { describe, expect, it } from 'vitest'
import { openPlane } from '../kit/plane.ts'

const SCOPES = {
  'notes:read': { title: 'Read your notes', tools: ['list_*'] },
  'notes:write': {
    title: 'Change your notes',
    tools: ['add_note', 'delete_*'],
    implies: ['notes:read'],
    upstream: { github: ['repo', 'public_repo'] },
  },
}

describe('a connector with scopes, in the whole house', () => {
  it('PR-10 PR-11 GW-05: the challenge of a call is what the next sign-in has to ask for', async () => {
    const plane = await openPlane({
      provider: 'github',
      clock: 'real',
      connector: { scopes: SCOPES },
    })
    const poor = await plane.signIn()
    const refused = await plane.call(poor, { tool: 'add_note' })
    expect(refused.status).toBe(403)
    const scope = /scope="([^"]+)"/.exec(refused.headers.get('www-authenticate') ?? '')?.[1]
    expect(scope).toBe('mcp notes:write')
    expect((await plane.call(poor, { tool: 'whoami' })).status).toBe(200)
    // GitHub answers with the larger of two scopes only; that is enough.
    const rich = await plane.signIn('ada', scope)
    for (const tool of ['add_note', 'list_notes', 'whoami']) {
      expect([tool, (await plane.call(rich, { tool })).status]).toEqual([tool, 200])
    }
    const renewed = await plane.refresh(rich)
    expect(renewed.body).toMatchObject({ scope: 'mcp notes:write' })
    await plane.restart()
    expect((await plane.call(rich, { tool: 'add_note' })).status).toBe(200)
    expect((await plane.call(poor, { tool: 'add_note' })).status).toBe(403)
    expect(await plane.metric('postern_http_requests_total', { status: '403' })).toBe(1)
  })

  it('PR-17: a sign-in grows too old for a connector, and a new one is good again', async () => {
    const plane = await openPlane({ provider: 'github', connector: { maxAuthAgeSeconds: 120 } })
    const caller = await plane.signIn()
    expect((await plane.call(caller)).status).toBe(200)
    await plane.elapse(121_000)
    const old = await plane.call(caller)
    expect(old.status).toBe(401)
    expect(old.headers.get('www-authenticate')).toContain(
      'error="insufficient_user_authentication", max_age="120"',
    )
    // A refreshed token is about the same sign-in.
    const renewed = await plane.refresh(caller)
    expect(renewed.status).toBe(200)
    const accessToken = String(renewed.body['access_token'])
    expect((await plane.call({ accessToken })).status).toBe(401)
    expect((await plane.call(await plane.signIn())).status).toBe(200)
  })
})
