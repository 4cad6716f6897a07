import { describeGrants } from './grants.ts'
import { STORES } from './harness.ts'
import { describeRecords } from './store.ts'

for (const fixture of STORES) {
  describeRecords(fixture)
  describeGrants(fixture)
}
