/** DPoP (RFC 9449): the token endpoint over the issuer in memory, resources over the whole house. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createPostern } from '../../src/app.ts'
import type { StaticClient } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { openPlane } from '../kit/plane.ts'
import { createWatchedPlatform } from '../kit/platform.ts'
import { createProver, type Prover } from '../kit/prover.ts'
import { createRemoteIssuer, RESOURCE, startRemote } from './remote-issuer.ts'
import {
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  VERIFIER,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const TOKEN_URL = `${ISSUER}/token`
const SECRET = 'a-secret-of-a-machine-0123456789'
const ROBOT: StaticClient = {
  clientId: 'robot',
  redirectUris: [WEB_REDIRECT],
  secret: new Secret(SECRET),
  grants: ['client_credentials', 'authorization_code', 'refresh_token'],
}

async function open() {
  const house = createTestIssuer({
    config: { enable: ['dpop', 'client-credentials', 'pushed-requests'], clients: [ROBOT] },
  })
  const prover = await createProver(() => house.runtime.nowMs())
  const { client_id } = await register(house)
  return { house, prover, clientId: client_id }
}

/** The first proof has no nonce and gets one; the second is taken. */
async function send(
  house: TestHouse,
  prover: Prover,
  form: Record<string, string>,
  path = '/token',
): Promise<Response> {
  const url = `${ISSUER}${path}`
  const answer = await post(house, form, await prover.prove('POST', url), path)
  prover.nonce = answer.headers.get('dpop-nonce') ?? prover.nonce
  if (answer.status !== 400 || (await errorOf(answer.clone())) !== 'use_dpop_nonce') return answer
  return post(house, form, await prover.prove('POST', url), path)
}

function post(
  house: TestHouse,
  form: Record<string, string>,
  dpop: string,
  path = '/token',
): Promise<Response> {
  const body = new URLSearchParams(form)
  return house.fetch(new Request(`${ISSUER}${path}`, { method: 'POST', body, headers: { dpop } }))
}

async function codeForm(
  house: TestHouse,
  clientId: string,
  rest: Record<string, string> = {},
): Promise<Record<string, string>> {
  const { code = '' } = await signIn(house, new Visitor(house), clientId, rest)
  return {
    grant_type: 'authorization_code',
    client_id: clientId,
    code,
    code_verifier: VERIFIER,
    redirect_uri: WEB_REDIRECT,
  }
}

async function tokensOf(answer: Response): Promise<Tokens> {
  expect(answer.status).toBe(200)
  return (await answer.json()) as Tokens
}

function refreshForm(clientId: string, refreshToken: string): Record<string, string> {
  return { grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken }
}

describe('DPoP at the token endpoint', () => {
  it('EXT-05: a code is redeemed for a token bound to the key: token_type DPoP, cnf.jkt', async () => {
    const { house, prover, clientId } = await open()
    const body = await tokensOf(await send(house, prover, await codeForm(house, clientId)))
    expect(body.token_type).toBe('DPoP')
    expect(claimsOf(body.access_token).cnf).toEqual({ jkt: prover.jkt })
  })

  it('EXT-05: use_dpop_nonce gives a nonce that all nodes know, and answers keep it fresh', async () => {
    const { house, prover, clientId } = await open()
    const form = await codeForm(house, clientId)
    const first = await post(house, form, await prover.prove('POST', TOKEN_URL))
    expect([first.status, await errorOf(first)]).toEqual([400, 'use_dpop_nonce'])
    const nonce = first.headers.get('dpop-nonce')
    expect(nonce).toMatch(/^[\w-]{22}$/)
    expect(first.headers.get('access-control-expose-headers')).toContain('DPoP-Nonce')
    prover.nonce = nonce ?? ''
    const second = await post(house, form, await prover.prove('POST', TOKEN_URL))
    expect([second.status, second.headers.get('dpop-nonce')]).toEqual([200, nonce])
    house.runtime.advanceMs(900_000)
    const { refresh_token } = (await second.json()) as Tokens
    const late = await post(
      house,
      refreshForm(clientId, refresh_token),
      await prover.prove('POST', TOKEN_URL),
    )
    expect(await errorOf(late)).toBe('use_dpop_nonce')
    expect(late.headers.get('dpop-nonce')).not.toBe(nonce)
  })

  it('EXT-05: a proof is used once, on any node; a request that is refused anyway uses none up', async () => {
    const { house, prover, clientId } = await open()
    const form = await codeForm(house, clientId)
    await send(house, prover, { ...form, code: 'wrong' })
    const proof = await prover.prove('POST', TOKEN_URL)
    expect(await errorOf(await post(house, { ...form, code: 'wrong' }, proof))).toBe(
      'invalid_grant',
    )
    expect(await house.store.count('spent', 'default')).toBe(0)
    const { refresh_token } = await tokensOf(await post(house, form, proof))
    expect(await house.store.count('spent', 'default')).toBe(1)
    const refreshing = refreshForm(clientId, refresh_token)
    expect(await errorOf(await post(house, refreshing, proof))).toBe('invalid_dpop_proof')
    const fresh = await prover.prove('POST', TOKEN_URL)
    const both = await Promise.all([post(house, refreshing, fresh), post(house, refreshing, fresh)])
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 400])
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['another method', { htm: 'GET' }, 'POST'],
    ['another endpoint', { htu: `${ISSUER}/revoke` }, 'POST'],
    ['an age beyond the window', { iat: 1 }, 'POST'],
    ['no jti', { jti: undefined }, 'POST'],
  ])('EXT-05: a proof with %s is invalid_dpop_proof, and the code survives', async (_, claims) => {
    const { house, prover, clientId } = await open()
    const form = await codeForm(house, clientId)
    await send(house, prover, { ...form, code: 'wrong' })
    const bad = await post(house, form, await prover.prove('POST', TOKEN_URL, { claims }))
    expect([bad.status, await errorOf(bad)]).toEqual([400, 'invalid_dpop_proof'])
    expect((await send(house, prover, form)).status).toBe(200)
  })

  it('EXT-05: a public client’s refresh token is bound: no proof and another key are refused, and end nothing', async () => {
    const { house, prover, clientId } = await open()
    const body = await tokensOf(await send(house, prover, await codeForm(house, clientId)))
    const form = refreshForm(clientId, body.refresh_token)
    expect(await errorOf(await token(house, form))).toBe('invalid_dpop_proof')
    const thief = await createProver(() => house.runtime.nowMs())
    thief.nonce = prover.nonce
    expect(await errorOf(await send(house, thief, form))).toBe('invalid_dpop_proof')
    const next = await tokensOf(await send(house, prover, form))
    expect(claimsOf(next.access_token).cnf).toEqual({ jkt: prover.jkt })
    const again = await tokensOf(await send(house, prover, form))
    expect(again.refresh_token).toBe(next.refresh_token)
  })

  it('EXT-05: a grant that began without a key is bound by the first refresh with one', async () => {
    const { house, prover, clientId } = await open()
    const plain = await tokensOf(await token(house, await codeForm(house, clientId)))
    expect(plain.token_type).toBe('Bearer')
    const form = refreshForm(clientId, plain.refresh_token)
    const bound = await tokensOf(await send(house, prover, form))
    expect(bound.token_type).toBe('DPoP')
    expect(await errorOf(await token(house, refreshForm(clientId, bound.refresh_token)))).toBe(
      'invalid_dpop_proof',
    )
  })

  it('EXT-05: a client with a secret may change its key, but not go without one', async () => {
    const { house, prover } = await open()
    const secret = { client_secret: SECRET }
    const form = { ...(await codeForm(house, 'robot')), ...secret }
    const body = await tokensOf(await send(house, prover, form))
    const refreshing = { ...refreshForm('robot', body.refresh_token), ...secret }
    expect(await errorOf(await token(house, refreshing))).toBe('invalid_dpop_proof')
    const second = await createProver(() => house.runtime.nowMs())
    const next = await tokensOf(await send(house, second, refreshing))
    expect(claimsOf(next.access_token).cnf).toEqual({ jkt: second.jkt })
  })

  it('EXT-05: dpop_jkt binds the code: no proof and another key are invalid_grant', async () => {
    const { house, prover, clientId } = await open()
    const form = await codeForm(house, clientId, { dpop_jkt: prover.jkt })
    expect(await errorOf(await token(house, form))).toBe('invalid_grant')
    const thief = await createProver(() => house.runtime.nowMs())
    expect(await errorOf(await send(house, thief, form))).toBe('invalid_grant')
    const body = await tokensOf(await send(house, prover, form))
    expect(claimsOf(body.access_token).cnf).toEqual({ jkt: prover.jkt })
  })

  it('EXT-05 AZ-20: a pushed request binds its code by proof, and both words must agree', async () => {
    const { house, prover } = await open()
    const query = authorizeUrl(house, 'robot', { client_secret: SECRET }).searchParams
    const form = Object.fromEntries(query)
    const pushed = await send(house, prover, form, '/par')
    const { request_uri } = (await pushed.json()) as { request_uri: string }
    const visitor = new Visitor(house)
    const page = await visitor.get(
      `/authorize?${new URLSearchParams({ client_id: 'robot', request_uri })}`,
    )
    const back = await visitor.comeBack(await visitor.press(page, 'allow:github'))
    const code = new URL(back.headers.get('location') ?? '').searchParams.get('code') ?? ''
    const redeeming = {
      grant_type: 'authorization_code',
      client_id: 'robot',
      client_secret: SECRET,
      code,
      code_verifier: VERIFIER,
    }
    expect(await errorOf(await token(house, redeeming))).toBe('invalid_grant')
    expect((await send(house, prover, redeeming)).status).toBe(200)
    const other = { ...form, dpop_jkt: 'A'.repeat(43) }
    expect(await errorOf(await send(house, prover, other, '/par'))).toBe('invalid_dpop_proof')
    const malformed = { ...form, dpop_jkt: 'short' }
    expect(await errorOf(await send(house, prover, malformed, '/par'))).toBe('invalid_request')
  })

  it('EXT-05 EXT-04: a machine’s token is bound too', async () => {
    const { house, prover } = await open()
    const form = {
      grant_type: 'client_credentials',
      client_id: 'robot',
      client_secret: SECRET,
      resource: NOTES,
    }
    const body = await tokensOf(await send(house, prover, form))
    expect(body.token_type).toBe('DPoP')
    expect(claimsOf(body.access_token)).toMatchObject({ cnf: { jkt: prover.jkt } })
  })
})

/** A real house with one person's bound token; every call is a real request. */
async function bound(config: Parameters<typeof openPlane>[0]['config'] = {}) {
  const plane = await openPlane({
    provider: 'github',
    clock: 'real',
    config: { enable: ['dpop', 'client-credentials'], ...config },
  })
  const caller = await plane.signIn()
  const prover = await createProver(() => Date.now())
  const ask = async (): Promise<Response> =>
    fetch(caller.tokenEndpoint, {
      method: 'POST',
      headers: { dpop: await prover.prove('POST', caller.tokenEndpoint) },
      body: new URLSearchParams(refreshForm(caller.clientId, caller.refreshToken ?? '')),
    })
  prover.nonce = (await ask()).headers.get('dpop-nonce') ?? ''
  const { access_token: accessToken, token_type } = await tokensOf(await ask())
  expect(token_type).toBe('DPoP')
  const call = (authorization: string, dpop?: string): Promise<Response> =>
    fetch(plane.resource, {
      method: 'POST',
      headers: {
        authorization,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        ...(dpop === undefined ? {} : { dpop }),
      },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_notes","arguments":{}}}',
    })
  const prove = (claims: Record<string, unknown> = {}) =>
    prover.prove('POST', plane.resource, { accessToken, claims })
  return { plane, caller, prover, accessToken, call, prove }
}

describe('DPoP at a resource', () => {
  it('EXT-05: a bound token with its proof reaches the server behind, each time with a new proof', async () => {
    const { plane, accessToken, call, prove } = await bound()
    for (let times = 0; times < 2; times += 1) {
      const answer = await call(`DPoP ${accessToken}`, await prove())
      expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('result')])
    }
    expect(plane.notes.requests()).toBe(2)
  })

  it('EXT-05: the bound token as Bearer is 401 with a DPoP challenge, with and without a proof', async () => {
    const { accessToken, call, prove } = await bound()
    for (const proof of [undefined, await prove()]) {
      const answer = await call(`Bearer ${accessToken}`, proof)
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toMatch(
        /^DPoP resource_metadata="[^"]+", error="invalid_token", algs="ES256"$/,
      )
    }
  })

  it('EXT-05: an unbound token with the scheme DPoP is 401, whoever proves what', async () => {
    const { caller, plane, prover, call } = await bound()
    const proof = await prover.prove('POST', plane.resource, { accessToken: caller.accessToken })
    const answer = await call(`DPoP ${caller.accessToken}`, proof)
    expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_token'])
    expect((await call(`Bearer ${caller.accessToken}`)).status).toBe(200)
  })

  it('EXT-05: each wrong part of a proof is 401 invalid_dpop_proof', async () => {
    const { plane, accessToken, prover, call, prove } = await bound()
    const wrong: [string, string | undefined][] = [
      ['none', undefined],
      ['method', await prove({ htm: 'GET' })],
      ['url', await prove({ htu: `${plane.issuer}/mcp/other` })],
      ['age', await prove({ iat: Math.floor(Date.now() / 1000) - 31 })],
      ['ath absent', await prover.prove('POST', plane.resource)],
      ['ath of another token', await prove({ ath: 'A'.repeat(43) })],
      ['not a proof', 'x.y.z'],
    ]
    for (const [name, proof] of wrong) {
      const answer = await call(`DPoP ${accessToken}`, proof)
      expect([answer.status, await errorOf(answer)], name).toEqual([401, 'invalid_dpop_proof'])
    }
    const thief = await createProver(() => Date.now())
    thief.nonce = prover.nonce
    const stolen = await thief.prove('POST', plane.resource, { accessToken })
    expect(await errorOf(await call(`DPoP ${accessToken}`, stolen))).toBe('invalid_dpop_proof')
  })

  it('EXT-05: a proof is used once at a node; without our nonce there is use_dpop_nonce', async () => {
    const { accessToken, call, prove } = await bound()
    const proof = await prove()
    expect((await call(`DPoP ${accessToken}`, proof)).status).toBe(200)
    expect(await errorOf(await call(`DPoP ${accessToken}`, proof))).toBe('invalid_dpop_proof')
    const stale = await call(`DPoP ${accessToken}`, await prove({ nonce: undefined }))
    expect([stale.status, await errorOf(stale)]).toEqual([401, 'use_dpop_nonce'])
    expect(stale.headers.get('dpop-nonce')).toMatch(/^[\w-]{22}$/)
    expect(stale.headers.get('www-authenticate')).toContain('error="use_dpop_nonce"')
  })

  it('EXT-05: where DPoP is off its scheme is unknown: 401 with a Bearer challenge', async () => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    const { accessToken } = await plane.signIn()
    const answer = await fetch(plane.resource, {
      method: 'POST',
      headers: { authorization: `DPoP ${accessToken}`, dpop: 'x' },
    })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
  })
})

const SERVER = 'https://tools.example/mcp'

/** `authenticate()` of a house in this process, for a server that it does not stand in front of. */
async function protectedHouse() {
  const folder = await mkdtemp(join(tmpdir(), 'postern-dpop-'))
  const postern = createPostern(
    {
      databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
      enable: ['dpop', 'client-credentials'],
      resources: [SERVER],
      clients: { robot: { secret: SECRET, grants: ['client_credentials'] } },
      log: { level: 'silent' },
    },
    createWatchedPlatform(undefined),
  )
  onTestFinished(async () => {
    await postern.close()
    await rm(folder, { recursive: true, force: true })
  })
  await postern.ready()
  const prover = await createProver(() => Date.now())
  const tokenUrl = 'http://127.0.0.1:8414/token'
  const ask = async (proved: boolean): Promise<Response> =>
    postern.fetch(
      new Request(tokenUrl, {
        method: 'POST',
        headers: proved ? { dpop: await prover.prove('POST', tokenUrl) } : {},
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: 'robot',
          client_secret: SECRET,
          resource: SERVER,
        }),
      }),
    )
  prover.nonce = (await ask(true)).headers.get('dpop-nonce') ?? ''
  const [boundToken, plain] = [await tokensOf(await ask(true)), await tokensOf(await ask(false))]
  const authenticate = (headers: Record<string, string>, url = SERVER) =>
    postern.authenticate(new Request(url, { method: 'POST', headers }))
  return { prover, accessToken: boundToken.access_token, plain, authenticate }
}

describe('DPoP at protect()', () => {
  it('EXT-05 EXT-04: a machine with its proof is a principal with a client’s subject', async () => {
    const { prover, accessToken, plain, authenticate } = await protectedHouse()
    const dpop = await prover.prove('POST', SERVER, { accessToken })
    const answer = await authenticate({ authorization: `DPoP ${accessToken}`, dpop })
    expect(answer).toMatchObject({ principal: { userId: 'client:robot', clientId: 'robot' } })
    expect(await authenticate({ authorization: `Bearer ${plain.access_token}` })).toMatchObject({
      principal: { userId: 'client:robot' },
    })
  })

  it('EXT-05: a bound token as Bearer, a replayed proof and a proof for another path are 401', async () => {
    const { prover, accessToken, authenticate } = await protectedHouse()
    const authorization = `DPoP ${accessToken}`
    const proof = await prover.prove('POST', SERVER, { accessToken })
    expect(await authenticate({ authorization: `Bearer ${accessToken}` })).toMatchObject({
      reason: 'token_bound',
      response: { status: 401 },
    })
    expect(await authenticate({ authorization, dpop: proof })).toHaveProperty('principal')
    expect(await authenticate({ authorization, dpop: proof })).toMatchObject({
      reason: 'dpop_replayed',
      response: { status: 401 },
    })
    expect(await authenticate({ authorization })).toMatchObject({ reason: 'dpop_proof' })
    const elsewhere = await prover.prove('POST', `${SERVER}/other`, { accessToken })
    expect(await authenticate({ authorization, dpop: elsewhere })).toMatchObject({
      reason: 'dpop_proof',
    })
    expect(
      await authenticate(
        { authorization, dpop: await prover.prove('POST', `${SERVER}/deep`, { accessToken }) },
        `${SERVER}/deep?x=1`,
      ),
    ).toHaveProperty('principal')
  })
})

describe('DPoP at protect() in another process', () => {
  it('EXT-05: the key of the token decides there too: no nonce, but a proof is used once', async () => {
    const issuer = await createRemoteIssuer()
    const prover = await createProver(() => issuer.runtime.nowMs())
    const { guard } = await startRemote(issuer)
    const accessToken = issuer.token({ cnf: { jkt: prover.jkt } })
    const path = new URL(RESOURCE).pathname
    const ask = async (authorization: string, proof?: string) => {
      const shown = proof === undefined ? undefined : { proof, method: 'POST', path }
      const answer = await guard.authenticate(authorization, {}, undefined, shown)
      return answer.ok ? 'ok' : `${answer.refusal.status} ${answer.refusal.reason}`
    }
    const proof = await prover.prove('POST', RESOURCE, { accessToken })
    expect(await ask(`DPoP ${accessToken}`, proof)).toBe('ok')
    expect(await ask(`DPoP ${accessToken}`, proof)).toBe('401 dpop_replayed')
    expect(await ask(`Bearer ${accessToken}`)).toBe('401 token_bound')
    expect(await ask(`DPoP ${accessToken}`)).toBe('401 token_missing')
    const thief = await createProver(() => issuer.runtime.nowMs())
    const stolen = await thief.prove('POST', RESOURCE, { accessToken })
    expect(await ask(`DPoP ${accessToken}`, stolen)).toBe('401 dpop_proof')
    const plain = issuer.token()
    const own = await prover.prove('POST', RESOURCE, { accessToken: plain })
    expect(await ask(`DPoP ${plain}`, own)).toBe('401 token_unbound')
    expect(await ask(`Bearer ${plain}`)).toBe('ok')
  })
})
