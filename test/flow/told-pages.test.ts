/**
 * Everything that the other pages and documents tell: account, home, error pages, metadata, the
 * development sign-in, and what `explain` says of each kind of token.
 */
import { describe, expect, it } from 'vitest'
import { explainToken } from '../../src/issuer/explain.ts'
import { createDevelopmentProvider } from '../../src/providers/development.ts'
import { createStory } from '../kit/story.ts'
import {
  createTestIssuer,
  GRACE,
  type HouseOptions,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  ticketOf,
  tokensFor,
  Visitor,
} from './sign-in-house.ts'

const HOUR_MS = 3_600_000

function open(options: HouseOptions = { connectors: ['notes', 'tasks'] }) {
  const house = createTestIssuer(options)
  const story = createStory({ events: house.emit.events, store: house.store })
  return { house, story, visitor: new Visitor(house) }
}

const encode = (value: unknown): string =>
  btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

describe('what pages tell', () => {
  it('the account page, and each thing that can be ended there', async () => {
    const { house, story, visitor } = open()
    await story.tell('nobody', await visitor.get('/account'))
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, visitor, client_id)
    await redeem(house, client_id, code)
    house.runtime.advanceMs(HOUR_MS)
    const other = new Visitor(house)
    await other.comeBack(await other.press(await other.get('/'), 'allow:github'))
    house.runtime.advanceMs(HOUR_MS)
    const page = await (await visitor.get('/account')).text()
    await story.tell('account', await visitor.get('/account'))
    const kinds = new Map(
      [...page.matchAll(/name="end" value="([^":]*)[^"]*"/g)].map(([whole, kind = '']) => [
        kind,
        /value="([^"]*)"/.exec(whole)?.[1] ?? '',
      ]),
    )
    expect(kinds.size).toBeGreaterThan(2)
    for (const [kind, value] of kinds) {
      const now = await (await visitor.get('/account')).text()
      const form = { ticket: ticketOf(now), end: value }
      const elsewhere = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
      await story.tell(`${kind} from elsewhere`, await visitor.post('/account', form, elsewhere))
      await story.tell(`end ${kind}`, await visitor.post('/account', form))
      await story.tell(`${kind} again`, await visitor.post('/account', form))
      await story.tell(`after ${kind}`, await visitor.get('/account'))
    }
    await story.tell('odd', await visitor.post('/account', { ticket: 'x', end: 'y' }))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('home, sign-out, error pages and small files', async () => {
    const { house, story, visitor } = open()
    await story.tell('home', await visitor.get('/'))
    await signIn(house, visitor, (await register(house)).client_id)
    await story.tell('home of Ada', await visitor.get('/'))
    for (const path of [
      '/errors/ERR_CLIENT_UNKNOWN',
      '/errors/ERR_REDIRECT_URI',
      '/errors/ERR_NONE',
      '/errors/x',
      '/mcp.json',
      '/none',
      '/assets/mark.svg',
    ]) {
      await story.tell(path, await visitor.get(path))
    }
    const elsewhere = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    await story.tell('sign out from elsewhere', await visitor.post('/logout', {}, elsewhere))
    await story.tell('sign out', await visitor.post('/logout', {}))
    await story.tell('sign out again', await visitor.post('/logout', {}))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('documents, other hosts, methods', async () => {
    const { house, story } = open({ connectors: ['notes'], config: { enable: ['dpop'] } })
    const ask = (path: string, init: RequestInit = {}, host = house.issuer) =>
      house.fetch(new Request(`${host}${path}`, init))
    const metadata = '/.well-known/oauth-authorization-server'
    for (const path of [
      metadata,
      '/.well-known/openid-configuration',
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/mcp/notes',
      '/.well-known/oauth-protected-resource/mcp/none',
      '/.well-known/none',
    ]) {
      await story.tell(path, await ask(path))
      await story.tell(`OPTIONS ${path}`, await ask(path, { method: 'OPTIONS' }))
    }
    const etag = (await ask(metadata)).headers.get('etag') ?? ''
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*', ' * ', '"x"']) {
      const answer = await ask(metadata, { headers: { 'if-none-match': tag } })
      expect([tag, answer.status]).toEqual([tag, tag === '"x"' ? 200 : 304])
    }
    const page = { headers: { accept: 'text/html' } }
    await story.tell('other host', await ask('/', page, 'https://other.example'))
    const local = open({ issuer: 'http://127.0.0.1:8414' }).house
    for (const [host, init] of [
      ['http://localhost:8414', page],
      ['http://localhost:8414', {}],
      ['http://localhost:9000', page],
      ['http://localhost:8414', { ...page, method: 'POST' }],
      ['http://other.example:8414', page],
    ] as const) {
      const answer = await local.fetch(new Request(`${host}/account?a=b`, init))
      await story.tell(`${host} ${JSON.stringify(init)}`, answer)
    }
    expect(story.text).toMatchSnapshot()
  })

  it('the development sign-in', async () => {
    const provider = createDevelopmentProvider()
    const base = open({ issuer: 'http://127.0.0.1:8414' }).house.deps
    const context = base.providers[0]?.context
    if (context === undefined) throw new Error('no context')
    const { house, story, visitor } = open({
      issuer: 'http://127.0.0.1:8414',
      deps: { providers: [{ provider, context }] },
    })
    const path = `${provider.callbackPath}/name`
    expect(house.routes.handles(path)).toBe(true)
    for (const state of ['abc', '', 'a b', 'x'.repeat(513)]) {
      await story.tell(`page ${state.length}`, await visitor.get(`${path}?state=${state}`))
      const forms: Record<string, string>[] = [
        { name: 'ada' },
        { name: '' },
        { name: '<b>' },
        { name: 'ada', decision: 'cancel' },
      ]
      for (const form of forms) {
        const answer = await visitor.post(path, { state, ...form })
        await story.tell(`${state.length} ${JSON.stringify(form)}`, answer)
      }
    }
    const elsewhere = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    await story.tell('elsewhere', await visitor.post(path, { state: 'abc' }, elsewhere))
    await story.tell(
      'DELETE',
      await house.fetch(new Request(`${house.issuer}${path}`, { method: 'DELETE' })),
    )
    expect(story.text).toMatchSnapshot()
  })
})

describe('what explain tells', () => {
  const explained = (house: TestHouse, token: string, asked?: string) => {
    const { config, keys, runtime, store } = house.deps
    return explainToken({ config, keys, runtime, store }, token, asked)
  }

  it('each kind of token, all facts and all problems in order', async () => {
    const { house, story } = open()
    const { client_id } = await register(house)
    const tokens = await tokensFor(house, client_id)
    const tell = async (title: string, token: string, asked?: string): Promise<void> =>
      story.add(title, await explained(house, token, asked))
    await tell('access', tokens.access_token)
    await tell('elsewhere', tokens.access_token, 'https://other.example/mcp')
    await tell('refresh', tokens.refresh_token)
    const [header = '', payload = '', signature = ''] = tokens.access_token.split('.')
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as object
    const with_ = (change: object): string =>
      [header, encode({ ...claims, ...change }), signature].join('.')
    await tell('changed', with_({ scope: 'all' }))
    await tell('other tag', with_({ jti: 'x' }))
    await tell('other algorithm', [encode({ alg: 'RS256' }), payload, signature].join('.'))
    await tell('other typ', [encode({ alg: 'ES256', typ: 'JWT' }), payload, signature].join('.'))
    await tell('odd claims', with_({ aud: ['a'], iat: 'x', exp: -1, act: { sub: 'x' }, cnf: {} }))
    await tell('odd times', with_({ iat: 253_402_300_799, exp: 253_402_300_800, auth_time: 0 }))
    for (const odd of ['x', 'a.b.c', `${encode([])}.${encode({})}.x`, 'ptr_x', '..', 'a.b'])
      await tell(odd, odd)
    await tell('no issuer', [encode({ alg: 'none' }), encode({ sub: 1 }), 'x'].join('.'))
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`c${index}`, index]))
    const stranger = { iss: 'https://evil.example/\u001b[2J', long: 'x'.repeat(400), ...many }
    await tell('stranger', [encode({ alg: 'none', kid: null }), encode(stranger), 'x'].join('.'))
    const next = await refresh(house, client_id, tokens.refresh_token)
    const { refresh_token } = (await next.json()) as { refresh_token: string }
    await tell('in grace', tokens.refresh_token)
    house.runtime.advanceMs(61_000)
    await tell('used', tokens.refresh_token)
    for (const hours of [1, 1, 30, 24 * 40]) {
      house.runtime.advanceMs(hours * HOUR_MS)
      await tell(`after ${hours} h more`, tokens.access_token)
      await tell(`refresh after ${hours} h more`, refresh_token)
    }
    house.provider.person = GRACE
    const { code = '' } = await signIn(house, new Visitor(house), client_id)
    await tell('a code', code)
    const grants = await house.store.grants.list(
      'default',
      { name: 'userId', value: String(Reflect.get(claims, 'sub')) },
      { max: 10 },
    )
    story.add('grants', grants.length)
    await refresh(house, client_id, tokens.refresh_token)
    await tell('ended', tokens.refresh_token)
    const other = createTestIssuer({ connectors: ['tasks'] })
    story.add(
      'unknown',
      await explained(
        { ...other, deps: { ...house.deps, store: other.store } },
        tokens.access_token,
      ),
    )
    expect(story.text).toMatchSnapshot()
  })
})
