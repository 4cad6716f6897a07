import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { OpenIdDouble } from '../../demo/doubles/openid.ts'
import { type House, openIdHouse } from '../../test/contract/provider-house.ts'
import { UpstreamError } from '../errors.ts'
import {
  judgeOpenIdMetadata,
  loadJwks,
  loadOpenIdMetadata,
  openIdConfigurationUrl,
} from './openid-metadata.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const json = (body: unknown) => ({ status: 200, headers: JSON_TYPE, body: JSON.stringify(body) })

describe('discovery (PRV-01, S8)', () => {
  let house: House<OpenIdDouble>
  beforeAll(async () => {
    house = await openIdHouse()
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  const load = (issuer = house.provider.issuer) => loadOpenIdMetadata(issuer, house.context)
  const endpoint = 'GET /.well-known/openid-configuration'
  const document = () => ({
    issuer: house.provider.issuer,
    authorization_endpoint: `${house.provider.issuer}/auth`,
    token_endpoint: `${house.provider.issuer}/token`,
    jwks_uri: `${house.provider.issuer}/jwks`,
  })

  it('Discovery section 4.1: appends the well-known path, without doubling a slash', () => {
    expect(openIdConfigurationUrl('https://id.example/realms/a')).toBe(
      'https://id.example/realms/a/.well-known/openid-configuration',
    )
    expect(openIdConfigurationUrl('https://id.example/')).toBe(
      'https://id.example/.well-known/openid-configuration',
    )
  })

  it('takes the document of the real provider', async () => {
    const { value, headers } = await load()
    expect(value).toMatchObject({
      issuer: house.provider.issuer,
      sendsIss: true,
      idTokenAlgorithms: ['ES256'],
    })
    expect(headers.get('content-type')).toContain('application/json')
  })

  it('Discovery section 4.3: refuses an issuer that differs by one character', async () => {
    for (const issuer of [
      `${house.provider.issuer}/`,
      'https://evil.example',
      undefined,
      7,
      [house.provider.issuer],
    ]) {
      house.double.answerWith(endpoint, json({ ...document(), issuer }))
      await expect(load()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ISSUER' })
    }
  })

  it.each([
    ['authorization_endpoint', undefined],
    ['token_endpoint', 'http://evil.example/token'],
    ['jwks_uri', '/jwks'],
    ['userinfo_endpoint', 'http://169.254.169.254/me'],
    ['revocation_endpoint', 'javascript:alert(1)'],
    ['token_endpoint', 'https://user:pass@id.example/token'],
    ['introspection_endpoint', 'https://id.example/i#x'],
  ])('refuses a document whose %s is %s', (name, value) => {
    expect(judgeOpenIdMetadata({ ...document(), [name]: value }, house.provider.issuer)).toEqual({
      ok: false,
      reason: `endpoint:${name}`,
    })
  })

  it('uses the defaults of the standard where the document says nothing', () => {
    expect(judgeOpenIdMetadata(document(), house.provider.issuer)).toMatchObject({
      ok: true,
      metadata: {
        tokenAuthMethods: ['client_secret_basic'],
        idTokenAlgorithms: ['RS256'],
        sendsIss: false,
      },
    })
  })

  it.each([
    [404, '{}'],
    [200, 'not json'],
    [200, '[]'],
    [200, ''],
  ])('refuses status %s with %s', async (status, body) => {
    house.double.answerWith(endpoint, { status, headers: JSON_TYPE, body })
    await expect(load()).rejects.toBeInstanceOf(UpstreamError)
  })

  it('J2: drops private and symmetric keys, and refuses more than 100', async () => {
    const uri = `${house.provider.issuer}/jwks`
    const [secret, pair] = [
      { kty: 'oct', k: 'c2VjcmV0' },
      { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' },
    ]
    house.double.answerWith(
      'GET /jwks',
      json({ keys: [secret, pair, { kty: 'EC', kid: 'a' }, 7, null] }),
    )
    expect((await loadJwks(uri, house.context)).value).toEqual({
      keys: [{ kty: 'EC', kid: 'a' }],
    })
    house.double.answerWith(
      'GET /jwks',
      json({ keys: Array.from({ length: 101 }, () => ({ kty: 'EC' })) }),
    )
    await expect(loadJwks(uri, house.context)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_BODY',
    })
  })
})
