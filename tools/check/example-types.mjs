/** Fails when an example does not fit the package as it stands here: its imports lead to `src/`. */
import { runTool } from '../run.mjs'

const arguments_ = ['--noEmit', '-p', 'examples/tsconfig.json']
process.exitCode = runTool('typescript', 'tsc', arguments_).status
