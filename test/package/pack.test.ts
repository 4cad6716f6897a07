/**
 * The package as a stranger gets it: packed, installed into an empty folder, started with npx.
 *
 * Needs npm and its cache or registry; nothing is mocked. On an old Node only the launcher may run.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startProcess } from '../kit/process.ts'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const LAUNCHER = join(ROOT, 'bin', 'postern.mjs')
const manifest = readManifest(ROOT)
const run = promisify(execFile)

interface Manifest {
  readonly version: string
  readonly exports: Readonly<Record<string, unknown>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

describe('the launcher on an old Node', () => {
  const oldText = (version: string) =>
    `Postern needs Node 24 or newer; this is v${version}. Try: npx -p node@24 -p postern postern serve\n`

  it('says what it needs and ends with 2, before any import', async () => {
    const script = [
      "Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })",
      `import(${JSON.stringify(LAUNCHER)})`,
    ].join('\n')
    await expect(run(process.execPath, ['--eval', script])).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: oldText('20.20.2'),
    })
  })

  // Set by tools/bootstrap.mjs where the machine has one; elsewhere the test above stands alone.
  const oldNode = process.env.POSTERN_TEST_OLD_NODE
  if (oldNode === undefined) return
  it('does so on the old Node of this machine', async () => {
    const { stdout } = await run(oldNode, ['--print', 'process.versions.node'])
    await expect(run(oldNode, [LAUNCHER, 'serve'])).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: oldText(stdout.trim()),
    })
  })
})

describe('the packed package in an empty folder', () => {
  let folder: string
  let installed: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-package-'))
    installed = join(folder, 'node_modules', 'postern')
    const built = process.env.POSTERN_TEST_BUILT === '1' ? ['--ignore-scripts'] : []
    await npm(ROOT, ['pack', ...built, '--pack-destination', folder])
    const [tarball = ''] = readdirSync(folder)
    await npm(folder, ['init', '--yes'])
    // Optional beside us: who imports `postern/react` has it.
    const react = `react@${manifest.devDependencies?.['react'] ?? ''}`
    const options = ['--no-audit', '--no-fund', '--prefer-offline']
    await npm(folder, ['install', ...options, `./${tarball}`, react])
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('carries no Node, no test and no tool of the repository', () => {
    const { dependencies, optionalDependencies } = readManifest(installed)
    const names = Object.keys({ ...dependencies, ...optionalDependencies })
    expect(names.filter((name) => name.startsWith('node-'))).toEqual([])
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    expect(files.filter((file) => /\.test\.|^(test|tools|src|demo|bench)\b/.test(file))).toEqual([])
    expect(files).toContain('LICENSE')
    expect(files).toContain('migrations/d1/0001_postern.sql')
  })

  it('answers npx postern --version', async () => {
    const { stdout } = await run('npx', ['--no-install', 'postern', '--version'], { cwd: folder })
    expect(stdout.trim()).toBe(manifest.version)
  })

  // `./workers` imports what only Workers have: test/workerd loads it where it belongs.
  const forNode = (name: string) => !name.endsWith('.json') && name !== './workers'
  it.each(Object.keys(manifest.exports).filter(forNode))(
    'lets a program import %s',
    async (subpath) => {
      const specifier = `postern${subpath.slice(1)}`
      const script = `console.log(Object.keys(await import('${specifier}')).length)`
      const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
        cwd: folder,
      })
      expect(Number(stdout)).toBeGreaterThan(0)
    },
  )

  it('serves with one command and stops when told', async () => {
    const port = await freePort()
    const house = startProcess({
      name: 'postern serve',
      command: join(folder, 'node_modules', '.bin', 'postern'),
      args: ['serve', 'http://127.0.0.1:9/mcp', '--provider', 'github', '--port', String(port)],
      env: { POSTERN_GITHUB_CLIENT_ID: 'id', POSTERN_GITHUB_CLIENT_SECRET: 'secret' },
      cwd: folder,
    })
    try {
      const [, issuer] = await house.line(/^ready (http:\S+)$/)
      const response = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
      expect(await response.json()).toMatchObject({ issuer })
    } finally {
      await house.stop()
    }
    expect(await house.exited).toBe(0)
  })
})

async function npm(cwd: string, parameters: readonly string[]): Promise<void> {
  await run('npm', parameters, { cwd, env: outsideEnvironment(), maxBuffer: 16 * 1024 * 1024 })
}

/** `npm test` hands its own settings down, which would make this install believe it is in the repository. */
function outsideEnvironment(): NodeJS.ProcessEnv {
  const settings = Object.entries(process.env).filter(
    ([name]) => !/^npm_(config_local_prefix|package|lifecycle|command|config_prefix)/i.test(name),
  )
  const nodeFolder = dirname(process.execPath)
  const path = [nodeFolder, process.env.PATH].filter((entry) => entry !== undefined)
  return { ...Object.fromEntries(settings), PATH: path.join(delimiter) }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return address.port
}
