/**
 * `npm start`: the example on this machine, with a remote MCP server that takes half a second for
 * every answer. `node run.ts before|discover|full` chooses the variant.
 */
import { randomBytes } from 'node:crypto'
import { startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { startExample, type Variant } from './start.ts'

const VARIANTS: readonly Variant[] = ['before', 'discover', 'full']
const PORT = 8790
const REMOTE_DELAY_MS = 500

const variant = VARIANTS.find((name) => name === (process.argv[2] ?? 'full'))
if (variant === undefined) {
  console.error(`Write one of: ${VARIANTS.join(', ')}.`)
  process.exit(2)
}
const remote = await startRemoteServer()
remote.slow(REMOTE_DELAY_MS, 'back-channel')
const { url } = await startExample({
  variant,
  port: Number(process.env['PORT'] ?? PORT),
  notesUrl: remote.url,
  secret: randomBytes(32).toString('base64url'),
})
console.log(`${variant}   ${url}/settings   sign in as ada with lovelace, or as grace with hopper`)
console.log(`remote    ${remote.url}   ${REMOTE_DELAY_MS} ms for every answer to a program`)
