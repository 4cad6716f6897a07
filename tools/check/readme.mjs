/**
 * Runs the programs of README.md and of two recipes as a reader would: each `ts`, `js` or `mjs` block is type-checked
 * against the built package and started. A block is good when it ends with 0, or still runs (a server)
 * after `SETTLE_MS`. Blocks of other languages are text.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, runNode, runTool } from '../run.mjs'

const SETTLE_MS = 4_000
const PAGES = ['README.md', 'docs/recipes/express.md', 'docs/recipes/hono.md']
const BLOCK = /^```(ts|js|mjs)\b[^\n]*\n(.*?)^```$/gms
/** Credentials a reader would have set; they open nothing. */
const READER = {
  POSTERN_GITHUB_CLIENT_ID: 'readme',
  POSTERN_GITHUB_CLIENT_SECRET: 'readme',
}
const folder = join(ROOT, '.cache', 'readme')

process.exitCode = (await judge()) ? 0 : 1

async function judge() {
  const blocks = readBlocks()
  if (blocks.length === 0) {
    console.error('README.md has no program to run.')
    return false
  }
  if (!existsSync(join(ROOT, 'dist')) && runNode(['tools/build.mjs']).status !== 0) return false
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const { file, text } of blocks) writeFileSync(join(folder, file), text)
  if (!typesHold()) return false
  for (const { file } of blocks) if (!(await starts(file))) return false
  return true
}

function readBlocks() {
  const texts = PAGES.map((page) => readFileSync(join(ROOT, page), 'utf8'))
  const matches = texts.flatMap((text) => [...text.matchAll(BLOCK)])
  return matches.map(([, language, text], index) => ({
    file: `block-${index + 1}.${language}`,
    text,
  }))
}

function typesHold() {
  const settings = {
    extends: '../../tsconfig.json',
    compilerOptions: { allowJs: true, noUnusedLocals: false },
    include: ['.'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  return runTool('typescript', 'tsc', ['-p', join(folder, 'tsconfig.json')]).status === 0
}

/** True when the program ended with 0 or is still running after a while. */
function starts(file) {
  const child = spawn(process.execPath, [file], {
    cwd: folder,
    env: { ...process.env, ...READER },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return new Promise((resolve) => {
    let settled = false
    const timer = setTimeout(() => {
      settled = true
      child.kill('SIGTERM')
    }, SETTLE_MS)
    child.on('exit', (code) => {
      clearTimeout(timer)
      if (!settled && code !== 0) console.error(`${file} of ${PAGES.join(', ')} ended with ${code}`)
      resolve(settled || code === 0)
    })
  })
}
