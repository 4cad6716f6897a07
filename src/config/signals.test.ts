import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.ts'
import { parseConfig } from './parse.ts'

const CREDENTIAL = 'credential-of-the-transmitter-0123456789'
const OKTA = { issuer: 'https://okta.example', audience: 'https://auth.example/events/okta' }
const parse = (signals: unknown) =>
  parseConfig({ signals, enable: ['shared-signals'] }, { environment: { OKTA_TOKEN: CREDENTIAL } })

function refusal(signals: unknown): string {
  try {
    parse(signals)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('signals', () => {
  it('reads a sender; its credential comes from the environment and never prints', () => {
    const jwksUri = 'https://okta.example/keys'
    const { signals = [] } = parse({ okta: { ...OKTA, jwksUri, credential: 'env:OKTA_TOKEN' } })
    expect(signals).toMatchObject([{ name: 'okta', ...OKTA, jwksUri }])
    expect(signals[0]?.credential?.reveal()).toBe(CREDENTIAL)
    expect(JSON.stringify(signals)).not.toContain('transmitter')
    expect(parse({}).signals).toEqual([])
  })

  it.each([
    ['no audience', { okta: { issuer: OKTA.issuer } }, 'signals.okta.audience'],
    ['an issuer that has no keys', { okta: { ...OKTA, issuer: 'okta' } }, 'signals.okta.issuer'],
    ['a provider that is not there', { okta: { ...OKTA, provider: 'nobody' } }, 'names nobody'],
    ['a short credential', { okta: { ...OKTA, credential: 'short' } }, 'at least 32 characters'],
    ['a name that is no path', { 'Okta/1': OKTA }, 'lower-case letters'],
    ['a field that does not exist', { okta: { ...OKTA, jwks: 'x' } }, 'Did you mean'],
  ])('refuses %s, naming it', (_what, signals, named) => {
    expect(refusal(signals)).toContain(named)
  })
})
