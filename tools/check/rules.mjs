/** Prints how many rules and threats a test shows; fails when a reason for leaving one out is stale. */
import { countStates, shownRules, staleReasons } from '../generate/rules/index.ts'

for (const [title, table] of [
  ['requirements', 'requirements'],
  ['threats and faults', 'threats'],
]) {
  const { shown, missing, ...rest } = countStates(shownRules(table))
  console.log(`note ${title}: ${shown} shown, ${rest['left out']} left out, ${missing} missing`)
}
const stale = staleReasons()
for (const id of stale) console.error(`${id} is shown by a test now: take its reason out`)
process.exitCode = stale.length === 0 ? 0 : 1
