/** Work that many wait for at once: done once, and each waits as long as they want to. */
import type { Runtime } from '../ports.ts'

/** The work under way by this name, or a new one. */
export function shareWork<T>(
  runtime: Pick<Runtime, 'sharesPromises' | 'waitUntil'>,
  flights: Map<string, Promise<T>>,
  name: string,
  start: () => Promise<T>,
): Promise<T> {
  const known = flights.get(name)
  if (known !== undefined) return known
  const flight = start().finally(() => {
    if (flights.get(name) === flight) flights.delete(name)
  })
  // Where a promise belongs to its request nobody else may wait for it.
  if (runtime.sharesPromises) flights.set(name, flight)
  // It goes on when all have left; who waits is told of its failure.
  runtime.waitUntil(flight.catch(() => undefined))
  return flight
}
