/**
 * The `postern` command. Text goes to stdout, progress and refusals to stderr.
 *
 * Exit: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 something remote or the store
 * is not reachable; 130 interrupted (api.md section 5).
 */
import { readFileSync } from 'node:fs'
import { defineCommand, runCommand, showUsage } from 'citty'
import { ConfigError, StoreError } from '../errors.ts'
import { apiKeysCommand } from './api-keys.ts'
import { clientsCommand } from './clients.ts'
import { connectorsCommand } from './connectors.ts'
import { doctorCommand } from './doctor.ts'
import { explainCommand } from './explain.ts'
import { keysCommand } from './keys.ts'
import { revokeCommand } from './revoke.ts'
import { serveCommand } from './serve.ts'
import { usersCommand } from './users.ts'
import { webhooksCommand } from './webhooks.ts'

const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as {
  version: string
}

const main = defineCommand({
  meta: {
    name: 'postern',
    version: manifest.version,
    description:
      'The auth plane for MCP. Example: postern serve http://127.0.0.1:8000/mcp --provider github',
  },
  subCommands: {
    serve: serveCommand,
    'api-keys': apiKeysCommand,
    clients: clientsCommand,
    connectors: connectorsCommand,
    doctor: doctorCommand,
    explain: explainCommand,
    keys: keysCommand,
    revoke: revokeCommand,
    users: usersCommand,
    webhooks: webhooksCommand,
  },
})

const argv = process.argv.slice(2)
try {
  if (argv[0] === '--version' || argv[0] === '-v') console.log(manifest.version)
  else if (argv.includes('--help') || argv.includes('-h') || argv.length === 0) await usage(argv[0])
  else await runCommand(main, { rawArgs: argv })
} catch (error) {
  process.exitCode = report(error)
}

async function usage(name: string | undefined): Promise<void> {
  if (name === 'serve') await showUsage(serveCommand)
  else if (name === 'api-keys') await showUsage(apiKeysCommand)
  else if (name === 'clients') await showUsage(clientsCommand)
  else if (name === 'connectors') await showUsage(connectorsCommand)
  else if (name === 'doctor') await showUsage(doctorCommand)
  else if (name === 'explain') await showUsage(explainCommand)
  else if (name === 'keys') await showUsage(keysCommand)
  else if (name === 'revoke') await showUsage(revokeCommand)
  else if (name === 'users') await showUsage(usersCommand)
  else if (name === 'webhooks') await showUsage(webhooksCommand)
  else await showUsage(main)
}

function report(error: unknown): number {
  if (error instanceof ConfigError) {
    console.error(error.message)
    return 2
  }
  if (error instanceof StoreError) {
    console.error(
      `${error.code}: the store cannot be opened.\nCorrect databaseUrl, or its permissions and free space.`,
    )
    return 3
  }
  if (error instanceof Error && error.name === 'CLIError') {
    console.error(`${error.message}\nRun: postern --help`)
    return 2
  }
  console.error(error)
  return 1
}
