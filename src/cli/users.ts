/** `postern users offboard <user>`: deletes a person and prints what was done and what is pending. */
import { defineCommand } from 'citty'
import type { Person } from '../operations.ts'
import { answerNo, confirmed, OPERATING_ARGS, operate, print, progress } from './operating.ts'

const offboardCommand = defineCommand({
  meta: {
    name: 'offboard',
    description: 'Deletes a person. Example: postern users offboard ada@corp.example --json',
  },
  args: {
    user: { type: 'positional', description: 'User id, e-mail, login or subject', required: true },
    ...OPERATING_ARGS,
  },
  async run({ args }) {
    await operate(args, async (operations) => {
      const people = await operations.findPeople(args.user)
      const [person] = people
      if (person === undefined) return answerNo(args, `nobody here is ${args.user}`)
      if (people.length > 1)
        return answerNo(args, `${args.user} is ${people.length} people: ${ids(people)}`)
      const { userId, provider, subject } = person.value
      if (!(await confirmed(args, `delete ${userId}, subject ${subject} at ${provider}`)))
        return answerNo(args, 'nothing was done')
      progress(args, `ending everything of ${userId}`)
      const proof = await operations.offboard(person)
      const { done, pending, pseudonym } = proof
      print(args, proof, [
        `deleted   ${userId}, ${done.sessions} sessions, ${done.approvals} approvals, all grants`,
        `audit     ${done.auditRows} rows now name ${pseudonym}`,
        `upstream  ${pending.upstreamRevocations} revocations wait for a running node, for at most 7 days`,
      ])
    })
  },
})

export const usersCommand = defineCommand({
  meta: { name: 'users', description: 'People. Example: postern users offboard usr_...' },
  subCommands: { offboard: offboardCommand },
})

function ids(people: readonly Person[]): string {
  return people.map(({ value }) => value.userId).join(', ')
}
