/**
 * One suite of flows, the same on every engine: sign-in, calls, refresh, replay, revocation, linked
 * accounts, initiation beside a slow and a dead server, the API, restarts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { refresh, type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { connectAccount, connectLinkIn, createPerson, disconnectAccount } from '../kit/connect.ts'
import { callTool } from '../kit/plane.ts'
import { ADMIN_KEY, ENGINES, type EngineHouse, openEngine } from './engine.ts'

/** Nobody listens there: the visitor stops before it. */
const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const REMOTE_DELAY_MS = 500
const CALLERS = 100

describe.each(ENGINES)('on %s', (engine) => {
  let house: EngineHouse
  beforeAll(async () => {
    house = await openEngine(engine)
  })
  afterAll(() => house?.close())

  const signIn = (connector = 'notes', login = 'ada'): Promise<SignedInClient> =>
    signInAsClient({
      resource: `${house.issuer}/mcp/${connector}`,
      redirectUri: REDIRECT_URI,
      visitor: createPerson({ login }),
    })
  const call = (client: SignedInClient, connector = 'notes') =>
    callTool(`${house.issuer}/mcp/${connector}`, client.accessToken)
  const post = (url: string, form: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(url, { method: 'POST', body: new URLSearchParams(form) })
  const api = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${house.issuer}/api/v1${path}`, {
      ...init,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    })

  it('signs a person in, and calls go to the server with our identity and without asking the provider', async () => {
    const client = await signIn()
    expect((await call(client)).status).toBe(200)
    const before = house.provider.total()
    for (let number = 0; number < 5; number += 1)
      expect((await call(client)).text).toContain('"result"')
    expect(house.provider.total()).toBe(before)
  })

  it('TOK-09: a refresh token rotates, has one successor among many callers, and a replay ends its family', async () => {
    const first = await signIn()
    const form = {
      grant_type: 'refresh_token',
      refresh_token: first.refreshToken ?? '',
      client_id: first.clientId,
    }
    const answers = await Promise.all(
      Array.from({ length: CALLERS }, () => post(first.tokenEndpoint, form)),
    )
    const bodies = await Promise.all(
      answers.filter(({ ok }) => ok).map(async (answer) => (await answer.json()) as Json),
    )
    expect(bodies.length).toBeGreaterThan(0)
    expect(new Set(bodies.map((body) => body.refresh_token)).size).toBe(1)
    const second = { ...first, refreshToken: String(bodies[0]?.refresh_token) }
    const third = await refresh(second)
    expect((await call(third)).status).toBe(200)
    expect(await (await post(first.tokenEndpoint, form)).json()).toMatchObject({
      error: 'invalid_grant',
    })
    expect((await call(third)).status).toBe(401)
  })

  it('A7: a code is redeemed once among many callers', async () => {
    const asked = await codeOf(house.issuer)
    const answers = await Promise.all(
      Array.from({ length: CALLERS }, () => post(`${house.issuer}/token`, asked)),
    )
    expect(answers.filter(({ ok }) => ok).length).toBeLessThanOrEqual(1)
    expect(new Set(answers.map(({ status }) => status)).has(500)).toBe(false)
  })

  it('REV-01: a revoked token is refused at once', async () => {
    const client = await signIn()
    expect((await call(client)).status).toBe(200)
    const answer = await post(`${house.issuer}/revoke`, {
      token: client.refreshToken ?? '',
      client_id: client.clientId,
    })
    expect(answer.status).toBe(200)
    expect((await call(client)).status).toBe(401)
  })

  it('DSC-16: the next initiations ask nothing of a server that is slow, and nothing of one that is dead', async () => {
    const { remote, issuer } = house
    const person = createPerson()
    const click = () =>
      person.visit(new URL(`${issuer}/connect/linked`), `${remote.issuer}/authorize`)
    await click()
    remote.slow(REMOTE_DELAY_MS)
    remote.forget()
    expect((await click()).searchParams.get('resource')).toBe(remote.url)
    await remote.kill()
    expect((await click()).searchParams.get('code_challenge_method')).toBe('S256')
    await remote.revive()
    expect(remote.total()).toBe(0)
  })

  it('GW-22 GW-25 CLI-23: an account is linked, used for its own person, and given back', async () => {
    const { issuer, remote } = house
    const client = await signIn('linked')
    const asked = await call(client, 'linked')
    const link = connectLinkIn(asked.text, issuer)
    expect(link, asked.text).toBeDefined()
    const person = createPerson()
    const place = { issuer, connector: 'linked', ...(link === undefined ? {} : { link }) }
    expect(await connectAccount(place, person)).toMatchObject({ isConnected: true })
    const used = await call(client, 'linked')
    expect([used.status, used.text]).toEqual([200, expect.stringContaining('"result"')])
    expect(remote.presented.at(-1)).not.toBe(client.accessToken)
    expect(remote.isLive(remote.presented.at(-1) ?? '')).toBe(true)
    const other = await signIn('linked', 'grace')
    expect(connectLinkIn((await call(other, 'linked')).text, issuer)).toBeDefined()
    await disconnectAccount(issuer, person)
    expect(connectLinkIn((await call(client, 'linked')).text, issuer)).toBeDefined()
  })

  it('answers its API to a key, and to nobody else', async () => {
    expect((await fetch(`${house.issuer}/api/v1/connectors`)).status).toBe(401)
    const listed = (await (await api('/connectors')).json()) as { data: { name: string }[] }
    expect(listed.data.map(({ name }) => name)).toEqual(['linked', 'notes'])
    const made = await api('/connect-sessions', {
      method: 'POST',
      body: JSON.stringify({ user: 'u-1', origin: 'http://127.0.0.1:1' }),
    })
    expect([made.status, await made.json()]).toEqual([
      201,
      { token: expect.stringMatching(/^pcs_/), expiresAt: expect.any(String) },
    ])
    const token = await api('/tokens', {
      method: 'POST',
      body: JSON.stringify({ user: 'u-1', connector: 'linked' }),
    })
    expect([token.status, await token.json()]).toMatchObject([403, { code: expect.any(String) }])
  })
})

describe.each(ENGINES.filter((engine) => engine !== 'memory'))('restarted on %s', (engine) => {
  it('K10: tokens, sessions, linked accounts and what is known of servers live on', async () => {
    const house = await openEngine(engine)
    try {
      const { issuer, remote } = house
      const person = createPerson()
      await connectAccount({ issuer, connector: 'linked' }, person)
      const client = await signInAsClient({
        resource: `${issuer}/mcp/linked`,
        redirectUri: REDIRECT_URI,
        visitor: createPerson(),
      })
      await house.restart()
      remote.forget()
      const used = await callTool(`${issuer}/mcp/linked`, client.accessToken)
      expect([used.status, used.text]).toEqual([200, expect.stringContaining('"result"')])
      // The call itself.
      expect(remote.total()).toBe(1)
      const left = await person.visit(
        new URL(`${issuer}/connect/linked`),
        `${remote.issuer}/authorize`,
      )
      expect(left.searchParams.get('resource')).toBe(remote.url)
      expect(remote.total()).toBe(1)
    } finally {
      await house.close()
    }
  })
})

type Json = Readonly<Record<string, unknown>>

/** An authorization of a new client by Ada, up to its code: the form of its token request. */
async function codeOf(issuer: string): Promise<Readonly<Record<string, string>>> {
  const registered = await fetch(`${issuer}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' }),
  })
  const { client_id: clientId } = (await registered.json()) as { client_id: string }
  const verifier = 'verifier-of-the-engines-suite-0123456789-abcdefgh'
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  const url = new URL(`${issuer}/authorize`)
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: REDIRECT_URI,
    resource: `${issuer}/mcp/notes`,
    code_challenge: Buffer.from(digest).toString('base64url'),
    code_challenge_method: 'S256',
    state: 's',
  }).toString()
  const back = await createPerson().visit(url, REDIRECT_URI)
  return {
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: REDIRECT_URI,
    client_id: clientId,
    code_verifier: verifier,
  }
}
