/**
 * A connection that ends against a refresh of it, on two nodes, at every moment of the other.
 *
 * 300 races; 10,000 with POSTERN_TEST_LONG=1.
 * @see threats R8 and O15
 */
import { describe, expect, it } from 'vitest'
import { HOUR_MS, openLinkHouse } from '../kit/connected.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const RACES = LONG ? 10_000 : 300
const PEOPLE = 100
const CALL_MS_MAX = 200
const DEADLINE_MS = LONG ? 900_000 : 60_000
const MINUTE_MS = 60_000
const user = (person: string) => `app:default:${person}`

describe('disconnect against refresh', () => {
  it.each([['strict'], ['keep']] as const)(
    `R8, O15: ${RACES} races with a server that is %s leave 0 live tokens`,
    async (habit) => {
      for (let seed = 1; seed <= RACES / PEOPLE; seed += 1) {
        const house = await openLinkHouse({ seed })
        const other = await house.add()
        const { runtime, server, first } = house
        server.habit = habit
        const people = Array.from({ length: PEOPLE }, (_, at) => `p${at}`)
        const links = new Map<string, string>()
        for (const person of people) links.set(person, (await house.link(person)).connectionId)
        runtime.advanceMs(HOUR_MS + 1_000)
        server.callMs = () => 2 * Math.floor((runtime.random() * CALL_MS_MAX) / 2)
        const race = async (person: string): Promise<void> => {
          const refreshing = other.tokens.load(user(person), 'notes', { deadlineMs: 5_000 })
          const waitMs = Math.floor(runtime.random() * CALL_MS_MAX * 1.5)
          await new Promise<void>((resolve) => void runtime.after(waitMs, resolve))
          await first.connections.end(links.get(person) ?? '', 'disconnected')
          await refreshing
        }
        await house.finish(Promise.all(people.map(race)))
        for (const person of people) {
          const held = await other.tokens.load(user(person), 'notes', { deadlineMs: 5_000 })
          expect(held.state, `seed ${seed}, ${person}`).toBe('missing')
        }
        await runtime.elapseMs(2 * MINUTE_MS)
        expect(server.living(), `seed ${seed}`).toBe(0)
        for (const node of [first, other]) await node.close()
      }
    },
    DEADLINE_MS,
  )
})
