/**
 * Everything that the optional endpoints tell programs: registration management, pushed requests,
 * client credentials, token exchange, DPoP, introspection.
 */
import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { createProver } from '../kit/prover.ts'
import { createStory } from '../kit/story.ts'
import {
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  type HouseOptions,
  ISSUER,
  NOTES,
  redeem,
  register,
  signIn,
  type TestHouse,
  token,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const SECRET = 'a-secret-of-a-program-0123456789abc'
const CREDENTIAL = 'credential-of-a-server-0123456789abc'
const MAIL = `${ISSUER}/mcp/mail`
const OUTSIDE = 'https://files.example/mcp'
const ALL: HouseOptions = {
  connectors: ['notes', 'mail'],
  config: {
    enable: ['client-credentials', 'token-exchange', 'pushed-requests', 'dpop'],
    resources: [{ url: OUTSIDE, credential: new Secret(CREDENTIAL) }],
    clients: [
      {
        clientId: 'robot',
        redirectUris: [WEB_REDIRECT],
        secret: new Secret(SECRET),
        grants: ['client_credentials', 'authorization_code', 'refresh_token'],
        exchange: { resource: NOTES, resources: [MAIL], providers: [] },
      },
      { clientId: 'open', redirectUris: [WEB_REDIRECT] },
    ],
  } as HouseOptions['config'],
}

function open(options: HouseOptions = ALL) {
  const house = createTestIssuer(options)
  const story = createStory({ events: house.emit.events, store: house.store })
  return { house, story }
}

function send(
  house: TestHouse,
  path: string,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const body = new URLSearchParams(form)
  return house.fetch(new Request(`${ISSUER}${path}`, { method: 'POST', body, headers }))
}

const changes = (named: Record<string, Record<string, string>>) => Object.entries(named)
const robot = { client_id: 'robot', client_secret: SECRET }

describe('what is told to programs', () => {
  it('registration management, and each refusal', async () => {
    const { house, story } = open()
    const client = (await register(house, {
      token_endpoint_auth_method: 'client_secret_basic',
    })) as Record<string, string>
    const { client_id = '', registration_access_token: right = '', client_secret = '' } = client
    const manage = (method: string, body?: unknown, key = right, id = client_id) =>
      house.fetch(
        new Request(`${ISSUER}/register/${id}`, {
          method,
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      )
    const metadata = {
      client_id,
      redirect_uris: [WEB_REDIRECT],
      client_name: 'New name',
      token_endpoint_auth_method: 'client_secret_basic',
    }
    await story.tell('read', await manage('GET'))
    await story.tell('wrong key', await manage('GET', undefined, 'x'))
    await story.tell('unknown', await manage('GET', undefined, right, 'cli_none'))
    await story.tell('no header', await house.fetch(new Request(`${ISSUER}/register/${client_id}`)))
    await story.tell('POST', await manage('POST', {}))
    await story.tell('OPTIONS', await manage('OPTIONS'))
    for (const change of [
      { client_id: 'other' },
      { client_secret: 'other' },
      { client_secret: 7 },
      { registration_access_token: right },
      { registration_client_uri: 'x' },
      { client_secret_expires_at: 0 },
      { client_id_issued_at: 0 },
      { redirect_uris: [] },
      { client_secret },
      { token_endpoint_auth_method: 'none' },
      {},
    ]) {
      await story.tell(
        `update ${JSON.stringify(change)}`,
        await manage('PUT', { ...metadata, ...change }),
      )
      await story.addRows(['client'])
    }
    await story.tell('update text', await manage('PUT', 'text'))
    await story.tell('delete', await manage('DELETE'))
    await story.tell('deleted', await manage('GET'))
    await story.tell('delete again', await manage('DELETE'))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('client credentials, and each refusal', async () => {
    const { house, story } = open()
    for (const [name, change] of changes({
      right: {},
      scope: { scope: 'mcp' },
      'other scope': { scope: 'all' },
      'no resource': { resource: '' },
      'other resource': { resource: 'https://evil.example' },
      secret: { client_secret: 'x' },
      'no secret': { client_secret: '' },
      'open client': { client_id: 'open', client_secret: '' },
      'unknown client': { client_id: 'nobody' },
    })) {
      const form = { grant_type: 'client_credentials', ...robot, resource: NOTES, ...change }
      const answer = await token(house, form)
      await story.tell(name, answer.clone())
      if (answer.status !== 200) continue
      const { access_token } = (await answer.json()) as { access_token: string }
      story.add('claims', claimsOf(access_token))
    }
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('token exchange, and each refusal', async () => {
    const { house, story } = open()
    const { client_id } = await register(house)
    const person = await tokensFor(house, client_id)
    const type = 'urn:ietf:params:oauth:token-type:'
    for (const [name, change] of changes({
      right: {},
      type: { requested_token_type: `${type}access_token` },
      'other type': { requested_token_type: `${type}jwt` },
      'other subject type': { subject_token_type: `${type}id_token` },
      'no subject type': { subject_token_type: '' },
      'no subject': { subject_token: '' },
      'odd subject': { subject_token: 'x.y.z' },
      'refresh token': { subject_token: person.refresh_token },
      resource: { resource: OUTSIDE },
      'no resource': { resource: '' },
      audience: { audience: 'x' },
      actor: { actor_token: 'x' },
      'actor type': { actor_token_type: 'x' },
      scope: { scope: 'mcp' },
      'other scope': { scope: 'all' },
      client: { client_id: 'open', client_secret: '' },
    })) {
      const form = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        ...robot,
        subject_token: person.access_token,
        subject_token_type: `${type}access_token`,
        resource: MAIL,
        ...change,
      }
      const answer = await token(house, form)
      await story.tell(name, answer.clone())
      if (answer.status !== 200) continue
      const { access_token } = (await answer.json()) as { access_token: string }
      story.add('claims', claimsOf(access_token))
    }
    expect(story.text).toMatchSnapshot()
  })

  it('pushed requests, and each refusal', async () => {
    const { house, story } = open()
    const push = (change: Record<string, string | undefined> = {}, headers = {}) =>
      send(
        house,
        '/par',
        Object.fromEntries(
          authorizeUrl(house, 'robot', { client_secret: SECRET, ...change }).searchParams,
        ),
        headers,
      )
    const answer = await push()
    await story.tell('right', answer.clone())
    await story.addRows(['pushed'])
    const { request_uri } = (await answer.json()) as { request_uri: string }
    for (const change of [
      { client_secret: 'x' },
      { client_secret: undefined },
      { redirect_uri: 'https://evil.example' },
      { response_type: 'token' },
      { code_challenge: undefined },
      { resource: 'https://evil.example' },
      { request_uri: 'urn:x' },
      { scope: 'all' },
      { prompt: 'none login' },
    ]) {
      await story.tell(JSON.stringify(change), await push(change))
    }
    const visit = (id: string, uri: string) =>
      new Visitor(house).get(
        `/authorize?${new URLSearchParams({ client_id: id, request_uri: uri })}`,
      )
    await story.tell('other client', await visit('open', request_uri))
    await story.tell('unknown', await visit('robot', `${request_uri.slice(0, -4)}AAAA`))
    await story.tell('odd', await visit('robot', 'urn:x'))
    await story.tell('visit', await visit('robot', request_uri))
    const late = (await (await push()).json()) as { request_uri: string }
    house.runtime.advanceMs(90_000)
    await story.tell('too late', await visit('robot', late.request_uri))
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })

  it('DPoP at the token endpoint, and each refusal', async () => {
    const { house, story } = open()
    const prover = await createProver(() => house.runtime.nowMs())
    const url = `${ISSUER}/token`
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, new Visitor(house), client_id)
    const form = { grant_type: 'client_credentials', ...robot, resource: NOTES }
    const first = await send(house, '/token', form, { dpop: await prover.prove('POST', url) })
    await story.tell('no nonce', first.clone())
    prover.nonce = first.headers.get('dpop-nonce') ?? undefined
    const proof = await prover.prove('POST', url)
    await story.tell('right', await send(house, '/token', form, { dpop: proof }))
    await story.tell('again', await send(house, '/token', form, { dpop: proof }))
    for (const [name, made] of [
      ['method', prover.prove('GET', url)],
      ['url', prover.prove('POST', `${ISSUER}/revoke`)],
      ['old', prover.prove('POST', url, { claims: { iat: 1 } })],
      ['future', prover.prove('POST', url, { claims: { iat: 4_000_000_000 } })],
      ['nonce', prover.prove('POST', url, { claims: { nonce: 'x' } })],
      ['jti', prover.prove('POST', url, { claims: { jti: '' } })],
      ['odd', Promise.resolve('x')],
    ] as const) {
      await story.tell(name, await send(house, '/token', form, { dpop: await made }))
    }
    const bound = await redeem(house, client_id, code)
    await story.tell('code without', bound)
    await story.addRows(['spent'])
    expect(story.text).toMatchSnapshot()
  })

  it('introspection and revocation, and each refusal', async () => {
    const { house, story } = open()
    const { client_id } = await register(house)
    const tokens = await tokensFor(house, client_id)
    const other = await register(house, { client_name: 'Other' })
    const bearer = { authorization: `Bearer ${CREDENTIAL}` }
    for (const [name, form, headers] of [
      ['robot', { token: tokens.access_token, ...robot }, {}],
      ['server', { token: tokens.access_token }, bearer],
      ['refresh', { token: tokens.refresh_token }, bearer],
      ['refresh robot', { token: tokens.refresh_token, ...robot }, {}],
      ['odd', { token: 'x' }, bearer],
      ['none', {}, bearer],
      ['hint', { token: tokens.access_token, token_type_hint: 'refresh_token' }, bearer],
      ['nobody', { token: tokens.access_token }, {}],
      ['wrong', { token: tokens.access_token }, { authorization: 'Bearer x' }],
      ['open', { token: tokens.access_token, client_id }, {}],
      ['secret', { token: 'x', client_id: 'robot', client_secret: 'x' }, {}],
    ] as const) {
      await story.tell(name, await send(house, '/introspect', { ...form }, { ...headers }))
    }
    for (const [name, form] of changes({
      odd: { token: 'x', client_id },
      none: { client_id },
      'other client': { token: tokens.refresh_token, client_id: other.client_id },
      'no client': { token: tokens.refresh_token },
      access: { token: tokens.access_token, client_id },
      hint: { token: tokens.access_token, client_id, token_type_hint: 'x' },
      refresh: { token: tokens.refresh_token, client_id },
      again: { token: tokens.refresh_token, client_id },
    })) {
      await story.tell(`revoke ${name}`, await send(house, '/revoke', form))
      story.add('marks', house.marks)
    }
    for (const grant of await grantsOf(house)) story.add('grant', grant)
    await story.addRows()
    expect(story.text).toMatchSnapshot()
  })
})

/** Every grant, as it is stored. */
async function grantsOf(house: TestHouse) {
  const users = await house.store.list('user', 'default', undefined, { max: 10 })
  const ids = [...users.map(({ value }) => value.userId)]
  const pages = ids.map((value) =>
    house.store.grants.list('default', { name: 'userId', value }, { max: 100 }),
  )
  return (await Promise.all(pages)).flat()
}
