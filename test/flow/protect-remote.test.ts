import { describe, expect, it } from 'vitest'
import { ConfigError, StoreError } from '../../src/errors.ts'
import { createRevocationFeed } from '../../src/issuer/revocation-feed.ts'
import { guardOf } from '../../src/middleware/protectable.ts'
import { Secret } from '../../src/secret.ts'
import { CREDENTIAL, createRemoteIssuer, ISSUER, RESOURCE, startRemote } from './remote-issuer.ts'

const SECOND = 1_000
const HOUR = 3_600 * SECOND

describe('protect() in another process than the issuer', () => {
  it('P4: a warm call is decided at once, with no exchange', async () => {
    const issuer = await createRemoteIssuer()
    const { ask, call } = await startRemote(issuer)
    const token = issuer.token()
    expect(await call(token)).toBe('200')
    const before = issuer.exchanges.length
    for (let count = 0; count < 1_000; count++) expect(ask(token)).toMatchObject({ ok: true })
    expect(issuer.exchanges).toHaveLength(before)
    expect(issuer.emit.counted('postern_hot_path_waits_total')).toBe(0)
  })

  it('gives the principal without identity, and the AuthInfo of the SDK', async () => {
    const issuer = await createRemoteIssuer()
    const { ask } = await startRemote(issuer)
    const token = issuer.token()
    const answer = await ask(token)
    if (!answer.ok) throw new Error(answer.refusal.reason)
    expect(answer.principal).toEqual({
      userId: 'usr_1',
      tenant: 'default',
      clientId: 'cli_1',
      grantId: 'grt_1',
      resource: RESOURCE,
      scopes: ['mcp'],
      expiresAtSeconds: answer.principal.expiresAtSeconds,
    })
    expect(answer.authInfo).toMatchObject({
      token,
      clientId: 'cli_1',
      scopes: ['mcp'],
      resource: new URL(RESOURCE),
    })
    expect(answer.authInfo.extra?.['principal']).toBe(answer.principal)
  })

  it('REV-04: a mark at the issuer refuses here on the open poll, before any clock moves', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer)
    const [mine, other] = [issuer.token(), issuer.token({ gid: 'grt_2' })]
    expect(await call(mine)).toBe('200')
    await issuer.runtime.elapseMs(2 * SECOND)
    await issuer.mark('grant', 'grt_1')
    await issuer.runtime.settle()
    expect(await call(mine)).toBe('401 revoked')
    expect(await call(other)).toBe('200')
    await issuer.mark('user', 'usr_1')
    await issuer.runtime.settle()
    expect(await call(other)).toBe('401 revoked')
  })

  it('REV-04: an hour of polls keeps the view young, about one exchange every 10 s', async () => {
    const issuer = await createRemoteIssuer()
    const { ask, call } = await startRemote(issuer)
    const token = issuer.token({ exp: Math.floor(issuer.runtime.nowMs() / 1000) + 7_200 })
    expect(await call(token)).toBe('200')
    for (let second = 0; second < 3_600; second += 5) {
      await issuer.runtime.elapseMs(5 * SECOND)
      expect(ask(token)).toMatchObject({ ok: true })
    }
    const polls = issuer.exchanges.filter((path) => path.startsWith('/revocations'))
    expect(polls.length).toBeGreaterThan(300)
    expect(polls.length).toBeLessThan(420)
  })

  it('I7: issuer down: keys are served stale, then 503 by the age of the view, and back', async () => {
    const issuer = await createRemoteIssuer()
    const { ask, call } = await startRemote(issuer)
    const [known, fresh] = [issuer.token(), issuer.token({ gid: 'grt_2' })]
    expect(await call(known)).toBe('200')
    issuer.network.state = 'down'
    await issuer.runtime.elapseMs(15 * SECOND)
    expect([await call(known), await call(fresh)]).toEqual(['200', '200'])
    await issuer.runtime.elapseMs(30 * SECOND)
    expect(await call(known)).toBe('503 view_too_old')
    const refused = await ask(known)
    expect(refused).toMatchObject({
      refusal: { headers: { 'retry-after': expect.stringMatching(/^\d+$/) } },
    })
    // What was revoked meanwhile is known before anybody is let in again.
    await issuer.mark('grant', 'grt_2')
    issuer.network.state = 'up'
    await issuer.runtime.elapseMs(2 * SECOND)
    expect([await call(known), await call(fresh)]).toEqual(['200', '401 revoked'])
  })

  it('I7: nobody is let in before the first answer of the issuer', async () => {
    const issuer = await createRemoteIssuer()
    issuer.network.state = 'down'
    const { call } = await startRemote(issuer)
    expect(await call(issuer.token())).toBe('503 keys_unavailable')
    issuer.network.state = 'up'
    await issuer.runtime.elapseMs(3 * SECOND)
    expect(await call(issuer.token())).toBe('200')
  })

  it('I7: an answer that cannot be read is not an empty one', async () => {
    for (const body of [
      '{}',
      'null',
      '{"sequence":1,"epoch":1,"marks":[{"kind":"grant"}]}',
      '<html>',
    ]) {
      const issuer = await createRemoteIssuer()
      issuer.network.feedBody = body
      const { call } = await startRemote(issuer)
      expect(await call(issuer.token()), body).toBe('503 view_too_old')
    }
  })

  it('a credential that the issuer does not know is a 503, said once', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer, { credential: 'x'.repeat(40) })
    expect(await call(issuer.token())).toBe('503 view_too_old')
    await issuer.runtime.elapseMs(60 * SECOND)
    expect(await call(issuer.token())).toBe('503 view_too_old')
    const warnings = issuer.emit.eventsOf('server.warning')
    expect(warnings).toMatchObject([{ reason: 'revocation_credential_refused' }])
    expect(issuer.emit.dump()).not.toContain('x'.repeat(40))
  })

  it('without a credential the revocation bound is the life of the token, said once at start', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer, { credential: undefined })
    expect(issuer.emit.eventsOf('server.warning')).toMatchObject([
      { reason: 'revocation_only_by_token_end' },
    ])
    const token = issuer.token()
    await issuer.mark('grant', 'grt_1')
    expect(await call(token)).toBe('200')
    issuer.network.state = 'down'
    await issuer.runtime.elapseMs(HOUR - SECOND)
    expect(await call(token)).toBe('200')
    await issuer.runtime.elapseMs(SECOND)
    expect(await call(token)).toBe('401 token_expired')
    expect(issuer.exchanges.some((path) => path.startsWith('/revocations'))).toBe(false)
    expect(issuer.emit.eventsOf('server.warning')).toHaveLength(1)
  })

  it('VAL-14: keys are kept for 24 h while the issuer is silent, then nobody is let in', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer, { credential: undefined })
    expect(await call(issuer.token())).toBe('200')
    issuer.network.state = 'down'
    await issuer.runtime.elapseMs(23 * HOUR)
    expect(await call(issuer.token())).toBe('200')
    await issuer.runtime.elapseMs(2 * HOUR)
    expect(await call(issuer.token())).toBe('503 keys_unavailable')
  })

  it('VAL-14: the first token with a new key works, and the old key leaves with its set', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer)
    const old = issuer.token({ gid: 'grt_9' })
    issuer.addKey('key-2')
    expect(await call(issuer.token({ kid: 'key-2' }))).toBe('200')
    issuer.keys.delete('key-1')
    await issuer.runtime.elapseMs(600 * SECOND)
    await call(issuer.token({ kid: 'key-2' }))
    await issuer.runtime.settle()
    expect(await call(old)).toBe('401 token_invalid')
  })

  it('VAL-14: 1000 tokens with random key ids cause one fetch per 30 s', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer)
    const fetches = () => issuer.exchanges.filter((path) => path.startsWith('/.well-known/')).length
    const before = fetches()
    const attack = async () => {
      const tokens = Array.from({ length: 500 }, (_, index) =>
        issuer.token({ kid: `random-${index}` }),
      )
      return new Set(await Promise.all(tokens.map((token) => call(token))))
    }
    expect([...(await attack()), ...(await attack())]).toEqual([
      '401 token_invalid',
      '401 token_invalid',
    ])
    expect(fetches() - before).toBe(1)
    await issuer.runtime.elapseMs(30 * SECOND)
    await attack()
    expect(fetches() - before).toBe(2)
  })

  it('VAL-14, I7: a set that could not be fetched says nothing about an unknown key', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer)
    issuer.addKey('key-2')
    issuer.network.state = 'down'
    expect(await call(issuer.token({ kid: 'key-2' }))).toBe('503 keys_unavailable')
    expect(await call(issuer.token())).toBe('200')
  })

  it('a withdrawn key lets nobody in, whenever its token says that it was issued', async () => {
    const issuer = await createRemoteIssuer()
    const { call } = await startRemote(issuer)
    issuer.addKey('key-2')
    expect(await call(issuer.token({ kid: 'key-2' }))).toBe('200')
    await issuer.runtime.elapseMs(2 * SECOND)
    await issuer.mark('key', 'key-1')
    await issuer.runtime.elapseMs(5 * SECOND)
    expect(await call(issuer.token({ gid: 'grt_new' }))).toBe('401 revoked')
    expect(await call(issuer.token({ kid: 'key-2', gid: 'grt_new' }))).toBe('200')
  })

  it('PR-07, TOK-14, VAL-07: refuses what is missing, foreign, expired, for another audience or scope', async () => {
    const issuer = await createRemoteIssuer()
    const { guard, ask, call } = await startRemote(issuer)
    const challenged = await guard.authenticate(undefined, {})
    expect(challenged).toMatchObject({
      refusal: {
        status: 401,
        headers: {
          'www-authenticate':
            'Bearer resource_metadata="https://notes.example/.well-known/oauth-protected-resource/mcp", scope="mcp"',
        },
      },
    })
    expect(await guard.authenticate('Bearer', {})).toMatchObject({ refusal: { status: 400 } })
    expect(await call('nonsense')).toBe('401 token_invalid')
    const other = await createRemoteIssuer()
    expect(await call(other.token())).toBe('401 token_invalid')
    expect(await call(issuer.token({ iss: 'https://evil.example' }))).toBe('401 token_invalid')
    expect(await call(issuer.token({ aud: `${RESOURCE}/other` }))).toBe('401 audience')
    const nowSeconds = Math.floor(issuer.runtime.nowMs() / 1000)
    expect(await call(issuer.token({ iat: nowSeconds - 60, exp: nowSeconds }))).toBe(
      '401 token_expired',
    )
    expect(await call(issuer.token(), ['admin'])).toBe('403 scope')
    const forbidden = await ask(issuer.token(), ['admin'])
    expect(forbidden).toMatchObject({
      refusal: { headers: { 'www-authenticate': expect.stringContaining('scope="mcp admin"') } },
    })
  })

  it('where promises are not shared: no timer, polls on use, and waits when the view is too old', async () => {
    const issuer = await createRemoteIssuer({ sharesPromises: false })
    const { call } = await startRemote(issuer)
    expect(issuer.exchanges).toEqual([])
    const token = issuer.token()
    expect(await call(token)).toBe('200')
    await issuer.mark('grant', 'grt_1')
    await issuer.runtime.elapseMs(5 * SECOND)
    expect(await call(token)).toBe('200')
    await issuer.runtime.settle()
    expect(await call(token)).toBe('401 revoked')
    await issuer.mark('grant', 'grt_2')
    await issuer.runtime.elapseMs(31 * SECOND)
    expect(
      await call(
        issuer.token({ gid: 'grt_2', iat: 1 + Math.floor(issuer.runtime.nowMs() / 1000) - 60 }),
      ),
    ).toBe('401 revoked')
    issuer.network.state = 'down'
    await issuer.runtime.elapseMs(31 * SECOND)
    expect(await call(issuer.token({ gid: 'grt_3' }))).toBe('503 view_too_old')
  })

  it('ends its polling by the signal it was given, and then its view is too old', async () => {
    const issuer = await createRemoteIssuer()
    const stop = new AbortController()
    const { call } = await startRemote(issuer, { signal: stop.signal })
    const token = issuer.token()
    expect(await call(token)).toBe('200')
    stop.abort()
    await issuer.runtime.elapseMs(5 * SECOND)
    const before = issuer.exchanges.length
    await issuer.runtime.elapseMs(120 * SECOND)
    expect(issuer.exchanges).toHaveLength(before)
    expect(await call(token)).toBe('503 view_too_old')
    expect(issuer.runtime.rejections).toEqual([])
  })

  it('wrong settings are refused at once, by name', async () => {
    const { platform } = await createRemoteIssuer()
    const make = (settings: object) => () =>
      guardOf({ issuer: ISSUER, resource: RESOURCE, platform, ...settings })
    expect(make({ issuer: 'http://auth.example' })).toThrow(ConfigError)
    expect(make({ resource: 'notes' })).toThrow(ConfigError)
    expect(make({ credential: 'short' })).toThrow(ConfigError)
    expect(make({ platform: undefined })).toThrow(TypeError)
    // @ts-expect-error neither a Postern nor a remote house
    expect(() => guardOf({})).toThrow(TypeError)
  })
})

describe('the revocation feed', () => {
  const request = (
    query: string,
    credential: string | undefined = CREDENTIAL,
    init: RequestInit = {},
  ) =>
    new Request(`${ISSUER}/revocations${query}`, {
      ...init,
      headers: credential === '' ? {} : { authorization: `Bearer ${credential}` },
    })

  it('answers only the credential of a configured resource, and is never stored', async () => {
    const { feed } = await createRemoteIssuer()
    for (const credential of ['', 'x', `${CREDENTIAL}x`, CREDENTIAL.slice(1)]) {
      const refused = await feed(request('?after=0&wait=0', credential))
      expect([refused.status, refused.headers.get('cache-control')]).toEqual([401, 'no-store'])
    }
    const answer = await feed(request('?after=0&wait=0'))
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect((await feed(request('', CREDENTIAL, { method: 'POST' }))).status).toBe(405)
    for (const query of [
      '?after=-1',
      '?after=x',
      '?after=1.5',
      '?wait=x',
      `?after=${'9'.repeat(17)}`,
    ]) {
      expect((await feed(request(query))).status, query).toBe(400)
    }
  })

  it('waits for the next mark, at most 20 s, and holds ids only', async () => {
    const { feed, runtime, mark } = await createRemoteIssuer()
    let answered = false
    const empty = feed(request('?after=0&wait=3600')).finally(() => {
      answered = true
    })
    await runtime.elapseMs(19_999)
    expect(answered).toBe(false)
    await runtime.elapseMs(1)
    expect(await (await empty).json()).toMatchObject({ sequence: 0, marks: [] })
    const next = feed(request('?after=0'))
    await runtime.settle()
    await mark('grant', 'grt_7')
    const page = (await (await next).json()) as { sequence: number; marks: object[] }
    expect(page).toMatchObject({
      sequence: 1,
      marks: [{ sequence: 1, tenant: 'default', kind: 'grant', id: 'grt_7' }],
    })
    expect(Object.keys(page.marks[0] ?? {}).sort()).toEqual([
      'expiresAtMs',
      'id',
      'issuedBeforeMs',
      'kind',
      'sequence',
      'tenant',
    ])
  })

  it('answers at once when the caller is ahead of the clock: the store was restored', async () => {
    const { feed } = await createRemoteIssuer()
    expect(await (await feed(request('?after=12'))).json()).toMatchObject({ sequence: 0 })
  })

  it('says 503 when the store cannot be read', async () => {
    const { runtime, view } = await createRemoteIssuer()
    const revocationsSince = () =>
      Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
    const config = { resources: [{ url: RESOURCE, credential: new Secret(CREDENTIAL) }] }
    const feed = createRevocationFeed({
      config,
      store: { grants: { revocationsSince } },
      runtime,
      revocation: view,
    })
    const answer = await feed(request('?after=0&wait=0'))
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([503, 'no-store'])
  })
})
