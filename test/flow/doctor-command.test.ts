/**
 * `postern doctor` as a process: arguments, output, exit codes, connectors of the configuration and what
 * the store knows of them; and our own house as its patient.
 * @see api.md section 5
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startCli } from '../kit/cli.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { examine, startPatient } from './doctor-house.ts'

const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

async function openFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-doctor-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

describe('postern doctor', { timeout: 60_000 }, () => {
  it('0: nothing wrong, as lines and as one object', async () => {
    const remote = await startPatient()
    const lines = await startCli(['doctor', remote.url], {})
    expect([lines.code, lines.stderr]).toEqual([0, ''])
    expect(lines.stdout).toMatch(/^OK \(http:\/\/127/)
    const json = await startCli(['doctor', remote.url, '--json'], {})
    expect(json.stdout.trim().split('\n')).toHaveLength(1)
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: true,
      steps: [{ number: 1, ok: true, ms: expect.any(Number) }, {}, {}, {}, {}, {}],
      faults: [],
    })
  })

  it('1: a fault; 2: usage; 3: nobody answers', async () => {
    const remote = await startPatient({ separate: true, settings: { registration: false } })
    const { origin } = remote.authorizationServer
    const fault = await startCli(['doctor', remote.url, '--origin', origin, '--json'], {})
    expect(fault.code).toBe(1)
    expect(JSON.parse(fault.stdout)).toMatchObject({
      ok: false,
      party: 'here',
      faults: [{ requirement: expect.stringContaining('CLI-01'), unreachable: false }],
    })
    const usage = await startCli(['doctor', 'jria'], {
      connectors: { jira: { url: 'https://jira.example/mcp' } },
    })
    expect(usage.code).toBe(2)
    expect(usage.stderr).toContain('Write a URL, or one of: jira.')
    const silent = await startCli(['doctor', `http://127.0.0.1:${await freePort()}/mcp`], {})
    expect([silent.code, silent.stderr]).toEqual([3, ''])
  })

  it('O3: a connector by its name: what is written down of it counts, too', async () => {
    const [remote, other] = [await startPatient(), await startPatient()]
    const folder = await openFolder()
    const config = {
      databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
      sealingKey: SEALING_KEY,
      egress: { allowHosts: [other.origin] },
      connectors: { notes: { url: remote.url, auth: 'oauth' } },
    }
    await startCli(['connectors', 'discover', 'notes'], config)
    const good = await startCli(['doctor', 'notes'], config)
    expect([good.code, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toContain('1 connector notes here')
    expect(good.stdout).toContain('note connections here: 0 active, 0 ended')
    expect(good.stdout).toContain('note this house is its client client_')
    remote.settings.editServer = (document) => ({
      ...document,
      registration_endpoint: `${other.origin}/register`,
    })
    await startCli(['connectors', 'discover', 'notes'], config)
    const bad = await startCli(['doctor', 'notes'], config)
    expect(bad.code).toBe(1)
    expect(bad.stdout).toContain('FAULT here: connector notes is quarantined')
    expect(bad.stdout).toContain(`fix  postern connectors approve notes ${other.origin}`)
    expect(bad.stdout + bad.stderr).not.toContain(SEALING_KEY)
  })

  it('names a connector that is switched off, and one that is meant to ask for no token', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status: 200, body: '{}' })
    const connector = { auth: 'none', enabled: false }
    const { lines } = await examine(remote.url, { connector })
    expect(lines[0]).toBe('FAULT here: connector notes is switched off')
    expect((await examine(remote.url, { connector: { auth: 'none' } })).code).toBe(0)
    expect((await examine(remote.url, { connector: { auth: 'identity' } })).code).toBe(1)
  })

  it('our own house is in good health', async () => {
    const remote = await startPatient()
    const port = await freePort()
    const folder = await openFolder()
    const house = await servePostern({
      issuer: `http://127.0.0.1:${port}`,
      listen: { port, metricsPort: 0 },
      databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
      sealingKey: SEALING_KEY,
      connectors: { notes: { url: remote.url, auth: 'none' } },
    })
    onTestFinished(() => house.close())
    const { lines, code, report } = await examine(`${house.issuer}/mcp/notes`)
    expect(lines[0]).toMatch(/^OK /)
    expect([code, report.steps.every(({ faults }) => faults.length === 0)]).toEqual([0, true])
  })

  it('is what serve tells to run about a server that answers without a token', async () => {
    const remote = await startPatient()
    remote.answerWith('POST /mcp', { status: 200, body: '{}' })
    const port = await freePort()
    const folder = await openFolder()
    const house = await servePostern({
      issuer: `http://127.0.0.1:${port}`,
      listen: { port, metricsPort: 0 },
      databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
      sealingKey: SEALING_KEY,
      connectors: { main: { url: remote.url } },
    })
    onTestFinished(() => house.close())
    const told = `  warning   main answers without a token: who reaches port ${remote.port} skips sign-in. Run: postern doctor ${remote.url}`
    expect(house.lines).toContain(told)
    const command = told.split('postern ')[1]?.split(' ') ?? []
    const { code, stdout } = await startCli(command, {})
    expect([code, stdout]).toEqual([1, expect.stringContaining('answers without a token (200')])
  })
})
