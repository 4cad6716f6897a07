/** Fails when code for browsers leans on a type of Node: it is judged with the types of the web alone. */
import { runTool } from '../run.mjs'

const arguments_ = ['--noEmit', '-p', 'tsconfig.browser.json']
process.exitCode = runTool('typescript', 'tsc', arguments_).status
