/** Bad text and bad cookies on the pages of people (threats.md section 4); the browser half: test/browser. */
import { describe, expect, it } from 'vitest'
import { authorizeUrl, register, Visitor, WEB_REDIRECT } from '../flow/sign-in-house.ts'
import { checkFamily, countOf, createDraw, distinct } from '../kit/family.ts'
import { type FamilyHouse, ISSUER, openFamilyHouse } from '../kit/family-house.ts'
import { findMarkup, markup, oddTexts, UNSAFE_TEXT } from '../kit/hostile.ts'

const CSP_WANTED = /default-src 'none'/

/** Nothing that the input brought became an element, an attribute or an address. */
function expectText(page: string, headers: Headers): void {
  const found = findMarkup(page)
  if (found !== undefined) throw new Error(`became markup: ${found}`)
  expect(headers.get('content-security-policy') ?? '').toMatch(CSP_WANTED)
  expect(headers.get('content-security-policy')).not.toContain('unsafe')
  expect(headers.get('content-type')).toMatch(/^text\/html; ?charset=utf-8$/i)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
}

async function pageOf(visitor: Visitor, url: string | URL): Promise<string> {
  const answer = await visitor.get(url)
  const text = await answer.text()
  expect(answer.status, text.slice(0, 200)).toBeLessThan(500)
  if (answer.status !== 303) expectText(text, answer.headers)
  return text
}

describe('B14: markup in what is printed', () => {
  it('W3 B14: the detector sees what an unescaped page would hold', () => {
    const texts = markup(200)
    const raw = texts.filter((text) => findMarkup(`<p title="${text}">${text}</p>`) !== undefined)
    // What needs no element, such as a template, is no markup on any page.
    expect(raw.length).toBeGreaterThan(120)
  })

  it('A15 W3 B14: the name of a client, on every page that shows it', async () => {
    const house = await openFamilyHouse()
    const { visitor } = await house.tokens()
    await checkFamily('B14 client name', markup(countOf(200)), async (name) => {
      const { client_id } = await register(house.kit, { client_name: name })
      for (const person of [visitor, new Visitor(house.kit)])
        await pageOf(person, authorizeUrl(house.kit, client_id))
      // The page of an error that is not redirected.
      await pageOf(visitor, authorizeUrl(house.kit, client_id, { scope: 'nonsense' }))
      await pageOf(
        visitor,
        authorizeUrl(house.kit, client_id, { redirect_uri: `${WEB_REDIRECT}x` }),
      )
      await house.arrive(visitor, client_id).catch(() => undefined)
    })
    await pageOf(visitor, '/account')
    await house.finish()
  })

  it('W3 B14: the name, login and address that a provider gives', async () => {
    const house = await openFamilyHouse()
    const { client_id } = await register(house.kit)
    const texts = markup(countOf(200))
    await checkFamily('B14 account', texts, async (text) => {
      const email = `${text}@corp.example`
      house.world.person = {
        name: text,
        preferred_username: text,
        email,
        email_verified: true,
        picture: text,
      }
      const visitor = new Visitor(house.kit)
      await house.arrive(visitor, client_id)
      for (const path of ['/', '/account', authorizeUrl(house.kit, client_id)])
        expect(await pageOf(visitor, path)).not.toContain('sign in again')
    })
    await house.finish()
  })

  it('W3 B14: parameters, error words of a provider, error codes and paths', async () => {
    const house = await openFamilyHouse()
    const { clientId, visitor } = await house.tokens()
    const names = [
      'client_id',
      'redirect_uri',
      'state',
      'scope',
      'resource',
      'prompt',
      'ui_locales',
      'login_hint',
      'nonce',
    ]
    const draw = createDraw()
    await checkFamily('B14 text', markup(countOf(200)), async (text) => {
      const url = authorizeUrl(house.kit, clientId, { [draw.pick(names)]: text })
      await pageOf(visitor, url)
      const page = await visitor.get(authorizeUrl(house.kit, clientId, { prompt: 'consent' }))
      const toProvider = await visitor.press(page, 'allow:openid').catch(() => undefined)
      if (toProvider?.headers.get('location') != null) {
        const back = await visitor.comeBack(toProvider, {
          error: text,
          error_description: text,
          error_uri: text,
        })
        const shown = await back.text()
        if (back.headers.get('location') === null) expectText(shown, back.headers)
      }
      for (const path of ['errors/', '', 'callback/', 'account?x=', 'register/']) {
        const seen = await house.get(`/${path}${encodeURIComponent(text)}`, { accept: 'text/html' })
        if (seen.headers.get('content-type')?.includes('html')) expectText(seen.text, seen.headers)
      }
    })
    await house.finish()
  })

  it('W3 B14: titles and descriptions of connectors and scopes from the configuration', async () => {
    // A line break is refused at the start (B20).
    const texts = markup(countOf(200)).filter((text) => !text.includes('\n'))
    const connectors = Object.fromEntries(
      texts.map((text, index) => [
        `c${index}`,
        {
          url: `https://c${index}.example/mcp`,
          title: text,
          description: text,
          scopes: { [`s${index}`]: { title: text, tools: ['x*'] } },
        },
      ]),
    )
    const house = await openFamilyHouse({
      connectors,
      brand: { name: texts[0] ?? 'x' },
      clients: {},
      enable: [],
    })
    const { client_id } = await register(house.kit)
    const visitor = new Visitor(house.kit)
    await house.arrive(visitor, client_id, 'openid', { resource: `${ISSUER}/mcp/c0` })
    await pageOf(visitor, '/')
    await pageOf(visitor, '/account')
    await checkFamily('B14 connector', [...texts.keys()], async (index) => {
      const asked = { resource: `${ISSUER}/mcp/c${index}`, scope: `mcp s${index}` }
      await pageOf(new Visitor(house.kit), authorizeUrl(house.kit, client_id, asked))
    })
  })
})

describe('B22: unicode', () => {
  const readable = (page: string): string =>
    page.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))

  it('REG-27 B22: a client name or a person shows nothing that hides, turns or breaks', async () => {
    const house = await openFamilyHouse()
    const { client_id } = await register(house.kit)
    await checkFamily('B22', oddTexts(countOf(150)), async (text) => {
      const body = JSON.stringify({ client_name: text, redirect_uris: [WEB_REDIRECT] })
      const headers = { 'content-type': 'application/json' }
      const seen = await house.post('/register', body, headers)
      if (seen.status === 201) {
        const id = String(seen.json()['client_id'])
        const page = await pageOf(new Visitor(house.kit), authorizeUrl(house.kit, id))
        expect(readable(page)).not.toMatch(UNSAFE_TEXT)
      } else expect([seen.status, seen.error]).toEqual([400, 'invalid_client_metadata'])
      house.world.person = { name: text, preferred_username: text, email: `${text}@x.example` }
      const visitor = new Visitor(house.kit)
      await house.arrive(visitor, client_id)
      for (const path of ['/', '/account', authorizeUrl(house.kit, client_id)])
        expect(readable(await pageOf(visitor, path))).not.toMatch(UNSAFE_TEXT)
      // A log line stays one line that can be read again.
      for (const line of house.log().trim().split('\n').slice(-50))
        expect(() => JSON.parse(line)).not.toThrow()
    })
    await house.finish()
  })

  it('B22: any text as state, scope, resource or login_hint comes back as it was, or is refused', async () => {
    const house = await openFamilyHouse()
    const { clientId } = await house.tokens()
    await checkFamily('B22 parameters', oddTexts(countOf(150)), async (text) => {
      for (const name of ['state', 'scope', 'resource', 'login_hint', 'client_id']) {
        const url = authorizeUrl(house.kit, clientId, { [name]: text, response_type: 'token' })
        const seen = await house.get(`${url.pathname}${url.search}`)
        expect([200, 303, 400]).toContain(seen.status)
        expect(readable(seen.text)).not.toMatch(UNSAFE_TEXT)
      }
      for (const field of ['token', 'client_id', 'client_secret', 'grant_type', 'code']) {
        const seen = await house.form('/token', { grant_type: 'authorization_code', [field]: text })
        expect([400, 401]).toContain(seen.status)
        // RFC 6749 section 5.2: printable ASCII.
        expect(String(seen.json()['error_description'])).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/)
      }
    })
    await house.finish()
  })
})

describe('B15: cookies', () => {
  const NAMES = ['__Host-postern_session', '__Host-postern_form'] as const

  /** What a page shows when it knows who looks. */
  const isAda = (page: string): boolean => page.includes('Ada Lovelace')

  async function setUp(): Promise<{
    house: FamilyHouse
    ada: string
    grace: string
    clientId: string
  }> {
    const house = await openFamilyHouse()
    const first = await house.tokens()
    const ada = first.visitor.cookies.get(NAMES[0]) ?? ''
    Object.assign(house.world, { subject: 'grace', person: { name: 'Grace Hopper' } })
    const second = await house.tokens()
    const grace = second.visitor.cookies.get(NAMES[0]) ?? ''
    expect([ada, grace]).not.toContain('')
    return { house, ada, grace, clientId: first.clientId }
  }

  it('W5 SEC-12 B15: a cookie that is not exactly ours, or comes twice, is nobody', async () => {
    const { house, ada, grace } = await setUp()
    const [session] = NAMES
    const makers: readonly ((seed: number) => string)[] = [
      () => `${session}=${ada}; ${session}=${grace}`,
      () => `${session}=${grace}; ${session}=${ada}`,
      () => `${session}=${ada}; ${session}=${ada}`,
      () => `${session}=${ada}; ${session}=`,
      () => `${session} =${ada};${session}=${grace}`,
      () => `postern_session=${ada}`,
      () => `__Secure-postern_session=${ada}`,
      () => `__host-postern_session=${ada}`,
      () => `__Host-Postern_Session=${ada}`,
      () => `__Host-postern_sessionx=${ada}`,
      () => `x__Host-postern_session=${ada}`,
      () => `__Host-postern_form=${ada}`,
      () => `${session}=${ada}x`,
      () => `${session}=${ada.slice(0, -1)}`,
      () => `${session}="${ada}"`,
      () => `${session}=${encodeURIComponent(`${ada} `)}`,
      () => `${session}=%${ada.charCodeAt(0).toString(16)}${ada.slice(1)}`,
      () => `${session}=${ada},${ada}`,
      () => `${session}=${ada}=`,
      () => `${session}=${ada.toLowerCase() === ada ? ada.toUpperCase() : ada.toLowerCase()}`,
      () => `${session}=${[...ada].reverse().join('')}`,
      () => `${'a=b; '.repeat(4_000)}${session}=${ada}`,
      () => `${session}`,
      () => `=${ada}`,
      () => `${session}=null; x=${ada}`,
      (seed) =>
        `${session}=${ada.slice(0, seed % 43)}${ada[seed % 43] === 'A' ? 'B' : 'A'}${ada.slice((seed % 43) + 1)}`,
      (seed) => `${session}=${ada}; x=${seed}; ${session}=${seed}`,
      (seed) => `x=${seed}; ${session}=${ada.slice(seed % 40)}`,
    ]
    const cookies = distinct(countOf(80), (draw, index) =>
      index < makers.length ? (makers[index]?.(index) ?? '') : draw.pick(makers)(draw.whole(1e6)),
    )
    await checkFamily('B15', cookies, async (cookie) => {
      for (const path of ['/', '/account', '/mcp.json']) {
        const seen = await house.get(path, { cookie, accept: 'text/html' })
        expect(isAda(seen.text) || seen.text.includes('Grace')).toBe(false)
      }
    })
    const known = await house.get('/account', { cookie: `${session}=${ada}` })
    expect([isAda(known.text), known.text.includes('Grace')]).toEqual([true, false])
    const other = await house.get('/account', { cookie: `a=b;${session}=${grace} ; c=${ada}` })
    expect([isAda(other.text), other.text.includes('Grace')]).toEqual([false, true])
    await house.finish()
  })

  it('A1 A13 B15: the cookies of one browser never finish what another began', async () => {
    const { house, clientId } = await setUp()
    const pairs = countOf(80)
    await checkFamily(
      'B15 pairs',
      Array.from({ length: pairs }, (_, index) => index),
      async (index) => {
        const [one, two] = [new Visitor(house.kit), new Visitor(house.kit)]
        const [mine, theirs] = [
          await (await one.get(authorizeUrl(house.kit, clientId))).text(),
          await (await two.get(authorizeUrl(house.kit, clientId))).text(),
        ]
        expect((await two.press(mine, 'allow:openid')).status).toBeGreaterThanOrEqual(400)
        const trip = await two.press(theirs, 'allow:openid')
        expect(trip.status).toBe(303)
        // With the victim's cookies beside his own, in either order, or none at all.
        const thief = new Visitor(house.kit)
        const jars = index % 2 === 0 ? [...one.cookies] : [...one.cookies, ['x', 'y'] as const]
        for (const [name, value] of jars) thief.cookies.set(name, value)
        const back = await thief.comeBack(trip)
        expect([back.status >= 400, back.headers.get('location')]).toEqual([true, null])
      },
    )
    await house.finish()
  })
})
