/**
 * Is a refusal about one person, or does the provider refuse everybody? Answered by asking about
 * others whom it accepted lately.
 *
 * A small house never sees the twenty refusals that make an incident by count (flows.md section 10.3),
 * so before a confirmed no is believed somebody else must have been accepted since the doubt began, or
 * some others are asked. Who cannot be asked about says nothing: one real revocation always ends.
 * @see threats F11
 */
import type { Runtime } from '../ports.ts'

/** Others who are remembered per provider, and asked at once. */
const REMEMBERED_MAX = 32
const ASKED_MAX = 5
const ASK_DEADLINE_MS = 3_000
/** With the person in doubt: every one of three different people. */
const OTHERS_REFUSED_MIN = 2

interface Member {
  readonly id: string
  readonly acceptedMs: number
}

export interface ControlGroup {
  /** Accepted just now. */
  accept(id: string, person: string): void
  /** Ended here: says nothing about the provider any more. */
  drop(id: string): void
  /**
   * True when nobody was accepted since `sinceMs`, and every one of at least two others who are asked
   * is refused. Waits at most 3 s.
   */
  refusesEverybody(doubt: {
    readonly person: string
    readonly sinceMs: number
    readonly ask: (id: string) => Promise<'yes' | 'no' | 'unknown'>
  }): Promise<boolean>
}

export function createControlGroup(runtime: Pick<Runtime, 'monotonicMs' | 'after'>): ControlGroup {
  /** By person, the latest accepted last. */
  const members = new Map<string, Member>()
  return {
    accept(id, person) {
      members.delete(person)
      members.set(person, { id, acceptedMs: runtime.monotonicMs() })
      const oldest = members.size > REMEMBERED_MAX ? members.keys().next().value : undefined
      if (oldest !== undefined) members.delete(oldest)
    },
    drop(id) {
      for (const [person, member] of members) if (member.id === id) members.delete(person)
    },
    async refusesEverybody({ person, sinceMs, ask }) {
      const others = [...members].filter(([other]) => other !== person).map(([, member]) => member)
      if (others.some(({ acceptedMs }) => acceptedMs > sinceMs)) return false
      const asked = others.slice(-ASKED_MAX)
      if (asked.length < OTHERS_REFUSED_MIN) return false
      const answers = await withDeadline(
        runtime,
        asked.map(({ id }) => ask(id)),
      )
      if (answers.includes('yes')) return false
      return answers.filter((answer) => answer === 'no').length >= OTHERS_REFUSED_MIN
    },
  }
}

type Word = 'yes' | 'no' | 'unknown'

/** Ends with the first yes, with the last answer, or at the deadline; what is missing is *unknown*. */
function withDeadline(
  runtime: Pick<Runtime, 'after'>,
  asks: readonly Promise<Word>[],
): Promise<readonly Word[]> {
  return new Promise((resolve) => {
    const answers: Word[] = []
    const finish = (): void => {
      disarm()
      resolve(answers)
    }
    const disarm = runtime.after(ASK_DEADLINE_MS, finish)
    for (const ask of asks) {
      void ask
        .catch((): Word => 'unknown')
        .then((answer) => {
          answers.push(answer)
          if (answer === 'yes' || answers.length === asks.length) finish()
        })
    }
  })
}
