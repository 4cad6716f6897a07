/**
 * One suite of flows, the same on every engine: sign-in, calls, refresh, replay, revocation, linked
 * accounts, initiation beside a slow and a dead server, the API, restarts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { refresh, type SignedInClient, signInAsClient } from '../../demo/sign-in.ts'
import { connectAccount, connectLinkIn, createPerson, disconnectAccount } from '../kit/connect.ts'
import { callTool } from '../kit/plane.ts'
import { createProduct, type Product } from '../kit/product.ts'
import { ADMIN_KEY, APP, ENGINES, type EngineHouse, openEngine, RETURN_URL } from './engine.ts'

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

describe.each(ENGINES)('embedded in a product, on %s', (engine) => {
  let house: EngineHouse
  let product: Product
  beforeAll(async () => {
    house = await openEngine(engine)
    const { issuer } = house
    const place = { issuer, send: fetch, adminKey: ADMIN_KEY, returnUrl: RETURN_URL }
    product = createProduct({ ...place, ...APP })
  })
  afterAll(() => house?.close())

  it('CLI-06 CLI-07 CLI-24: the element links an account, a key takes its token, and both end', async () => {
    const { remote } = house
    const session = await product.session('ada')
    const list = async () => (await product.widget('GET', 'connections', session)).body['data']
    expect(await list()).toMatchObject([{ connector: 'linked', state: 'none' }])
    const { attempt, confirmation } = await product.popup(session, 'linked')
    const key = await product.tokensKey()
    const asked = { user: 'ada', connector: 'linked' }
    const take = () => product.api('POST', '/tokens', asked, key)
    const early = await take()
    expect([early.status, early.body['code']]).toEqual([409, 'ERR_CONNECTION_NEEDED'])
    const foreign = await product.session('grace')
    const stolen = await product.widget('POST', 'confirm', foreign, { confirmation })
    expect([stolen.status, stolen.body['code']]).toEqual([409, 'ERR_CONFIRMATION'])
    const confirmed = await product.widget('POST', 'confirm', session, { confirmation })
    expect(confirmed).toMatchObject({ status: 200, body: { connectionId: attempt } })
    expect(await list()).toMatchObject([{ state: 'active', connectionId: attempt }])
    const taken = await take()
    expect(taken).toMatchObject({ status: 200, body: { connectionId: attempt } })
    expect(remote.isLive(String(taken.body['accessToken']))).toBe(true)
    const other = await product.api('POST', '/tokens', { ...asked, user: 'grace' }, key)
    expect(other.status).toBe(409)
    const ended = await product.widget('POST', 'disconnect', session, { connector: 'linked' })
    expect(ended).toMatchObject({ status: 200, body: { state: 'none' } })
    expect((await take()).status).toBe(409)
    await house.runDue()
    await expect
      .poll(() => remote.isLive(String(taken.body['accessToken'])), { timeout: 10_000 })
      .toBe(false)
  })

  it('O1: a link of the backend is confirmed by it, and a receiver is told of both ends', async () => {
    const { hooks } = house
    const { attempt, confirmation } = await product.start('mary', 'linked')
    const shown = await product.api('GET', `/connections/${attempt}`)
    expect(shown.body).toMatchObject({ id: attempt, app: APP.app, user: 'mary', state: 'pending' })
    const about = { app: APP.app, confirmation }
    const path = `/connections/${attempt}/confirm`
    const wrong = await product.api('POST', path, { ...about, user: 'grace' })
    expect([wrong.status, wrong.body['code']]).toEqual([409, 'ERR_CONFIRMATION'])
    expect(await product.api('POST', path, { ...about, user: 'mary' })).toMatchObject({
      ...{ status: 200, body: { id: attempt, user: 'mary', state: 'active' } },
    })
    const removed = await product.api('DELETE', `/connections/${attempt}`)
    expect([removed.status, removed.body['state']]).toEqual([202, 'ended'])
    const second = await product.start('mary', 'linked')
    const withdrawn = await product.api('DELETE', `/connections/${second.attempt}`)
    expect([withdrawn.status, withdrawn.body['state']]).toEqual([202, 'ended'])
    expect((await product.api('GET', `/connections/${second.attempt}`)).status).toBe(404)
    const late = await product.api('POST', `/connections/${second.attempt}/confirm`, {
      ...{ app: APP.app, user: 'mary', confirmation: second.confirmation },
    })
    expect(late.status).toBe(409)
    const told = async () => {
      await house.runDue()
      return hooks.events.filter((event) => idOf(event) === attempt).map(({ type }) => type)
    }
    await expect
      .poll(told, { timeout: 20_000 })
      .toEqual(expect.arrayContaining(['connection.active', 'connection.ended']))
    expect(hooks.refused()).toBe(0)
    expect(JSON.stringify(hooks.events)).not.toContain(confirmation)
  })

  it('S1 I6: a connector that the API makes is found out at once, linked, and gone with its accounts', async () => {
    const { allowed } = house
    const made = await product.api('PUT', '/connectors/made', { url: allowed.url, auth: 'oauth' })
    expect(made).toMatchObject({ status: 201, body: { name: 'made', state: 'ready' } })
    const inside = await product.api('PUT', '/connectors/inside', {
      ...{ url: house.notes.url, auth: 'oauth' },
    })
    expect([inside.status, inside.body['state']]).not.toEqual([201, 'ready'])
    const { id } = await product.connect('ada', 'made')
    const key = await product.tokensKey()
    const take = () => product.api('POST', '/tokens', { user: 'ada', connector: 'made' }, key)
    const taken = await take()
    expect(taken).toMatchObject({ status: 200, body: { connectionId: id } })
    expect(allowed.isLive(String(taken.body['accessToken']))).toBe(true)
    expect((await product.api('DELETE', '/connectors/made')).status).toBe(204)
    expect((await take()).status).toBe(404)
  })
})

function idOf(event: object): unknown {
  return 'connectionId' in event ? event.connectionId : undefined
}

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
