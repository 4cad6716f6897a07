/**
 * A need of a test that a machine may lack (chromium, Python): skipped loudly and by name on a
 * developer's machine, a failure where `CI=true`.
 */
import type { TestContext } from 'vitest'

/** Returns the value, or ends the test: skipped with the reason, or failed in CI. */
export function need<T>(
  context: TestContext,
  name: string,
  found: { value: T } | { missing: string },
): T {
  if ('value' in found) return found.value
  const reason = `${name} is missing: ${found.missing}`
  if (process.env.CI === 'true') throw new Error(`${reason} (CI=true: not skipped)`)
  process.stderr.write(`\nSKIPPED "${context.task.name}": ${reason}\n`)
  return context.skip(reason)
}
