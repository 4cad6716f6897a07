/**
 * Everything that a sign-in tells: answers with all headers, pages in words, events, audit rows and
 * what is stored. A changed word is meant or a mistake; `vitest -u` writes down what is meant.
 */
import { describe, expect, it } from 'vitest'
import { createStory, type Story } from '../kit/story.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  GRACE,
  type HouseOptions,
  LOOPBACK_REDIRECT,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const PORTAL: HouseOptions = {
  connectors: ['notes', 'tasks'],
  config: { clients: [{ clientId: 'portal', name: 'Portal', redirectUris: [WEB_REDIRECT] }] },
}

function open(options: HouseOptions = PORTAL) {
  const house = createTestIssuer(options)
  return {
    house,
    visitor: new Visitor(house),
    story: createStory({ events: house.emit.events, store: house.store }),
  }
}

async function post(house: TestHouse, path: string, form: Record<string, string>, headers = {}) {
  const body = new URLSearchParams(form)
  return house.fetch(new Request(`${house.issuer}${path}`, { method: 'POST', body, headers }))
}

/** Told, and handed on. */
async function told(story: Story, title: string, answer: Response): Promise<Response> {
  await story.tell(title, answer.clone())
  return answer
}

describe('what is told of a sign-in', () => {
  it('from the first request to the last refresh token', async () => {
    const { house, visitor, story } = open()
    const { client_id } = await register(house)
    const page = await told(story, 'authorize', await visitor.get(authorizeUrl(house, client_id)))
    const journey = await told(story, 'allow', await visitor.press(page, 'allow:github'))
    const back = await told(story, 'come back', await visitor.comeBack(journey))
    const { code = '' } = answerOf(back)
    const first = await told(story, 'token', await redeem(house, client_id, code))
    const tokens = (await first.json()) as Tokens
    const again = await told(
      story,
      'refresh',
      await refresh(house, client_id, tokens.refresh_token),
    )
    const { refresh_token } = (await again.json()) as Tokens
    await story.addRows()
    house.runtime.advanceMs(120_000)
    await story.tell('replay', await refresh(house, client_id, tokens.refresh_token))
    await story.tell('after it', await refresh(house, client_id, refresh_token))
    await story.tell('code again', await redeem(house, client_id, code))
    await story.tell('revoke', await post(house, '/revoke', { token: refresh_token, client_id }))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('remembered, asked anew, another account, another redirect URI', async () => {
    const { house, visitor, story } = open()
    await signIn(house, visitor, 'portal')
    await story.tell('remembered', await visitor.get(authorizeUrl(house, 'portal')))
    for (const [name, wish] of Object.entries({
      consent: { prompt: 'consent' },
      login: { prompt: 'login' },
      select: { prompt: 'select_account' },
      none: { prompt: 'none', resource: `${house.issuer}/mcp/tasks` },
      age: { max_age: '0' },
      acr: { acr_values: 'phr' },
      tasks: { resource: `${house.issuer}/mcp/tasks` },
      scopes: { scope: 'mcp notes:write' },
    })) {
      await story.tell(name, await visitor.get(authorizeUrl(house, 'portal', wish)))
    }
    house.provider.person = GRACE
    const page = await visitor.get(authorizeUrl(house, 'portal', { prompt: 'select_account' }))
    const journey = await told(story, 'another', await visitor.press(page, 'another:github'))
    if (journey.status === 303) await story.tell('switched', await visitor.comeBack(journey))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('every refusal at /authorize', async () => {
    const { house, visitor, story } = open()
    const { client_id } = await register(house)
    for (const id of ['portal', client_id]) {
      for (const [name, wish] of Object.entries({
        'no redirect': { redirect_uri: undefined },
        'other redirect': { redirect_uri: 'https://evil.example/cb?x=1' },
        'loopback redirect': { redirect_uri: LOOPBACK_REDIRECT },
        'no type': { response_type: undefined },
        'other type': { response_type: 'token' },
        'no challenge': { code_challenge: undefined },
        'short challenge': { code_challenge: 'short' },
        plain: { code_challenge_method: 'plain' },
        'no method': { code_challenge_method: undefined },
        'other resource': { resource: `${house.issuer}/mcp/none` },
        'odd resource': { resource: 'notes' },
        'odd scope': { scope: 'mcp "' },
        'unknown scope': { scope: 'mcp all' },
        'no scope': { scope: undefined },
        'no state': { state: undefined },
        prompts: { prompt: 'none login' },
        'prompt none': { prompt: 'none' },
        'odd prompt': { prompt: 'create' },
        'odd age': { max_age: '-1' },
        mode: { response_mode: 'fragment' },
        request: { request: 'x.y.z' },
        uri: { request_uri: 'urn:x' },
        'two resources': { resource: '' },
      })) {
        await story.tell(`${name} ${id}`, await visitor.get(authorizeUrl(house, id, wish)))
      }
    }
    await story.tell('unknown client', await visitor.get(authorizeUrl(house, 'nobody')))
    await story.tell('no client', await visitor.get('/authorize'))
    const twice = authorizeUrl(house, 'portal')
    twice.searchParams.append('state', 'again')
    await story.tell('twice', await visitor.get(twice))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('every no at the provider', async () => {
    const { house, visitor, story } = open()
    const { client_id } = await register(house)
    for (const id of ['portal', client_id]) {
      const answers: Record<string, string>[] = [
        { error: 'access_denied' },
        { error: 'temporarily_unavailable' },
        { error: 'redirect_uri_mismatch' },
        { code: '' },
        { state: 'other' },
        { iss: 'https://evil.example' },
      ]
      for (const answer of answers) {
        const page = await visitor.get(authorizeUrl(house, id, { prompt: 'consent' }))
        const journey = await visitor.press(page, 'allow:github')
        const back = await visitor.comeBack(journey, answer)
        await story.tell(`${JSON.stringify(answer)} ${id}`, back)
      }
    }
    const page = await visitor.get(authorizeUrl(house, 'portal', { prompt: 'consent' }))
    const journey = await visitor.press(page, 'allow:github')
    house.provider.behaviour = 'fails'
    await story.tell('silent', await visitor.comeBack(journey))
    house.provider.behaviour = 'answers'
    const home = await visitor.press(await visitor.get('/'), 'allow:github')
    await story.tell('no at home', await visitor.comeBack(home, { error: 'access_denied' }))
    const other = await visitor.press(await visitor.get('/'), 'allow:github')
    await story.tell('error at home', await visitor.comeBack(other, { error: 'server_error' }))
    const last = await visitor.press(await visitor.get('/'), 'allow:github')
    const mistake = { error: 'redirect_uri_mismatch' }
    await story.tell('mistake at home', await visitor.comeBack(last, mistake))
    await story.tell('strayed', await visitor.get('/callback/github?state=x&code=y'))
    await story.tell('empty', await visitor.get('/callback/github'))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('Deny, a form twice, a form of nobody, a form from elsewhere', async () => {
    const { house, visitor, story } = open()
    const { client_id } = await register(house)
    for (const id of ['portal', client_id]) {
      const page = await (await visitor.get(authorizeUrl(house, id))).text()
      const elsewhere = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
      await story.tell('elsewhere', await visitor.press(page, 'deny', elsewhere))
      await story.tell('odd decision', await visitor.press(page, 'perhaps'))
      await story.tell('unknown provider', await visitor.press(page, 'allow:none'))
      await story.tell('deny', await visitor.press(page, 'deny'))
      await story.tell('again', await visitor.press(page, 'deny'))
      const old = await (await visitor.get(authorizeUrl(house, id))).text()
      house.runtime.advanceMs(601_000)
      await story.tell('too late', await visitor.press(old, 'deny'))
      await story.tell('stranger', await new Visitor(house).press(old, 'deny'))
    }
    await story.tell('no ticket', await visitor.post('/consent', { decision: 'deny' }))
    await story.tell(
      'odd ticket',
      await visitor.post('/consent', { ticket: 'x', decision: 'deny' }),
    )
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('who is switched off', async () => {
    const { house, visitor, story } = open()
    await signIn(house, visitor, 'portal')
    const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
    if (user !== undefined)
      await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    await story.tell('off', await visitor.get(authorizeUrl(house, 'portal')))
    const fresh = new Visitor(house)
    const page = await fresh.get(authorizeUrl(house, 'portal'))
    const back = await fresh.comeBack(await fresh.press(page, 'allow:github'))
    await story.tell('off at sign-in', back)
    await story.tell('home', await visitor.get('/'))
    await story.tell('account', await visitor.get('/account'))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })
})

describe('what is told at /token, /revoke and /register', () => {
  it('every refusal of a code and of a refresh token', async () => {
    const { house, story } = open()
    const { client_id } = await register(house)
    const other = await register(house, { client_name: 'Other' })
    const secret = await register(house, { token_endpoint_auth_method: 'client_secret_basic' })
    const tokens = await tokensFor(house, client_id)
    for (const [name, change] of changes({
      'other client': { client_id: other.client_id },
      'no client': { client_id: '' },
      'unknown client': { client_id: 'nobody' },
      'secret client': { client_id: secret.client_id },
      verifier: { code_verifier: 'w'.repeat(43) },
      'short verifier': { code_verifier: 'w' },
      'no verifier': { code_verifier: '' },
      redirect: { redirect_uri: 'https://client.example/other' },
      'no redirect': { redirect_uri: '' },
      resource: { resource: `${house.issuer}/mcp/tasks` },
      grant: { grant_type: 'password' },
      'no grant': { grant_type: '' },
      code: { code: 'x' },
    })) {
      const { code = '' } = await signIn(house, new Visitor(house), client_id)
      await story.tell(name, await redeem(house, client_id, code, change))
      await story.tell(`${name}, then right`, await redeem(house, client_id, code))
    }
    for (const [name, change] of changes({
      client: { client_id: other.client_id },
      token: { refresh_token: 'ptr_x' },
      'no token': { refresh_token: '' },
      scope: { scope: 'mcp all' },
      narrower: { scope: 'mcp' },
      resource: { resource: `${house.issuer}/mcp/tasks` },
    })) {
      const answer = await refresh(house, client_id, tokens.refresh_token, change)
      await story.tell(`refresh ${name}`, answer)
    }
    const basic = { authorization: `Basic ${btoa(`${secret.client_id}:wrong`)}` }
    await story.tell('secret', await token(house, { grant_type: 'refresh_token' }, basic))
    await story.tell('JSON', await postJson(house, '/token', {}))
    for (const path of ['/token', '/revoke', '/register', '/authorize', '/consent', '/none']) {
      for (const method of ['GET', 'OPTIONS', 'DELETE', 'POST']) {
        const answer = await house.fetch(new Request(`${house.issuer}${path}`, { method }))
        await story.tell(`${method} ${path}`, answer)
      }
    }
    expect(story.text).toMatchSnapshot()
  })

  it('every refusal of a registration, and what is kept of an accepted one', async () => {
    const { house, story } = open()
    const web = { redirect_uris: [WEB_REDIRECT] }
    for (const metadata of [
      {},
      [],
      'text',
      { redirect_uris: [] },
      { redirect_uris: 'x' },
      { redirect_uris: ['http://client.example/cb'] },
      { redirect_uris: ['https://client.example/cb#x'] },
      { redirect_uris: ['javascript:alert(1)'] },
      { redirect_uris: ['https://user@client.example/cb'] },
      { ...web, token_endpoint_auth_method: 'tls_client_auth' },
      { ...web, grant_types: ['password'] },
      { ...web, grant_types: ['refresh_token'] },
      { ...web, response_types: ['token'] },
      { ...web, client_name: 7 },
      { ...web, client_name: 'x'.repeat(2_000) },
      { ...web, client_uri: 'http://other.example' },
      { ...web, logo_uri: 'data:x' },
      { ...web, jwks: {} },
      { ...web, jwks_uri: 'https://client.example/jwks' },
      { ...web, scope: 'a "b"' },
      { ...web, software_statement: 'x' },
      { ...web, application_type: 'native' },
      { redirect_uris: [LOOPBACK_REDIRECT], application_type: 'web' },
      {
        ...web,
        client_name: 'Claude',
        client_uri: 'https://client.example',
        logo_uri: 'https://client.example/logo.png',
        policy_uri: 'https://client.example/policy',
        tos_uri: 'https://client.example/terms',
        contacts: ['ops@client.example'],
        scope: 'mcp',
        software_id: 'claude',
        software_version: '1',
        token_endpoint_auth_method: 'client_secret_post',
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      },
      { ...web, token_endpoint_auth_method: 'client_secret_basic' },
      { redirect_uris: [LOOPBACK_REDIRECT, 'com.example.app:/cb'], client_name: 'Desk' },
    ]) {
      await story.tell(
        JSON.stringify(metadata).slice(0, 80),
        await postJson(house, '/register', metadata),
      )
    }
    await story.addRows(['client'])
    expect(story.text).toMatchSnapshot()
  })
})

function changes(named: Record<string, Record<string, string>>) {
  return Object.entries(named)
}

async function postJson(house: TestHouse, path: string, value: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify(value)
  return house.fetch(new Request(`${house.issuer}${path}`, { method: 'POST', headers, body }))
}
