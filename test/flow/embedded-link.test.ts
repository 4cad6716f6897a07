/** A product on the same host: "Connect" is a plain link, and its own session says who is who. */
import { describe, expect, it } from 'vitest'
import {
  allow,
  Browser,
  comeBack,
  ISSUER,
  openEmbedded,
  press,
  SHOP,
  session,
  start,
} from './embedded-house.ts'

const RETURN = `${ISSUER}/dashboard`
const LINK = `/connect/notes?${new URLSearchParams({ app: 'dash', returnUrl: RETURN })}`

/** The product's own session: a cookie of its own. */
function personOf(request: Request): string | undefined {
  return /(?:^|; )product=([a-z]+)/.exec(request.headers.get('cookie') ?? '')?.[1]
}

async function openProduct(user: (request: Request) => unknown = personOf) {
  const apps = { dash: { origins: [SHOP], returnUrls: [RETURN], user } } as never
  const house = await openEmbedded({ apps })
  const as = (person: string): Browser => {
    const browser = new Browser()
    browser.cookies.set('product', person)
    return browser
  }
  const owner = async (person: string): Promise<unknown> =>
    house.node.postern.getToken(person, 'notes').then(
      ({ accessToken }) => accessToken,
      (error: { code?: string }) => error.code,
    )
  return { ...house, as, owner }
}

describe('the link', () => {
  it('CLI-06 CLI-12: leaves at once, comes back connected, and asks the product both times', async () => {
    const asked: (string | undefined)[] = []
    const { node, remote, as, owner } = await openProduct((request) => {
      asked.push(personOf(request))
      return personOf(request)
    })
    const ada = as('ada')
    const away = await ada.get(node, LINK)
    expect(away.status).toBe(303)
    const callback = await allow(away)
    const back = await ada.get(node, callback)
    expect(back.status).toBe(303)
    expect(back.headers.get('location')).toBe(`${RETURN}#postern=connected`)
    expect(asked).toEqual(['ada', 'ada'])
    expect(remote.tokensOf('ada')).toEqual([await owner('ada')])
    expect(ada.cookies).toEqual(new Map([['product', 'ada']]))
  })

  it('CLI-06: writes nothing and asks nobody on the way out, warm, and with the server dead', async () => {
    const { node, remote, as } = await openProduct()
    remote.forget()
    const writes = node.writes()
    const states = new Set<string | null>()
    for (const state of ['alive', 'dead'] as const) {
      if (state === 'dead') await remote.kill()
      const away = await as('ada').get(node, LINK)
      const url = new URL(away.headers.get('location') ?? '')
      expect(url.origin).toBe(remote.origin)
      states.add(url.searchParams.get('state'))
    }
    expect(states.size).toBe(2)
    expect(node.writes()).toBe(writes)
    expect(remote.total()).toBe(0)
  })

  it('O1: one person’s trip does not end in another’s session', async () => {
    const { node, remote, as, owner } = await openProduct()
    const browser = as('mallory')
    const callback = await allow(await browser.get(node, LINK))
    browser.cookies.set('product', 'victim')
    const back = await browser.get(node, callback)
    expect(back.headers.get('location')).toBe(`${RETURN}#postern=session_of_other_user`)
    browser.cookies.delete('product')
    const again = await allow(await as('mallory').get(node, LINK))
    // The victim opens Mallory's authorization URL: no cookie of that trip.
    expect((await as('victim').get(node, again)).status).toBe(400)
    for (const person of ['mallory', 'victim'])
      expect(await owner(person)).toBe('ERR_CONNECTION_NEEDED')
    expect(remote.tokenCalls).toHaveLength(0)
  })

  it('A21 O11: ends at registered places only, and starts for pages only', async () => {
    const { node, as } = await openProduct()
    const ada = as('ada')
    const link = (query: Record<string, string>) =>
      `/connect/notes?${new URLSearchParams({ app: 'dash', returnUrl: RETURN, ...query })}`
    for (const returnUrl of [
      '',
      `${RETURN}/`,
      `${RETURN}#x`,
      `${RETURN}?x=1`,
      'https://evil.example',
      '//evil.example',
      'javascript:alert(1)',
    ]) {
      const page = await ada.get(node, link({ returnUrl }))
      expect(page.status, returnUrl).toBe(400)
      expect(page.headers.get('location')).toBeNull()
    }
    for (const app of ['', 'nope', '__proto__'])
      expect((await ada.get(node, link({ app }))).status).toBe(400)
    for (const dest of ['image', 'iframe', 'empty', 'script'])
      expect((await ada.get(node, LINK, { 'sec-fetch-dest': dest })).status).toBe(400)
    expect((await ada.get(node, LINK.replace('notes', 'finance'))).status).toBe(404)
    expect((await ada.get(node, LINK.replace('notes', 'nots'))).status).toBe(404)
    expect(ada.cookies.size).toBe(1)
  })

  it('sends back whom the product does not know, and shows why where it cannot say', async () => {
    const { node, runtime, as, owner } = await openProduct((request) => {
      const person = personOf(request)
      if (person === 'slow') return new Promise(() => undefined)
      if (person === 'broken') throw new Error('database of the product')
      if (person === 'number') return 7
      if (person === 'list') return ['ada']
      return person
    })
    const nobody = await new Browser().get(node, LINK)
    expect(nobody.headers.get('location')).toBe(`${RETURN}#postern=signed_out`)
    for (const person of ['broken', 'number', 'list']) {
      const page = await as(person).get(node, LINK)
      expect(page.status).toBe(503)
      expect(page.headers.get('retry-after')).toBe('2')
      expect(await page.text()).not.toContain('database')
    }
    const waiting = as('slow').get(node, LINK)
    await runtime.settle()
    runtime.advanceMs(2_000)
    expect((await waiting).status).toBe(503)
    // At the callback, too; and what the person brought is still good afterwards.
    const ada = as('ada')
    const callback = await allow(await ada.get(node, LINK))
    ada.cookies.set('product', 'broken')
    expect((await ada.get(node, callback)).status).toBe(503)
    expect(await owner('ada')).toBe('ERR_CONNECTION_NEEDED')
    ada.cookies.set('product', 'ada')
    const back = await ada.get(node, callback)
    expect(back.headers.get('location')).toBe(`${RETURN}#postern=connected`)
  })

  it('W7: two tabs are two trips, each good once', async () => {
    const { node, as } = await openProduct()
    const ada = as('ada')
    const first = await ada.get(node, LINK)
    const second = await ada.get(node, LINK)
    for (const away of [second, first]) {
      const callback = await allow(away)
      const back = await ada.get(node, callback)
      expect(back.headers.get('location')).toBe(`${RETURN}#postern=connected`)
      expect((await ada.get(node, callback)).status).toBe(400)
    }
  })

  it('a product without `user` has no link', async () => {
    const { node } = await openEmbedded({ apps: { dash: { returnUrls: [RETURN] } } })
    const browser = new Browser()
    browser.cookies.set('product', 'ada')
    expect((await browser.get(node, LINK)).status).toBe(400)
  })
})

describe('a trip that the backend starts', () => {
  it('is active at once where the product’s own session comes back with it', async () => {
    const { node, as, owner, remote } = await openProduct()
    const input = { user: 'ada', connector: 'notes', returnUrl: RETURN }
    const { url } = await node.postern.connections.start(input)
    const ada = as('ada')
    const back = await ada.get(node, await allow(await press(node, ada, url)))
    expect(back.headers.get('location')).toBe(`${RETURN}#postern=connected`)
    expect(remote.isLive(String(await owner('ada')))).toBe(true)
    // Where nobody is signed in there, it waits for the backend's word.
    const other = await node.postern.connections.start({ ...input, user: 'bob' })
    const nobody = new Browser()
    const end = await nobody.get(node, await allow(await press(node, nobody, other.url)))
    expect(end.headers.get('location')).toContain('#postern-confirmation=')
    expect(await owner('bob')).toBe('ERR_CONNECTION_NEEDED')
  })

  it('O1: gives an attacker no confirmation to steal where the product knows the victim', async () => {
    const { node, as, owner, remote } = await openProduct()
    const input = { user: 'mallory', connector: 'notes', returnUrl: RETURN }
    const { url } = await node.postern.connections.start(input)
    const victim = as('victim')
    const end = await victim.get(node, await allow(await press(node, victim, url)))
    expect(end.headers.get('location')).toBe(`${RETURN}#postern=session_of_other_user`)
    const element = await start(node, await session(node, 'mallory', { app: 'dash' }))
    const back = await allow(await press(node, victim, element.url))
    const { said } = await comeBack(node, victim, back)
    expect(said).toMatchObject({ type: 'postern:failed', code: 'session_of_other_user' })
    expect(said).not.toHaveProperty('confirmation')
    expect(remote.tokenCalls).toHaveLength(0)
    expect(await owner('mallory')).toBe('ERR_CONNECTION_NEEDED')
  })
})
