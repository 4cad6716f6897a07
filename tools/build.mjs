/** Builds `dist/`: one JavaScript file and one declaration file per source file, no bundler. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, runTool } from './run.mjs'

rmSync(join(ROOT, 'dist'), { recursive: true, force: true })
process.exitCode = runTool('typescript', 'tsc', ['-p', 'tsconfig.build.json']).status
