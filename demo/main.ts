/**
 * `npm start`: the demo. Opens the page beside Postern on its port, or with `--once` runs the
 * comparison in the terminal and ends; `--json` adds it as the last line.
 */
import { parseArgs } from 'node:util'
import { Live } from './live.ts'
import { compareOnce, tableOf } from './once.ts'
import { createPageServer, type PageServer } from './page-server.ts'
import { PROVIDERS } from './registrations.ts'
import { openStage, type Stage } from './stage.ts'

const PAGE_DELAY_MS = 1_000
/**
 * Far smaller than a house would set, and the page says so: somebody who revokes Ada wants to see it
 * within seconds. The bound that is shown is this one.
 */
const PAGE_LIMITS = { upstreamProofTtlSeconds: 5, upstreamProofStaleSeconds: 15 }
const HELP = `npm start                       the demo, at http://127.0.0.1:8414/demo
npm start -- --port <n>         on another port
npm start -- --once [--json]    the comparison in the terminal`

const { values } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    port: { type: 'string' },
    help: { type: 'boolean', default: false },
    'no-python': { type: 'boolean', default: false },
  },
})
const say = (line: string): void => void process.stderr.write(`${line}\n`)

try {
  if (values.help) console.log(HELP)
  else if (values.once) await runOnce()
  else await runPage()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function runOnce(): Promise<void> {
  // A port of its own: a demo or a house that runs here already stays undisturbed.
  const port = readPort() ?? 0
  const stage = await openStage({ port, installsPython: values['no-python'] ? 'never' : 'before' })
  try {
    const result = await compareOnce(stage, say)
    const table = tableOf(result)
    console.log(table)
    if (values.json) console.log(JSON.stringify(result))
    if (!table.includes('\nok: ')) process.exitCode = 1
  } finally {
    await stage.close()
  }
}

async function runPage(): Promise<void> {
  const port = readPort()
  const page = createPageServer()
  const stage = await openStage({
    ...(port === undefined ? {} : { port }),
    limits: PAGE_LIMITS,
    intercept: page.intercept,
    installsPython: values['no-python'] ? 'never' : 'behind',
  })
  try {
    await showPage(stage, page)
  } finally {
    page.close()
    await stage.close()
  }
}

async function showPage(stage: Stage, page: PageServer): Promise<void> {
  for (const provider of PROVIDERS) await stage.signIn(provider)
  stage.slow(PAGE_DELAY_MS)
  const live = new Live(stage)
  page.open(stage, live)
  if (stage.portNote !== undefined) console.log(stage.portNote)
  console.log(`Ada is signed in. Open ${stage.issuer}/demo`)
  console.log('End with Ctrl+C.')
  void stage.python.settled.then((python) => {
    const line =
      python.state === 'missing'
        ? `no Python server: ${python.reason}`
        : `Python server (FastMCP): ${stage.issuer}/mcp/python`
    console.log(line)
  })
  await ended()
  await live.close()
}

function ended(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
}

function readPort(): number | undefined {
  if (values.port === undefined) return undefined
  const port = Number(values.port)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new Error(`--port takes a number from 0 to 65535, not ${values.port}`)
}
