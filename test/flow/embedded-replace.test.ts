/** The person of a product comes back with another account than before: which one is it to be? */
import { expect, it } from 'vitest'
import { openEmbedded } from '../../src/connectors/embedded/embedded.ts'
import { type ConnectTestHouse, createConnectHouse } from './connect-house.ts'
import { locationOf, ticketOf, Visitor } from './sign-in-house.ts'

const SHOP = 'https://shop.example'
const NONCE = 'nonce-of-the-element-0123456789'

function openShop() {
  const app = { name: 'shop', origins: [SHOP], returnUrls: [], confirm: 'widget' } as const
  const house = createConnectHouse({ config: { apps: [app] } })
  const connecting = house.deps.linking?.()
  const door = openEmbedded(connecting && { ...house.routes.house, connecting })
  const user = async (name = 'ada') => {
    const { token } = await door.createConnectSession({ user: name, origin: SHOP })
    const ask = async (call: string, body: object) => {
      const answer = await house.fetch(
        new Request(`${house.issuer}/widget/${call}`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${token}`,
            origin: SHOP,
            'content-type': 'application/json',
          },
          body: JSON.stringify(body),
        }),
      )
      return { status: answer.status, body: (await answer.json()) as Record<string, string> }
    }
    return ask
  }
  return { house, door, user }
}

type Ask = Awaited<ReturnType<ReturnType<typeof openShop>['user']>>

/** Through the popup and back, as this account. */
async function comeAs(
  house: ConnectTestHouse,
  visitor: Visitor,
  ask: Ask,
  subject: string,
  code = `code-of-${subject}`,
) {
  house.remote().answer = () => ({
    outcome: 'yes',
    subject,
    tokens: { accessToken: `upstream-${subject}-${code}`, tokenType: 'Bearer' },
  })
  const { body } = await ask('attempts', { connector: 'notes', nonce: NONCE })
  const page = await (await visitor.get(body.url ?? '')).text()
  const away = await visitor.post('/widget/popup', { ticket: ticketOf(page), decision: 'connect' })
  const asked = new URL(locationOf(away)).searchParams
  const callback = new URL(asked.get('redirect_uri') ?? '')
  callback.searchParams.set('state', asked.get('state') ?? '')
  callback.searchParams.set('code', code)
  callback.searchParams.set('iss', 'https://login.notes.example')
  return { page, back: await visitor.get(callback, { 'sec-fetch-site': 'cross-site' }) }
}

async function said(visitor: Visitor, answer: Response): Promise<Record<string, string>> {
  const html = await (await visitor.get(locationOf(answer))).text()
  return Object.fromEntries(
    [...html.matchAll(/data-([a-z-]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [
      name,
      value,
    ]),
  )
}

async function connected() {
  const shop = openShop()
  const ask = await shop.user()
  const visitor = new Visitor(shop.house)
  const { back } = await comeAs(shop.house, visitor, ask, 'ada@notes')
  const { confirmation } = await said(visitor, back)
  expect((await ask('confirm', { confirmation })).status).toBe(200)
  return { ...shop, ask, visitor }
}

const subjects = async (house: ConnectTestHouse) =>
  (await house.connections.list('app:shop:ada')).map(({ accountSubject }) => accountSubject)

it('CLI-12: asks in the popup, and changes nothing before the person and the product have said so', async () => {
  const { house, ask, visitor } = await connected()
  const { page, back } = await comeAs(house, visitor, ask, 'root@notes')
  expect(page).toContain('ada@notes')
  const path = locationOf(back)
  expect(path).toMatch(/^\/widget\/replace\?at=[\w-]{43}$/)
  const shown = await visitor.get(path)
  expect(shown.headers.get('cross-origin-opener-policy')).toBe('unsafe-none')
  const html = await shown.text()
  for (const text of ['This is another account at Notes', 'ada@notes', 'root@notes'])
    expect(html).toContain(text)
  expect(html).not.toContain('upstream-')
  const form = { ticket: ticketOf(html), decision: 'replace' }
  const answers = await Promise.all([
    visitor.post('/widget/replace', form),
    visitor.post('/widget/replace', form),
  ])
  expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 409])
  expect(await subjects(house)).toEqual(['ada@notes'])
  const won = answers.find(({ status }) => status === 303)
  if (won === undefined) throw new Error('nobody won')
  const { type, confirmation, nonce } = await said(visitor, won)
  expect({ type, nonce }).toEqual({ type: 'postern:done', nonce: NONCE })
  expect((await ask('confirm', { confirmation })).status).toBe(200)
  expect(await subjects(house)).toEqual(['root@notes'])
})

it('keeps the one that was there, and gives the new tokens back', async () => {
  const { house, ask, visitor } = await connected()
  const { back } = await comeAs(house, visitor, ask, 'root@notes')
  const html = await (await visitor.get(locationOf(back))).text()
  const kept = await visitor.post('/widget/replace', { ticket: ticketOf(html), decision: 'keep' })
  expect(await said(visitor, kept)).toMatchObject({ type: 'postern:failed', code: 'account_kept' })
  expect(await subjects(house)).toEqual(['ada@notes'])
  await house.runtime.settle()
  expect(house.remote().revoked).toEqual(['upstream-root@notes-code-of-root@notes'])
})

it('O1 W2: is asked of no other browser, from no other site, and not for longer than ten minutes', async () => {
  const { house, ask, visitor } = await connected()
  const { back } = await comeAs(house, visitor, ask, 'root@notes')
  const path = locationOf(back)
  expect((await new Visitor(house).get(path)).status).toBe(400)
  const form = { ticket: ticketOf(await (await visitor.get(path)).text()), decision: 'replace' }
  const cross = { 'sec-fetch-site': 'cross-site' }
  expect((await visitor.post('/widget/replace', form, cross)).status).toBe(403)
  expect((await new Visitor(house).post('/widget/replace', form)).status).toBe(403)
  expect((await visitor.post('/widget/popup', form)).status).toBe(400)
  await house.runtime.elapseMs(600_001)
  expect((await visitor.post('/widget/replace', form)).status).toBe(400)
  expect((await visitor.get(path)).status).toBe(400)
  expect(house.remote().revoked).toEqual(['upstream-root@notes-code-of-root@notes'])
})

it('CLI-04: a server that changed meanwhile ends it, and its tokens go back to the one that gave them', async () => {
  const { house, ask, visitor } = await connected()
  const { back } = await comeAs(house, visitor, ask, 'root@notes')
  const html = await (await visitor.get(locationOf(back))).text()
  const { confirmation } = await (async () => {
    const other = await comeAs(house, visitor, ask, 'ada@notes', 'second')
    return said(visitor, other.back)
  })()
  const remote = house.remote()
  remote.binding = { ...remote.binding, issuer: 'https://new.example' }
  const form = { ticket: ticketOf(html), decision: 'replace' }
  const lost = await visitor.post('/widget/replace', form)
  expect(await said(visitor, lost)).toMatchObject({ code: 'issuer_changed' })
  expect((await ask('confirm', { confirmation })).status).toBe(409)
  await house.runtime.elapseMs(60_000)
  expect(remote.revoked.toSorted()).toEqual([
    'upstream-ada@notes-second',
    'upstream-root@notes-code-of-root@notes',
  ])
})

it('without timers, what nobody confirmed is given back by the periodic work', async () => {
  const { house, door, user } = openShop()
  const ask = await user()
  const visitor = new Visitor(house)
  await comeAs(house, visitor, ask, 'ada@notes')
  house.runtime.jumpWallMs(299_000)
  await door.runDue()
  await house.runtime.settle()
  expect(house.remote().revoked).toEqual([])
  house.runtime.jumpWallMs(1_001)
  await door.runDue()
  await house.runtime.settle()
  expect(house.remote().revoked).toEqual(['upstream-ada@notes-code-of-ada@notes'])
  expect(await house.store.count('connecting', 'default')).toBe(0)
})
