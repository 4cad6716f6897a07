/**
 * A program that stands where a client program looks for a browser (`BROWSER`): it gets one address,
 * plays the pages as the person `ada` and opens the callback that it is sent to, as a browser does.
 *
 * Writes one line to the file `VISITS`: the address it was given, so that a test can count sign-ins.
 */
import { appendFileSync } from 'node:fs'
import { createVisitor } from '../../demo/visitor.ts'

const CALLBACK_TIMEOUT_MS = 20_000

const [address = ''] = process.argv.slice(2)
const { VISITS = '' } = process.env
appendFileSync(VISITS, `${address}\n`)
const url = new URL(address)
const visitor = createVisitor({ press: [/^allow/i, /^continue as ada/i] })
const callback = await visitor.visit(url, url.searchParams.get('redirect_uri') ?? '')
const answer = await fetch(callback, { signal: AbortSignal.timeout(CALLBACK_TIMEOUT_MS) })
await answer.text()
