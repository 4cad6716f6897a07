import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createId } from '../issuer/ids.ts'
import { isMachine, machineSubject } from './machine.ts'

const PAGE = 1_000

describe('subjects of clients and of people', () => {
  it('TOK-16: never collide: no user id has the form of a client, whatever the client is called', () => {
    const runtime = createTestRuntime()
    const people = Array.from({ length: PAGE }, () => createId(runtime, 'usr'))
    expect(people.filter(isMachine)).toEqual([])
    // A client may be called like a person, or like another client's subject.
    const names = [...people, 'client:a', '', 'usr_', 'https://app.example/client.json']
    const subjects = names.map(machineSubject)
    expect(subjects.every(isMachine)).toBe(true)
    expect(new Set([...people, ...subjects]).size).toBe(people.length + names.length)
  })
})
