/**
 * The REST API judged by programs of others against `docs/openapi.json`: schemathesis asks it what the
 * document promises, and a Python client that was generated from it does what a backend does.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { ADMIN_KEY, type ApiHouseKit, openApiHouse } from '../kit/api-house.ts'
import { need } from '../kit/needs.ts'
import { runProcess } from '../kit/process.ts'
import { preparePython } from '../kit/python.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/openapi.json', import.meta.url))
const JUDGE_CONFIG = fileURLToPath(new URL('schemathesis.toml', import.meta.url))
const BACKEND = fileURLToPath(new URL('../python/api_app.py', import.meta.url))
const DEADLINE_MS = 600_000
const HOUR_MS = 3_600_000
/** Of each operation; what the document says by itself comes on top. */
const EXAMPLES = 8
const SEED = '8414'

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-api-'))
  onTestFinished(() => rm(made, { recursive: true, force: true }))
  return made
}

/** Nobody is asked outside: what is made up by a judge has real host names. */
async function open(): Promise<ApiHouseKit> {
  const house = await openApiHouse({
    config: (remote) => ({
      egress: { allowHosts: [remote.origin] },
      apps: {
        dashboard: {
          origins: ['https://app.example.com'],
          returnUrls: ['https://app.example.com/settings'],
        },
      },
    }),
  })
  await house.link('ada', HOUR_MS, 'dashboard')
  return house
}

it(
  'openapi.json keeps its word: schemathesis finds 0 failures',
  async (context) => {
    const python = need(context, 'Python', await preparePython('schemathesis'))
    const judge = async (issuer: string, key: string, more: readonly string[]) =>
      runProcess({
        name: 'schemathesis',
        command: python.executable,
        args: [
          ...['-m', 'schemathesis.cli', '--config-file', JUDGE_CONFIG, 'run', DOCUMENT],
          ...['--url', `${issuer}/api/v1`, '--header', `Authorization: Bearer ${key}`],
          ...['--phases', 'examples,coverage,fuzzing', '--max-examples', String(EXAMPLES)],
          ...['--seed', SEED, '--warnings', 'off', '--no-color', ...more],
        ],
        cwd: await folder(),
        env: { ...python.env },
        deadlineMs: DEADLINE_MS,
      })
    for (const [keyOf, more] of [
      [() => ADMIN_KEY, ['--exclude-path', '/tokens']],
      [({ keys }: ApiHouseKit) => keys.tokens, ['--include-path', '/tokens']],
      [() => 'ptk_none', ['--include-path', '/connections', '--max-examples', '3']],
    ] as const) {
      // A house of its own: bad keys of the run before count towards the rate of their network.
      const house = await open()
      const { code, output } = await judge(house.issuer, keyOf(house), more)
      expect(code, output.slice(-6_000)).toBe(0)
      expect(output).toContain('No issues found')
      const bugs = house.platform.events.filter(({ type }) => type === 'server.failed')
      expect(bugs).toEqual([])
    }
  },
  DEADLINE_MS,
)

it(
  'a Python client that is generated from openapi.json lists, makes a session and gets a token',
  async (context) => {
    const python = need(context, 'Python', await preparePython('openapi-python-client'))
    const house = await open()
    const cwd = await folder()
    const made = await runProcess({
      name: 'openapi-python-client',
      command: python.executable,
      args: [
        ...['-m', 'openapi_python_client', 'generate', '--path', DOCUMENT, '--meta', 'none'],
        ...['--output-path', join(cwd, 'postern_client'), '--fail-on-warning'],
        ...['--config', fileURLToPath(new URL('../python/api-client.yml', import.meta.url))],
      ],
      cwd,
      env: { ...python.env },
      deadlineMs: DEADLINE_MS,
    })
    expect(made.code, made.output).toBe(0)
    const { code, output } = await runProcess({
      name: 'api_app.py',
      command: python.executable,
      args: [BACKEND],
      cwd,
      env: {
        ...python.env,
        PYTHONPATH: `${cwd}:${python.env['PYTHONPATH'] ?? ''}`,
        POSTERN_URL: `${house.issuer}/api/v1`,
        POSTERN_MANAGE_KEY: house.keys.manage,
        POSTERN_TOKENS_KEY: house.keys.tokens,
      },
      deadlineMs: DEADLINE_MS,
    })
    expect(code, output).toBe(0)
    expect(output.trim().split('\n')).toEqual([
      'connectors notes',
      'connections dashboard/ada/active',
      'connected True',
      'session True',
      expect.stringMatching(/^token \S+$/),
      'refused True 409 ERR_CONNECTION_NEEDED',
      'absent True ERR_CONNECTOR_NOT_FOUND',
    ])
    const accessToken = /^token (\S+)$/m.exec(output)?.[1] ?? ''
    expect(house.remote.isLive(accessToken)).toBe(true)
  },
  DEADLINE_MS,
)
