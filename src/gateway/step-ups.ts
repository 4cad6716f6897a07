/**
 * How often a server asked a person for more scopes for one operation (CLI-09). A try is a token that
 * was refused: asking again without a new consent costs none. Each consent makes a new connection, so
 * it is the person's account at the connector that counts. Bounded, in memory.
 */
export interface StepUps {
  /** False: it has been tried often enough, tell the person instead. */
  tryAgain(holder: string, operation: string, tokenDigest: string): boolean
}

/** With the connection itself at most three consents for one call, as clients are held to (CLI-09). */
const TRIES_MAX = 2
const KEPT_MS = 3_600_000
const KEPT_MAX = 10_000

export function createStepUps({ nowMs }: { nowMs(): number }): StepUps {
  const kept = new Map<string, { readonly tokens: Set<string>; readonly untilMs: number }>()
  return {
    tryAgain(holder, operation, tokenDigest) {
      const key = JSON.stringify([holder, operation])
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
