/** Bad input at `/authorize`, `/par` and the places that lead a browser away (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import {
  answerOf,
  authorizeUrl,
  redeem,
  VERIFIER,
  Visitor,
  WEB_REDIRECT,
} from '../flow/sign-in-house.ts'
import { checkFamily, countOf, distinct } from '../kit/family.ts'
import { ISSUER, MACHINE, NOTES, openFamilyHouse, type Seen } from '../kit/family-house.ts'
import { badSchemes, nearMisses } from '../kit/hostile.ts'

const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin', origin: ISSUER }

async function setUp() {
  const house = await openFamilyHouse()
  const { clientId, visitor } = await house.tokens()
  // Registered by hand: its errors are redirected, where those of others are a page (AZ-15).
  const query = (rest: Record<string, string | undefined> = {}): string => {
    const { pathname, search } = authorizeUrl(house.kit, 'portal', rest)
    return `${pathname}${search}`
  }
  /** The same request, pushed by a client with a secret. */
  const push = (rest: Record<string, string | undefined> = {}): Promise<Seen> => {
    const secret = { client_secret: MACHINE.secret }
    const { searchParams } = authorizeUrl(house.kit, MACHINE.clientId, { ...secret, ...rest })
    return house.post('/par', new URLSearchParams(searchParams))
  }
  return { house, clientId, visitor, query, push }
}

/** Whether a redirect stays where the client is registered. */
function expectRegistered({ location }: Seen): void {
  if (location === undefined) return
  const url = new URL(location)
  expect(`${url.origin}${url.pathname}`).toBe(WEB_REDIRECT)
}

function expectRefusedPage(seen: Seen): void {
  expect([seen.status, seen.location]).toEqual([400, undefined])
  expect(seen.headers.getSetCookie()).toEqual([])
}

describe('B1: where a browser is sent', () => {
  it('A3 A4 B1: redirect_uri at /authorize and /par: a page or a refusal, never a redirect elsewhere', async () => {
    const { house, query, push } = await setUp()
    const uris = nearMisses(WEB_REDIRECT, countOf(400))
    await checkFamily('B1 redirect_uri at /authorize', uris, async (redirect_uri) => {
      const seen = await house.get(query({ redirect_uri }))
      // Absent is allowed where one is registered.
      if (redirect_uri === '') expectRegistered(seen)
      else expectRefusedPage(seen)
    })
    await checkFamily('B1 redirect_uri at /par', uris, async (redirect_uri) => {
      const seen = await push({ redirect_uri })
      if (redirect_uri === '') return
      expect([seen.status, seen.error]).toEqual([400, 'invalid_request'])
    })
    await house.finish()
  })

  it('A21 B1: return_to at sign-out and at our own pages leads to a path of ours or nowhere', async () => {
    const { house, visitor } = await setUp()
    const local = nearMisses(`${ISSUER}/account`, countOf(400)).map((uri, index) =>
      index % 2 === 0 ? uri : uri.replace(/^https?:/, '').replace(ISSUER.slice(6), ''),
    )
    const fixed = [
      '/.//evil.example',
      '/x/..//evil.example',
      '//evil.example',
      '/\\evil.example',
      '/\t/evil.example',
      '/%0d/evil.example',
    ]
    await checkFamily('B1 return_to', [...fixed, ...local], async (target) => {
      const value = encodeURIComponent(target.toWellFormed())
      const seen = await house.form(`/logout?return_to=${value}`, {}, SAME_ORIGIN)
      expect(seen.status).toBeLessThan(400)
      if (seen.location === undefined) return
      expect(new URL(seen.location, ISSUER).origin, seen.location).toBe(ISSUER)
      // Written again without our origin, as a proxy may do, it must stay ours.
      const { pathname } = new URL(seen.location, ISSUER)
      expect(new URL(pathname, ISSUER).origin, seen.location).toBe(ISSUER)
    })
    for (const page of ['/', '/account', '/mcp.json']) {
      const target = encodeURIComponent('https://evil.example/')
      const answer = await visitor.get(`${page}?return_to=${target}&redirect_uri=${target}`)
      const shown = `${answer.headers.get('location')} ${await answer.text()}`
      expect(shown).not.toContain('evil.example')
    }
    await house.finish()
  })

  it('A21 B1: error redirects of a broken request go to the registered URI only', async () => {
    const { house, query } = await setUp()
    const broken = [
      { response_type: 'token' },
      { scope: 'nonsense' },
      { resource: 'https://evil.example/mcp' },
      { code_challenge: 'x' },
      { prompt: 'none login' },
    ]
    const uris = nearMisses(WEB_REDIRECT, countOf(400))
    await checkFamily('B1 error redirect', uris, async (redirect_uri) => {
      for (const rest of broken) expectRegistered(await house.get(query({ ...rest, redirect_uri })))
    })
    const good = await house.get(query({ response_type: 'token' }))
    expect([good.status, good.error]).toEqual([303, 'unsupported_response_type'])
    await house.finish()
  })
})

it('A5 B2: no scheme but https is a redirect_uri at /authorize or /par', async () => {
  const { house, query, push } = await setUp()
  await checkFamily('B2', badSchemes(countOf(120)), async (redirect_uri) => {
    expectRefusedPage(await house.get(query({ redirect_uri })))
    expect((await push({ redirect_uri })).error).toBe('invalid_request')
  })
  await house.finish()
})

describe('B19: PKCE', () => {
  const CHARACTERS = [...' +/=%&.~!"#\\{}\u00e4\u2028\u200b\0\n']
  const values = (count: number): string[] =>
    distinct(count, (draw, index) => {
      const fixed = ['', 'x', 'a'.repeat(42), 'a'.repeat(44), 'a'.repeat(129), 'a'.repeat(5_000)]
      const at = draw.whole(43)
      const odd = `${'a'.repeat(at)}${draw.pick(CHARACTERS)}${'a'.repeat(42 - at)}`
      return fixed[index] ?? odd
    })

  it('A6 B19: a challenge outside the grammar or another method starts nothing', async () => {
    const { house, query, push } = await setUp()
    const methods = ['', 'plain', 's256', 'S256 ', 'S512', 'none', 'S256,plain', 'null']
    const requests = [
      ...values(countOf(60)).map((code_challenge) => ({ code_challenge })),
      ...methods.map((code_challenge_method) => ({ code_challenge_method })),
    ]
    await checkFamily('B19 challenge', requests, async (rest) => {
      const seen = await house.get(query(rest))
      expectRegistered(seen)
      // What no parameter can hold is told on a page: nothing of such a request is believed.
      if (seen.location === undefined) expectRefusedPage(seen)
      else expect(seen.error).toBe('invalid_request')
      expect((await push(rest)).error).toBe('invalid_request')
    })
    await house.finish()
  })

  it('A6 B19: a code is not redeemed with any other verifier, and none without one', async () => {
    const { house, clientId } = await setUp()
    const wrong = values(countOf(60))
    await checkFamily('B19 verifier', wrong, async (code_verifier) => {
      const { code = '' } = answerOf(await house.arrive(new Visitor(house.kit), clientId))
      expect(code).not.toBe('')
      house.plant(code_verifier)
      const form = {
        grant_type: 'authorization_code',
        client_id: clientId,
        code,
        redirect_uri: WEB_REDIRECT,
      }
      const seen = await house.form('/token', { ...form, code_verifier })
      expect(seen.status).toBe(400)
      expect(['invalid_grant', 'invalid_request']).toContain(seen.error)
    })
    const { code = '' } = answerOf(await house.arrive(new Visitor(house.kit), clientId))
    expect((await redeem(house.kit, clientId, code)).status).toBe(200)
    await house.finish()
  })
})

it('A25: 40 combinations of response_type and response_mode, and grants nobody has, at the real doors', async () => {
  const { house, query, push } = await setUp()
  const types = ['code', 'token', 'id_token', 'none', 'code token', 'CODE', 'code ', 'password']
  const modes = [undefined, 'query', 'fragment', 'form_post', 'web_message']
  const combinations = types.flatMap((response_type) =>
    modes.map((response_mode) => ({ response_type, response_mode })),
  )
  expect(combinations).toHaveLength(40)
  await checkFamily('A25', combinations, async (rest) => {
    const { response_type, response_mode } = rest
    const isGood = response_type === 'code' && (response_mode ?? 'query') === 'query'
    const seen = await house.get(query(rest))
    expectRegistered(seen)
    expect(seen.location ?? '').not.toContain('#')
    const expected = response_type === 'code' ? 'invalid_request' : 'unsupported_response_type'
    const accepted = [undefined, 200]
    expect([seen.error, seen.status]).toEqual(isGood ? accepted : [expected, 303])
    const pushed = await push(rest)
    expect([pushed.status, pushed.error]).toEqual(isGood ? [201, undefined] : [400, expected])
  })
  const grants = [
    'password',
    'implicit',
    'device_code',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:saml2-bearer',
    'urn:openid:params:grant-type:ciba',
    'AUTHORIZATION_CODE',
    'authorization_code refresh_token',
  ]
  for (const grant_type of grants) {
    const form = { grant_type, username: 'ada', password: 'x', client_id: MACHINE.clientId }
    const seen = await house.form('/token', { ...form, client_secret: MACHINE.secret })
    expect([grant_type, seen.error]).toEqual([grant_type, 'unsupported_grant_type'])
  }
  await house.finish()
})

interface Hostile {
  readonly kind: 'repeated' | 'oversized' | 'broken' | 'moved' | 'typed' | 'empty' | 'extra'
  readonly query: string
  readonly body: string
  readonly type: string
}

const FORM = 'application/x-www-form-urlencoded'

/** B5: a good form, told wrong in one way. */
function hostileForms(good: Readonly<Record<string, string>>, count: number): Hostile[] {
  // `resource` may be repeated (RFC 8707 section 2).
  const names = Object.keys(good).filter((name) => name !== 'resource')
  const whole = new URLSearchParams(good).toString()
  return distinct(count, (draw, index) => {
    const name = draw.pick(names)
    const value = encodeURIComponent(good[name] ?? '')
    const rest = new URLSearchParams(Object.entries(good).filter(([key]) => key !== name))
    const as = (kind: Hostile['kind'], body: string, query = '', type = FORM): Hostile => ({
      kind,
      query,
      body,
      type,
    })
    const makers: readonly (() => Hostile)[] = [
      () => as('repeated', `${whole}&${name}=${value}`),
      () => as('repeated', `${name}=${draw.whole(1e6)}&${whole}`),
      () => as('repeated', `${whole}&${name}=`),
      () => as('repeated', `${whole}&${encodeURIComponent(name).replace('_', '%5F')}=1`),
      () => as('oversized', `${whole}&x=${'y'.repeat(66_000 + draw.whole(1_000))}`),
      () => as('oversized', `${whole}&${'z=1&'.repeat(70 + draw.whole(500))}`),
      () => as('broken', `${whole}&x${draw.whole(1e6)}=%`),
      () => as('broken', `${whole}&x${draw.whole(1e6)}=%zz`),
      () => as('broken', `${whole}&x${draw.whole(1e6)}=%ff%fe`),
      () => as('broken', `${whole}&x${draw.whole(1e6)}=%00`),
      () => as('moved', '', `?${whole}&x=${draw.whole(1e6)}`),
      () => as('moved', `${rest}&x=${draw.whole(1e6)}`, `?${name}=${value}`),
      () => as('typed', whole, '', `text/plain;x=${draw.whole(1e6)}`),
      () => as('typed', JSON.stringify(good), `?x=${draw.whole(1e6)}`, 'application/json'),
      () => as('typed', whole, `?x=${draw.whole(1e6)}`, 'multipart/form-data; boundary=x'),
      () => as('empty', `${rest}&${name}=&y=${draw.whole(1e6)}`),
      () => as('empty', `${rest}&y=${draw.whole(1e6)}`),
      () => as('empty', `${'&'.repeat(1 + draw.whole(60))}`),
      () => as('extra', `${whole}&__proto__=x&constructor=y${draw.whole(1e6)}`),
      () => as('extra', `&&${whole}&unknown=${draw.whole(1e6)}&=${draw.whole(9)}`),
    ]
    const make = makers[index < makers.length ? index : draw.whole(makers.length)]
    return JSON.stringify(make?.())
  }).map((text) => JSON.parse(text) as Hostile)
}

describe('B5: repeated, empty, oversized and mixed parameters', () => {
  const machine = { client_id: MACHINE.clientId, client_secret: MACHINE.secret }
  const goodForms = (challenge: string): readonly (readonly [string, Record<string, string>])[] => [
    ['/token', { ...machine, grant_type: 'client_credentials', resource: NOTES }],
    ['/revoke', { ...machine, token: 'x.y.z', token_type_hint: 'access_token' }],
    ['/introspect', { ...machine, token: 'x.y.z', token_type_hint: 'access_token' }],
    [
      '/par',
      {
        ...machine,
        response_type: 'code',
        redirect_uri: WEB_REDIRECT,
        code_challenge: challenge,
        code_challenge_method: 'S256',
        state: 's',
        resource: NOTES,
      },
    ],
    ['/backchannel-logout/openid', { logout_token: 'x.y.z' }],
  ]

  it('A20 B5: programs get invalid_request, or what they asked for when it means nothing', async () => {
    const { house } = await setUp()
    const count = countOf(250)
    for (const [path, good] of goodForms(house.runtime.sha256(VERIFIER))) {
      const isGood = await house.form(path, good)
      expect([path, isGood.status < 300]).toEqual([path, path !== '/backchannel-logout/openid'])
      await checkFamily(`B5 ${path}`, hostileForms(good, count), async (hostile) => {
        const { kind, query, body, type } = hostile
        const seen = await house.post(`${path}${query}`, body, { 'content-type': type })
        if (kind === 'extra') {
          expect([seen.status, seen.error]).toEqual([isGood.status, isGood.error])
          return
        }
        if (kind === 'empty') {
          // What is left may be enough, or too little to know who asks.
          const words = ['invalid_request', 'invalid_client', 'unsupported_grant_type']
          if (seen.status >= 300) expect([...words, 'invalid_target']).toContain(seen.error)
          return
        }
        if (kind === 'moved' && seen.status < 300) {
          // Nothing that was needed is read from the query.
          expect(query).toMatch(/^\?(state|redirect_uri|token_type_hint|x)=/)
          return
        }
        const status =
          kind === 'oversized' ? [400, 413] : kind === 'typed' ? [400, 415] : [400, 401]
        expect(status).toContain(seen.status)
        const words =
          kind === 'moved'
            ? ['invalid_request', 'invalid_client', 'unsupported_grant_type']
            : ['invalid_request']
        expect(words).toContain(seen.error)
      })
    }
    await house.finish()
  })

  it('A20 B5: /authorize refuses what is told twice, on a page or at the registered URI', async () => {
    const { house, clientId } = await setUp()
    const good = Object.fromEntries(authorizeUrl(house.kit, clientId).searchParams)
    const inputs = hostileForms(good, countOf(250)).filter(
      ({ kind }) => kind !== 'moved' && kind !== 'typed',
    )
    await checkFamily('B5 /authorize', inputs, async ({ kind, body }) => {
      const seen = await house.get(`/authorize?${body}`)
      expectRegistered(seen)
      if (kind === 'extra') expect(seen.status).toBe(200)
      if (kind === 'repeated' || kind === 'broken' || kind === 'oversized') {
        expect([302, 303, 400, 413, 414]).toContain(seen.status)
        if (seen.location !== undefined) expect(seen.error).toBe('invalid_request')
      }
    })
    await house.finish()
  })

  it('A20 B5: forms of people do nothing unless they are whole, ours and told once', async () => {
    const { house, visitor, query } = await setUp()
    const page = await (await visitor.get(query())).text()
    const ticket = /name="ticket" value="([^"]+)"/.exec(page)?.[1] ?? ''
    const account = await (await visitor.get('/account')).text()
    const end = /name="end" value="([^"]+)"/.exec(account)?.[1] ?? ''
    const endTicket = /name="ticket" value="([^"]+)"/.exec(account)?.[1] ?? ''
    const cookie = [...visitor.cookies].map((pair) => pair.join('=')).join('; ')
    expect([ticket, end, endTicket]).not.toContain('')
    const doors: readonly (readonly [string, Record<string, string>])[] = [
      ['/consent', { ticket, decision: 'allow:openid' }],
      ['/account', { ticket: endTicket, end }],
    ]
    const count = countOf(250)
    for (const [path, good] of doors) {
      const inputs = hostileForms(good, count).filter(({ kind }) => kind !== 'extra')
      await checkFamily(`B5 ${path}`, inputs, async ({ query: search, body, type }) => {
        const headers = { ...SAME_ORIGIN, cookie, 'content-type': type }
        const seen = await house.post(`${path}${search}`, body, headers)
        expect(seen.status).toBeGreaterThanOrEqual(400)
        expect(seen.location).toBeUndefined()
      })
    }
    // Untouched by all that: the same account, and the same form still works.
    expect(await (await visitor.get('/account')).text()).toContain(end)
    await house.finish()
  })
})
