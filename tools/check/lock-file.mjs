/** Fails when `npm ci` would refuse a lock on another machine, or when one names a host. */
import { lockFaults } from '../lock.mjs'

const faults = lockFaults()
for (const fault of faults) console.error(fault)
if (faults.length > 0) console.error('Run: npm run fix')
process.exitCode = faults.length === 0 ? 0 : 1
