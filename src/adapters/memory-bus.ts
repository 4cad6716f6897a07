/** Bus inside one process: a publish calls every subscriber before it resolves, nothing is lost. */
import type { Bus } from '../ports.ts'

const SUBSCRIBERS_MAX = 1_000

export function createMemoryBus(): Bus {
  const subscribers = new Set<() => void>()
  return {
    async publish() {
      for (const onPoke of [...subscribers]) onPoke()
    },
    async subscribe(onPoke) {
      if (subscribers.size >= SUBSCRIBERS_MAX) throw new TypeError('too many bus subscribers')
      const entry = (): void => onPoke()
      subscribers.add(entry)
      return () => {
        subscribers.delete(entry)
      }
    },
  }
}
