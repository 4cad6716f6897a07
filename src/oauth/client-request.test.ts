import { describe, expect, it } from 'vitest'
import { chooseAuthMethod, clientRequest } from './client-request.ts'

const FORM = { grant_type: 'authorization_code', code: 'a+b c', resource: undefined }

function sent(proof: Parameters<typeof clientRequest>[0]) {
  const { headers, body } = clientRequest(proof, FORM)
  return { headers, form: Object.fromEntries(new URLSearchParams(body)) }
}

describe('CLI-16: a client shows who it is in one place', () => {
  it('CLI-16: Basic carries both parts form-encoded, and the body neither', () => {
    const clientId = 'client:1 é'
    const secret = 'p+q/r=s%'
    const { headers, form } = sent({ method: 'client_secret_basic', clientId, secret })
    const [id = '', word = ''] = atob(headers['authorization']?.slice(6) ?? '').split(':')
    expect([id, word]).toEqual(['client%3A1+%C3%A9', 'p%2Bq%2Fr%3Ds%25'])
    expect(form).toEqual({ grant_type: 'authorization_code', code: 'a+b c' })
  })

  it('CLI-16: a secret in the body is in no header', () => {
    const proof = { method: 'client_secret_post', clientId: 'us', secret: 'hush' } as const
    const { headers, form } = sent(proof)
    expect(headers).toEqual({ 'content-type': 'application/x-www-form-urlencoded' })
    expect(form).toMatchObject({ client_id: 'us', client_secret: 'hush' })
  })

  it('CLI-16: an assertion goes with its type and without a secret', () => {
    const { headers, form } = sent({
      method: 'private_key_jwt',
      clientId: 'us',
      assertion: 'a.b.c',
    })
    expect(headers['authorization']).toBeUndefined()
    expect(form).toEqual({
      grant_type: 'authorization_code',
      code: 'a+b c',
      client_id: 'us',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: 'a.b.c',
    })
  })

  it('CLI-16: a public client says its name and nothing else', () => {
    const { headers, form } = sent({ method: 'none', clientId: 'us' })
    expect(headers['authorization']).toBeUndefined()
    expect(form).toEqual({ grant_type: 'authorization_code', code: 'a+b c', client_id: 'us' })
  })
})

it('CLI-16: takes what the server lists, and the first where it lists nothing', () => {
  const wanted = ['client_secret_basic', 'client_secret_post', 'none'] as const
  expect(chooseAuthMethod(undefined, wanted)).toBe('client_secret_basic')
  expect(chooseAuthMethod(['client_secret_post', 'none'], wanted)).toBe('client_secret_post')
  const python = ['client_secret_post', 'client_secret_basic']
  expect(chooseAuthMethod(python, wanted), 'in the order of the server').toBe('client_secret_post')
  expect(chooseAuthMethod(['none', 'client_secret_basic'], wanted)).toBe('client_secret_basic')
  expect(chooseAuthMethod(['tls_client_auth'], wanted)).toBeUndefined()
  expect(chooseAuthMethod([], wanted)).toBeUndefined()
})
