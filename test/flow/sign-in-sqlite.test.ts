import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import type { Store } from '../../src/ports.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  errorOf,
  redeem,
  refresh,
  register,
  signIn,
  type Tokens,
  Visitor,
} from './sign-in-house.ts'

const runtime = createTestRuntime()
let folder: string
let store: Store
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-flow-'))
  const opened = await openSqlite({ path: join(folder, 'postern.db'), runtime })
  store = opened.store
})
afterAll(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

it('A7 A8 A9: the whole flow on SQLite: one code, one redeem, one successor, replay ends the family', async () => {
  const house = createTestIssuer({ store, runtime })
  const { client_id } = await register(house)
  const visitor = new Visitor(house)
  await signIn(house, visitor, client_id)
  const page = await (await visitor.get(authorizeUrl(house, client_id))).text()
  const twins = await Promise.all([visitor.press(page, 'allow'), visitor.press(page, 'allow')])
  expect(twins.map((answer) => answer.status).sort()).toEqual([303, 400])
  const allowed = twins.find((answer) => answer.status === 303) ?? new Response()
  const { code = '' } = answerOf(allowed)
  const tokens = (await (await redeem(house, client_id, code)).json()) as Tokens
  const rotated = await Promise.all(
    Array.from({ length: 32 }, async () => {
      const answer = await refresh(house, client_id, tokens.refresh_token)
      return ((await answer.json()) as Tokens).refresh_token
    }),
  )
  expect(new Set(rotated).size).toBe(1)
  runtime.advanceMs(60_001)
  expect(await errorOf(await refresh(house, client_id, tokens.refresh_token))).toBe('invalid_grant')
  expect(await errorOf(await refresh(house, client_id, rotated[0] ?? ''))).toBe('invalid_grant')
})

it('A7: of 20 redeems at once on SQLite one succeeds', async () => {
  const house = createTestIssuer({ store, runtime })
  const { client_id } = await register(house)
  const { code = '' } = await signIn(house, new Visitor(house), client_id)
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => redeem(house, client_id, code)),
  )
  expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1)
})
