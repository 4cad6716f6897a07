import { describe, expect, it } from 'vitest'
import { approvedOrigins } from './approved-origins.ts'
import { parseConfig } from './parse.ts'

const secret = `whsec_${btoa('k'.repeat(32))}`
const url = 'https://app.example/hook'
const events = ['connection.*']

function parse(webhooks: unknown) {
  return parseConfig({ webhooks }, { environment: { HOOK: secret } })
}

describe('webhooks of the configuration', () => {
  it('are read, with a secret from the environment that prints as nothing', () => {
    const config = parse([{ url, events, secret: 'env:HOOK' }])
    expect(config.webhooks).toMatchObject([{ url, events }])
    expect(config.webhooks?.[0]?.secret.reveal()).toBe(secret)
    expect(JSON.stringify(config.webhooks)).not.toContain(secret)
  })

  it('S1: approve their exact origin', () => {
    const config = parse([{ url: 'http://10.0.0.7:9000/hook', events, secret }])
    expect([...approvedOrigins(config)]).toEqual(['http://10.0.0.7:9000'])
  })

  const refused: readonly [string, unknown, string][] = [
    ['no list', {}, 'webhooks must be a list'],
    ['an unknown field', [{ url, events, secret, name: 'x' }], 'webhooks[0].name'],
    ['no URL', [{ events, secret }], 'webhooks[0].url'],
    ['no events', [{ url, events: [], secret }], 'webhooks[0].events'],
    ['an event that is none', [{ url, events: ['connect.*'], secret }], 'webhooks[0].events[0]'],
    ['a short secret', [{ url, events, secret: `whsec_${btoa('k'.repeat(23))}` }], 'secret'],
    ['a long secret', [{ url, events, secret: `whsec_${btoa('k'.repeat(65))}` }], 'secret'],
    ['a secret without its prefix', [{ url, events, secret: btoa('k'.repeat(32)) }], 'secret'],
    [
      'a URL twice',
      [
        { url, events, secret },
        { url, events, secret },
      ],
      'webhooks[1].url',
    ],
  ]
  it.each(refused)('refuses %s', (_what, webhooks, field) => {
    expect(() => parse(webhooks)).toThrow(field)
  })
})
