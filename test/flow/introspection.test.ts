/** RFC 7662: who may ask, what they may know, and that every kind of ending counts at once. */
import { describe, expect, it } from 'vitest'
import { tombstoneStep } from '../../src/issuer/tombstones.ts'
import { Secret } from '../../src/secret.ts'
import {
  CREDENTIAL,
  type Node,
  type Nodes,
  RESOURCE,
  type SignedIn,
  startNodes,
} from '../kit/nodes.ts'
import { createTestIssuer, redeem, signIn, Visitor } from './sign-in-house.ts'

const MAIL = 'https://mail.example/mcp'
const MAIL_CREDENTIAL = 'credential-of-the-mail-server-9876543210'
const CLIENT = { clientId: 'portal', secret: 'secret-of-the-portal-0123456789' }
const OTHER = { clientId: 'other', secret: 'secret-of-another-client-0123456789' }
const redirectUris = ['https://client.example/cb']

const start = (): Promise<Nodes> =>
  startNodes({
    nodes: 2,
    config: {
      resources: [
        { url: RESOURCE, credential: CREDENTIAL },
        { url: MAIL, credential: MAIL_CREDENTIAL },
      ],
      clients: {
        [CLIENT.clientId]: { redirectUris, secret: CLIENT.secret },
        [OTHER.clientId]: { redirectUris, secret: OTHER.secret },
      },
    },
  })

const bearer = (credential = CREDENTIAL) => ({ authorization: `Bearer ${credential}` })
const basic = (id: string, secret: string) => ({
  authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}`,
})

async function ask(node: Node, token: string, headers: Record<string, string> = bearer()) {
  const answer = await node.post('/introspect', { token }, headers)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}
const INACTIVE = { status: 200, body: { active: false } }

async function expectActive(node: Node, { access_token }: SignedIn, isActive = true) {
  const { body } = await ask(node, access_token)
  expect(body['active']).toBe(isActive)
}

describe('POST /introspect', () => {
  it('REV-07: a server learns everything about a token that was made for it', async () => {
    const { first, remote } = await start()
    const ada = await first.signIn()
    const before = remote.exchanges.length
    const { status, body } = await ask(first, ada.access_token)
    expect(status).toBe(200)
    expect(body).toEqual({
      active: true,
      scope: 'mcp',
      client_id: ada.clientId,
      sub: ada.userId,
      aud: RESOURCE,
      iss: 'https://auth.example',
      exp: expect.any(Number),
      iat: expect.any(Number),
      jti: expect.any(String),
      token_type: 'Bearer',
      auth_time: expect.any(Number),
    })
    expect(await ask(first, ada.access_token, basic(RESOURCE, CREDENTIAL))).toEqual({
      status,
      body,
    })
    // Local: nobody was asked.
    expect(remote.exchanges.length).toBe(before)
  })

  it('REV-06 REV-07: a token for another server, or of another client, is inactive and nothing else', async () => {
    const { first } = await start()
    const ada = await first.signIn()
    expect(await ask(first, ada.access_token, bearer(MAIL_CREDENTIAL))).toEqual(INACTIVE)
    expect(await ask(first, ada.access_token, basic(OTHER.clientId, OTHER.secret))).toEqual(
      INACTIVE,
    )
    expect(await ask(first, ada.refresh_token, basic(OTHER.clientId, OTHER.secret))).toEqual(
      INACTIVE,
    )
    // A refresh token is the client's alone.
    expect(await ask(first, ada.refresh_token)).toEqual(INACTIVE)
  })

  it('REV-06: unknown, malformed, expired and changed tokens are inactive, never an error', async () => {
    const nodes = await start()
    const ada = await nodes.first.signIn()
    const changed = `${ada.access_token.slice(0, -2)}AA`
    for (const token of ['x', 'a.b.c', changed, 'ptr_grt.0.x.y', 'ü'.repeat(5_000)])
      expect(await ask(nodes.first, token)).toEqual(INACTIVE)
    await nodes.elapse(3_700_000, 100_000)
    expect(await ask(nodes.first, ada.access_token)).toEqual(INACTIVE)
  })

  it('REV-05 AS-11: nobody, a public client and wrong credentials are 401', async () => {
    const { first } = await start()
    const ada = await first.signIn()
    const token = ada.access_token
    for (const headers of [
      {},
      bearer('credential-of-nobody-at-all-0123456789'),
      basic(RESOURCE, MAIL_CREDENTIAL),
      basic(CLIENT.clientId, 'wrong'),
      basic('nobody', 'wrong'),
    ]) {
      const answer = await first.post('/introspect', { token }, headers)
      expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
        401,
        'invalid_client',
      ])
    }
    const named = await first.post('/introspect', { token, client_id: ada.clientId })
    expect(named.status).toBe(401)
    const get = await first.fetch(new Request('https://auth.example/introspect'))
    expect(get.status).toBe(405)
    expect((await first.post('/introspect', {}, bearer())).status).toBe(400)
  })

  it('AS-11: the metadata names both endpoints, and never `none` for introspection', async () => {
    const { first } = await start()
    const url = 'https://auth.example/.well-known/oauth-authorization-server'
    const metadata = (await (await first.fetch(new Request(url))).json()) as Record<string, unknown>
    expect(metadata['introspection_endpoint']).toBe('https://auth.example/introspect')
    expect(metadata['revocation_endpoint']).toBe('https://auth.example/revoke')
    expect(metadata['revocation_endpoint_auth_methods_supported']).toContain('none')
    const methods = metadata['introspection_endpoint_auth_methods_supported']
    expect(methods).toEqual(
      expect.arrayContaining(['client_secret_basic', 'client_secret_post', 'Bearer']),
    )
    expect(methods).not.toContain('none')
  })

  it('REV-06 REV-04: a revoked token is inactive here at once and elsewhere within the poll', async () => {
    const nodes = await start()
    const { first, second } = nodes
    const [ada, other] = [await first.signIn(), await first.signIn()]
    await expectActive(second, ada)
    const { clientId: client_id, access_token: token } = ada
    expect((await first.post('/revoke', { client_id, token })).status).toBe(200)
    await expectActive(first, ada, false)
    await nodes.elapse(2_500)
    await expectActive(second, ada, false)
    await expectActive(second, other)
  })

  it('REV-06: marks of user, client, resource, tenant and key, and the end of a grant, count', async () => {
    const nodes = await start()
    const { first, remote } = nodes
    for (const kind of ['user', 'client', 'connector', 'tenant'] as const) {
      remote.person = { subject: `person-${kind}` }
      const ada = await first.signIn()
      await expectActive(first, ada)
      const ids = { user: ada.userId, client: ada.clientId, connector: RESOURCE, tenant: 'default' }
      await first.house.operations.revoke({ kind, id: ids[kind] }, 'test')
      await expectActive(first, ada, false)
      // The mark reaches a little into the future.
      await nodes.elapse(3_000)
    }
    const ada = await first.signIn()
    await expectActive(first, ada)
    await first.house.operations.rotateKeys({ emergency: true })
    await expectActive(first, ada, false)
  })

  it('REV-07: a confidential client sees its own tokens, access and refresh, and less than a server', async () => {
    const { first } = await start()
    const own = await first.signIn(CLIENT)
    const asClient = basic(CLIENT.clientId, CLIENT.secret)
    const access = await ask(first, own.access_token, asClient)
    expect(access.body).toMatchObject({ active: true, client_id: CLIENT.clientId, aud: RESOURCE })
    expect(access.body).not.toHaveProperty('auth_time')
    const refresh = await ask(first, own.refresh_token, asClient)
    expect(refresh.body).toEqual({
      active: true,
      scope: expect.stringContaining('mcp'),
      client_id: CLIENT.clientId,
      sub: own.userId,
      aud: RESOURCE,
      iss: 'https://auth.example',
      exp: expect.any(Number),
    })
    const posted = await first.post('/introspect', {
      token: own.access_token,
      client_id: CLIENT.clientId,
      client_secret: CLIENT.secret,
    })
    expect(await posted.json()).toEqual(access.body)
    const renewed = await first.post('/token', {
      grant_type: 'refresh_token',
      client_id: CLIENT.clientId,
      client_secret: CLIENT.secret,
      refresh_token: own.refresh_token,
    })
    expect(renewed.status).toBe(200)
    // Spent: inactive, although a lost answer may still be asked for again.
    expect(await ask(first, own.refresh_token, asClient)).toEqual(INACTIVE)
  })
})

describe('POST /introspect beside the calls', () => {
  const open = () => {
    const secret = new Secret(CLIENT.secret)
    const resources = [RESOURCE, MAIL].map((url) => ({
      url,
      credential: new Secret(url === MAIL ? MAIL_CREDENTIAL : CREDENTIAL),
    }))
    const clients = [{ clientId: CLIENT.clientId, redirectUris, secret }]
    return createTestIssuer({ address: '10.0.0.7', config: { clients, resources } })
  }
  const asked = async (
    house: ReturnType<typeof open>,
    token: string,
    headers: Record<string, string> = basic(CLIENT.clientId, CLIENT.secret),
  ) => {
    const body = new URLSearchParams({ token })
    const request = new Request(`${house.issuer}/introspect`, { method: 'POST', body, headers })
    const answer = await house.fetch(request)
    return { status: answer.status, ...((await answer.json()) as Record<string, unknown>) }
  }
  const tokenOf = async (house: ReturnType<typeof open>) => {
    const { code = '' } = await signIn(house, new Visitor(house), CLIENT.clientId)
    const answer = await redeem(house, CLIENT.clientId, code, { client_secret: CLIENT.secret })
    return ((await answer.json()) as { access_token: string }).access_token
  }

  it('REV-06: a row older than its tombstone, and a sign-in refused upstream, are inactive', async () => {
    const house = open()
    const token = await tokenOf(house)
    expect(await asked(house, token)).toMatchObject({ active: true })
    house.proofs.next = 'dead'
    expect(await asked(house, token)).toEqual({ status: 200, active: false })
    house.proofs.next = 'fresh'
    const [user] = await house.store.list('user', 'default', undefined, { max: 1 })
    await house.store.commit([await tombstoneStep(house.deps, user?.key.id ?? '')])
    expect(await asked(house, token)).toEqual({ status: 200, active: false })
  })

  it('SEC-16 REV-05: a neighbour with an old credential locks no other server out', async () => {
    const house = open()
    const token = await tokenOf(house)
    const old = bearer('an-old-credential-of-the-mail-server-00')
    for (let round = 0; round < 60; round += 1)
      expect((await asked(house, token, old)).status).toBe(401)
    expect((await asked(house, token, old)).status).toBe(429)
    expect((await asked(house, token, bearer())).status).toBe(200)
    expect((await asked(house, token, basic(RESOURCE, CREDENTIAL))).status).toBe(200)
  })
})
