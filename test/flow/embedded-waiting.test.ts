/** Tokens that wait for a product's word are lost to nobody, whatever fails in between. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished } from 'vitest'
import { confirm, openEmbedded, session, toConfirmation } from './embedded-house.ts'

/** From now on, rows of these kinds cannot be written: what a full disk does at the worst moment. */
function breakWrites(folder: string, kinds: readonly string[]): () => void {
  const database = new DatabaseSync(join(folder, 'postern.db'))
  onTestFinished(() => database.close())
  for (const kind of kinds)
    database.exec(
      `CREATE TRIGGER break_${kind} BEFORE INSERT ON records WHEN NEW.kind = '${kind}'
        BEGIN SELECT RAISE(ABORT, 'broken'); END`,
    )
  return () => {
    for (const kind of kinds) database.exec(`DROP TRIGGER break_${kind}`)
  }
}

it('O15: what nobody confirmed is given back by this node later, or by the next, when it could not be', async () => {
  for (const next of ['this', 'the next'] as const) {
    const { node, remote, folder, elapse, addNode } = await openEmbedded()
    await toConfirmation(node, await session(node))
    const mend = breakWrites(folder, ['duty'])
    await elapse(300_001)
    await elapse(1)
    mend()
    if (next === 'the next') {
      await node.postern.close()
      await addNode()
      await elapse(1)
    } else await elapse(60_001)
    await expect.poll(() => remote.tokensOf('ada').length, { timeout: 5_000 }).toBe(0)
  }
})

it('O15 W7: a confirmation that could not be written is still good, once', async () => {
  const { node, remote, folder } = await openEmbedded()
  const token = await session(node)
  const { confirmation, attempt } = await toConfirmation(node, token)
  const mend = breakWrites(folder, ['vault', 'duty'])
  expect((await confirm(node, token, confirmation)).status).toBe(503)
  mend()
  const done = await confirm(node, token, confirmation)
  expect(done).toMatchObject({ status: 200, body: { state: 'active', connectionId: attempt } })
  const { accessToken } = await node.postern.getToken('ada', 'notes', { app: 'shop' })
  expect(remote.isLive(accessToken)).toBe(true)
  expect((await confirm(node, token, confirmation)).status).toBe(409)
})

it('I-ids: a person is named by a string, and by nothing that reads like one', async () => {
  const { node } = await openEmbedded()
  const like = { length: 3, includes: () => false, toString: () => 'ada' }
  for (const user of [['ada'], like, 7, null, 'a\ud800', 'a\0b', '']) {
    const input = { app: 'shop', user: user as string }
    const { connections } = node.postern
    for (const made of [
      session(node, user as string),
      connections.start({
        ...input,
        connector: 'notes',
        returnUrl: 'https://shop.example/settings',
      }),
      connections.confirm({ ...input, confirmation: 'a'.repeat(43) }),
    ])
      await expect(made).rejects.toThrow(TypeError)
  }
})
