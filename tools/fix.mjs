/** Formats every file, applies the safe lint fixes, writes the generated documents and the lock. */
import { writeGeneratedDocuments } from './generated.mjs'
import { completeLock } from './lock.mjs'
import { runTool } from './run.mjs'

completeLock()
await writeGeneratedDocuments()
process.exitCode = runTool('@biomejs/biome', 'biome', ['check', '--write', '.']).status
