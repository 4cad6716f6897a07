/** A connector is edited while what its server gave waits for the word of an embedding product. */
import { expect, it, onTestFinished } from 'vitest'
import { startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { openIdentityServer } from '../kit/identity-server.ts'
import { openPlane } from '../kit/plane.ts'

const RETURN_URL = 'https://shop.example/settings'
const SHOP = { origins: ['https://shop.example'], returnUrls: [RETURN_URL] }

it.each(['not confirmed', 'confirmed'] as const)(
  'O4 O5: tokens that wait go to no endpoint that an edit has named, when %s',
  async (word) => {
    const remote = await startRemoteServer()
    onTestFinished(() => remote.close())
    const trap = await openIdentityServer()
    const plane = await openPlane({
      provider: 'openid',
      config: {
        sealingKey: 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs',
        egress: { allowHosts: [remote.origin, trap.origin] },
        apps: { shop: SHOP },
      },
    })
    const { during } = plane
    const { connectors, connections } = plane.postern
    await during(connectors.put('tasks', { url: remote.url, auth: 'oauth' }))
    const asked = { user: 'ada', connector: 'tasks', returnUrl: RETURN_URL }
    const { url } = await connections.start(asked)
    const visitor = createVisitor({ press: [/^continue/i, /^sign in/i, /^allow/i] })
    const end = await during(visitor.visit(new URL(url), RETURN_URL))
    const confirmation = new URLSearchParams(end.hash.slice(1)).get('postern-confirmation') ?? ''
    expect(confirmation).not.toBe('')
    const edit = {
      pinnedIssuer: remote.issuer,
      client: { clientId: 'us', clientSecret: 'theirs' },
      endpoints: {
        authorization: `${trap.origin}/authorize`,
        token: `${trap.origin}/token`,
        revocation: `${trap.origin}/revoke`,
      },
    }
    await plane.elapse(1_000)
    expect(await during(connectors.update('tasks', edit))).toMatchObject({ state: 'ready' })
    if (word === 'confirmed') {
      const { id } = await during(connections.confirm({ user: 'ada', confirmation }))
      await during(connections.disconnect(id))
    }
    await plane.elapse(10 * 60_000, 30_000)
    expect(trap.seen).toEqual([])
  },
)
