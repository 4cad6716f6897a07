import { describe, expect, it } from 'vitest'
import { connectorInput, documents } from '../../../test/kit/outbound.ts'
import { acceptedBy, approved, type Bound, bind, chooseIssuer } from './binding.ts'
import type { ConnectorRow } from './connector-rows.ts'

const ISSUER = 'https://auth.notes.example'
const EVIL = 'https://evil.example'

const problemsOf = (bound: Bound) => (bound.ok ? [] : bound.problems)

function rowOf(part: Partial<ConnectorRow> = {}): ConnectorRow {
  return {
    connector: 'notes',
    url: 'https://notes.example/mcp',
    definition: 'd',
    state: 'ready',
    issuer: ISSUER,
    tokenOrigin: ISSUER,
    approvedOrigins: [],
    problems: [],
    checkedAtMs: 0,
    ...part,
  }
}

describe('the choice of an authorization server', () => {
  const listed = ['https://a.example', 'https://b.example']

  it('DSC-05: takes the first that a resource lists', () => {
    expect(chooseIssuer(listed, {})).toBe('https://a.example')
    expect(chooseIssuer([], {})).toBeUndefined()
  })

  it('DSC-05: stays with the accepted one while it is listed, whatever its place', () => {
    expect(chooseIssuer(listed, { accepted: 'https://b.example' })).toBe('https://b.example')
    expect(chooseIssuer(listed, { accepted: 'https://c.example' })).toBe('https://a.example')
  })

  it('DSC-08: prefers the pinned one to the accepted one', () => {
    const known = { pinned: 'https://b.example', accepted: 'https://a.example' }
    expect(chooseIssuer(listed, known)).toBe('https://b.example')
  })
})

describe('bind', () => {
  it('gives issuer, resource and scopes of the documents', () => {
    const bound = bind(connectorInput(), documents(), undefined)
    expect(bound).toMatchObject({
      ok: true,
      binding: { issuer: ISSUER, resource: 'https://notes.example/mcp', scopesSupported: ['read'] },
    })
  })

  it('CLI-07: leaves the resource out where the connector says so', () => {
    const bound = bind(connectorInput({ omitResource: true }), documents(), undefined)
    expect(bound.ok && 'resource' in bound.binding && bound.binding.resource).toBeUndefined()
  })

  const endpoints = [
    'authorization_endpoint',
    'token_endpoint',
    'registration_endpoint',
    'revocation_endpoint',
    'pushed_authorization_request_endpoint',
  ]
  const splits: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
    ...endpoints.map((name) => [name, { [name]: `${EVIL}/x` }, EVIL] as const),
    ['every endpoint', Object.fromEntries(endpoints.map((name) => [name, `${EVIL}/x`])), EVIL],
    ['another port', { token_endpoint: `${ISSUER}:8443/token` }, `${ISSUER}:8443`],
    [
      'another scheme',
      { token_endpoint: 'http://auth.notes.example/token' },
      'http://auth.notes.example',
    ],
    [
      'a subdomain',
      { token_endpoint: 'https://x.auth.notes.example/token' },
      'https://x.auth.notes.example',
    ],
    [
      'the parent domain',
      { token_endpoint: 'https://notes.example/token' },
      'https://notes.example',
    ],
    [
      'a look-alike',
      { token_endpoint: 'https://auth.notes.example.evil.example/t' },
      'https://auth.notes.example.evil.example',
    ],
    [
      'userinfo that looks like the issuer',
      { registration_endpoint: 'https://auth.notes.example@evil.example/r' },
      EVIL,
    ],
  ]

  it.each(splits)('O3: quarantines a document with a split: %s', (_, members, origin) => {
    const bound = bind(connectorInput(), documents(members), undefined)
    expect(bound).toMatchObject({ ok: false, state: 'quarantined', refusedOrigin: origin })
    expect(problemsOf(bound)[0]?.text).toContain(origin)
  })

  it('O3: has twelve splits', () => expect(splits).toHaveLength(12))

  it('O3: takes a foreign origin that an administrator approved by name, and no other', () => {
    const members = { token_endpoint: 'https://tokens.example/t', revocation_endpoint: `${EVIL}/r` }
    const row = rowOf({
      tokenOrigin: 'https://tokens.example',
      approvedOrigins: ['https://tokens.example'],
    })
    const bound = bind(connectorInput(), documents(members), row)
    expect(bound).toMatchObject({ ok: false, refusedOrigin: EVIL })
    const without = documents({ token_endpoint: 'https://tokens.example/t' })
    expect(bind(connectorInput(), without, row).ok).toBe(true)
  })

  it('O3: takes the origins of endpoints that the configuration names', () => {
    const oauth = { endpoints: { authorization: `${ISSUER}/a`, token: 'https://tokens.example/t' } }
    const members = { token_endpoint: 'https://tokens.example/t' }
    expect(bind(connectorInput(oauth), documents(members), undefined).ok).toBe(true)
  })

  it('O4: quarantines a token endpoint that moved, even to the origin of the issuer', () => {
    const row = rowOf({ tokenOrigin: 'https://tokens.example', approvedOrigins: [] })
    expect(bind(connectorInput(), documents(), row)).toMatchObject({
      ok: false,
      state: 'quarantined',
      refusedOrigin: ISSUER,
    })
  })

  it('DSC-20: quarantines another issuer than the accepted one, and names both', () => {
    const moved = documents({
      issuer: EVIL,
      token_endpoint: `${EVIL}/t`,
      authorization_endpoint: `${EVIL}/a`,
    })
    const bound = bind(connectorInput(), moved, rowOf())
    expect(bound).toMatchObject({ ok: false, refusedOrigin: EVIL, refusedIssuer: EVIL })
    expect(problemsOf(bound)[0]?.text).toContain(ISSUER)
    expect(problemsOf(bound)[0]?.party).toBe('server')
  })

  it('starts anew for another URL: what was accepted counts for the old one only', () => {
    const row = rowOf({ url: 'https://old.example/mcp', issuer: 'https://old.example' })
    expect(bind(connectorInput(), documents(), row).ok).toBe(true)
  })

  it('DSC-08: refuses a document that is not of the pinned issuer, which only that connector has', () => {
    const pinned = connectorInput({ pinnedIssuer: `${ISSUER}/` })
    expect(bind(pinned, documents(), undefined)).toMatchObject({ ok: false, state: 'refused' })
    expect(bind(pinned, documents({ issuer: `${ISSUER}/` }), undefined).ok).toBe(true)
    expect(bind(connectorInput(), documents(), undefined).ok).toBe(true)
  })
})

describe('an approval', () => {
  const quarantined = rowOf({ state: 'quarantined', refusedOrigin: EVIL })

  it('names what was refused, to the letter of its origin', () => {
    expect(approved(quarantined, EVIL, false)?.approvedOrigins).toEqual([EVIL])
    expect(approved(quarantined, 'https://other.example', false)).toBeUndefined()
    expect(approved(quarantined, 'evil.example', false)).toBeUndefined()
    expect(approved(rowOf(), ISSUER, false)).toBeUndefined()
  })

  it('DSC-20: of another issuer accepts exactly that issuer, once', () => {
    const row = { ...quarantined, refusedIssuer: `${EVIL}/b` }
    const next = approved(row, EVIL, false)
    expect(next).toMatchObject({ issuer: `${EVIL}/b`, approvedOrigins: [] })
    expect(next).not.toHaveProperty('tokenOrigin')
    expect(next).not.toHaveProperty('refusedOrigin')
  })

  it('CLI-04: of another issuer is refused while a client that was made by hand belongs to the old one', () => {
    const row = { ...quarantined, refusedIssuer: EVIL }
    expect(approved(row, EVIL, true)).toBeUndefined()
  })

  it('is forgotten when no endpoint stands on that origin any more', () => {
    const bound = bind(connectorInput(), documents(), undefined)
    if (!bound.ok) throw new Error('not bound')
    expect(acceptedBy(bound.binding, [EVIL])).toEqual({
      issuer: ISSUER,
      tokenOrigin: ISSUER,
      approvedOrigins: [],
    })
  })

  it("O4: of a move to the issuer's own origin is kept: connections made before follow by it", () => {
    const row = rowOf({ tokenOrigin: 'https://tokens.example' })
    const next = approved({ ...row, refusedOrigin: ISSUER, state: 'quarantined' }, ISSUER, false)
    const bound = bind(connectorInput(), documents(), next)
    expect(bound.ok && acceptedBy(bound.binding, next?.approvedOrigins ?? [])).toMatchObject({
      tokenOrigin: ISSUER,
      approvedOrigins: [ISSUER],
    })
  })
})
