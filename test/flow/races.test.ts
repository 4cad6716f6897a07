/**
 * Replays and races on SQLite, with two processes of the product on one file. A tenth of the rounds
 * here; all with POSTERN_TEST_LONG=1.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, startTwoNodes, type Tokens, type TwoNodes } from '../kit/two-nodes.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const CODE_ROUNDS = LONG ? 50 : 5
const CODE_CALLERS = 100
const REFRESH_ROUNDS = LONG ? 1_000 : 100
const REFRESH_CALLERS = 64
const REVOKE_ROUNDS = LONG ? 10_000 : 1_000
const ENDING_ROUNDS = LONG ? 300 : 30
/** Races under way at once. */
const REVOKE_WIDTH = 16
/** A node without a bus polls every 2 s; 5 s is the published bound. */
const REVOCATION_BOUND_MS = 5_000
const DEADLINE_MS = LONG ? 1_800_000 : 300_000

describe('two nodes on one SQLite file', () => {
  let nodes: TwoNodes
  beforeAll(async () => {
    nodes = await startTwoNodes()
  })
  afterAll(() => nodes.close())

  it(
    `TOK-08, A7, I3: of ${CODE_CALLERS} redeems of one code one succeeds, and the replays end its family`,
    async () => {
      for (let round = 0; round < CODE_ROUNDS; round += 1) {
        const code = await nodes.code()
        const answers = await together(CODE_CALLERS, (at) => nodes.redeem(at % 2, code))
        const won = answers.filter(({ status }) => status === 200)
        expect(won).toHaveLength(1)
        expect(statuses(answers)).toEqual([200, 400])
        // The losers were replays with the right client and verifier (TOK-09).
        const { refresh_token } = tokensOf(won[0])
        expect(errorOf(await nodes.refresh(1, refresh_token))).toBe('invalid_grant')
      }
    },
    DEADLINE_MS,
  )

  it(
    `TOK-20, A8, A9, R11: ${REFRESH_CALLERS} refreshes with one token give one successor, in ${REFRESH_ROUNDS} rounds`,
    async () => {
      let { refresh_token } = await nodes.tokens()
      const spent: string[] = []
      for (let round = 0; round < REFRESH_ROUNDS; round += 1) {
        const token = refresh_token
        const answers = await together(REFRESH_CALLERS, (at) => nodes.refresh(at % 2, token))
        expect(statuses(answers)).toEqual([200])
        const successors = new Set(answers.map((answer) => tokensOf(answer).refresh_token))
        expect(successors.size).toBe(1)
        spent.push(token)
        refresh_token = [...successors][0] ?? ''
      }
      // Two steps back there is no grace: a late replay ends the family (TOK-19).
      expect(errorOf(await nodes.refresh(0, spent.at(-2) ?? ''))).toBe('invalid_grant')
      expect(errorOf(await nodes.refresh(1, refresh_token))).toBe('invalid_grant')
    },
    DEADLINE_MS,
  )

  it('A8: a forged token that names a real grant ends nothing', async () => {
    const { refresh_token, access_token } = await nodes.tokens()
    const forged = Array.from({ length: refresh_token.length - 4 }, (_, at) => {
      const other = refresh_token[at + 4] === 'A' ? 'B' : 'A'
      return refresh_token.slice(0, at + 4) + other + refresh_token.slice(at + 5)
    })
    for (const token of forged) {
      expect(errorOf(await nodes.refresh(1, token))).toBe('invalid_grant')
      expect((await nodes.revoke(0, token)).status).toBe(200)
    }
    expect((await nodes.call(0, access_token)).status).toBe(200)
    expect((await nodes.refresh(1, refresh_token)).status).toBe(200)
  })

  it('REV-08: a code given while the last grant ends opens what it says, or is not given', async () => {
    for (let round = 0; round < ENDING_ROUNDS; round += 1) {
      const first = await nodes.tokens()
      const [next] = await Promise.all([nodes.tokens(), nodes.revoke(1, first.refresh_token)])
      const last = await nodes.tokens()
      for (const { access_token } of [next, last])
        expect((await nodes.call(0, access_token)).status).toBe(200)
      await nodes.revoke(0, next.refresh_token)
      await nodes.revoke(1, last.refresh_token)
    }
  })

  it(
    `R8, REV-03: after ${REVOKE_ROUNDS} races of revoke against refresh no token lives`,
    async () => {
      const left: string[] = []
      const race = async (round: number): Promise<void> => {
        const first = await nodes.tokens()
        const [refreshed, revoked] = await Promise.all([
          nodes.refresh(round % 2, first.refresh_token),
          nodes.revoke((round + 1) % 2, first.refresh_token),
        ])
        expect(revoked.status).toBe(200)
        expect([200, 400]).toContain(refreshed.status)
        left.push(first.access_token, first.refresh_token)
        if (refreshed.status === 200) {
          const next = tokensOf(refreshed)
          left.push(next.access_token, next.refresh_token)
        }
      }
      for (let round = 0; round < REVOKE_ROUNDS; round += REVOKE_WIDTH) {
        const width = Math.min(REVOKE_WIDTH, REVOKE_ROUNDS - round)
        await together(width, (at) => race(round + at))
      }
      await new Promise((resolve) => setTimeout(resolve, REVOCATION_BOUND_MS))
      for (const token of left) {
        for (const node of [0, 1]) {
          const answer = token.startsWith('ptr_')
            ? await nodes.refresh(node, token)
            : await nodes.call(node, token)
          expect(answer.status).toBe(token.startsWith('ptr_') ? 400 : 401)
        }
      }
    },
    DEADLINE_MS,
  )
})

function together<T>(count: number, one: (at: number) => Promise<T>): Promise<readonly T[]> {
  return Promise.all(Array.from({ length: count }, (_, at) => one(at)))
}

function statuses(answers: readonly Answer[]): readonly number[] {
  return [...new Set(answers.map(({ status }) => status))].sort((left, right) => left - right)
}

function tokensOf(answer: Answer | undefined): Tokens {
  return JSON.parse(answer?.text ?? '{}') as Tokens
}

function errorOf(answer: Answer): unknown {
  return (JSON.parse(answer.text) as { error?: unknown }).error
}
