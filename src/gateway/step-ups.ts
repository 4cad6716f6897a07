/**
 * How often a server asked for more scopes for one operation of one connection (CLI-09). A try is a
 * token that was refused: asking again without a new consent costs none. Bounded, in memory.
 */
export interface StepUps {
  /** False: it has been tried often enough, tell the person instead. */
  tryAgain(connectionId: string, operation: string, tokenDigest: string): boolean
}

const TRIES_MAX = 3
const KEPT_MS = 3_600_000
const KEPT_MAX = 10_000

export function createStepUps({ nowMs }: { nowMs(): number }): StepUps {
  const kept = new Map<string, { readonly tokens: Set<string>; readonly untilMs: number }>()
  return {
    tryAgain(connectionId, operation, tokenDigest) {
      const key = JSON.stringify([connectionId, operation])
      let tries = kept.get(key)
      if (tries === undefined || tries.untilMs <= nowMs()) {
        kept.delete(key)
        const oldest = kept.size < KEPT_MAX ? undefined : kept.keys().next().value
        if (oldest !== undefined) kept.delete(oldest)
        tries = { tokens: new Set(), untilMs: nowMs() + KEPT_MS }
        kept.set(key, tries)
      }
      if (tries.tokens.has(tokenDigest)) return true
      if (tries.tokens.size >= TRIES_MAX) return false
      tries.tokens.add(tokenDigest)
      return true
    },
  }
}
