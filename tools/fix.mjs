/** Formats every file, applies the safe lint fixes and writes the generated documents. */
import { writeGeneratedDocuments } from './generated.mjs'
import { runTool } from './run.mjs'

await writeGeneratedDocuments()
process.exitCode = runTool('@biomejs/biome', 'biome', ['check', '--write', '.']).status
