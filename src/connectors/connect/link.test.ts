import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../../test/kit/runtime.ts'
import { LINK_MAX_CHARACTERS, LINK_TTL_MS, type LinkHouse, openLink, sealLink } from './link.ts'

const FACTS = {
  userId: 'usr_1',
  connector: 'notes',
  clientId: 'cli_1',
  clientName: 'Claude',
  scopes: ['admin'],
}

function createHouse(): LinkHouse & { readonly runtime: ReturnType<typeof createTestRuntime> } {
  const runtime = createTestRuntime()
  const ticketKey = runtime.randomBytes(32)
  const config = { issuer: 'https://auth.example/t/acme', prefix: '/postern' }
  return { config, runtime, keys: { ticketKey: () => ticketKey } }
}

const sealedOf = (url: string) => new URL(url).searchParams.get('link') ?? ''

describe('links', () => {
  it('CLI-13: points to this house, below its prefix, and is opened by it alone', () => {
    const house = createHouse()
    const url = sealLink(house, FACTS)
    expect(url.startsWith('https://auth.example/t/acme/postern/connect/notes?link=')).toBe(true)
    expect(openLink(house, sealedOf(url))).toMatchObject(FACTS)
    expect(openLink(createHouse(), sealedOf(url))).toBeUndefined()
  })

  it('CLI-13: is good for fifteen minutes', () => {
    const house = createHouse()
    const sealed = sealedOf(sealLink(house, FACTS))
    house.runtime.advanceMs(LINK_TTL_MS - 1)
    expect(openLink(house, sealed)).toMatchObject(FACTS)
    house.runtime.advanceMs(1)
    expect(openLink(house, sealed)).toBe('expired')
  })

  it('GW-25: opens whatever scopes a server asks for, with as many as fit', () => {
    const house = createHouse()
    const clientId = `https://client.example/${'c'.repeat(2_000)}`
    const long = Array.from({ length: 50 }, (_, index) => `${index}_${'s'.repeat(150)}`)
    const link = openLink(house, sealedOf(sealLink(house, { ...FACTS, clientId, scopes: long })))
    expect(link).toMatchObject({ clientId, scopes: long.slice(0, 14) })
    const one = { ...FACTS, clientId, scopes: ['x'.repeat(8_000), 'admin'] }
    expect(openLink(house, sealedOf(sealLink(house, one)))).toMatchObject({ scopes: ['admin'] })
  })

  it('CLI-13: a changed, shortened or foreign text is none; a ticket of another purpose is none', () => {
    const house = createHouse()
    const sealed = sealedOf(sealLink(house, FACTS))
    for (let at = 0; at < sealed.length; at += 7) {
      const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1)
      expect(openLink(house, changed), String(at)).toBeUndefined()
    }
    expect(openLink(house, sealed.slice(0, -4))).toBeUndefined()
    expect(openLink(house, '')).toBeUndefined()
    expect(openLink(house, 'A'.repeat(LINK_MAX_CHARACTERS + 1))).toBeUndefined()
    const ticket = house.runtime.seal(
      house.keys.ticketKey(),
      JSON.stringify(FACTS),
      '["x","ticket"]',
    )
    expect(openLink(house, ticket)).toBeUndefined()
  })
})
